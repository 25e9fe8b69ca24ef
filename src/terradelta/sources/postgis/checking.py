"""What is in a database, and whether it can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from terradelta.sources.postgis.schema import VERSION, require_schema

if TYPE_CHECKING:
    from terradelta.sources.postgis.connection import Connection, Database

__all__ = ["check_database"]


def check_database(database: Database) -> list[str]:
    """Connect, look for extensions and tables, and count what is there.

    Parameters
    ----------
    database : Database
        To read.

    Returns
    -------
    list of str
        Lines for people.

    Raises
    ------
    SourceError
        The database is not there, or lacks an extension or a table.
    InputError
        Its tables are of a newer version.
    """
    require_schema(database)

    def work(connection: Connection) -> list[str]:
        row = connection.execute(
            "SELECT current_setting('server_version'), postgis_lib_version(), current_user, "
            "has_table_privilege(%s, 'INSERT'), current_setting('postgis.gdal_enabled_drivers', true)",
            [database.table("acquisitions").as_string(None)],
        ).fetchone()
        server, postgis, user, writes, drivers = row or ("?",) * 5
        lines = [
            f"{database.address}: PostgreSQL {server}, PostGIS {postgis}, tables of version {VERSION}",
            f"role {user} may {'read and write' if writes else 'only read'}",
            f"GDAL drivers of postgis_raster: {drivers or 'DISABLE_ALL'} (terradelta needs none)",
        ]
        return [*lines, *_places(connection, database), *_datasets(connection, database)]

    return database.run(work)


def _places(connection: Connection, database: Database) -> list[str]:
    rows = connection.execute(
        sql.SQL(
            "SELECT p.name, p.crs, count(*) FILTER (WHERE series = 'sar'), "
            "count(*) FILTER (WHERE series = 'optical') FROM {} p LEFT JOIN {} a USING (place) "
            "GROUP BY p.place ORDER BY p.place"
        ).format(database.table("places"), database.table("acquisitions"))
    ).fetchall()
    return [
        f"place {name} in {crs[:40]}: {radar} radar and {optical} optical images"
        for name, crs, radar, optical in rows
    ]


def _datasets(connection: Connection, database: Database) -> list[str]:
    rows = connection.execute(
        sql.SQL(
            "SELECT d.name, d.crs, l.class, count(*) FROM {} d JOIN {} l USING (dataset) "
            "GROUP BY d.dataset, l.class ORDER BY d.dataset, l.class"
        ).format(database.table("datasets"), database.table("land"))
    ).fetchall()
    counts: dict[tuple[str, str], list[str]] = {}
    for name, crs, kind, count in rows:
        counts.setdefault((name, crs), []).append(f"{count} {kind}")
    return [f"land cover {name} in {crs[:40]}: {', '.join(some)}" for (name, crs), some in counts.items()]
