"""Real pairs of Sentinel-2 L1C images with hand-made labels, each held constant before and after a day.

The Onera data set (Caye Daudt et al. 2018, IGARSS, 2115-2118) has two images per city and no radar. A network
of urban monitoring wants series, so the first image is shown until the middle of a year and the second one
from then on, while the radar stays the same all the time: whatever is found, is found in two optical images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from terradelta.errors import SourceError
from terradelta.evaluate.scores import share_above
from terradelta.evaluate.urban.baselines import BASELINES, baselines
from terradelta.evaluate.urban.curves import Curve, curve
from terradelta.evaluate.urban.networks import Peaks, Progress, Watch, load_networks, no_progress, watch
from terradelta.evaluate.urban.writing import as_json, table, write_files
from terradelta.simulate import speckle
from terradelta.types import BoolArray, FloatArray, PathType

if TYPE_CHECKING:
    from terradelta.urban import ERCNN

__all__ = ["City", "Held", "Pair", "held_cube", "judge", "load_pair", "run", "watch_pair"]

_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_TEN_METRES = 1
_UNCHANGED, _CHANGED = 1, 2
_FULL = 10_000.0
_DAY = np.timedelta64(1, "D")
_RADAR_BANDS = ("VV", "VH")


@dataclass(frozen=True)
class Held:
    """How a pair becomes a series.

    Attributes
    ----------
    start : str
        First day; it means nothing to the network.
    days : int
        Length of the series.
    switch : int
        Day from which the second image is seen.
    radar_days : int
        Days between radar images, of either direction by turns. 5 makes 37 observations in half a year, few
        but enough; more of them show the same and cost more.
    decibel : tuple of float
        Backscatter in VV and VH, everywhere, always, from both directions. Towns of moderate density lie at
        about -8 and -15 dB.
    looks : float
        Equivalent number of looks of the speckle on it, each pixel its own; 0 = none, every pixel of every
        image the same.
    seed : int
        Of the speckle.
    """

    start: str = "2017-01-01"
    days: int = 366
    switch: int = 183
    radar_days: int = 5
    decibel: tuple[float, float] = (-8.0, -15.0)
    looks: float = 0.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images of a city and what changed between them.

    Attributes
    ----------
    name : str
        The city.
    dates : tuple of str
        Of both images.
    first, second : ndarray
        (13, y, x) reflectance at the top of the atmosphere on the 10 m grid, float32; NaN is no data.
    changed : ndarray of bool
        (y, x) the labels.
    """

    name: str
    dates: tuple[str, str]
    first: FloatArray
    second: FloatArray
    changed: BoolArray

    def crop(self, rows: slice, columns: slice) -> Pair:
        """Give a part of the city."""
        part = (..., rows, columns)
        return Pair(self.name, self.dates, self.first[part], self.second[part], self.changed[part])


@dataclass(frozen=True, eq=False)
class City:
    """What came out for one city, or for all of them together.

    Attributes
    ----------
    name : str
        The city.
    share : float
        Of the pixels that are labelled as changed.
    network : Curve
        Of the largest value over all windows.
    plain : dict of str to Curve
        Of each of `BASELINES`.
    found, false : float
        Share of the changed and of the unchanged pixels with a value above 0.5.
    """

    name: str
    share: float
    network: Curve
    plain: dict[str, Curve]
    found: float
    false: float

    def row(self) -> list[str]:
        """Give the cells of its row."""
        shares = [f"{self.found:.1%}", f"{self.false:.1%}"]
        return [self.name, f"{self.share:.2%}", str(self.network), *map(str, self.plain.values()), *shares]


