"""Which pixels of a grid have their centre inside polygons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from pyproj import Transformer
from rasterio.features import geometry_mask

from terradelta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from terradelta.types import BoolArray

__all__ = ["centres", "inside", "reach", "row_blocks"]

_BLOCK = 2**18
_FAR = (-1e12, -1e12, 1e12, 1e12)  # PROJ says infinite where a CRS does not reach


def row_blocks(grid: GeoBox, pixels: int | None = None) -> Iterator[slice]:
    """Divide a grid into blocks of whole rows.

    Parameters
    ----------
    grid : GeoBox
        The grid.
    pixels : int, optional
        About so many pixels in a block; 262,144 by default.

    Yields
    ------
    slice
        Rows.

    Examples
    --------
    >>> from affine import Affine
    >>> from odc.geo.geobox import GeoBox
    >>> list(row_blocks(GeoBox((5, 10), Affine.scale(1, -1), "EPSG:3067"), 20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    height, width = grid.shape
    step = max(1, (pixels or _BLOCK) // max(1, width))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def centres(
    grid: GeoBox, crs: str, rows: slice | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the centres of pixels in another CRS.

    Parameters
    ----------
    grid : GeoBox
        The grid.
    crs : str
        CRS of the result.
    rows : slice, optional
        Rows; all by default.

    Returns
    -------
    x, y : ndarray of float64, (y, x)
        Infinite where the CRS does not reach.

    Raises
    ------
    InputError
        If the grid has no CRS.

    Examples
    --------
    >>> from affine import Affine
    >>> from odc.geo.geobox import GeoBox
    >>> x, y = centres(GeoBox((1, 2), Affine(10, 0, 500_000, 0, -10, 20), "EPSG:3067"), "EPSG:3067")
    >>> x.tolist(), y.tolist()
    ([[500005.0, 500015.0]], [[15.0, 15.0]])
    """
    if grid.crs is None:
        raise InputError("the grid has no CRS; give a GeoBox with one")
    first, last, _ = (rows or slice(None)).indices(grid.shape[0])
    row, column = np.mgrid[first:last, : grid.shape[1]] + 0.5
    x, y = grid.affine @ (column, row)
    if grid.crs != crs:
        x, y = Transformer.from_crs(str(grid.crs), crs, always_xy=True).transform(x, y)
    return np.asarray(x), np.asarray(y)


def reach(grid: GeoBox, crs: str) -> tuple[float, float, float, float]:
    """Give a box in another CRS that holds a grid, with a small margin.

    Parameters
    ----------
    grid : GeoBox
        The grid.
    crs : str
        CRS of the result.

    Returns
    -------
    left, bottom, right, top : float

    Raises
    ------
    InputError
        If the grid has no CRS.

    Examples
    --------
    >>> from affine import Affine
    >>> from odc.geo.geobox import GeoBox
    >>> reach(GeoBox((1, 2), Affine(10, 0, 500_000, 0, -10, 20), "EPSG:3067"), "EPSG:3067")
    (499999.8, 9.8, 500020.2, 20.2)
    """
    if grid.crs is None:
        raise InputError("the grid has no CRS; give a GeoBox with one")
    left, bottom, right, top = grid.boundingbox
    if grid.crs != crs:
        move = Transformer.from_crs(str(grid.crs), crs, always_xy=True)
        bounds = move.transform_bounds(left, bottom, right, top)
        left, bottom, right, top = (
            float(np.nan_to_num(edge, posinf=far)) for edge, far in zip(bounds, _FAR, strict=True)
        )
    margin = 0.01 * max(right - left, top - bottom)
    return left - margin, bottom - margin, right + margin, top + margin


def inside(geometries: Sequence[Any] | NDArray[Any], crs: str, grid: GeoBox) -> BoolArray:
    """Tell which pixels have their centre inside any of some polygons.

    Parameters
    ----------
    geometries : sequence of shapely.Polygon
        Valid polygons.
    crs : str
        Their CRS.
    grid : GeoBox
        Any grid with a CRS; if it has another one, the centres of its pixels are transformed.

    Returns
    -------
    ndarray of bool, (y, x)

    Raises
    ------
    InputError
        If the grid has no CRS.

    Examples
    --------
    >>> from affine import Affine
    >>> from odc.geo.geobox import GeoBox
    >>> grid = GeoBox((1, 3), Affine(10, 0, 0, 0, -10, 10), "EPSG:3067")
    >>> inside([shapely.box(4, 0, 16, 10)], "EPSG:3067", grid).tolist()
    [[True, True, False]]
    """
    if grid.crs is None:
        raise InputError("the grid has no CRS; give a GeoBox with one")
    shapes = np.asarray(geometries, dtype=object)
    if not shapes.size:
        return np.zeros(grid.shape, bool)
    if grid.crs == crs:
        return np.asarray(geometry_mask(shapes, tuple(grid.shape), grid.affine, invert=True))
    mask = np.zeros(grid.shape, bool)
    tree = shapely.STRtree(shapes)
    shapely.prepare(shapes)
    for rows in row_blocks(grid):
        x, y = (np.where(np.isfinite(each), each, np.nan).ravel() for each in centres(grid, crs, rows))
        point, shape = tree.query(shapely.points(x, y))
        hit = shapely.intersects_xy(shapes[shape], x[point], y[point])
        mask[rows].reshape(-1)[point[hit]] = True
    shapely.destroy_prepared(shapes)
    return mask
