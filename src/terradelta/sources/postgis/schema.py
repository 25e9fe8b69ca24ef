"""The tables: made by one command, again without harm, with a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

import psycopg
from psycopg import errors as states
from psycopg import sql

from terradelta.errors import InputError, SourceError

if TYPE_CHECKING:
    from terradelta.sources.postgis.connection import Connection, Database

__all__ = [
    "AREA_TABLES",
    "EXTENSIONS",
    "PIXEL_TABLES",
    "TABLES",
    "VERSION",
    "create_schema",
    "require_schema",
]

VERSION = 3
"""Version of the tables; those of a newer one are refused, older ones brought up by `create_schema`."""

EXTENSIONS = ("postgis", "postgis_raster")
"""What the database must have besides PostgreSQL itself."""

PIXEL_TABLES = {"backscatter": "radar", "reflectance": "reflectance", "clear": "clear"}
"""Table of tiles of each image variable of a cube."""

AREA_TABLES = ("forest", "mire", "field", "meadow", "lake", "open", "urban")
"""Tables of polygons, one per class of land cover."""

_SINGLE: dict[str, LiteralString] = {
    "about": "version integer PRIMARY KEY, created timestamptz NOT NULL DEFAULT now()",
    "places": (
        "place serial PRIMARY KEY, name text NOT NULL UNIQUE, cube_name text NOT NULL, crs text NOT NULL, "
        "srid integer NOT NULL, grid json NOT NULL, weather json, truth json"
    ),
    "acquisitions": (
        "acquisition bigserial PRIMARY KEY, place integer NOT NULL REFERENCES {places}, "
        "series text NOT NULL CHECK (series IN ('sar', 'optical')), nanoseconds bigint NOT NULL, "
        "time timestamptz NOT NULL, platform text NOT NULL, relative_orbit integer NOT NULL DEFAULT 0, "
        "orbit_direction text, incidence_angle real, heading real, source_id text NOT NULL, "
        "radiometry text NOT NULL DEFAULT '', estimated text NOT NULL DEFAULT '', "
        "offset_applied boolean, valid_share real, digest text NOT NULL, bands text[] NOT NULL, "
        "UNIQUE (place, series, nanoseconds, platform, relative_orbit)"
    ),
    "layers": (
        "layer bigserial PRIMARY KEY, place integer NOT NULL REFERENCES {places}, "
        "kind text NOT NULL CHECK (kind IN ('static', 'truth')), name text NOT NULL, dtype text NOT NULL, "
        "attributes json NOT NULL, digest text NOT NULL, UNIQUE (place, kind, name)"
    ),
    "weather": (
        "place integer NOT NULL REFERENCES {places}, variable text NOT NULL, day date NOT NULL, "
        "value double precision, rast raster, PRIMARY KEY (place, variable, day)"
    ),
    "datasets": (
        "dataset serial PRIMARY KEY, name text NOT NULL UNIQUE, crs text NOT NULL, srid integer NOT NULL, "
        "digest text NOT NULL, repaired integer NOT NULL, skipped integer NOT NULL"
    ),
}
_TILES: dict[str, LiteralString] = {
    "radar": "acquisition",
    "reflectance": "acquisition",
    "clear": "acquisition",
    "layer_tiles": "layer",
}
_NOISY = ("radar", "reflectance")

TABLES = (*_SINGLE, *_TILES, "land", *AREA_TABLES)
"""All tables; those named after classes of land are the parts of ``land``."""


def create_schema(database: Database, *, reader: str | None = None) -> None:
    """Make the extensions, the schema and all tables, as far as they are missing; bring older tables up.

    The topographic layers are one table per class, as national databases have them; they are the partitions
    of one table ``land``, so that one statement finds the nearest areas over several classes by index.

    Parameters
    ----------
    database : Database
        To write to.
    reader : str, optional
        Existing role that may read everything from now on.

    Raises
    ------
    SourceError
        The database is not there, its server lacks PostGIS, or the role may not do it.
    InputError
        The tables are of a newer version.
    """

    def work(connection: Connection) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"terradelta {database.schema}"])
        for name in EXTENSIONS:
            _create_extension(connection, database, name)
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(database.schema)))
        version = _version(connection, database)
        if version is None:
            _create_tables(connection, database)
        elif version < VERSION:
            _bring_up(connection, database)
        if reader:
            _grant(connection, database, reader)

    database.run(work)


def require_schema(database: Database) -> None:
    """Make sure that everything is there before work begins.

    Parameters
    ----------
    database : Database
        Any.

    Raises
    ------
    SourceError
        An extension or a table is missing, or the tables are older; the command that cures it is named.
    InputError
        The tables are of a newer version.
    """

    def work(connection: Connection) -> None:
        rows = connection.execute(
            "SELECT extname FROM pg_extension WHERE extname = ANY(%s)", [list(EXTENSIONS)]
        )
        there = {row[0] for row in rows}
        missing = [f"extension {name}" for name in EXTENSIONS if name not in there]
        if not missing:
            rows = connection.execute(
                "SELECT name FROM unnest(%s::text[]) AS name WHERE NOT EXISTS (SELECT FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = name)",
                [list(TABLES), database.schema],
            )
            missing = [f"table {database.schema}.{row[0]}" for row in rows]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 4 else ""
            named = ", ".join(missing if not more else missing[:3])
            raise SourceError(
                f"the {database.address} lacks the {named}{more}; make it with `terradelta database create`"
            )
        version = _version(connection, database) or 0
        if version < VERSION:
            raise SourceError(
                f"the {database.address} has tables of version {version}, this terradelta needs {VERSION}; "
                "bring them up with `terradelta database create`"
            )

    database.run(work)


def _bring_up(connection: Connection, database: Database) -> None:
    """Add what versions 2 (truth) and 3 (radiometry, estimated) brought."""
    words = {name: database.table(name) for name in ("places", "acquisitions", "about")}
    _run(connection, "ALTER TABLE {places} ADD COLUMN IF NOT EXISTS truth json", **words)
    for name in ("radiometry", "estimated"):
        _run(
            connection,
            "ALTER TABLE {acquisitions} ADD COLUMN IF NOT EXISTS {name} text NOT NULL DEFAULT ''",
            name=sql.Identifier(name),
            **words,
        )
    _run(connection, "INSERT INTO {about} (version) VALUES ({now})", now=sql.Literal(VERSION), **words)


def _create_extension(connection: Connection, database: Database, name: str) -> None:
    """Make an extension, unless it is there; only then must the role be allowed to."""
    if connection.execute("SELECT 1 FROM pg_extension WHERE extname = %s", [name]).fetchone():
        return
    try:
        connection.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(name)))
    except (states.FeatureNotSupported, states.UndefinedFile):
        raise SourceError(
            f"the server of the {database.address} does not have the extension {name}; install PostGIS 3 "
            "there (Debian: postgresql-15-postgis-3), then run `terradelta database create`"
        ) from None
    except states.InsufficientPrivilege:
        raise SourceError(
            f"the {database.address} lacks the extension {name}, and this role may not create it; an "
            f"administrator runs there: CREATE EXTENSION {name}; then run `terradelta database create`"
        ) from None


def _version(connection: Connection, database: Database) -> int | None:
    found = connection.execute("SELECT to_regclass(%s)", [database.table("about").as_string(None)]).fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute(
        sql.SQL("SELECT max(version) FROM {}").format(database.table("about"))
    ).fetchone()
    version = row[0] if row else None
    if version is not None and version > VERSION:
        raise InputError(
            f"the {database.address} has tables of version {version}, this terradelta knows {VERSION}: "
            "upgrade terradelta"
        )
    return version


def _create_tables(connection: Connection, database: Database) -> None:
    names = {name: database.table(name) for name in TABLES}
    for name, columns in _SINGLE.items():
        _run(connection, "CREATE TABLE {table} (" + columns + ")", table=names[name], **names)
    _run(connection, "CREATE INDEX ON {acquisitions} (time, relative_orbit)", **names)
    for name, owner in _TILES.items():
        _create_tiles(connection, database, name, owner)
    _run(
        connection,
        "CREATE TABLE {land} (dataset integer NOT NULL REFERENCES {datasets}, number bigint NOT NULL, "
        "class text NOT NULL, geom geometry(Polygon) NOT NULL, PRIMARY KEY (class, dataset, number)) "
        "PARTITION BY LIST (class)",
        **names,
    )
    for name in AREA_TABLES:
        _run(
            connection,
            "CREATE TABLE {part} PARTITION OF {land} FOR VALUES IN ({value})",
            part=names[name],
            value=sql.Literal(name),
            **names,
        )
    _run(connection, "CREATE INDEX ON {land} USING gist (geom)", **names)
    _run(
        connection, "INSERT INTO {about} (version) VALUES ({version})", version=sql.Literal(VERSION), **names
    )


def _create_tiles(connection: Connection, database: Database, name: str, owner: LiteralString) -> None:
    table, parent = database.table(name), database.table(f"{owner}s")
    _run(
        connection,
        "CREATE TABLE {table} ({owner} bigint NOT NULL REFERENCES {parent} ON DELETE CASCADE, "
        "y integer NOT NULL, x integer NOT NULL, rast raster NOT NULL, PRIMARY KEY ({owner}, y, x))",
        table=table,
        owner=sql.Identifier(owner),
        parent=parent,
    )
    if name in _NOISY:  # speckle does not compress
        _run(connection, "ALTER TABLE {table} ALTER rast SET STORAGE EXTERNAL", table=table)
    _run(connection, "CREATE INDEX ON {table} USING gist (ST_ConvexHull(rast))", table=table)


def _grant(connection: Connection, database: Database, reader: str) -> None:
    words = {"schema": sql.Identifier(database.schema), "reader": sql.Identifier(reader)}
    try:
        _run(connection, "GRANT USAGE ON SCHEMA {schema} TO {reader}", **words)
        _run(connection, "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}", **words)
    except states.UndefinedObject:
        raise InputError(
            f"there is no role {reader!r} on the server of the {database.address}; make it first: "
            f"CREATE ROLE {sql.Identifier(reader).as_string(None)} LOGIN"
        ) from None


def _run(connection: Connection, text: LiteralString, **words: sql.Composable) -> psycopg.Cursor[object]:
    return connection.execute(sql.SQL(text).format(**words))
