"""Which cells of a grid of weather a place needs: a cut with a margin, or the neighbours of its middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

from terradelta.errors import SourceError
from terradelta.sources.grids import require_crs
from terradelta.sources.weather.fields import Field, Index

__all__ = ["Cells", "choose_cells", "extent_of", "middle_of"]

_EDGE = 9


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Cells of a field that are to be read.

    Attributes
    ----------
    rows, columns : array of int
        Their indices.
    y, x : array, optional
        Their middles; None where a single value comes out.
    weights : array (y, x), optional
        What each counts towards the single value.
    """

    rows: Index
    columns: Index
    y: NDArray[np.float64] | None = None
    x: NDArray[np.float64] | None = None
    weights: NDArray[np.float64] | None = None

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted mean (time, 1, 1) of the cells with data; unchanged where there are no weights."""
        if self.weights is None:
            return values
        share: NDArray[np.float64] = np.where(np.isnan(values), 0, self.weights).sum(
            axis=(1, 2), keepdims=True
        )
        total = np.where(np.isnan(values), 0, values * self.weights).sum(axis=(1, 2), keepdims=True)
        missing = np.full(share.shape, np.nan)
        return np.asarray(np.divide(total, share, out=missing, where=share > 0))


def choose_cells(field: Field, near: GeoBox | None, grid: bool) -> Cells:
    """Choose the cells around a place.

    Parameters
    ----------
    field : Field
        Its cells.
    near : GeoBox, optional
        The place; without one all cells.
    grid : bool
        All cells that touch the place and one more on each side, else those around its middle, weighted
        bilinearly.

    Raises
    ------
    SourceError
        The cells do not reach the place, or it cannot be told where they lie.
    """
    one = np.zeros(1, np.intp)
    if field.y is None or field.x is None or field.y.size == field.x.size == 1:
        return Cells(rows=one, columns=one)
    if near is None or (grid and not field.crs):
        if not grid:
            raise SourceError(f"{field.where}: a single place of a grid needs to be told where it is")
        return Cells(rows=np.arange(field.y.size), columns=np.arange(field.x.size), y=field.y, x=field.x)
    if not field.crs:
        raise SourceError(f"{field.where}: has no CRS; say it in terradelta.yaml: 'crs: EPSG:4326'")
    px, py = _points(near, field.crs)
    x = field.x
    if CRS(field.crs).is_geographic:
        middle = px[px.size // 2]
        px, x = (_turned(values, middle) for values in (px, x))
    choose = _cut if grid else _around
    (rows, row_weights), (columns, column_weights) = choose(field, field.y, py), choose(field, x, px)
    if grid:
        return Cells(rows=rows, columns=columns, y=field.y[rows], x=x[columns])
    return Cells(rows=rows, columns=columns, weights=np.outer(row_weights, column_weights))


def _turned(longitudes: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
    """Longitudes within half a turn of a middle one."""
    turned: NDArray[np.float64] = longitudes - 360 * np.floor((longitudes - middle + 180) / 360)
    return turned


def _points(near: GeoBox, crs: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points all over a grid in another CRS; the one in the middle of the list is the grid's middle."""
    rows, columns = (np.linspace(0, size, _EDGE) for size in near.shape)
    column, row = np.meshgrid(columns, rows)
    affine = near.affine
    x, y = (
        affine.a * column + affine.b * row + affine.c,
        affine.d * column + affine.e * row + affine.f,
    )
    transformer = Transformer.from_crs(require_crs(near).to_wkt(), crs, always_xy=True)
    new_x, new_y = transformer.transform(x.ravel(), y.ravel())
    return np.asarray(new_x, np.float64), np.asarray(new_y, np.float64)


def middle_of(near: GeoBox) -> tuple[float, float]:
    """Longitude and latitude of the middle of a grid."""
    x, y = _points(near, "EPSG:4326")
    return float(x[x.size // 2]), float(y[y.size // 2])


def extent_of(near: GeoBox) -> tuple[float, float, float, float]:
    """West, south, east and north of a grid in degrees; beyond 180 where it crosses the antimeridian."""
    x, y = _points(near, "EPSG:4326")
    x = _turned(x, x[x.size // 2])
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _cut(field: Field, axis: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[Index, Any]:
    """Choose the cells from the first wanted value to the last, and one on each side."""
    step = _step(axis)
    inside = np.flatnonzero((axis >= wanted.min() - step) & (axis <= wanted.max() + step))
    if not inside.size:
        raise _too_far(field, axis, wanted)
    return inside[np.argsort(axis[inside])] if _jumps(axis) else inside, None


def _jumps(axis: NDArray[np.float64]) -> bool:
    """Whether an axis of longitudes starts anew on its way."""
    steps = np.sign(np.diff(axis))
    return bool((steps != steps[:1]).any())


def _around(field: Field, axis: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[Index, Any]:
    """Choose the two cells around the middle, and their weights."""
    value, step = wanted[wanted.size // 2], _step(axis)
    order = np.argsort(axis)
    if not axis.min() - step / 2 <= value <= axis.max() + step / 2:
        raise _too_far(field, axis, wanted)
    after = int(np.searchsorted(axis[order], value).clip(1, max(axis.size - 1, 1)))
    pair = order[after - 1 : after + 1]
    if pair.size == 1:
        return pair, np.ones(1)
    low, high = axis[pair]
    part = float(np.clip((value - low) / (high - low), 0, 1))
    weights = np.array([1 - part, part])
    return (pair, weights) if pair[0] < pair[1] else (pair[::-1], weights[::-1])


def _step(axis: NDArray[np.float64]) -> float:
    return float(np.median(np.abs(np.diff(axis)))) if axis.size > 1 else np.inf


def _too_far(field: Field, axis: NDArray[np.float64], wanted: NDArray[np.float64]) -> SourceError:
    return SourceError(
        f"{field.name}: its grid does not reach the cube ({axis.min():.6g} to {axis.max():.6g}, "
        f"not {wanted.min():.6g} to {wanted.max():.6g}); take weather of this place"
    )
