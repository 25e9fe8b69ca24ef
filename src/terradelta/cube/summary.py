"""A cube at a glance: sensors, orbits, dates, gaps, valid pixels, size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from terradelta.cube.grid import crs_text
from terradelta.cube.manifest import Manifest
from terradelta.cube.schema import SERIES
from terradelta.cube.store import geobox_of
from terradelta.cube.tracks import Gap, TrackSummary, track_lines, tracks_of
from terradelta.types import Size

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["CubeSummary", "readable", "summary"]


@dataclass(frozen=True)
class CubeSummary:
    """A cube at a glance.

    Attributes
    ----------
    name, path : str
        Name of the place; path of the cube, empty if it is only in memory.
    crs : str
        Coordinate reference system.
    resolution : tuple of float
        Height and width of a pixel in the CRS's unit.
    size : Size
        Rows and columns.
    tracks : tuple of TrackSummary
        One per group and relative orbit.
    layers : tuple of str
        Layers without time, such as ``static/dem``.
    weather_days : int
        Number of days with weather.
    bytes : int
        Size on disk, or in memory if it has no path.
    asked : str
        What the sources were asked for last, and what came; empty for a cube made from files.
    """

    name: str
    path: str
    crs: str
    resolution: tuple[float, float]
    size: Size
    tracks: tuple[TrackSummary, ...]
    layers: tuple[str, ...]
    weather_days: int
    bytes: int
    asked: str = ""

    @property
    def sensors(self) -> tuple[str, ...]:
        """All satellites."""
        return tuple(sorted({platform for track in self.tracks for platform in track.platforms}))

    @property
    def orbits(self) -> tuple[int, ...]:
        """All relative orbits that are known."""
        return tuple(sorted({track.orbit for track in self.tracks if track.orbit}))

    @property
    def dates(self) -> int:
        """Number of acquisitions."""
        return sum(len(track.times) for track in self.tracks)

    @property
    def valid_share(self) -> float:
        """Mean share of valid pixels over all acquisitions; NaN if there are none."""
        weights = [len(track.times) for track in self.tracks]
        return float(np.average([t.valid_share for t in self.tracks], weights=weights)) if weights else np.nan

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The longest gaps of all tracks, longest first."""
        return tuple(sorted((gap for track in self.tracks for gap in track.gaps), key=lambda g: -g.days))

    def render(self, width: int = 48) -> str:
        """Give the text that ``terradelta cube info`` prints.

        Parameters
        ----------
        width : int
            Characters of a timeline.

        Returns
        -------
        str
            Lines without a final line break.
        """
        y, x = self.resolution
        lines = [
            f"{self.name or 'cube'}  {self.path}".rstrip(),
            f"  grid        {self.size.y} x {self.size.x} pixels of {y:.6g} x {x:.6g}, {self.crs}",
            f"  size        {readable(self.bytes)}",
            f"  sensors     {', '.join(self.sensors) or 'unknown'}",
            f"  layers      {', '.join(self.layers) or 'none'}; weather of {self.weather_days} days",
        ]
        lines += [f"  asked for   {self.asked}"] if self.asked else []
        times = [track.times for track in self.tracks]
        if not times:
            return "\n".join([*lines, "  no acquisitions yet"])
        span = (min(t[0] for t in times), max(t[-1] for t in times))
        return "\n".join([*lines, *(line for t in self.tracks for line in track_lines(t, span, width))])


def summary(tree: xr.DataTree) -> CubeSummary:
    """Sum up a cube.

    The shares of valid pixels were noted when the images were appended; only a tree that comes from elsewhere
    has its pixels read, once, block by block.

    Parameters
    ----------
    tree : xarray.DataTree
        An opened cube, or a tree of its data model in memory.

    Returns
    -------
    CubeSummary
        Sensors, dates, orbits, gaps, share of valid pixels, size, CRS, resolution.

    Raises
    ------
    CubeError
        If the tree has no grid.

    Examples
    --------
    >>> import tempfile
    >>> from odc.geo.geobox import GeoBox
    >>> from terradelta.cube import create_cube, open_cube
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> create_cube(folder, GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10))
    >>> info = summary(open_cube(folder))
    >>> info.dates, info.crs, info.resolution
    (0, 'EPSG:32631', (10.0, 10.0))
    """
    geobox = geobox_of(tree)
    source = str(tree.encoding.get("source", ""))
    layers = [f"{g}/{name}" for g in ("static", "truth") if g in tree.children for name in tree[g].data_vars]
    return CubeSummary(
        name=str(tree.attrs.get("name", "")),
        path=source,
        crs=crs_text(geobox.crs),
        resolution=(abs(geobox.resolution.y), abs(geobox.resolution.x)),
        size=Size(*geobox.shape),
        tracks=tuple(t for g in SERIES if g in tree.children for t in tracks_of(tree[g].to_dataset(), g)),
        layers=tuple(layers),
        weather_days=int(tree["weather"].sizes.get("day", 0)) if "weather" in tree.children else 0,
        bytes=_size_on_disk(Path(source)) if source else int(tree.nbytes),
        asked=_asked(Path(source)) if source else "",
    )


def _asked(path: Path) -> str:
    manifest = Manifest(path)
    request = manifest.last_request
    if request is None:
        return ""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(manifest.counts().items()))
    day = manifest.requests[-1]["last"][:10]
    return f"{request['time']} of {', '.join(request['source'])} on {day}: {counts}"


def _size_on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def readable(nbytes: float) -> str:
    """Write a number of bytes for people, in powers of a thousand.

    Examples
    --------
    >>> readable(1_340_000_000), readable(999_900), readable(17)
    ('1.34 GB', '1 MB', '17 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 999.5:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} TB"
