"""The acquisitions of one relative orbit, and which of them are to be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.errors import CubeError
from terradelta.types import FloatArray, Size
from terradelta.windows import Slices
from terradelta.workflows.config import DetectSettings
from terradelta.workflows.detect.seen import COMPARED, facts_of

__all__ = ["OrbitSeries", "orbit_series"]


@dataclass(frozen=True)
class OrbitSeries:
    """Images of one orbit in order of time, and the targets among them.

    Attributes
    ----------
    name : str
        Such as ``orbit-137-ascending``.
    backscatter : xarray.DataArray
        (time, band, y, x) of the whole cube, all orbits, linear power, lazy.
    places : tuple of int
        Where the images of this orbit lie in it. They are read one by one: choosing them all at once would
        make dask read whole chunks for every small part.
    targets : tuple of int
        Indices of the images to judge; the ones before serve as history.
    """

    name: str
    backscatter: xr.DataArray
    places: tuple[int, ...]
    targets: tuple[int, ...]

    def __len__(self) -> int:
        """Give the number of images."""
        return len(self.places)

    @property
    def times(self) -> NDArray[np.datetime64]:
        """Times of all images, UTC."""
        return np.asarray(self.backscatter["time"].values[list(self.places)])

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of all images."""
        return np.asarray(self.times.astype("datetime64[D]").astype(np.int32))

    @property
    def bands(self) -> int:
        """Number of bands."""
        return int(self.backscatter.sizes["band"])

    @property
    def size(self) -> Size:
        """Rows and columns."""
        return Size(self.backscatter.sizes["y"], self.backscatter.sizes["x"])

    def read(self, part: Slices, images: slice = slice(None)) -> FloatArray:
        """Read (time, band, y, x) of a part, linear power; values of zero or less are no data."""
        chosen = [self.backscatter[place, :, part[0], part[1]] for place in self.places[images]]
        values = np.stack([image.to_numpy() for image in chosen]).astype(np.float32, copy=False)
        values[~((values > 0) & (values < np.inf))] = np.nan
        return values

    def acquisitions(self) -> list[dict[str, Any]]:
        """Name every image by time, orbit, platform and source."""
        columns = ("time", "relative_orbit", "orbit_direction", "platform", "source_id")
        told = zip(*(self.backscatter[name].values[list(self.places)] for name in columns), strict=True)
        return [
            {
                "time": str(time)[:19],
                "orbit": f"{int(orbit)} {direction}".strip(),
                "platform": str(platform),
                "source": str(source),
            }
            for time, orbit, direction, platform, source in told
        ]


def orbit_series(tree: xr.DataTree, settings: DetectSettings) -> tuple[list[OrbitSeries], list[str]]:
    """Split a cube's radar images by orbit and choose the targets.

    Parameters
    ----------
    tree : xarray.DataTree
        The cube.
    settings : DetectSettings
        Method, period or time, orbits.

    Returns
    -------
    series : list of OrbitSeries
        One per orbit that has enough images.
    left_out : list of str
        Why others have not, each in one line.

    Raises
    ------
    CubeError
        If there is no radar, one of the orbits is missing, or nowhere are enough images.
    """
    if "sar" not in tree.children or not tree["sar"].sizes.get("time", 0):
        raise CubeError("the cube holds no radar images; add some with `terradelta cube import`")
    radar = tree["sar"].to_dataset()
    days = radar["time"].values.astype("datetime64[D]")
    series, left_out = [], []
    for name, places in _wanted(_by_orbit(radar), settings.orbits).items():
        found = _chosen(days[places], settings, _ready(places, settings))
        if isinstance(found, str):
            left_out.append(f"{name} {found}")
        else:
            images = tuple(places[found.images].tolist())
            series.append(OrbitSeries(name, radar["backscatter"], images, found.targets))
    if not series:
        raise CubeError("; ".join(left_out))
    return series, left_out


def _by_orbit(radar: xr.Dataset) -> dict[str, NDArray[np.intp]]:
    """Give the places of the images of every orbit."""
    numbers, directions = radar["relative_orbit"].values, radar["orbit_direction"].values
    pairs = zip(numbers, directions, strict=True)
    names = np.array([f"orbit-{int(number):03d}" + (f"-{way}" if way else "") for number, way in pairs])
    return {str(name): np.flatnonzero(names == name) for name in np.unique(names)}


def _wanted(orbits: dict[str, NDArray[np.intp]], numbers: list[int]) -> dict[str, NDArray[np.intp]]:
    known = {name: int(name.split("-")[1]) for name in orbits}
    missing = sorted(set(numbers) - set(known.values()))
    if missing:
        raise CubeError(
            f"orbit {', '.join(map(str, missing))} is not in the cube; it has {', '.join(orbits)}"
        )
    return {name: places for name, places in orbits.items() if not numbers or known[name] in numbers}


class _Chosen(NamedTuple):
    """Images of an orbit that are read, and the targets counted from the first of these."""

    images: slice
    targets: tuple[int, ...]


class _Ready(NamedTuple):
    """Which images of an orbit have enough images before them, and how many that is."""

    images: NDArray[np.bool_]
    before: int


def _ready(places: NDArray[np.intp], settings: DetectSettings) -> _Ready:
    """Tell which images can be judged; a network may also look at images of other orbits."""
    own = np.arange(len(places))
    if settings.method in COMPARED:
        facts = facts_of(settings)
        count = own if facts.same_orbit else places
        confirming = np.maximum(own - settings.in_a_row + 1, 0)
        return _Ready(np.asarray(count[confirming] >= facts.previous), facts.previous)
    before = 1 if settings.method == "omnibus" else settings.robust.fewest
    return _Ready(np.asarray(own >= before), before)


def _chosen(days: NDArray[np.datetime64], settings: DetectSettings, ready: _Ready) -> _Chosen | str:
    """Choose the targets and their history, or say why there are none."""
    inside = np.flatnonzero(_in_period(days, settings))
    series_test = settings.method == "omnibus" and settings.time is None
    targets = inside[1:] if series_test else inside[ready.images[inside]]
    least = 1 if series_test else settings.in_a_row
    if len(targets) < least:
        return _too_few(days, len(targets), least, ready.before)
    first = int(inside[0]) if series_test else max(int(targets[0]) - settings.robust.history, 0)
    return _Chosen(slice(first, int(targets[-1]) + 1), tuple(int(target) - first for target in targets))


def _in_period(days: NDArray[np.datetime64], settings: DetectSettings) -> NDArray[np.bool_]:
    if settings.time == "last":
        return np.asarray(np.arange(len(days)) == len(days) - 1)
    first = np.datetime64(settings.time or settings.start or days[0], "D")
    last = np.datetime64(settings.time or settings.end or days[-1], "D")
    return np.asarray((days >= first) & (days <= last))


def _too_few(days: NDArray[np.datetime64], found: int, least: int, before: int) -> str:
    images = f"{len(days)} images" if len(days) > 1 else "1 image"
    return (
        f"has {images} from {days[0]} to {days[-1]}, of which {found} in the period with {before} before it; "
        f"needed are {least}; choose another period, lower confirm, or add acquisitions"
    )
