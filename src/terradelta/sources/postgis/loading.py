"""A cube into the database: acquisition by acquisition, each wholly or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psycopg import sql

from terradelta.cube.reading import open_cube
from terradelta.cube.schema import LAYER_GROUPS, SERIES
from terradelta.cube.series import Series, open_series
from terradelta.cube.store import read_header
from terradelta.errors import ConflictError
from terradelta.sources.postgis.images import Key, add_row, column_names, key_of, stored_digests
from terradelta.sources.postgis.places import Place, add_place
from terradelta.sources.postgis.schema import PIXEL_TABLES, require_schema
from terradelta.sources.postgis.tiles import Frame, image_digest, write_tiles
from terradelta.sources.postgis.truth import load_truth
from terradelta.sources.postgis.weather import load_weather

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    from terradelta.sources.postgis.connection import Connection, Database
    from terradelta.types import PathType

__all__ = ["LoadReport", "load_cube"]


@dataclass(frozen=True)
class LoadReport:
    """What a load did.

    Attributes
    ----------
    place : str
        Name of the place in the database.
    added, skipped : int
        Acquisitions that were written, and those that were there already.
    layers : tuple of str
        Layers that were written.
    weather : int
        Values of daily weather that were written.

    Examples
    --------
    >>> print(LoadReport("liege", added=2, skipped=1, layers=("static/dem",)))
    2 acquisitions added, 1 there already, layers static/dem
    """

    place: str
    added: int = 0
    skipped: int = 0
    layers: tuple[str, ...] = ()
    weather: int = 0

    def __str__(self) -> str:
        parts = [f"{self.added} acquisitions added", f"{self.skipped} there already"]
        parts += [f"layers {', '.join(self.layers)}"] if self.layers else []
        parts += [f"{self.weather} values of weather"] if self.weather else []
        return ", ".join(parts)


def load_cube(
    database: Database,
    cube: PathType,
    *,
    place: str = "",
    progress: Callable[[int, int, str], None] | None = None,
) -> LoadReport:
    """Copy a cube into the database; what is there already stays.

    Each acquisition is one transaction: whatever ends the work leaves whole ones, and the same call again
    adds the rest. A connection that is lost is made anew.

    Parameters
    ----------
    database : Database
        To write to; its tables are made by :func:`create_schema`.
    cube : path
        The cube.
    place : str
        Name to give it in the database; empty: the cube's name, or that of its folder.
    progress : callable, optional
        Told how many acquisitions are done, of how many, and what is done.

    Returns
    -------
    LoadReport

    Raises
    ------
    ConflictError
        Other data are there under the same place and identity.
    CubeError
        There is no cube.
    SourceError
        The database is not there, lacks the tables, or was lost again and again.
    """
    header = read_header(cube)
    require_schema(database)
    found = add_place(database, header, place or header.name or header.path.stem)
    report = LoadReport(found.name)
    tree = open_cube(header.path)
    layers = _load_layers(database, found, tree)
    layers += ("truth/changes",) if load_truth(database, found, tree) else ()
    days = load_weather(database, found, tree["weather"].to_dataset()) if "weather" in tree.children else 0
    report = replace(report, layers=layers, weather=days)
    groups = [series for name in SERIES if (series := open_series(header, name)) is not None]
    total = sum(series.committed for series in groups)
    for series in groups:
        report = _load_series(database, found, series, report, progress, total)
    return report


def _load_series(
    database: Database,
    place: Place,
    series: Series,
    report: LoadReport,
    progress: Callable[[int, int, str], None] | None,
    total: int,
) -> LoadReport:
    known = stored_digests(database, place.key, series.name)
    columns = {name: series.column(name) for name in ("time", *column_names(series.name))}
    for index in range(series.committed):
        values = {name: _plain(column[index]) for name, column in columns.items() if name != "time"}
        nanoseconds = int(columns["time"][index].astype("int64"))
        key = key_of(nanoseconds, values)
        if key in known:
            _require_same(database, place, key, known[key], values["digest"])
            report = replace(report, skipped=report.skipped + 1)
        else:
            values |= {"nanoseconds": nanoseconds, "bands": list(series.bands)}
            added = _load_image(database, place, series, index, values)
            report = replace(report, added=report.added + added, skipped=report.skipped + 1 - added)
        if progress is not None:
            progress(report.added + report.skipped, total, key.title)
    return report


def _load_image(database: Database, place: Place, series: Series, index: int, values: dict[str, Any]) -> int:
    """Write one image in one transaction; 0 if it came in by another way meanwhile."""
    images = {pixels.name: _At(series.array(pixels.name), index) for pixels in series.spec.pixels}

    def work(connection: Connection) -> int:
        number = add_row(connection, database, place.key, series.name, values)
        if number is None:
            return 0
        for name, image in images.items():
            frame = Frame(PIXEL_TABLES[name], "acquisition", place.geobox, place.srid)
            write_tiles(connection, database, frame, number, image)
        return 1

    return database.run(work)


class _At:
    """One image of an array over time, not read before it is asked for."""

    def __init__(self, array: Any, index: int) -> None:
        self._array, self._index = array, index
        self.shape = tuple(array.shape[1:])

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        return self._array[(self._index, *key)]


def _load_layers(database: Database, place: Place, tree: xr.DataTree) -> tuple[str, ...]:
    added: list[str] = []
    for kind in LAYER_GROUPS:
        layers = tree[kind].to_dataset().data_vars.items() if kind in tree.children else ()
        for name, layer in layers:
            if _load_layer(database, place, kind, str(name), layer):
                added.append(f"{kind}/{name}")
    return tuple(added)


def _load_layer(database: Database, place: Place, kind: str, name: str, layer: xr.DataArray) -> bool:
    attributes = json.dumps(dict(layer.attrs), sort_keys=True, default=_plain)
    digest = hashlib.sha256((image_digest(layer.data) + attributes).encode()).hexdigest()
    insert = sql.SQL(
        "INSERT INTO {} (place, kind, name, dtype, attributes, digest) VALUES (%s, %s, %s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING RETURNING layer"
    ).format(database.table("layers"))
    known = sql.SQL("SELECT digest FROM {} WHERE place = %s AND kind = %s AND name = %s").format(
        database.table("layers")
    )

    def work(connection: Connection) -> bool:
        values = [place.key, kind, name, layer.dtype.str, attributes, digest]
        row = connection.execute(insert, values).fetchone()
        if row is not None:
            frame = Frame("layer_tiles", "layer", place.geobox, place.srid)
            write_tiles(connection, database, frame, row[0], layer.data)
            return True
        there = connection.execute(known, values[:3]).fetchone()
        if there is None or there[0] != digest:
            raise ConflictError(
                f"layer {kind}/{name} of the place {place.name!r} is in the {database.address} with other "
                "values; load the cube under another place"
            )
        return False

    return database.run(work)


def _plain(value: Any) -> Any:
    """Turn a value of NumPy into one of Python."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _require_same(database: Database, place: Place, key: Key, stored: str, given: str) -> None:
    if stored != given:
        raise ConflictError(
            f"{key.title} of the place {place.name!r} is in the {database.address} with other pixels "
            f"({stored[:12]}, now {given[:12]}); load the cube under another place"
        )