def run(
    data: PathType,
    out: PathType,
    weights: Sequence[PathType],
    *,
    how: Watch | None = None,
    held: Held | None = None,
    progress: Progress = no_progress,
) -> str:
    """Score networks on every city, and write table, figures and picture.

    Parameters
    ----------
    data : path
        Folder with one folder per city.
    out : path
        Folder for ``oscd.md``, ``oscd.json`` and ``oscd.png``.
    weights : sequence of path
        Networks that read both sensors.
    how : Watch, optional
        Stride (9 by default: five windows) and device.
    held : Held, optional
        How a pair becomes a series.
    progress : callable, optional
        Takes a label and a number of steps, gives a context manager that gives a function to advance.

    Returns
    -------
    str
        The Markdown table.

    Raises
    ------
    SourceError
        If the folder holds no city, or images or labels of one are missing.
    InputError
        If there are no networks.
    StorageError
        If the output cannot be written.
    """
    from terradelta.evaluate.urban.pictures import draw_pairs

    folders, nets = _cities(Path(data)), load_networks(weights)
    held, how = held or Held(), how or Watch(stride=9)
    cities, parts, shown = [], [], []
    with progress("evaluate", len(folders)) as advance:
        for folder in folders:
            pair = load_pair(folder)
            peaks = watch_pair(pair, nets, how, held)
            scores = {"network": peaks.score, **baselines(pair.first, pair.second)}
            cities.append(judge(pair.name, pair.changed, scores))
            parts.append((pair.changed, scores))
            shown.append((pair, peaks.score))
            advance(1)
    cities.append(judge("all", *_pooled(parts)))
    text = _markdown(cities)
    figures = {"held": asdict(held), "how": asdict(how), "cities": [asdict(city) for city in cities]}
    picture = draw_pairs(shown)
    write_files(out, {"oscd.json": as_json(figures), "oscd.png": picture, "oscd.md": f"{text}\n".encode()})
    return text


def watch_pair(pair: Pair, nets: Sequence[ERCNN], how: Watch, held: Held) -> Peaks:
    """Run networks on a pair that is held constant before and after a day.

    Parameters
    ----------
    pair : Pair
        The images.
    nets : sequence of ERCNN
        Networks that read both sensors.
    how : Watch
        Stride and device.
    held : Held
        Days and backscatter.

    Returns
    -------
    Peaks
        On the grid of the pair.
    """
    return watch(held_cube(pair, held), nets, how)


def _cities(data: Path) -> list[Path]:
    if not data.is_dir():
        raise SourceError(f"{data} does not exist; give the folder of the OSCD cities with --data")
    found = sorted(folder for folder in data.iterdir() if (folder / "imgs_1").is_dir())
    if not found:
        raise SourceError(
            f"{data} holds no city; give the folder above rennes/imgs_1, rennes/imgs_2, rennes/cm"
        )
    return found


def load_pair(folder: Path) -> Pair:
    """Read the two images and the labels of a city.

    Bands of 20 and 60 m are brought to the grid of the 10 m bands bilinearly; the images are not registered
    to each other better than they come.

    Parameters
    ----------
    folder : pathlib.Path
        With ``imgs_1``, ``imgs_2``, ``cm`` and ``dates.txt``.

    Returns
    -------
    Pair

    Raises
    ------
    SourceError
        If a band or the labels are missing, cannot be read, or do not fit.
    """
    labels = _read(_only(folder / "cm", "*-cm.tif"))
    images = []
    for number in (1, 2):
        bands = [_only(folder / f"imgs_{number}", f"*_{band}.tif") for band in _BANDS]
        size = _read(bands[_TEN_METRES]).shape
        if size != labels.shape:
            raise SourceError(f"{folder}: labels {labels.shape} and images {size} differ; get the city again")
        numbers = np.stack([_read(band, labels.shape) for band in bands])
        images.append(np.where((numbers > 0).all(axis=0), numbers / np.float32(_FULL), np.nan))
    strange = set(np.unique(labels).tolist()) - {_UNCHANGED, _CHANGED}
    if strange:
        raise SourceError(f"{folder}: labels hold {sorted(strange)}; expected 1 = no change, 2 = change")
    first, second = (image.astype(np.float32) for image in images)
    return Pair(folder.name, _dates(folder / "dates.txt"), first, second, labels == _CHANGED)


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise SourceError(f"{folder} holds {len(found)} files {pattern}; expected one: get the city again")
    return found[0]


def _read(path: Path, size: tuple[int, ...] | None = None) -> np.ndarray:
    import warnings

    import rasterio
    from rasterio.enums import Resampling
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the labels have no place on Earth
            with rasterio.open(path) as file:
                return np.asarray(file.read(1, out_shape=size, resampling=Resampling.bilinear))
    except RasterioError as error:
        raise SourceError(f"{path} cannot be read ({error}); get it again") from None


