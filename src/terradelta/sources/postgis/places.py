"""Places in the database: the name and grid that belong to each cube."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import sql

from terradelta.cube.grid import crs_text, describe_grid, grid_document, grid_from
from terradelta.errors import ConflictError, InputError

if TYPE_CHECKING:
    from odc.geo.crs import CRS
    from odc.geo.geobox import GeoBox

    from terradelta.cube.store import Header
    from terradelta.sources.postgis.connection import Connection, Database

__all__ = ["Place", "add_place", "find_place", "srid_of"]


class Place(NamedTuple):
    """A place of the database.

    Attributes
    ----------
    key : int
        Its number.
    name : str
        Its name there.
    cube_name : str
        What its cube is named.
    geobox : GeoBox
        Grid of all its rasters.
    srid : int
        Reference system in the database; 0 = not known there.
    """

    key: int
    name: str
    cube_name: str
    geobox: GeoBox
    srid: int


def srid_of(connection: Connection, crs: CRS | None) -> int:
    """Tell the number that PostGIS has for a CRS.

    Parameters
    ----------
    connection : Connection
        Within a transaction.
    crs : CRS or None
        Any.

    Returns
    -------
    int
        0 if PostGIS does not know it; nothing here needs more.
    """
    text = crs_text(crs)
    code = int(text.removeprefix("EPSG:")) if text.startswith("EPSG:") else 0
    found = connection.execute("SELECT 1 FROM spatial_ref_sys WHERE srid = %s", [code]).fetchone()
    return code if found is not None else 0


def add_place(database: Database, header: Header, name: str) -> Place:
    """Enter a place, unless it is there already.

    Parameters
    ----------
    database : Database
        To write to.
    header : Header
        Of the cube.
    name : str
        Of the place.

    Returns
    -------
    Place

    Raises
    ------
    ConflictError
        A place of that name has another grid.
    """
    document = grid_document(header.geobox)

    def work(connection: Connection) -> None:
        srid = srid_of(connection, header.geobox.crs)
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (name, cube_name, crs, srid, grid) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (name) DO NOTHING"
            ).format(database.table("places")),
            [name, header.name, document["crs"], srid, json.dumps(document)],
        )

    database.run(work)
    place = find_place(database, name)
    if place.geobox != header.geobox:
        raise ConflictError(
            f"the place {name!r} of the {database.address} has the grid {describe_grid(place.geobox)}, "
            f"{header.path} has {describe_grid(header.geobox)}; name another place"
        )
    return place


def find_place(database: Database, name: str | None = None) -> Place:
    """Look a place up.

    Parameters
    ----------
    database : Database
        To read.
    name : str, optional
        Its name; empty: the only one.

    Returns
    -------
    Place

    Raises
    ------
    InputError
        There is none of that name, or several and no name is given; the known ones are named.
    """
    rows = database.run(lambda connection: _places(connection, database))
    names = [row[1] for row in rows]
    chosen = [row for row in rows if not name or row[1] == name]
    if len(chosen) == 1:
        key, found, cube_name, grid, srid = chosen[0]
        return Place(key, found, cube_name, grid_from(grid), srid)
    if not rows:
        raise InputError(f"the {database.address} holds no cube; load one: `terradelta database load CUBE`")
    known = ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
    if name:
        raise InputError(f"the {database.address} has no place {name!r}; known are {known}")
    raise InputError(f"the {database.address} has {len(names)} places; name one of {known}")


def _places(connection: Connection, database: Database) -> list[tuple[Any, ...]]:
    return connection.execute(
        sql.SQL("SELECT place, name, cube_name, grid, srid FROM {} ORDER BY place").format(
            database.table("places")
        )
    ).fetchall()
