"""A cube out of the database: equal to the last bit to the one that went in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psycopg import sql

from terradelta.cube.acquisitions import Acquisition, OpticalAcquisition, SarAcquisition
from terradelta.cube.append import append_all
from terradelta.cube.layers import write_layer
from terradelta.cube.schema import SERIES
from terradelta.cube.series import open_series
from terradelta.cube.store import create_cube, read_header
from terradelta.cube.weather import write_weather
from terradelta.errors import ConflictError, SourceError
from terradelta.sources.postgis.images import Key, column_names, key_of, stored_rows
from terradelta.sources.postgis.places import Place, find_place
from terradelta.sources.postgis.schema import PIXEL_TABLES, require_schema
from terradelta.sources.postgis.tiles import Frame, StoredImage
from terradelta.sources.postgis.truth import export_truth
from terradelta.sources.postgis.weather import read_weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from terradelta.sources.postgis.connection import Connection, Database
    from terradelta.types import PathType

__all__ = ["export_cube"]


def export_cube(
    database: Database,
    path: PathType,
    *,
    place: str = "",
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write a place of the database as a cube; what the cube holds already stays.

    The digest of every image is compared with that of the cube that was loaded.

    Parameters
    ----------
    database : Database
        To read; a read-only role is enough.
    path : path
        Cube to write, or to go on with.
    place : str
        Which place; empty: the only one.
    progress : callable, optional
        Told how many acquisitions are done, of how many, and what is done.

    Returns
    -------
    pathlib.Path
        The cube.

    Raises
    ------
    ConflictError
        A cube of other content is there.
    InputError
        There is no such place.
    SourceError
        The database is not there, or pixels in it were damaged.
    StorageError
        The cube cannot be written.
    """
    require_schema(database)
    found = find_place(database, place)
    create_cube(path, found.geobox, name=found.cube_name)
    for kind, name, image, attributes in _layers(database, found):
        _write_layer(Path(path), found, kind, name, image, attributes)
    export_truth(database, found, path)
    weather = read_weather(database, found)
    if weather is not None:
        write_weather(path, weather)
    rows = {group: stored_rows(database, found.key, group) for group in SERIES}
    total = sum(map(len, rows.values()))
    done = 0
    for group, some in rows.items():
        missing = _missing(path, group, some)
        done += len(some) - len(missing)
        several = len({row.get("radiometry", "") for row in some} - {""}) > 1
        images = _images(database, found, group, missing, _told(progress, done, total))
        append_all(path, images, mixed=several)
        done += len(missing)
        _require_digests(path, group, some)
    return Path(path)


def _write_layer(
    path: Path, place: Place, kind: str, name: str, image: StoredImage, attributes: dict[str, Any]
) -> None:
    try:
        write_layer(path, kind, name, image, attributes)
    except ConflictError as error:
        reason = str(error).rpartition(";")[0]
        raise ConflictError(
            f"{path} is another cube than the place {place.name!r} ({reason}); choose another path"
        ) from None


def _told(
    progress: Callable[[int, int, str], None] | None, done: int, total: int
) -> Callable[[int, str], None]:
    def tell(more: int, what: str) -> None:
        if progress is not None:
            progress(done + more, total, what)

    return tell


def _layers(database: Database, place: Place) -> Iterator[tuple[str, str, StoredImage, dict[str, Any]]]:
    statement = sql.SQL(
        "SELECT layer, kind, name, dtype, attributes FROM {} WHERE place = %s ORDER BY layer"
    ).format(database.table("layers"))

    def work(connection: Connection) -> list[tuple[Any, ...]]:
        return connection.execute(statement, [place.key]).fetchall()

    for key, kind, name, dtype, attributes in database.run(work):
        frame = Frame("layer_tiles", "layer", place.geobox, place.srid)
        yield kind, name, StoredImage(database, frame, key, dtype), attributes


def _images(
    database: Database,
    place: Place,
    group: str,
    rows: list[dict[str, Any]],
    tell: Callable[[int, str], None],
) -> Iterator[Acquisition]:
    make: Any = SarAcquisition if group == "sar" else OpticalAcquisition
    kept = [name for name in column_names(group) if name not in ("valid_share", "digest")]
    for number, row in enumerate(rows):
        images = {}
        for pixels in SERIES[group].pixels:
            frame = Frame(PIXEL_TABLES[pixels.name], "acquisition", place.geobox, place.srid)
            bands = len(row["bands"]) if pixels.banded else None
            images[pixels.name] = StoredImage(database, frame, row["acquisition"], pixels.dtype, bands)
        time = np.datetime64(row["nanoseconds"], "ns")
        yield make(time=time, bands=tuple(row["bands"]), **images, **{name: row[name] for name in kept})
        tell(number + 1, key_of(row["nanoseconds"], row).title)


def _digests(path: PathType, group: str) -> dict[Key, str]:
    series = open_series(read_header(path), group)
    if series is None:
        return {}
    columns = {name: series.column(name).tolist() for name in column_names(group)}
    times = series.column("time").astype("int64").tolist()
    return {
        key_of(time, {name: values[index] for name, values in columns.items()}): columns["digest"][index]
        for index, time in enumerate(times)
    }


def _missing(path: PathType, group: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what an earlier, interrupted export has written."""
    there = _digests(path, group)
    return [row for row in rows if there.get(key_of(row["nanoseconds"], row)) != row["digest"]]


def _require_digests(path: PathType, group: str, rows: list[dict[str, Any]]) -> None:
    there = _digests(path, group)
    for row in rows:
        key = key_of(row["nanoseconds"], row)
        if there.get(key) != row["digest"]:
            raise SourceError(
                f"{key.title} came out of the database with other pixels than went in; "
                "load it again from the cube it came from"
            )
