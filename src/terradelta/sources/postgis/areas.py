"""Polygons of land cover in the database: loaded once, found by index."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from odc.geo.crs import CRS
from psycopg import sql

from terradelta.errors import ConflictError, InputError
from terradelta.sources.postgis.places import srid_of
from terradelta.sources.postgis.schema import AREA_TABLES, require_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from terradelta.sources.postgis.connection import Connection, Database

__all__ = ["Dataset", "areas_near", "areas_within", "find_dataset", "load_areas"]

_SPARE = 256
_SLACK = 1 + 1e-9


class Dataset(NamedTuple):
    """Polygons that were loaded together.

    Attributes
    ----------
    key : int
        Its number.
    name : str
        Its name.
    crs : str
        Such as ``EPSG:3067``.
    srid : int
        Reference system in the database; 0 = not known there.
    repaired, skipped : int
        Broken geometries that were repaired or left out when it was loaded.
    """

    key: int
    name: str
    crs: str
    srid: int
    repaired: int
    skipped: int


def load_areas(
    database: Database,
    name: str,
    polygons: Sequence[Any] | NDArray[Any],
    classes: Sequence[str],
    crs: str,
    *,
    repaired: int = 0,
    skipped: int = 0,
) -> int:
    """Write polygons into the tables of their classes, all or none; the same ones again add nothing.

    Parameters
    ----------
    database : Database
        To write to; its tables are made by :func:`create_schema`.
    name : str
        Name of the dataset.
    polygons : sequence of shapely.Polygon
        Valid polygons.
    classes : sequence of str
        Class of each: forest, mire, field, meadow, lake, open or urban.
    crs : str
        Of the polygons.
    repaired, skipped : int
        Broken geometries met on the way; kept for whoever reads the dataset.

    Returns
    -------
    int
        Number of polygons written.

    Raises
    ------
    ConflictError
        A dataset of that name holds other polygons.
    InputError
        A class is unknown, or there are no polygons.
    SourceError
        The database is not there, or lacks the tables.
    """
    unknown = sorted(set(classes) - set(AREA_TABLES))
    if unknown or not len(polygons):
        what = f"the class {unknown[0]!r} is unknown" if unknown else "there are no polygons"
        raise InputError(f"dataset {name!r}: {what}; give polygons of {', '.join(AREA_TABLES)}")
    require_schema(database)
    digest = _digest(polygons, classes, crs)
    insert = sql.SQL(
        "INSERT INTO {} (name, crs, srid, digest, repaired, skipped) VALUES (%s, %s, %s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING RETURNING dataset"
    ).format(database.table("datasets"))

    def work(connection: Connection) -> int:
        srid = srid_of(connection, CRS(crs))
        row = connection.execute(insert, [name, crs, srid, digest, repaired, skipped]).fetchone()
        if row is None:
            _require_same(connection, database, name, digest)
            return 0
        _copy(connection, database, row[0], polygons, classes, srid)
        return len(polygons)

    return database.run(work)


def _digest(polygons: Sequence[Any] | NDArray[Any], classes: Sequence[str], crs: str) -> str:
    digest = hashlib.sha256(crs.encode())
    for blob, name in zip(shapely.to_wkb(np.asarray(polygons, object)), classes, strict=True):
        digest.update(blob + name.encode())
    return digest.hexdigest()


def _require_same(connection: Connection, database: Database, name: str, digest: str) -> None:
    query = sql.SQL("SELECT digest FROM {} WHERE name = %s").format(database.table("datasets"))
    row = connection.execute(query, [name]).fetchone()
    if row is None or row[0] != digest:
        raise ConflictError(
            f"the dataset {name!r} is in the {database.address} with other polygons; give another name"
        )


def _copy(
    connection: Connection,
    database: Database,
    dataset: int,
    polygons: Sequence[Any] | NDArray[Any],
    classes: Sequence[str],
    srid: int,
) -> None:
    shapes = shapely.force_2d(np.asarray(polygons, object))
    blobs = shapely.to_wkb(shapely.set_srid(shapes, srid), hex=True, include_srid=srid > 0)
    statement = sql.SQL("COPY {} (dataset, number, class, geom) FROM STDIN").format(database.table("land"))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number, (blob, name) in enumerate(zip(blobs, classes, strict=True)):
            copy.write_row((dataset, number, name, blob))
    # without it the first searches are planned for empty tables, a hundred times slower
    connection.execute(sql.SQL("ANALYZE {}").format(database.table("land")))


def find_dataset(database: Database, name: str = "") -> Dataset:
    """Look a dataset of polygons up.

    Parameters
    ----------
    database : Database
        To read.
    name : str
        Its name; empty: the only one.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        There is none of that name, or several and no name is given; the known ones are named.
    """
    query = sql.SQL("SELECT dataset, name, crs, srid, repaired, skipped FROM {} ORDER BY dataset").format(
        database.table("datasets")
    )
    rows = database.run(lambda connection: connection.execute(query).fetchall())
    chosen = [row for row in rows if not name or row[1] == name]
    if len(chosen) == 1:
        return Dataset(*chosen[0])
    if not rows:
        raise InputError(
            f"the {database.address} holds no land cover; load some: `terradelta database land VECTORFILE`"
        )
    known = ", ".join(row[1] for row in rows[:10])
    if name:
        raise InputError(f"the {database.address} has no dataset {name!r}; known are {known}")
    raise InputError(f"the {database.address} has {len(rows)} datasets of land cover; name one of {known}")


def areas_near(
    database: Database, dataset: Dataset, point: tuple[float, float], count: int, classes: Sequence[str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find the polygons that may be the nearest, in the order of the data.

    The index gives the `count` nearest; all that are no further away come, so that ties can be told apart.

    Parameters
    ----------
    database : Database
        To read.
    dataset : Dataset
        Which polygons.
    point : tuple of float
        x and y in the dataset's CRS.
    count : int
        How many are wanted.
    classes : sequence of str
        Which classes.

    Returns
    -------
    polygons : ndarray of shapely.Polygon
        At least `count`, if there are as many.
    classes : ndarray of str
        Class of each.
    """
    statement = sql.SQL(
        "WITH place AS MATERIALIZED (SELECT max(away) AS reach FROM (SELECT geom <-> {point} AS away "
        "FROM {land} WHERE dataset = {dataset} AND class = ANY({classes}) ORDER BY geom <-> {point} "
        "LIMIT {count}) AS nearest) "
        "SELECT number, class, ST_AsBinary(geom) FROM {land}, place "
        "WHERE dataset = {dataset} AND class = ANY({classes}) AND ST_DWithin(geom, {point}, reach * {slack}) "
        "ORDER BY ST_Distance(geom, {point}), number LIMIT {count} + {spare}"
    ).format(
        land=database.table("land"),
        point=sql.SQL("ST_SetSRID(ST_MakePoint(%(x)s, %(y)s), %(srid)s)"),
        **{name: sql.Placeholder(name) for name in ("dataset", "classes", "count", "slack", "spare")},
    )
    values = {"x": float(point[0]), "y": float(point[1]), "srid": dataset.srid, "dataset": dataset.key,
              "classes": list(classes), "count": count, "slack": _SLACK, "spare": _SPARE}  # fmt: skip
    return _polygons(database, statement, values)


