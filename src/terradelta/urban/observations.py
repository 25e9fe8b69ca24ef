"""The observations of one sensor in a cube: which there are, and parts of their images one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.cube.series import open_series
from terradelta.cube.store import read_header
from terradelta.errors import CubeError
from terradelta.types import BoolArray, FloatArray
from terradelta.windows import Slices

__all__ = ["Sensor", "optical_sensor", "radar_sensor"]

ReadPart: TypeAlias = Callable[[int, Slices], NDArray[Any]]
"""Reads rows and columns of the image at one place along time."""


@dataclass(frozen=True, eq=False)
class Sensor:
    """The observations of one sensor (radar of one direction, or optical), in the order of time.

    Attributes
    ----------
    name : str
        ``ascending``, ``descending`` or ``optical``.
    times : ndarray of datetime64[ns]
        (observation,) UTC; several may be equal.
    identities : tuple of str
        Per observation: time, sensor, platform, orbit, and the digest of its pixels where the cube knows it,
        else its source.
    bands : tuple of int
        Where the wanted bands are in the cube.
    places : ndarray of intp
        (observation,) where the images are along time in the cube.
    pixels, clear : callable
        Read a part of an image (band, y, x) and of its mask (y, x); no mask if None.
    """

    name: str
    times: NDArray[np.datetime64]
    identities: tuple[str, ...]
    bands: tuple[int, ...]
    places: NDArray[np.intp]
    pixels: ReadPart
    clear: ReadPart | None = None

    def __len__(self) -> int:
        """Give the number of observations."""
        return len(self.times)

    def read(self, index: int, part: Slices, wanted: BoolArray) -> tuple[NDArray[Any], BoolArray] | None:
        """Read a part of one observation.

        Parameters
        ----------
        index : int
            Which observation.
        part : slices
            Rows and columns.
        wanted : ndarray of bool
            (y, x) pixels that are of interest; where clouds hide all of them, the bands are not read.

        Returns
        -------
        tuple of ndarray, or None
            Values of all bands of the cube (band, y, x), and where those of interest are valid (y, x); None
            if nowhere.

        Raises
        ------
        CubeError
            If the image cannot be read.
        """
        place = int(self.places[index])
        try:
            good = wanted if self.clear is None else wanted & self.clear(place, part)
            if not good.any():
                return None
            values = self.pixels(place, part)
        except (OSError, ValueError, RuntimeError) as error:
            raise CubeError(
                f"the {self.name} image of {np.datetime_as_string(self.times[index], 's')} cannot be read "
                f"({error}); check the cube with `terradelta cube info` or restore it from a copy"
            ) from None
        for band in self.bands:
            good = good & np.isfinite(values[band])
        return (values, good) if good.any() else None

    def carry(self, state: FloatArray, observations: range, part: Slices) -> None:
        """Bring a state up to date: every pixel takes its last valid value, if there is one.

        The observations are walked backward, only until every pixel has its value.

        Parameters
        ----------
        state : ndarray of float32
            (band, y, x) changed in place; pixels without a valid value stay as they are.
        observations : range
            Which ones came since.
        part : slices
            Rows and columns.
        """
        missing = np.ones(state.shape[-2:], bool)
        for index in reversed(observations):
            found = self.read(index, part, missing)
            if found is None:
                continue
            values, good = found
            for layer, band in zip(state, self.bands, strict=True):
                np.copyto(layer, values[band], where=good, casting="same_kind")
            missing &= ~good
            if not missing.any():
                return


def radar_sensor(
    tree: xr.DataTree, direction: str, bands: Sequence[str], end: np.datetime64 | None
) -> Sensor:
    """Find the radar images of one direction.

    Parameters
    ----------
    tree : xarray.DataTree
        The cube.
    direction : str
        ``ascending`` or ``descending``.
    bands : sequence of str
        Wanted bands, in the wanted order.
    end : numpy.datetime64, optional
        Images from then on are left out.

    Returns
    -------
    Sensor
        Without observations if there are none of this direction.

    Raises
    ------
    CubeError
        If a band is missing.
    """
    radar = tree["sar"].to_dataset()
    chosen = _column(radar, "orbit_direction", "") == direction
    reader = _reader(radar["backscatter"], ("time", "band", "y", "x"))
    return _sensor(
        tree, "sar", direction, chosen & _before(radar, end), _places_of(radar, bands, "radar"), reader
    )


def optical_sensor(tree: xr.DataTree, bands: Sequence[str], end: np.datetime64 | None) -> Sensor:
    """Find the optical images.

    Parameters
    ----------
    tree : xarray.DataTree
        The cube.
    bands : sequence of str
        Wanted bands, in the wanted order.
    end : numpy.datetime64, optional
        Images from then on are left out.

    Returns
    -------
    Sensor
        Without observations if there are none.

    Raises
    ------
    CubeError
        If a band is missing.
    """
    optical = tree["optical"].to_dataset()
    reader = _reader(optical["reflectance"], ("time", "band", "y", "x"))
    clear = _reader(optical["clear"], ("time", "y", "x")) if "clear" in optical else None
    places = _places_of(optical, bands, "optical")
    return _sensor(tree, "optical", "optical", _before(optical, end), places, reader, clear)


def _sensor(
    tree: xr.DataTree,
    group: str,
    name: str,
    chosen: BoolArray,
    bands: tuple[int, ...],
    pixels: ReadPart,
    clear: ReadPart | None = None,
) -> Sensor:
    dataset = tree[group].to_dataset()
    times = dataset["time"].values.astype("datetime64[ns]")
    places = np.flatnonzero(chosen)
    names = dict(zip(places.tolist(), _identities(tree, group, name, places), strict=True))
    # equal times need an order too, the same one however the cube was filled
    order = sorted(places.tolist(), key=lambda place: (times[place], names[place]))
    identities = tuple(names[place] for place in order)
    return Sensor(name, times[order], identities, bands, np.array(order, np.intp), pixels, clear)


def _identities(tree: xr.DataTree, group: str, name: str, places: NDArray[np.intp]) -> Iterator[str]:
    dataset = tree[group].to_dataset()
    digests = _digests(tree, group)
    times = dataset["time"].values.astype("datetime64[ns]")
    platforms = _column(dataset, "platform", "")
    orbits = _column(dataset, "relative_orbit", 0)
    sources = _column(dataset, "source_id", "")
    for place in places:
        moment, platform, orbit = times[place], str(platforms[place]), int(orbits[place])
        known = digests.get((int(moment.astype(np.int64)), platform, orbit)) or str(sources[place])
        yield "|".join([np.datetime_as_string(moment), name, platform, str(orbit), known])


def _digests(tree: xr.DataTree, group: str) -> Mapping[tuple[int, str, int], str]:
    """Look up what a cube on disk knows of the pixels of its images, by what tells these apart."""
    source = tree.encoding.get("source")
    try:
        series = open_series(read_header(source), group) if source else None
        if series is None:
            return {}
        count = series.committed
        orbits = series.column("relative_orbit") if group == "sar" else np.zeros(count, int)
        keys = zip(series.column("time").astype(np.int64), series.column("platform"), orbits, strict=True)
        digests = series.column("digest")
    except CubeError:
        # a tree in memory whose cube has gone is as good as one that never had any
        return {}
    return {
        (int(time), str(platform), int(orbit)): str(digest)
        for (time, platform, orbit), digest in zip(keys, digests, strict=True)
    }


def _column(dataset: xr.Dataset, name: str, default: Any) -> NDArray[Any]:
    if name in dataset.coords:
        return np.broadcast_to(dataset[name].values, dataset.sizes["time"])
    return np.full(dataset.sizes["time"], default)


def _before(dataset: xr.Dataset, end: np.datetime64 | None) -> BoolArray:
    times = dataset["time"].values
    return np.ones(len(times), bool) if end is None else np.asarray(times < end)


def _places_of(dataset: xr.Dataset, bands: Sequence[str], what: str) -> tuple[int, ...]:
    there = [str(band) for band in np.atleast_1d(dataset["band"].values)]
    missing = [band for band in bands if band not in there]
    if missing:
        raise CubeError(
            f"the {what} images lack {'the band' if len(missing) == 1 else 'the bands'} "
            f"{', '.join(missing)}; the cube has {', '.join(there)}, needed are {', '.join(bands)}"
        )
    return tuple(there.index(band) for band in bands)


def _reader(variable: xr.DataArray, dims: tuple[str, ...]) -> ReadPart:
    """Give the quickest way to parts of single images: past dask where an array is nothing but its source."""
    variable = variable.transpose(*dims)
    whole = (slice(None),) * (len(dims) - 3)
    if variable.chunks is not None:
        source = variable.data.dask.get(f"original-{variable.data.name}")
        if getattr(source, "shape", None) == variable.shape:
            return _Images(source, whole)
    return _Images(variable, whole)


@dataclass(frozen=True, eq=False)
class _Images:
    """Parts of single images; unlike a function it can be sent to other processes."""

    source: Any
    whole: tuple[slice, ...]

    def __call__(self, place: int, part: Slices) -> NDArray[Any]:
        return np.asarray(self.source[(place, *self.whole, *part)])
