"""Cubes and topographic layers in PostgreSQL with PostGIS: made, filled, read and taken out again."""

from __future__ import annotations

from terradelta.errors import InputError

try:
    import psycopg
    import psycopg_pool
except ImportError as error:
    raise InputError(
        f"PostGIS needs {error.name}; install it with: pip install 'terradelta[postgis]'"
    ) from error

from terradelta.sources.postgis.areas import load_areas
from terradelta.sources.postgis.checking import check_database
from terradelta.sources.postgis.connection import Database
from terradelta.sources.postgis.exporting import export_cube
from terradelta.sources.postgis.loading import load_cube
from terradelta.sources.postgis.schema import create_schema

__all__ = ["Database", "check_database", "create_schema", "export_cube", "load_areas", "load_cube"]

del psycopg, psycopg_pool
