"""The acquisitions of one relative orbit, and which of them are to be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.errors import CubeError, InputError
from terradelta.types import FloatArray, Size
from terradelta.windows import Slices
from terradelta.workflows.config import DetectSettings

__all__ = ["OrbitSeries", "orbit_series"]


@dataclass(frozen=True)
class OrbitSeries:
    """Images of one orbit in order of time, and the targets among them.

    Attributes
    ----------
    name : str
        Such as ``orbit-137-ascending``.
    backscatter : xarray.DataArray
        (time, band, y, x), linear power, lazy.
    targets : tuple of int
        Indices of the images to judge; the ones before serve as history.
    """

    name: str
    backscatter: xr.DataArray
    targets: tuple[int, ...]

    @property
    def times(self) -> NDArray[np.datetime64]:
        """Times of all images, UTC."""
        return np.asarray(self.backscatter["time"].values)

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
        values = self.backscatter[images, :, part[0], part[1]].to_numpy().astype(np.float32, copy=True)
        values[~(values > 0) | ~np.isfinite(values)] = np.nan
        return np.asarray(values)

    def acquisitions(self) -> list[dict[str, Any]]:
        """Name every image by time, orbit, platform and source."""
        orbit = self.backscatter["relative_orbit"].values
        direction = self.backscatter["orbit_direction"].values
        platform = self.backscatter["platform"].values
        source = self.backscatter["source_id"].values
        return [
            {
                "time": str(time)[:19],
                "orbit": f"{int(orbit[i])} {direction[i]}".strip(),
                "platform": str(platform[i]),
                "source": str(source[i]),
            }
            for i, time in enumerate(self.times)
        ]


def orbit_series(tree: xr.DataTree, settings: DetectSettings) -> list[OrbitSeries]:
    """Split a cube's radar images by orbit and choose the targets.

    Parameters
    ----------
    tree : xarray.DataTree
        The cube.
    settings : DetectSettings
        Method, period or time, orbits.

    Returns
    -------
    list of OrbitSeries
        One per orbit that has enough images.

    Raises
    ------
    CubeError
        If there is no radar, no such orbit, or nowhere enough images.
    InputError
        If a date cannot be read.
    """
    if "sar" not in tree.children or not tree["sar"].sizes.get("time", 0):
        raise CubeError("the cube holds no radar images; add some with `terradelta cube import`")
    radar = tree["sar"].to_dataset()
    labels = _labels(radar)
    wanted = {name: index for name, index in labels.items() if _chosen(name, settings.orbits)}
    if not wanted:
        raise CubeError(f"none of the orbits {settings.orbits} is in the cube; it has {', '.join(labels)}")
    period = _period(radar["time"].values, settings)
    found = [_one(name, radar["backscatter"][index], period, settings) for name, index in wanted.items()]
    series = [one for one in found if isinstance(one, OrbitSeries)]
    if not series:
        raise CubeError("; ".join(str(one) for one in found))
    return series


def _labels(radar: xr.Dataset) -> dict[str, NDArray[np.intp]]:
    numbers, directions = radar["relative_orbit"].values, radar["orbit_direction"].values
    names = np.array(
        [f"orbit-{int(n):03d}" + (f"-{d}" if d else "") for n, d in zip(numbers, directions, strict=True)]
    )
    return {str(name): np.flatnonzero(names == name) for name in np.unique(names)}


def _chosen(name: str, orbits: list[int]) -> bool:
    return not orbits or int(name.split("-")[1]) in orbits


def _period(times: NDArray[np.datetime64], settings: DetectSettings) -> tuple[np.datetime64, np.datetime64]:
    """First and last moment of the targets; a day includes all of its hours."""
    if settings.time == "last":
        return times.min(), times.max()
    first = _day(settings.time or settings.start) if settings.time or settings.start else times.min()
    last = settings.time or settings.end
    return first, _day(last) + np.timedelta64(1, "D") - np.timedelta64(1, "ns") if last else times.max()


def _day(text: str) -> np.datetime64:
    try:
        return np.datetime64(text, "D").astype("datetime64[ns]")
    except ValueError:
        raise InputError(f"{text!r} is no date; write for example 2024-07-06, or 'last'") from None


def _one(
    name: str, images: xr.DataArray, period: tuple[np.datetime64, np.datetime64], settings: DetectSettings
) -> OrbitSeries | str:
    times = images["time"].values
    before = 1 if settings.method == "omnibus" else settings.robust.fewest
    targets = np.flatnonzero((times >= period[0]) & (times <= period[1]))
    if settings.time == "last":
        targets = targets[-1:]
    if settings.method == "omnibus" and settings.time is None and len(targets):
        first = int(targets[0])
        targets = targets[1:]
    else:
        targets = targets[targets >= before]
        first = max(int(targets[0]) - settings.robust.history, 0) if len(targets) else 0
    if not len(targets):
        return (
            f"{name} has {len(times)} image(s), {str(times[0])[:10]} to {str(times[-1])[:10]}, and none in the "
            f"period with {before} before it; widen the period or add acquisitions"
        )
    last = int(targets[-1]) + 1
    return OrbitSeries(name, images[first:last], tuple(int(t) - first for t in targets))
