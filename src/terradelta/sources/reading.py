"""Images of foreign files onto a grid, window by window: untouched on the same grid, warped otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources import geotiff, netcdf
from terradelta.sources.eopatch import arrays
from terradelta.sources.grids import shift_between
from terradelta.sources.interpolating import bilinear, nearest
from terradelta.sources.layers import Decoding, Layer
from terradelta.sources.resampling import apart, coarseness, halves, positions, window_for
from terradelta.sources.safe.layers import read_image

__all__ = ["decode", "fits", "read_categories", "read_measurement", "read_mosaic", "read_stored"]

IMPLAUSIBLE_REFLECTANCE = 20.0

_READERS = {"geotiff": geotiff.read_window, "netcdf": netcdf.read_window, "eopatch": arrays.read_window}

StoredReader = Callable[[Layer, slice, slice], NDArray[Any]]
"""Gives the stored numbers (y, x) of a window (rows, columns) of a layer."""


def read_stored(layer: Layer, rows: slice, columns: slice) -> NDArray[Any]:
    """Read the stored numbers (y, x) of a window inside a layer's own grid."""
    if layer.raw.reader == "safe":
        return read_image(layer.raw, layer.grid[rows, columns])
    return _READERS[layer.raw.reader](layer.raw, rows, columns)


def decode(stored: NDArray[Any], decoding: Decoding, name: str = "") -> NDArray[np.float32]:
    """Turn stored numbers into float32 in the cube's units, NaN where there is no data.

    Parameters
    ----------
    stored : array (y, x)
        Numbers as the file holds them.
    decoding : Decoding
        How to read them. dB and amplitude become linear power; linear float32 keeps every bit.
    name : str
        Name of the file, for messages.

    Raises
    ------
    SourceError
        Linear power below 0 (dB taken for linear), or reflectance far beyond 1 (unscaled numbers).

    Examples
    --------
    >>> decode(np.array([[-100, 0]]), Decoding(unit="dB", scale=0.1, nodata=(0.0,)))
    array([[0.1, nan]], dtype=float32)
    """
    missing = _missing(stored, decoding)
    plain = decoding.scale == 1.0 and decoding.offset == 0.0
    values = stored if plain else stored.astype(np.float64) * decoding.scale + decoding.offset
    if decoding.unit == "dB":
        values = np.power(10.0, values.astype(np.float64) / 10.0)
    elif decoding.unit == "amplitude":
        values = np.square(values.astype(np.float64))
    result = np.where(missing, np.float32(np.nan), values.astype(np.float32))
    return _checked(result, decoding, name)


def _missing(stored: NDArray[Any], decoding: Decoding) -> NDArray[np.bool_]:
    """Where a file's numbers mean no data."""
    missing: NDArray[np.bool_] = ~np.isfinite(stored)
    for value in decoding.nodata:
        if not math.isnan(value):
            missing |= (
                stored == np.asarray(value).astype(stored.dtype) if fits(value, stored.dtype) else False
            )
    if decoding.zero_is_nodata:
        missing |= stored == 0
    return missing


def fits(value: float, dtype: np.dtype[Any]) -> bool:
    """Whether a type can hold a value at all: -9999 means nothing to an unsigned file."""
    if dtype.kind not in "ui":
        return True
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max and float(value).is_integer())


def _checked(values: NDArray[np.float32], decoding: Decoding, name: str) -> NDArray[np.float32]:
    """Refuse values that show a wrong unit."""
    if decoding.unit == "linear":
        below = values < 0
        if below.any() and decoding.negative == "nodata":
            return np.where(below, np.float32(np.nan), values)
        if below.any():
            raise SourceError(
                f"{name}: linear power cannot be below 0, but {np.nanmin(values):.6g} is there "
                f"({below.mean():.1%}); if it is in decibel say 'unit: dB' in terradelta.yaml, "
                "else 'negative: nodata'"
            )
    if decoding.unit == "reflectance" and (values > IMPLAUSIBLE_REFLECTANCE).any():
        raise SourceError(
            f"{name}: {np.nanmax(values):.6g} is no reflectance; say 'unit: DN' and "
            "'scale: 0.0001' in terradelta.yaml"
        )
    return values


