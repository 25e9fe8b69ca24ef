"""Change in red over a picture: the same colours in maps and videos, whatever the size of the area."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.errors import InputError
from terradelta.products.layers import LAYERS
from terradelta.types import BoolArray, FloatArray

__all__ = [
    "PLAIN",
    "RED",
    "check_threshold",
    "largest",
    "north_up",
    "opacity",
    "redden",
    "resized",
    "shrinking",
]

RED = LAYERS["change"].classes[1].colour
"""Colour of change."""

PLAIN = 205
"""Grey where there is no picture to lay change over."""

_FAINTEST = 0.45
_VEIL = 0.6
_STRIP = 512


def check_threshold(threshold: float) -> float:
    """Give a threshold back that can be one of change probabilities.

    Raises
    ------
    InputError
        If it is not from 0 to 1.

    Examples
    --------
    >>> check_threshold(0.5)
    0.5
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; give a number from 0 to 1")
    return float(threshold)


def shrinking(shape: tuple[int, ...], limit: int) -> int:
    """Give the factor by which an image must shrink so that no side has more than some pixels.

    Raises
    ------
    InputError
        The limit is below 16.

    Examples
    --------
    >>> shrinking((2000, 900), 1080), shrinking((50, 60), 1080)
    (2, 1)
    """
    if limit < 16:
        raise InputError(f"size_limit is {limit}; give at least 16 pixels")
    return max(1, -(-max(shape) // limit))


def largest(values: xr.DataArray | NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Shrink an image to the largest value of each cell, so that a small change stays visible.

    A mean would hide it: one pixel of 0.9 among unchanged ones has a mean of 0.1 in a cell of 3 × 3,
    below any threshold. The price is that changes look larger, by less than a cell on each side.

    Parameters
    ----------
    values : DataArray or ndarray
        (y, x), NaN = no data; read in strips of about 512 rows when it is lazy.
    factor : int
        Edge of a cell, pixels.

    Returns
    -------
    ndarray of float32
        (ceil(y / factor), ceil(x / factor)); NaN where a cell has no data at all.

    Examples
    --------
    >>> largest(np.array([[0.25, 0.75, np.nan]]), 2).tolist()
    [[0.75, nan]]
    """
    height, width = values.shape
    found = np.empty((-(-height // factor), -(-width // factor)), dtype="float32")
    columns = np.arange(0, width, factor)
    step = max(1, _STRIP // factor) * factor
    for start in range(0, height, step):
        block = np.asarray(values[start : start + step], dtype="float32")
        if factor > 1:
            block = np.fmax.reduceat(block, np.arange(0, block.shape[0], factor), axis=0)
            block = np.fmax.reduceat(block, columns, axis=1)
        found[start // factor :][: block.shape[0]] = block
    return found


def resized(picture: NDArray[np.uint8] | None, rows: int, columns: int) -> NDArray[np.uint8]:
    """Give a picture in another size, by the nearest pixel; plain grey without one.

    Parameters
    ----------
    picture : ndarray of uint8, optional
        (y, x) grey or (y, x, 3) red, green, blue.
    rows, columns : int
        Size of the result.

    Returns
    -------
    ndarray of uint8
        (rows, columns, 3).

    Raises
    ------
    InputError
        It is no such picture.

    Examples
    --------
    >>> resized(np.array([[0, 200]], "uint8"), 1, 4)[0, :, 0].tolist()
    [0, 0, 200, 200]
    """
    if picture is None:
        return np.full((rows, columns, 3), PLAIN, dtype="uint8")
    picture = np.asarray(picture)
    shape = picture.shape
    if picture.dtype != np.uint8 or picture.size == 0 or shape[2:] not in ((), (3,)):
        raise InputError(
            f"the background is {picture.dtype} of shape {shape}; give uint8, (y, x, 3) or (y, x)"
        )
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    y = ((np.arange(rows) + 0.5) * shape[0] / rows).astype(int)
    x = ((np.arange(columns) + 0.5) * shape[1] / columns).astype(int)
    return np.ascontiguousarray(picture[y][:, x])


def opacity(values: FloatArray, threshold: float) -> FloatArray:
    """Tell how opaque the red of a change is.

    Parameters
    ----------
    values : ndarray
        Change probabilities of any shape; NaN = no data.
    threshold : float
        Values up to it are no change.

    Returns
    -------
    ndarray
        0 for no change and no data, else from 0.45 just above the threshold to 1.

    Examples
    --------
    >>> opacity(np.array([0.5, 0.75, 1.0, np.nan]), 0.5).round(3).tolist()
    [0.0, 0.725, 1.0, 0.0]
    """
    with np.errstate(invalid="ignore"):
        share = np.clip((values - threshold) / max(1 - threshold, 1e-6), 0, 1)
        return np.where(values > threshold, _FAINTEST + (1 - _FAINTEST) * share, 0.0)


def redden(picture: NDArray[np.uint8], values: FloatArray, threshold: float) -> NDArray[np.uint8]:
    """Lay change over a picture: red by its value, a white veil where nothing was computed.

    Parameters
    ----------
    picture : ndarray of uint8
        (y, x, 3).
    values : ndarray
        (y, x) change probabilities, NaN = no data.
    threshold : float
        Values up to it leave the picture as it is.

    Returns
    -------
    ndarray of uint8
        (y, x, 3), a new array.

    Examples
    --------
    >>> redden(np.zeros((1, 2, 3), "uint8"), np.array([[0.2, 1.0]]), 0.5)[0, :, 0].tolist()
    [0, 200]
    """
    painted = picture.copy()
    _blend(painted, values > threshold, opacity(values, threshold), bytes.fromhex(RED[1:]))
    _blend(painted, ~np.isfinite(values), np.full(values.shape, _VEIL), b"\xff\xff\xff")
    return painted


def _blend(picture: NDArray[np.uint8], where: BoolArray, share: FloatArray, colour: bytes) -> None:
    """Mix a colour into some pixels: they are few, so this is quicker than all of them."""
    weight = share[where][:, None]
    mixed = picture[where] * (1 - weight) + np.frombuffer(colour, "uint8") * weight
    picture[where] = np.rint(mixed).astype("uint8")


def north_up(maps: xr.DataArray) -> tuple[xr.DataArray, GeoBox]:
    """Turn maps so that their first row is the northern one, and give their grid.

    Raises
    ------
    InputError
        They have no georeference.
    """
    geobox = maps.odc.geobox
    if not isinstance(geobox, GeoBox) or geobox.crs is None:
        raise InputError("the maps have no georeference; give them regular coordinates and a CRS")
    if geobox.affine.e > 0:
        maps = maps.isel({maps.odc.spatial_dims[0]: slice(None, None, -1)})
        geobox = maps.odc.geobox
    return maps, geobox
