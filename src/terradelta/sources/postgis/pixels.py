"""Radar pixels inside polygons: tiles are cut in the database, and only the cuttings come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from psycopg import sql
from pyproj import Transformer

from terradelta.sources.postgis.rasters import from_wkb
from terradelta.sources.postgis.tiles import TILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from affine import Affine
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from terradelta.sources.postgis.connection import Connection, Database
    from terradelta.sources.postgis.places import Place

__all__ = ["Cutting", "cut_tiles", "cuttings"]


class Cutting(NamedTuple):
    """Pixels of one tile.

    Attributes
    ----------
    y, x : int
        First row and column in the grid of the place.
    values : array, (band, y, x)
        Linear power.
    """

    y: int
    x: int
    values: NDArray[Any]


def cuttings(
    polygons: Sequence[Any] | NDArray[Any], crs: str, grid: GeoBox
) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    """Tell which part of which tile holds polygons, by their boxes.

    Parameters
    ----------
    polygons : sequence of shapely.Polygon
        Some polygons.
    crs : str
        Their CRS.
    grid : GeoBox
        Grid of the tiles.

    Returns
    -------
    dict
        By first row and column of a tile: first row, first column, and last ones plus 1, in the grid.

    Examples
    --------
    >>> from affine import Affine
    >>> from odc.geo.geobox import GeoBox
    >>> grid = GeoBox((300, 300), Affine(10, 0, 0, 0, -10, 3000), "EPSG:3067")
    >>> cuttings([shapely.box(2540, 2955, 2575, 2965)], "EPSG:3067", grid)
    {(0, 0): (2, 253, 6, 256), (0, 256): (2, 256, 6, 259)}
    """
    parts: dict[tuple[int, int], tuple[int, int, int, int]] = {}
    for box in shapely.bounds(np.asarray(polygons, object)):
        top, left, bottom, right = _window(box, crs, grid)
        for y in range(top // TILE * TILE, bottom, TILE):
            for x in range(left // TILE * TILE, right, TILE):
                part = max(top, y), max(left, x), min(bottom, y + TILE), min(right, x + TILE)
                old = parts.get((y, x), part)
                parts[y, x] = (*map(min, old[:2], part[:2]), *map(max, old[2:], part[2:]))  # type: ignore[assignment]
    return parts


def _window(box: NDArray[np.float64], crs: str, grid: GeoBox) -> tuple[int, int, int, int]:
    """Rows and columns that hold a box, one pixel more on each side, within the grid."""
    left, bottom, right, top = (float(value) for value in box)
    if grid.crs != crs:
        move = Transformer.from_crs(crs, str(grid.crs), always_xy=True)
        left, bottom, right, top = move.transform_bounds(left, bottom, right, top)
    x, y = np.array([left, right, left, right]), np.array([bottom, bottom, top, top])
    column, row = ~grid.affine @ (x, y)
    height, width = grid.shape
    first_row, last_row = np.clip([np.floor(row.min()) - 1, np.ceil(row.max()) + 1], 0, height)
    first_column, last_column = np.clip([np.floor(column.min()) - 1, np.ceil(column.max()) + 1], 0, width)
    return int(first_row), int(first_column), int(last_row), int(last_column)


def cut_tiles(
    database: Database,
    place: Place,
    acquisition: int,
    parts: dict[tuple[int, int], tuple[int, int, int, int]],
) -> Iterator[Cutting]:
    """Cut parts out of the tiles of a radar image, in the database.

    Parameters
    ----------
    database : Database
        To read.
    place : Place
        Whose image.
    acquisition : int
        Number of the image.
    parts : dict
        From :func:`cuttings`.

    Yields
    ------
    Cutting
        One per tile.
    """
    statement = sql.SQL(
        "SELECT r.y, r.x, ST_AsBinary(ST_Clip(r.rast, ST_GeomFromWKB(a.part, %(srid)s), true)) "
        "FROM unnest(%(y)s::integer[], %(x)s::integer[], %(part)s::bytea[]) AS a (y, x, part) "
        "JOIN {} AS r ON r.acquisition = %(acquisition)s AND r.y = a.y AND r.x = a.x"
    ).format(database.table("radar"))
    affine = place.geobox.affine
    values = {
        "srid": place.srid,
        "acquisition": acquisition,
        "y": [y for y, _ in parts],
        "x": [x for _, x in parts],
        "part": [_outline(part, affine) for part in parts.values()],
    }

    def work(connection: Connection) -> list[tuple[Any, ...]]:
        with connection.cursor(binary=True) as cursor:
            return cursor.execute(statement, values).fetchall()

    for _, _, blob in database.run(work):
        if blob is not None:
            tile = from_wkb(blob)
            column, row = ~affine @ (tile.affine.c, tile.affine.f)
            yield Cutting(round(row), round(column), tile.values)


def _outline(part: tuple[int, int, int, int], affine: Affine) -> bytes:
    top, left, bottom, right = part
    corners = [affine @ corner for corner in ((left, top), (right, top), (right, bottom), (left, bottom))]
    return bytes(shapely.to_wkb(shapely.Polygon(corners)))