def read_measurement(layer: Layer, grid: GeoBox, read: StoredReader = read_stored) -> NDArray[np.float32]:
    """Read a measured layer onto a grid: bit for bit where the grids agree, else bilinear.

    Radar is interpolated in linear power. A pixel whose nearest source pixel holds no data stays without
    data, and no-data takes no part in its neighbours' values.

    Parameters
    ----------
    layer : Layer
        What to read.
    grid : GeoBox
        Where to; the caller chooses it small enough for memory.
    read : callable
        Gives the stored numbers of a window, where they do not lie in a file of this machine.

    Returns
    -------
    array (y, x) of float32
        NaN = no data or outside the file.

    Raises
    ------
    SourceError
        The file cannot be read, its values contradict its unit, or its CRS cannot be transformed.
    """
    if layer.raw.reader == "safe":
        return read_image(layer.raw, grid)
    shift = shift_between(layer.grid, grid)
    if shift is not None:
        stored, place = _overlap(layer, grid, shift, read)
        result = np.full(grid.shape, np.nan, dtype=np.float32)
        if stored is not None:
            result[place] = decode(stored, layer.decoding, layer.name)
        return result
    ratio = coarseness(layer.grid, grid)
    result = np.full(grid.shape, np.nan, dtype=np.float32)
    for at in apart(layer.grid.shape, positions(layer.grid, grid)):
        window = window_for(layer.grid.shape, at, (max(1.0, ratio[0]), max(1.0, ratio[1])))
        cut = None if window is None else halves(grid, window)
        if cut is not None:
            return np.concatenate([read_measurement(layer, half, read) for half in cut[1:]], axis=cut[0])
        if window is not None:
            values = decode(read(layer, *window), layer.decoding, layer.name)
            np.copyto(result, bilinear(values, at, window, ratio), where=np.isfinite(at[1]))
    return result


def read_categories(
    layer: Layer, grid: GeoBox, missing: float = 0, read: StoredReader = read_stored
) -> NDArray[Any]:
    """Read classes onto a grid with their stored type: nearest neighbour, `missing` outside the file."""
    shift = shift_between(layer.grid, grid)
    dtype = layer.raw.dtype
    result = np.full(grid.shape, missing, dtype=dtype)
    if shift is not None:
        stored, place = _overlap(layer, grid, shift, read)
        if stored is not None:
            result[place] = stored
        return result
    for at in apart(layer.grid.shape, positions(layer.grid, grid)):
        window = window_for(layer.grid.shape, at, (1, 1))
        if window is not None:
            np.copyto(result, nearest(read(layer, *window), at, window, missing), where=np.isfinite(at[1]))
    return result


def read_mosaic(layers: Sequence[Layer], grid: GeoBox) -> NDArray[np.float32]:
    """Read the pieces of one pass onto a grid; where they overlap the first with data wins."""
    result = read_measurement(layers[0], grid)
    for layer in layers[1:]:
        holes = np.isnan(result)
        if not holes.any():
            break
        result[holes] = read_measurement(layer, grid)[holes]
    return result


def _overlap(
    layer: Layer, grid: GeoBox, shift: tuple[int, int], read: StoredReader
) -> tuple[NDArray[Any] | None, tuple[slice, slice]]:
    """Read stored numbers where two grids of one lattice overlap, and their place in the second."""
    source, target = [], []
    for length, size, first in zip(grid.shape, layer.grid.shape, shift, strict=True):
        low, high = max(first, 0), min(first + length, size)
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    place = (target[0], target[1])
    if any(part.start >= part.stop for part in source):
        return None, place
    return read(layer, source[0], source[1]), place
