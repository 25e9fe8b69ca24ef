"""A folder of rasters and tables: what is in it, at what times, on which grid. Only headers are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from odc.geo.geobox import GeoBox

from terradelta.cube import OpticalAcquisition, SarAcquisition
from terradelta.errors import SourceError
from terradelta.sources import geotiff, netcdf
from terradelta.sources.describe import describe
from terradelta.sources.eopatch import is_eopatch, layers_of, patches_in
from terradelta.sources.gathering import gather
from terradelta.sources.grids import Bounds, propose_grid
from terradelta.sources.informing import gather_safes, inform, with_conditions
from terradelta.sources.layers import Layer
from terradelta.sources.names import read_name
from terradelta.sources.notes import note_gaps, note_resampling, reaches, require_one_place
from terradelta.sources.planned import PlannedAcquisition
from terradelta.sources.problems import OnError, Problems
from terradelta.sources.safe.matching import is_safe
from terradelta.sources.sidecar import SIDECAR_NAME, Sidecar, SidecarLike, load_sidecar
from terradelta.sources.weather import ENDINGS as _TABLES
from terradelta.sources.weather import holds_weather
from terradelta.types import PathType

__all__ = ["Plan", "scan"]


@dataclass(frozen=True)
class Plan:
    """What a folder would bring into a cube.

    Attributes
    ----------
    source : pathlib.Path
        The folder, or the one file.
    geobox : GeoBox
        Grid of the cube: the given one, or the one proposed by the data.
    sar, optical : tuple of PlannedAcquisition
        Sorted by time, not read yet.
    static : tuple of Layer
        Layers without time.
    weather : tuple of pathlib.Path
        Files with daily weather.
    sidecar : Sidecar
        Settings that were used.
    warnings : tuple of str
        Lines worth reading; nothing of it stops the work.
    failures : tuple of str
        Lines about files and dates that were left out (with ``on_error="skip"``).
    """

    source: Path
    geobox: GeoBox
    sar: tuple[PlannedAcquisition, ...]
    optical: tuple[PlannedAcquisition, ...]
    static: tuple[Layer, ...]
    weather: tuple[Path, ...]
    sidecar: Sidecar
    warnings: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def planned(self) -> tuple[PlannedAcquisition, ...]:
        """All acquisitions, radar first, each group in the order of time."""
        return self.sar + self.optical

    def acquisitions(self) -> Iterator[SarAcquisition | OpticalAcquisition]:
        """Give every acquisition on the plan's grid; pixels are read when they are computed."""
        for planned in self.planned:
            yield planned.load(self.geobox)

    def on(self, geobox: GeoBox) -> Plan:
        """Give the same plan for another grid."""
        return replace(self, geobox=geobox)


def scan(
    folder: PathType,
    *,
    pattern: str = "*",
    sidecar: SidecarLike = None,
    geobox: GeoBox | None = None,
    bounds: Bounds | None = None,
    crs: str | None = None,
    resolution: float | None = None,
    on_error: OnError = "stop",
) -> Plan:
    """Look through a folder of GeoTIFF, COG, JPEG 2000, NetCDF and CSV files and EOPatches by their headers.

    Parameters
    ----------
    folder : path
        Folder, or one file.
    pattern : str
        Which files count, by name; ``"**/*.tif"`` looks into folders as well.
    sidecar : path, mapping or Sidecar, optional
        What names and tags cannot say; by default `terradelta.yaml` in the folder.
    geobox : GeoBox, optional
        Grid of the cube. By default the data's own: that of the radar images, else of the optical ones.
    bounds, crs, resolution : optional
        Parts of the grid, where not all is to come from the data: (left, bottom, right, top) and edge of a
        pixel, both in the units of `crs`.
    on_error : {"stop", "skip"}
        Stop at the first bad file, or note it in `failures` and go on.

    Returns
    -------
    Plan
        Acquisitions sorted by time, static layers, weather, grid and warnings.

    Raises
    ------
    SourceError
        Missing or empty folder, nothing understood, files of several places that do not touch, or a bad file.
    ConfigError
        A wrong `terradelta.yaml`.
    """
    folder = Path(folder)
    files = _files(folder, pattern)
    settings = load_sidecar(sidecar, folder if folder.is_dir() else folder.parent)
    problems = Problems(on_error)
    safes = gather_safes([path for path in files if is_safe(path)], folder, settings, problems)
    layers, weather = _headers([path for path in files if not is_safe(path)], folder, settings, problems)
    layers = inform(layers, safes, settings, problems)
    sar, optical = (gather(layers, group, problems) for group in ("sar", "optical"))
    static = [layer for layer in layers if layer.group == "static"]
    if not (sar or optical or static or weather):
        raise SourceError(_nothing(folder, problems))
    if geobox is None and bounds is None:
        require_one_place(folder, sar + optical)
    deciding = _deciding(sar, optical, static)
    if geobox is None and not deciding:
        raise SourceError(
            f"{folder}: has weather only and no image to take a grid from; import it into a cube"
        )
    grid, notes = propose_grid(deciding, geobox=geobox, bounds=bounds, crs=crs, resolution=resolution)
    for note in notes:
        problems.warn(note)
    kept = [[one for one in group if reaches(one, grid, problems)] for group in (sar, optical)]
    kept[0] = [with_conditions(one, grid, safes) for one in kept[0]]
    note_resampling(layers, grid, problems)
    note_gaps(sar, optical, problems)
    return Plan(
        source=folder,
        geobox=grid,
        sar=tuple(kept[0]),
        optical=tuple(kept[1]),
        static=tuple(static),
        weather=tuple(weather),
        sidecar=settings,
        warnings=tuple(problems.warnings),
        failures=tuple(problems.failures),
    )


