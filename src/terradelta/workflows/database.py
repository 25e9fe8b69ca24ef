"""Cubes and land cover in PostGIS, wired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terradelta.workflows.config.database import (
    DatabaseCheckSettings,
    DatabaseCreateSettings,
    DatabaseExportSettings,
    DatabaseLandSettings,
    DatabaseLoadSettings,
    DatabaseSettings,
)
from terradelta.workflows.progress import Progress, no_progress

if TYPE_CHECKING:
    from terradelta.sources.postgis import Database
    from terradelta.sources.postgis.loading import LoadReport

__all__ = ["check", "create", "export", "load", "load_land"]


def create(settings: DatabaseCreateSettings) -> list[str]:
    """Make the tables as told, and tell what is there.

    Raises
    ------
    InputError, SourceError
        From `create_schema`.
    """
    from terradelta.sources.postgis import check_database, create_schema

    with _open(settings, write=True) as database:
        create_schema(database, reader=settings.reader or None)
        return check_database(database)


def load(settings: DatabaseLoadSettings, progress: Progress = no_progress) -> LoadReport:
    """Load a cube as told; the same settings again complete it.

    Raises
    ------
    ConflictError, CubeError, SourceError
        From `load_cube`.
    """
    from terradelta.sources.postgis import load_cube

    with _open(settings, write=True) as database, _told("loading the cube", progress) as tell:
        return load_cube(database, settings.cube, place=settings.place, progress=tell)


def load_land(settings: DatabaseLandSettings) -> str:
    """Load polygons as told, and tell what was written.

    Raises
    ------
    ConflictError, InputError, SourceError
        From `read_polygons` and `load_areas`.
    """
    from terradelta.land.classes import CLASSES
    from terradelta.sources.polygons import read_polygons
    from terradelta.sources.postgis import load_areas

    name = settings.dataset or settings.file.stem
    with _open(settings, write=True) as database:
        found = read_polygons(
            settings.file,
            _known(settings.crs) if settings.crs else _crs(database, settings.place),
            layer=settings.layers or settings.layer or None,
            class_column=settings.class_column,
            classes=settings.classes or {name: name for name in CLASSES},
        )
        added = load_areas(
            database, name, found.geometries, found.classes.tolist(), found.crs,
            repaired=found.repaired, skipped=found.skipped,
        )  # fmt: skip
    return f"dataset {name}: {added} polygons added" if added else f"dataset {name}: there already"


def export(settings: DatabaseExportSettings, progress: Progress = no_progress) -> Path:
    """Export a place as told; the same settings again complete it.

    Raises
    ------
    ConflictError, InputError, SourceError, StorageError
        From `export_cube`.
    """
    from terradelta.sources.postgis import export_cube

    with _open(settings) as database, _told("writing the cube", progress) as tell:
        return export_cube(database, settings.cube, place=settings.place, progress=tell)


def check(settings: DatabaseCheckSettings) -> list[str]:
    """Tell what is in the database.

    Raises
    ------
    InputError, SourceError
        From `check_database`.
    """
    from terradelta.sources.postgis import check_database

    with _open(settings) as database:
        return check_database(database)


def _open(settings: DatabaseSettings, *, write: bool = False) -> Database:
    from terradelta.sources.postgis import Database

    return Database(settings.database or None, schema=settings.tables, write=write)


def _known(crs: str) -> str:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    from terradelta.errors import InputError

    try:
        CRS.from_user_input(crs)
    except CRSError:
        raise InputError(f"crs is {crs!r}, which PROJ does not know; write for example EPSG:3067") from None
    return crs


def _crs(database: Database, place: str) -> str:
    from terradelta.cube.grid import crs_text
    from terradelta.sources.postgis.places import find_place
    from terradelta.sources.postgis.schema import require_schema

    require_schema(database)
    return crs_text(find_place(database, place).geobox.crs)


@contextmanager
def _told(label: str, progress: Progress) -> Iterator[Callable[[int, int, str], None]]:
    """Turn the sources' own way of telling how far they are into a bar."""
    with ExitStack() as stack:
        advance: Any = None
        told = 0

        def tell(done: int, total: int, what: str) -> None:
            nonlocal advance, told
            if advance is None:
                advance = stack.enter_context(progress(label, total))
            advance(done - told)
            told = done

        yield tell
