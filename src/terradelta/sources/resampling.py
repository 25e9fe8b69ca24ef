"""Where the pixels of one grid lie in another: exact coordinates, so that blocks meet without seams."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import ProjError

from terradelta.errors import SourceError
from terradelta.sources.grids import require_crs

__all__ = [
    "Positions",
    "Window",
    "apart",
    "coarseness",
    "halves",
    "positions",
    "positions_by",
    "window_for",
]

NODE = 8
"""Distance of the pixels whose positions are transformed exactly; blocks start at multiples of it."""

OFF = 0.1
"""Pixels of the source that interpolated positions may be off; else the pixels around are transformed."""

LARGEST = 2**25
"""Pixels of a source that are read at once."""

Window = tuple[slice, slice]
Positions = tuple[NDArray[np.float64], NDArray[np.float64]]


@lru_cache(maxsize=8)
def positions(source: GeoBox, target: GeoBox) -> Positions:
    """Row and column in a source grid of every pixel's middle of a target grid.

    Every eighth pixel is transformed exactly, those between are interpolated: at 10 m that is 0.0001 m off.
    Where that is wrong, at the antimeridian and around the poles, all pixels are transformed. Blocks that
    start at multiples of eight pixels get the same positions as the whole, so they meet without seams
    (warping programs choose the exact pixels anew for every block).

    Parameters
    ----------
    source, target : GeoBox
        Grids with any two CRS.

    Returns
    -------
    (array, array) of float64, each (y, x) of the target
        Whole numbers are the middles of source pixels; infinite where there is no transformation. Longitudes
        are counted within half a turn of the source's middle.

    Raises
    ------
    SourceError
        The two CRS have no transformation.

    Examples
    --------
    >>> from affine import Affine
    >>> fine = GeoBox((4, 4), Affine(10, 0, 0, 0, -10, 0), "EPSG:32631")
    >>> positions(fine, fine.zoom_out(2))[0][:, 0].tolist()
    [0.5, 2.5]
    """

    def place(x: NDArray[np.float64], y: NDArray[np.float64]) -> Positions:
        if source.crs != target.crs:
            x, y = _transformed(target, source, x, y)
        if require_crs(source).geographic:
            x = x - 360 * np.round((x - middle) / 360)
        column, row = _apply(~source.affine, x, y)
        return row - 0.5, column - 0.5

    middle = _apply(source.affine, *(np.array(size / 2) for size in reversed(source.shape)))[0]

    same = source.crs == target.crs and not require_crs(source).geographic
    if same and source.axis_aligned and target.axis_aligned:
        row, column = positions_by(place, target[:, :1])[0], positions_by(place, target[:1])[1]
        return np.broadcast_to(row, target.shape), np.broadcast_to(column, target.shape)
    return positions_by(place, target)


def positions_by(
    place: Callable[[NDArray[np.float64], NDArray[np.float64]], Positions], target: GeoBox
) -> Positions:
    """Row and column in any source of every pixel's middle of a target grid, as :func:`positions`.

    Parameters
    ----------
    place : callable
        Gives row and column for arrays of x and y in the target's CRS.
    target : GeoBox
        Where to.
    """
    half = NODE // 2
    rows, columns = (np.arange(0, -(-size // NODE) * NODE + 1, half) + 0.5 for size in target.shape)
    exact = place(*_apply(target.affine, *np.meshgrid(columns, rows)))
    with np.errstate(invalid="ignore"):
        row, column = (_between(axis[::2, ::2], target.shape) for axis in exact)
        bent = _bent(exact[0]) | _bent(exact[1])
    y, x = np.nonzero(bent.repeat(NODE, 0).repeat(NODE, 1)[: target.shape[0], : target.shape[1]])
    if y.size:
        row[y, x], column[y, x] = place(*_apply(target.affine, np.float64(0.5) + x, np.float64(0.5) + y))
    return row, column


def _bent(exact: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the places halfway between the nodes (every other value) are not the means of these."""
    means = exact.copy()
    means[1::2] = (means[:-1:2] + means[2::2]) / 2
    means[:, 1::2] = (means[:, :-1:2] + means[:, 2::2]) / 2
    off = ~(np.abs(means - exact) <= OFF)
    off = off[:-1:2] | off[1::2] | off[2::2]
    return np.asarray(off[:, :-1:2] | off[:, 1::2] | off[:, 2::2])


