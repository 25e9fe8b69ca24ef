"""A picture of the place to lay change over: true colour, else radar, else plain grey."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.cube import geobox_of
from terradelta.errors import InputError
from terradelta.products.painting import PLAIN, shrinking
from terradelta.types import FloatArray

__all__ = ["TRUE_COLOUR", "background_of"]

_Read: TypeAlias = Callable[[int, slice], FloatArray]

TRUE_COLOUR = (("B04", "B03", "B02"), ("red", "green", "blue"), ("B3", "B2", "B1"), ("B4", "B3", "B2"))
"""Names of the red, green and blue band, in the order in which they are looked for."""
_DEPTH, _MOST = 5, 60
_STRIP = 512
_STRETCH = (1.0, 99.0)
_GAMMA = 0.85


def background_of(
    cube: xr.DataTree, *, time: str | np.datetime64 | None = None, size_limit: int = 1080
) -> NDArray[np.uint8]:
    """Make a picture of a place from its cube.

    Each pixel is the median of its five newest clear values, so that clouds and single bad images do
    not show; at most 60 images are looked at. Optical images in true colour (Sentinel-2 B04, B03, B02;
    Landsat B3, B2, B1); without any clear pixel the radar in dB as grey (VV, images of the newest
    one's orbit direction only); without radar plain grey. Brightness is stretched between the 1st and
    the 99th percentile of all three colours together, so that hues stay.

    Parameters
    ----------
    cube : DataTree
        The cube; read in strips, image by image.
    time : str or datetime64, optional
        Newest image that may be used; without it, or with ``"last"``, the newest of the cube.
    size_limit : int
        Most pixels of a side; larger cubes are shrunk to means of cells.

    Returns
    -------
    ndarray of uint8
        (y, x, 3), the first row is the cube's first.

    Raises
    ------
    InputError
        The time is none, or the limit is below 16.
    CubeError
        The cube has no grid.
    """
    until = _until(time)
    shape = tuple(geobox_of(cube).shape)
    factor = shrinking(shape, size_limit)
    for group, reader in (("optical", _optical), ("sar", _radar)):
        if group in cube.children:
            dataset = _up_to(cube[group].to_dataset(), until)
            read = reader(dataset)
            if read is None or not dataset.sizes["time"]:
                continue
            picture = _stretched(_newest(read, dataset.sizes["time"], (shape[0], shape[1]), factor))
            if picture is not None:
                return picture
    return np.full((*(-(-length // factor) for length in shape), 3), PLAIN, dtype="uint8")


def _until(time: str | np.datetime64 | None) -> Any:
    if time is None or time == "last":
        return None
    try:
        return np.array(time, dtype="datetime64[ns]")[()]
    except ValueError as error:
        raise InputError(f"time is {time!r}; give a date such as '2020-08-01', or 'last'") from error


def _up_to(dataset: xr.Dataset, until: Any) -> xr.Dataset:
    if until is None:
        return dataset
    return dataset.isel(time=np.flatnonzero(dataset["time"].values.astype("datetime64[ns]") <= until))


def _optical(dataset: xr.Dataset) -> _Read | None:
    names = [str(name) for name in dataset["band"].values]
    bands = next((triple for triple in TRUE_COLOUR if set(triple) <= set(names)), None)
    if bands is None:
        return None
    places = [names.index(name) for name in bands]

    def read(image: int, rows: slice) -> FloatArray:
        part = dataset.isel(time=image, y=rows)
        values = np.asarray(part["reflectance"].isel(band=places).values, dtype="float32")
        clear = np.asarray(part["clear"].values) if "clear" in part else True
        return np.where(clear, values, np.nan)

    return read


def _radar(dataset: xr.Dataset) -> _Read | None:
    names = [str(name) for name in dataset["band"].values]
    band = names.index("VV") if "VV" in names else 0
    directions: Any = dataset["orbit_direction"].values if "orbit_direction" in dataset.coords else None

    def read(image: int, rows: slice) -> FloatArray:
        part = dataset["backscatter"].isel(time=image, y=rows, band=[band])
        if directions is not None and directions[image] != directions[-1]:
            return np.full(part.shape, np.nan, dtype="float32")  # of the other side: slopes look otherwise
        values = np.asarray(part.values, dtype="float32")
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(values > 0, 10 * np.log10(values), np.nan)

    return read


def _newest(read: _Read, images: int, shape: tuple[int, int], factor: int) -> FloatArray:
    """Median of the newest values of each cell, (bands, y, x); NaN where there are none."""
    step = max(1, _STRIP // factor) * factor
    strips = []
    for start in range(0, shape[0], step):
        rows = slice(start, min(start + step, shape[0]))
        looked = range(images - 1, max(images - 1 - _MOST, -1), -1)
        strips.append(_median(_cells(read(image, rows), factor) for image in looked))
    return np.concatenate(strips, axis=1)


def _cells(values: FloatArray, factor: int) -> FloatArray:
    """Means of cells, of what is valid in them."""
    if factor == 1:
        return values
    valid = np.isfinite(values)
    sums, counts = np.where(valid, values, 0), valid.astype("float32")
    for axis in (1, 2):
        starts = np.arange(0, values.shape[axis], factor)
        sums, counts = (np.add.reduceat(part, starts, axis=axis) for part in (sums, counts))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _median(images: Iterator[FloatArray]) -> FloatArray:
    """Median of the first finite values of each cell."""
    first = next(images)
    kept = np.full((_DEPTH, *first.shape), np.nan, dtype="float32")
    filled = np.zeros(first.shape[1:], dtype=int)
    for image in chain((first,), images):
        y, x = np.nonzero(np.isfinite(image).all(axis=0) & (filled < _DEPTH))
        kept[filled[y, x], :, y, x] = image[:, y, x].T
        filled[y, x] += 1
        if (filled == _DEPTH).all():
            break
    many = np.maximum(filled, 1)
    in_order = np.sort(kept, axis=0)  # NaN last
    low, high = (
        np.take_along_axis(in_order, place[None, None], axis=0)[0] for place in ((many - 1) // 2, many // 2)
    )
    return np.asarray((low + high) / 2)


def _stretched(values: FloatArray) -> NDArray[np.uint8] | None:
    """Bytes between the outer percentiles; None where nothing is valid."""
    valid = np.isfinite(values)
    if not valid.any():
        return None
    low, high = np.percentile(values[valid], _STRETCH)
    shares = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1) ** _GAMMA
    picture = np.where(valid, np.rint(255 * shares), PLAIN).astype("uint8")
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(picture, (3, *picture.shape[1:])), 0, -1))
