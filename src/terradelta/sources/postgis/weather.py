"""Daily weather in the database: a number per day, or a small raster on its own coarse grid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from affine import Affine
from psycopg import sql

from terradelta.errors import ConflictError, InputError
from terradelta.sources.postgis.rasters import from_wkb, pack, to_wkb, unpack

if TYPE_CHECKING:
    from terradelta.sources.postgis.connection import Connection, Database
    from terradelta.sources.postgis.places import Place

__all__ = ["load_weather", "read_weather"]

_DIMS = (["day"], ["day", "y", "x"])


def load_weather(database: Database, place: Place, dataset: xr.Dataset) -> int:
    """Add the weather of a cube; days that are there already must agree.

    Parameters
    ----------
    database : Database
        To write to.
    place : Place
        Whose.
    dataset : xarray.Dataset
        The group ``weather``.

    Returns
    -------
    int
        How many values (of one variable and day) were written.

    Raises
    ------
    ConflictError
        A day is there with other values, or the grid is another one.
    InputError
        It is of a kind that cannot be kept.
    """
    dataset = dataset.load()
    document = _document(dataset)
    old = read_weather(database, place)
    if old is not None:
        _require_same(place, old, dataset, document)
    rows = [row for name in dataset.data_vars for row in _rows(dataset, str(name))]
    insert = sql.SQL(
        "INSERT INTO {} (place, variable, day, value, rast) VALUES (%s, %s, %s, %s, ST_RastFromWKB(%b)) "
        "ON CONFLICT DO NOTHING"
    ).format(database.table("weather"))
    describe = sql.SQL("UPDATE {} SET weather = %s WHERE place = %s").format(database.table("places"))

    def work(connection: Connection) -> int:
        with connection.cursor() as cursor:
            cursor.execute(describe, [json.dumps(document), place.key])
            cursor.executemany(insert, [(place.key, *row) for row in rows])
            return max(cursor.rowcount, 0)

    return database.run(work) if old is None or len(rows) > _size(old) else 0


def read_weather(database: Database, place: Place) -> xr.Dataset | None:
    """Read the weather of a place.

    Parameters
    ----------
    database : Database
        To read.
    place : Place
        Whose.

    Returns
    -------
    xarray.Dataset or None
        As the cube had it; None if there is none.
    """
    describe = sql.SQL("SELECT weather FROM {} WHERE place = %s").format(database.table("places"))
    select = sql.SQL(
        "SELECT day, value, ST_AsBinary(rast) FROM {} WHERE place = %s AND variable = %s ORDER BY day"
    ).format(database.table("weather"))

    def work(connection: Connection) -> tuple[Any, dict[str, list[tuple[Any, ...]]]]:
        row = connection.execute(describe, [place.key]).fetchone()
        document = row[0] if row else None
        with connection.cursor(binary=True) as cursor:
            rows = {
                name: cursor.execute(select, [place.key, name]).fetchall()
                for name in (document or {}).get("variables", {})
            }
        return document, rows

    document, rows = database.run(work)
    return None if document is None else _dataset(document, rows)


def _document(dataset: xr.Dataset) -> dict[str, Any]:
    """Describe all but the values; JSON keeps 64-bit floats to the last bit."""
    variables = {}
    for name, array in dataset.data_vars.items():
        if list(array.dims) not in _DIMS or array.dtype.kind != "f" or array.dtype.itemsize < 4:
            raise InputError(
                f"weather {name} has dims {array.dims} of type {array.dtype}; only float32 and float64 by "
                "(day) or (day, y, x) can be kept in PostGIS"
            )
        variables[str(name)] = {"dims": list(array.dims), **_described(array)}
    coords = {}
    for name, array in dataset.coords.items():
        if str(name) != "day":
            values = array.values.tolist()
            coords[str(name)] = {"dims": list(array.dims), "values": values, **_described(array)}
    day = {"attrs": _attributes(dataset["day"].attrs)}
    return {"attrs": _attributes(dataset.attrs), "day": day, "coords": coords, "variables": variables}


def _described(array: xr.DataArray) -> dict[str, Any]:
    return {"dtype": array.dtype.str, "attrs": _attributes(array.attrs)}


def _attributes(attributes: dict[Any, Any]) -> dict[str, Any]:
    return {
        str(key): value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        for key, value in attributes.items()
    }


def _rows(dataset: xr.Dataset, name: str) -> list[tuple[Any, ...]]:
    array = dataset[name]
    days = dataset["day"].values.astype("datetime64[D]").tolist()
    if array.ndim == 1:
        return [(name, day, float(value), None) for day, value in zip(days, array.values, strict=True)]
    affine = _affine(dataset)
    blobs = [to_wkb(pack(plane[None]), affine, 0) for plane in array.values]
    return [(name, day, None, blob) for day, blob in zip(days, blobs, strict=True)]


def _affine(dataset: xr.Dataset) -> Affine:
    """Place a coarse grid; its exact coordinates are kept beside it."""

    def axis(name: str) -> tuple[float, float]:
        values = dataset[name].values.astype(float) if name in dataset.coords else np.arange(1.0)
        step = float(values[-1] - values[0]) / (len(values) - 1) if len(values) > 1 else 1.0
        return step, float(values[0]) - step / 2

    (width, left), (height, top) = axis("x"), axis("y")
    return Affine(width or 1.0, 0, left, 0, height or 1.0, top)


def _dataset(document: dict[str, Any], rows: dict[str, list[tuple[Any, ...]]]) -> xr.Dataset:
    first = next(iter(rows.values()), [])
    days = np.array([row[0] for row in first], "datetime64[ns]")
    coords: dict[str, Any] = {"day": ("day", days, document["day"]["attrs"])}
    for name, told in document["coords"].items():
        coords[name] = (told["dims"], np.array(told["values"], told["dtype"]), told["attrs"])
    variables = {}
    for name, told in document["variables"].items():
        dtype = np.dtype(told["dtype"])
        if told["dims"] == ["day"]:
            values = np.array([row[1] for row in rows[name]], dtype)
        else:
            values = np.stack([unpack(from_wkb(row[2]).values, dtype)[0] for row in rows[name]])
        variables[name] = (told["dims"], values, told["attrs"])
    return xr.Dataset(variables, coords, document["attrs"])


def _size(dataset: xr.Dataset) -> int:
    return int(dataset.sizes["day"] * len(dataset.data_vars))


def _require_same(place: Place, old: xr.Dataset, new: xr.Dataset, document: dict[str, Any]) -> None:
    same = {k: v for k, v in _document(old).items() if k != "attrs"}
    if same != {k: v for k, v in document.items() if k != "attrs"}:
        raise ConflictError(
            f"the weather of the place {place.name!r} has other variables or another grid in the database; "
            "load the cube under another place"
        )
    common = np.intersect1d(old["day"].values, new["day"].values)
    for name in old.data_vars:
        before, after = old[name].sel(day=common).values, new[name].sel(day=common).values
        if not np.array_equal(before, after, equal_nan=True):
            raise ConflictError(
                f"weather {name} of the place {place.name!r} has other values in the database; "
                "load the cube under another place"
            )