def _between(nodes: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    """Linear between the nodes, along rows and then along columns."""
    for axis, size in enumerate(shape):
        place = np.arange(size)
        part = (place % NODE / NODE).reshape((-1, 1) if axis == 0 else (1, -1))
        low = nodes.take(place // NODE, axis=axis)
        nodes = low + part * (nodes.take(place // NODE + 1, axis=axis) - low)
    return nodes


def _apply(affine: Any, x: NDArray[np.float64], y: NDArray[np.float64]) -> Positions:
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def _transformed(one: GeoBox, other: GeoBox, x: NDArray[np.float64], y: NDArray[np.float64]) -> Positions:
    try:
        transformer = Transformer.from_crs(
            require_crs(one).to_wkt(), require_crs(other).to_wkt(), always_xy=True
        )
        new_x, new_y = transformer.transform(x, y)
    except ProjError as error:
        raise SourceError(f"no way from {one.crs} to {other.crs} ({error}); check the CRS") from error
    return new_x, new_y


def coarseness(source: GeoBox, target: GeoBox) -> tuple[float, float]:
    """Source pixels per target pixel along y and x, at the source's middle: the same for every block."""
    rows, columns = source.shape
    ends = np.array([(columns - 1) / 2, (columns + 1) / 2]), np.array([(rows - 1) / 2, (rows + 1) / 2])
    x, y = _apply(source.affine, *ends)
    if source.crs != target.crs:
        x, y = _transformed(source, target, x, y)
    height, width = abs(float(y[1] - y[0])), abs(float(x[1] - x[0]))
    return abs(target.affine.e) / (height or 1), abs(target.affine.a) / (width or 1)


def window_for(shape: Sequence[int], at: Positions, reach: tuple[float, float]) -> Window | None:
    """Window of a source of some shape that positions need, with room around them; None if they miss it."""
    window = []
    for values, size, room in zip(at, shape, reach, strict=True):
        finite = values[np.isfinite(values)]
        if not finite.size:
            return None
        margin = math.ceil(room) + 1
        low, high = max(math.floor(finite.min()) - margin, 0), min(math.ceil(finite.max()) + margin + 1, size)
        if low >= high:
            return None
        window.append(slice(low, high))
    return window[0], window[1]


def halves(grid: GeoBox, window: Window) -> tuple[int, GeoBox, GeoBox] | None:
    """Cut a grid in two where it needs too many pixels of a source at once, as coarse ones do.

    Returns
    -------
    (axis, GeoBox, GeoBox) or None
        The axis to join along, and the halves, whose positions are those of the whole.

    Examples
    --------
    >>> from affine import Affine
    >>> grid = GeoBox((20, 30), Affine(500, 0, 0, 0, -500, 0), "EPSG:32631")
    >>> axis, west, east = halves(grid, (slice(0, 10_000), slice(0, 15_000)))
    >>> axis, west.shape.xy, east.shape.xy, halves(grid, (slice(0, 10), slice(0, 10)))
    (1, (8, 20), (22, 20), None)
    """
    axis = 0 if grid.shape[0] > grid.shape[1] else 1
    cut = grid.shape[axis] // 2 // NODE * NODE
    if not cut or math.prod(span.stop - span.start for span in window) <= LARGEST:
        return None
    return (0, grid[:cut], grid[cut:]) if axis == 0 else (1, grid[:, :cut], grid[:, cut:])


def apart(shape: Sequence[int], at: Positions) -> tuple[Positions, ...]:
    """Positions at both ends of a source, but nowhere between them, told apart: so is a world map cut.

    Parameters
    ----------
    shape : (int, int)
        Of the source.
    at : (array, array)
        From :func:`positions`.

    Returns
    -------
    tuple of (array, array)
        As given, or those in the west and those in the east, all others infinite.
    """
    row, column = at
    inside = column[(column > -1) & (column < shape[1]) & np.isfinite(row)]
    parts = np.unique(np.clip(inside * 4 // shape[1], 0, 3))
    if parts.tolist() not in ([0, 3], [0, 1, 3], [0, 2, 3]):
        return (at,)
    west = column < shape[1] / 2
    return (row, np.where(west, column, np.inf)), (row, np.where(west, np.inf, column))