def areas_within(
    database: Database, dataset: Dataset, bounds: tuple[float, float, float, float], classes: Sequence[str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find the polygons whose boxes touch a box.

    Parameters
    ----------
    database : Database
        To read.
    dataset : Dataset
        Which polygons.
    bounds : tuple of float
        Left, bottom, right, top in the dataset's CRS.
    classes : sequence of str
        Which classes.

    Returns
    -------
    polygons : ndarray of shapely.Polygon
        In the order of the data.
    classes : ndarray of str
        Class of each.
    """
    statement = sql.SQL(
        "SELECT number, class, ST_AsBinary(geom) FROM {} "
        "WHERE dataset = %(dataset)s AND class = ANY(%(classes)s) "
        "AND geom && ST_MakeEnvelope(%(left)s, %(bottom)s, %(right)s, %(top)s, %(srid)s)"
    ).format(database.table("land"))
    box = dict(zip(("left", "bottom", "right", "top"), map(float, bounds), strict=True))
    values = {**box, "srid": dataset.srid, "dataset": dataset.key, "classes": list(classes)}
    return _polygons(database, statement, values)


def _polygons(
    database: Database, statement: sql.Composed, values: dict[str, Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    def work(connection: Connection) -> list[tuple[Any, ...]]:
        with connection.cursor(binary=True) as cursor:
            return cursor.execute(statement, values).fetchall()

    rows = sorted(database.run(work), key=lambda row: row[0])
    shapes = shapely.from_wkb([row[2] for row in rows])
    return np.asarray(shapes, object), np.asarray([row[1] for row in rows], object)
