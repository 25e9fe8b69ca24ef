"""What a cube tells about its changes beside the layers: the table of changes, and what they follow from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from psycopg import sql

from terradelta.cube.files import read_json, storage_errors, write_json
from terradelta.cube.layers import replacing
from terradelta.cube.locking import exclusive
from terradelta.cube.reading import open_cube
from terradelta.errors import ConflictError

if TYPE_CHECKING:
    from terradelta.sources.postgis.connection import Connection, Database
    from terradelta.sources.postgis.places import Place
    from terradelta.types import PathType

__all__ = ["export_truth", "load_truth"]

_GROUP, _TABLE = "truth", "changes"


def load_truth(database: Database, place: Place, tree: xr.DataTree) -> bool:
    """Add the table of changes of a cube, and the attributes of its truth; what is there already must agree.

    Parameters
    ----------
    database : Database
        To write to.
    place : Place
        Whose.
    tree : xarray.DataTree
        The cube.

    Returns
    -------
    bool
        Whether something was written.

    Raises
    ------
    ConflictError
        Another table is there.
    """
    document = _document(tree)
    if document is None:
        return False
    update = sql.SQL("UPDATE {} SET truth = %s WHERE place = %s AND truth IS NULL").format(
        database.table("places")
    )

    def work(connection: Connection) -> bool:
        return connection.execute(update, [json.dumps(document), place.key]).rowcount > 0

    if database.run(work):
        return True
    if _stored(database, place) != document:
        raise ConflictError(
            f"the place {place.name!r} is in the {database.address} with other changes (truth/changes); "
            "load the cube under another place"
        )
    return False


def export_truth(database: Database, place: Place, path: PathType) -> None:
    """Write the table of changes, and the attributes of the truth, into a cube that has its layers.

    Parameters
    ----------
    database : Database
        To read.
    place : Place
        Which place.
    path : path
        The cube.

    Raises
    ------
    ConflictError
        The cube has another table.
    LockedError, StorageError
        Another process holds the cube, or the disk refuses.
    """
    document = _stored(database, place)
    if document is None:
        return
    cube = Path(path)
    there = _document(open_cube(cube))
    if there == document:
        return
    if there is not None and there["table"] is not None:
        raise ConflictError(
            f"{cube} is another cube than the place {place.name!r} (it has other changes: truth/changes); "
            "choose another path"
        )
    with storage_errors(cube), exclusive(cube):
        group = cube / _GROUP / "zarr.json"
        if document["attributes"]:
            write_json(group, {**(read_json(group) or {}), "attributes": document["attributes"]})
        if document["table"] is not None:
            with replacing(cube, cube / _GROUP / _TABLE) as draft:
                _table(document["table"]).to_zarr(str(draft), mode="w", consolidated=False, zarr_format=3)


def _stored(database: Database, place: Place) -> Any:
    query = sql.SQL("SELECT truth FROM {} WHERE place = %s").format(database.table("places"))
    row = database.run(lambda connection: connection.execute(query, [place.key]).fetchone())
    return row[0] if row else None


def _document(tree: xr.DataTree) -> dict[str, Any] | None:
    """Describe attributes and table in what JSON keeps; None if there is neither, or no layer yet."""
    truth = tree.children.get(_GROUP)
    if truth is None or not truth.data_vars:
        return None
    attributes = json.loads(json.dumps(dict(truth.attrs), default=_plain))
    table = truth.children.get(_TABLE)
    if table is None and not attributes:
        return None
    told = None if table is None else _told(table.to_dataset(inherit=False).load())
    return {"attributes": attributes, "table": told}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def _told(table: xr.Dataset) -> dict[str, Any]:
    variables = {str(name): _column(array) for name, array in sorted(table.variables.items())}
    attributes = json.loads(json.dumps(dict(table.attrs), default=_plain))
    return {"coords": sorted(map(str, table.coords)), "attributes": attributes, "variables": variables}


def _column(array: xr.Variable) -> dict[str, Any]:
    values, kind = array.values, array.dtype.kind
    flat: list[Any]
    if kind == "M":
        flat, dtype = values.astype("datetime64[ns]").astype(np.int64).ravel().tolist(), "datetime64[ns]"
    elif kind in "OTU":
        flat, dtype = [str(value) for value in values.ravel()], "text"
    else:
        flat, dtype = values.ravel().tolist(), array.dtype.str
    flat = [str(value) if isinstance(value, float) and not math.isfinite(value) else value for value in flat]
    attributes = json.loads(json.dumps(dict(array.attrs), default=_plain))
    told = {"dims": list(map(str, array.dims)), "shape": list(array.shape), "dtype": dtype}
    return {**told, "values": flat, "attributes": attributes}


def _table(told: dict[str, Any]) -> xr.Dataset:
    variables = {
        name: (column["dims"], _values(column), column["attributes"])
        for name, column in told["variables"].items()
    }
    return xr.Dataset(variables, attrs=told["attributes"]).set_coords(told["coords"])


def _values(column: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Give the values of a column; JSON keeps 64-bit numbers, others come back from text."""
    dtype, values = column["dtype"], column["values"]
    if dtype == "text":
        array = np.array(values, np.dtypes.StringDType())
    elif dtype == "datetime64[ns]":
        array = np.array(values, np.int64).view("datetime64[ns]")
    elif np.dtype(dtype).kind == "f":
        array = np.array([float(value) for value in values], dtype)
    else:
        array = np.array(values, dtype)
    return array.reshape(column["shape"])
