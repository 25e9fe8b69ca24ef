"""Values of one grid at places between its pixels; no-data takes no part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.sources.resampling import Positions, Window

__all__ = ["bilinear", "nearest"]

_STRIP = 64
"""Rows that are interpolated at a time, so that their numbers stay near the processor."""


def nearest(values: NDArray[Any], at: Positions, window: Window, missing: float) -> NDArray[Any]:
    """Value of the nearest source pixel, with the source's type; `missing` outside."""
    padded = np.pad(values, 1, constant_values=np.asarray(missing).astype(values.dtype))
    found: NDArray[Any] = padded[_closest(at, window)]
    return found


def _closest(at: Positions, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the nearest pixel in a window with a border of one pixel."""
    rows, columns = (_whole(np.floor(axis + 0.5)) for axis in at)
    return _inside(rows, window[0]), _inside(columns, window[1])


def _inside(places: NDArray[np.int64], span: slice) -> NDArray[np.int64]:
    """Places in a window with a border of one pixel; all that lie outside fall onto the border."""
    inside: NDArray[np.int64] = np.clip(places - span.start, -1, span.stop - span.start) + 1
    return inside


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Integers; what is infinite lies far outside."""
    return np.where(np.isfinite(values), values, -(2**40)).astype(np.int64)


def bilinear(
    values: NDArray[np.float32], at: Positions, window: Window, ratio: tuple[float, float]
) -> NDArray[np.float32]:
    """Weighted mean of the neighbours with data; a pixel whose nearest neighbour has none stays without.

    The weights fall linearly with the distance and reach one source pixel, or one target pixel where the
    target is coarser (`ratio` above 1), so that all source pixels count and speckle is averaged.

    Parameters
    ----------
    values : array (y, x) of float32
        Window of the source, NaN = no data.
    at : (array, array)
        Rows and columns in the whole source, from :func:`terradelta.sources.resampling.positions`.
    window : (slice, slice)
        Where `values` lies in the whole source.
    ratio : (float, float)
        From :func:`terradelta.sources.resampling.coarseness`.

    Returns
    -------
    array (y, x) of float32
        On the target grid.
    """
    padded = np.pad(values, 1, constant_values=np.nan)
    known = np.isfinite(padded)
    filled, share = np.where(known, padded, 0), known.astype(np.float32)
    result = np.empty(at[0].shape, dtype=np.float32)
    for top in range(0, len(result), _STRIP):
        strip = _lean((at[0][top : top + _STRIP], at[1][top : top + _STRIP]))
        total, weights = _weighted((filled, share), strip, window, ratio)
        seen = known[_closest(strip, window)] & (weights > 0)
        result[top : top + _STRIP] = np.divide(total, weights, out=np.full(total.shape, np.nan), where=seen)
    return result


def _weighted(
    images: Sequence[NDArray[np.float32]], at: Positions, window: Window, ratio: tuple[float, float]
) -> list[NDArray[np.float64]]:
    """Sum up the neighbours in images with a border, by the weights of :func:`bilinear`."""
    reach = [max(1.0, value) for value in ratio]
    first = [_whole(np.floor(axis - width) + 1) for axis, width in zip(at, reach, strict=True)]
    flat = [image.ravel() for image in images]
    sums = [np.zeros(np.broadcast_shapes(at[0].shape, at[1].shape)) for _ in images]
    for row_step in range(math.ceil(2 * reach[0])):
        rows = first[0] + row_step
        row_weight = np.clip(1 - np.abs(rows - at[0]) / reach[0], 0, None)
        row_index = _inside(rows, window[0]) * images[0].shape[1]
        for column_step in range(math.ceil(2 * reach[1])):
            columns = first[1] + column_step
            index = row_index + _inside(columns, window[1])
            weight = row_weight * np.clip(1 - np.abs(columns - at[1]) / reach[1], 0, None)
            for total, values in zip(sums, flat, strict=True):
                total += weight * values.take(index)
    return sums


def _lean(at: Positions) -> Positions:
    """One column of rows and one row of columns where the grids have the same axes: the same, less work."""
    row, column = at
    if (row == row[:, :1]).all() and (column == column[:1]).all():
        return row[:, :1], column[:1]
    return at