def _files(folder: Path, pattern: str) -> list[Path]:
    """Files with a known ending, by name; SAFE products are looked into."""
    if not folder.exists():
        raise SourceError(f"{folder} does not exist; check the path of the data")
    if folder.is_file() or is_safe(folder) or is_eopatch(folder):
        return [folder]
    known = (*geotiff.ENDINGS, *netcdf.ENDINGS, *_TABLES)
    found: set[Path] = set()
    for path in folder.glob(pattern):
        if is_safe(path):
            found.add(path)
        elif path.is_dir() and path.suffix == ".SAFE":
            found.update(path.glob("GRANULE/*/IMG_DATA/**/*.jp2"))
        elif path.is_dir():
            found.update(patches_in(path))
        elif path.is_file() and path.suffix.lower() in known and not any(map(is_safe, path.parents)):
            found.add(path)
    if not found:
        endings = ", ".join(known)
        there = (
            "is empty"
            if not any(folder.iterdir())
            else f"has no file {pattern!r} with a known ending ({endings})"
        )
        raise SourceError(f"{folder} {there}; check the path, or the pattern")
    return sorted(found)


def _headers(
    files: Sequence[Path], folder: Path, settings: Sidecar, problems: Problems
) -> tuple[list[Layer], list[Path]]:
    """Layers of all files, and the files with weather."""
    layers: list[Layer] = []
    weather: list[Path] = []
    for path in files:
        own = settings.for_file(path.name)
        if own.ignore:
            continue
        with problems.collect():
            raster = path.suffix.lower() in geotiff.ENDINGS and own.sensor != "weather"
            if path.is_dir():
                layers += layers_of(path, folder, settings, problems)
            elif not raster and holds_weather(path, own):
                weather.append(path)
            elif path.suffix.lower() not in _TABLES:
                reader = geotiff if path.suffix.lower() in geotiff.ENDINGS else netcdf
                parents = [parent.name for parent in path.parents]
                found = describe(reader.read_headers(path), own, parents)
                if not found and not _of_no_use(path):
                    problems.warn(
                        f"{path.name}: not understood and left out; say 'sensor' or 'ignore: true' for it"
                    )
                layers += found
    return layers, weather


def _of_no_use(path: Path) -> bool:
    """Companions of Sentinel-2, Landsat and OPERA images that are known and not needed."""
    if read_name(path.name).family.startswith("landsat"):
        return True
    tokens = path.stem.split("_")
    return any(token in ("TCI", "AOT", "WVP", "PVI", "mask", "number", "of", "incidence") for token in tokens)


def _nothing(folder: Path, problems: Problems) -> str:
    lines = problems.failures or problems.warnings
    more = f" ({lines[0]})" if lines else ""
    known = "radar or optical image, layer or weather"
    return f"{folder}: no {known} is understood{more}; see 'sensor' in {SIDECAR_NAME}"


def _deciding(
    sar: Sequence[PlannedAcquisition], optical: Sequence[PlannedAcquisition], static: Sequence[Layer]
) -> list[GeoBox]:
    """Grids of the images that decide about the cube's: radar, else optical, else static layers."""
    for group in (sar, optical):
        if group:
            return [layer.grid for one in group for frames in one.frames for layer in frames]
    return [layer.grid for layer in static]