def _dates(path: Path) -> tuple[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError:
        return ("first", "second")
    days = [line.partition(":")[2].strip() for line in lines if line.startswith("date_")]
    return (days[0], days[1]) if len(days) == 2 else ("first", "second")


def held_cube(pair: Pair, held: Held | None = None) -> xr.DataTree:
    """Make a cube in memory in which a pair is seen for a year.

    Every frame that a network gets shows the last image of each sensor, so two optical images are enough: the
    radar images, which are all equal, set the pace of the observations.

    Parameters
    ----------
    pair : Pair
        The images.
    held : Held, optional
        Days and backscatter.

    Returns
    -------
    xarray.DataTree
        Groups ``sar`` and ``optical``, on a grid of 10 m whose place is not the city's.
    """
    held = held or Held()
    size = pair.changed.shape
    geobox = GeoBox(size, Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), "EPSG:32631")
    start = np.datetime64(held.start, "ns")
    days = np.arange(0, held.days + 1, held.radar_days)
    times = start + days * _DAY + np.timedelta64(12, "h")
    radar = _radar(held, (days.size, 2, *size))
    directions = np.where(np.arange(days.size) % 2, "descending", "ascending").astype(object)
    images = np.stack([pair.first, pair.second])
    clear = np.isfinite(images).all(axis=1)
    seen = start + np.array([0, held.switch]) * _DAY + np.timedelta64(10, "h")
    groups = {
        "sar": xr.Dataset(
            {"backscatter": (("time", "band", "y", "x"), radar)},
            coords={
                **_named("S1", times, _RADAR_BANDS),
                "orbit_direction": ("time", directions),
                "relative_orbit": ("time", np.where(directions == "ascending", 88, 37).astype(np.int32)),
            },
        ),
        "optical": xr.Dataset(
            {
                "reflectance": (("time", "band", "y", "x"), np.nan_to_num(images)),
                "clear": (("time", "y", "x"), clear),
            },
            coords=_named("S2", seen, _BANDS),
        ),
    }
    return xr.DataTree.from_dict(
        {name: each.assign_coords(xr_coords(geobox)) for name, each in groups.items()}
    )


def _radar(held: Held, shape: tuple[int, ...]) -> FloatArray:
    """Give the backscatter of all images; without speckle, one pixel per band is all the memory it takes."""
    power = (10 ** (np.asarray(held.decibel) / 10)).astype(np.float32)
    radar: FloatArray = np.broadcast_to(power[:, None, None], shape)
    if held.looks:
        radar = radar * speckle(np.random.default_rng(held.seed), shape, held.looks)
    return radar


def _named(mission: str, times: np.ndarray, bands: tuple[str, ...]) -> dict[str, Any]:
    names = [f"{mission}_HELD_{number}" for number in range(len(times))]
    return {
        "time": times.astype("datetime64[ns]"),
        "band": np.array(bands, object),
        "platform": ("time", np.array([f"{mission}A"] * len(times), object)),
        "source_id": ("time", np.array(names, object)),
    }


def judge(name: str, changed: BoolArray, scores: dict[str, FloatArray]) -> City:
    """Give the figures of one city.

    Parameters
    ----------
    name : str
        The city.
    changed : ndarray of bool
        Labels.
    scores : dict of str to ndarray
        Same shape each: ``network`` and each of `BASELINES`.

    Returns
    -------
    City
        All on the same pixels, those where every score is known.

    Raises
    ------
    InputError
        If nothing or all of it has changed.
    """
    valid = np.logical_and.reduce([np.isfinite(score) for score in scores.values()])
    network = scores["network"]
    return City(
        name,
        float(changed[valid].mean()),
        curve(changed, network, valid),
        {key: curve(changed, scores[key], valid) for key in BASELINES},
        share_above(network, 0.5, changed & valid),
        share_above(network, 0.5, ~changed & valid),
    )


def _pooled(
    parts: list[tuple[BoolArray, dict[str, FloatArray]]],
) -> tuple[BoolArray, dict[str, FloatArray]]:
    """Put the pixels of all cities into one row."""
    changed = np.concatenate([labels.ravel() for labels, _ in parts])
    keys = ("network", *BASELINES)
    return changed, {key: np.concatenate([scores[key].ravel() for _, scores in parts]) for key in keys}


def _markdown(cities: Sequence[City]) -> str:
    head = ["city", "changed", "network", *BASELINES.values(), "changed > 0.5", "unchanged > 0.5"]
    return table(head, [city.row() for city in cities])
