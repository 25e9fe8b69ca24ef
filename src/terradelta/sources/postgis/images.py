"""Rows of acquisitions: what is known about each image besides its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from psycopg import sql
from psycopg.rows import dict_row

from terradelta.cube.schema import SERIES

if TYPE_CHECKING:
    from terradelta.sources.postgis.connection import Connection, Database

__all__ = ["Key", "add_row", "column_names", "key_of", "stored_digests", "stored_rows"]

_MICRO = 1000


class Key(NamedTuple):
    """What tells one image of a place and group from all others.

    Attributes
    ----------
    nanoseconds : int
        Time since 1970, UTC.
    platform : str
        Satellite, empty if unknown.
    orbit : int
        Relative orbit, 0 if unknown or not a radar image.

    Examples
    --------
    >>> Key(1_577_836_800_000_000_000, "S1A", 80).title
    '2020-01-01T00:00:00Z S1A orbit 80'
    """

    nanoseconds: int
    platform: str
    orbit: int

    @property
    def title(self) -> str:
        """In words."""
        moment = np.datetime_as_string(np.datetime64(self.nanoseconds, "ns"), "s")
        words = [f"{moment}Z", self.platform, f"orbit {self.orbit}" if self.orbit else ""]
        return " ".join(word for word in words if word)


def column_names(group: str) -> list[str]:
    """Name the values per time that both a cube and the database keep.

    Parameters
    ----------
    group : str
        ``sar`` or ``optical``.

    Returns
    -------
    list of str
        Without the time.

    Examples
    --------
    >>> column_names("optical")
    ['platform', 'source_id', 'offset_applied', 'valid_share', 'digest']
    """
    return list(SERIES[group].column_names)


def key_of(nanoseconds: int, values: dict[str, Any]) -> Key:
    """Take the key out of the values of an image.

    Parameters
    ----------
    nanoseconds : int
        Its time.
    values : dict
        Its values per time.

    Returns
    -------
    Key

    Examples
    --------
    >>> key_of(0, {"platform": "S2A"})
    Key(nanoseconds=0, platform='S2A', orbit=0)
    """
    return Key(int(nanoseconds), str(values["platform"]), int(values.get("relative_orbit") or 0))


def stored_digests(database: Database, place: int, group: str) -> dict[Key, str]:
    """Tell which images of a place are in the database.

    Parameters
    ----------
    database : Database
        To read.
    place : int
        Number of the place.
    group : str
        ``sar`` or ``optical``.

    Returns
    -------
    dict
        Digest by key.
    """
    return {key_of(row["nanoseconds"], row): row["digest"] for row in stored_rows(database, place, group)}


def stored_rows(database: Database, place: int, group: str) -> list[dict[str, Any]]:
    """Read what is known about all images of a place.

    Parameters
    ----------
    database : Database
        To read.
    place : int
        Number of the place.
    group : str
        ``sar`` or ``optical``.

    Returns
    -------
    list of dict
        In the order in which they were loaded.
    """
    columns = ["acquisition", "nanoseconds", "bands", *column_names(group)]
    statement = sql.SQL(
        "SELECT {columns} FROM {table} WHERE place = %s AND series = %s ORDER BY acquisition"
    ).format(columns=sql.SQL(", ").join(map(sql.Identifier, columns)), table=database.table("acquisitions"))

    def work(connection: Connection) -> list[dict[str, Any]]:
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, [place, group]).fetchall()

    return database.run(work)


def add_row(
    connection: Connection, database: Database, place: int, group: str, values: dict[str, Any]
) -> int | None:
    """Enter an image.

    Parameters
    ----------
    connection : Connection
        Within a transaction.
    database : Database
        Names the tables.
    place : int
        Number of the place.
    group : str
        ``sar`` or ``optical``.
    values : dict
        ``nanoseconds``, ``bands``, and the values per time.

    Returns
    -------
    int or None
        Its number; None if somebody else entered it meanwhile.
    """
    names = list(values)
    statement = sql.SQL(
        "INSERT INTO {table} (place, series, time, {names}) VALUES (%s, %s, "
        "timestamptz 'epoch' + %s * interval '1 microsecond', {values}) ON CONFLICT DO NOTHING "
        "RETURNING acquisition"
    ).format(
        table=database.table("acquisitions"),
        names=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join([sql.Placeholder()] * len(names)),
    )
    microseconds = values["nanoseconds"] // _MICRO
    row = connection.execute(statement, [place, group, microseconds, *values.values()]).fetchone()
    return int(row[0]) if row else None
