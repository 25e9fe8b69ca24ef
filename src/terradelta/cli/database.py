"""`terradelta database create`, `load`, `land`, `export` and `check`."""

from __future__ import annotations

from terradelta.workflows.config.database import (
    DatabaseCheckSettings,
    DatabaseCreateSettings,
    DatabaseExportSettings,
    DatabaseLandSettings,
    DatabaseLoadSettings,
)

__all__ = ["check", "create", "export", "land", "load"]


def create(settings: DatabaseCreateSettings) -> None:
    """Make the tables."""
    from terradelta.workflows import database

    _say(database.create(settings))


def load(settings: DatabaseLoadSettings) -> None:
    """Copy a cube in."""
    from terradelta.workflows import database
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        report = database.load(settings, progress)
    _say([f"place {report.place}: {report}"])


def land(settings: DatabaseLandSettings) -> None:
    """Copy polygons in."""
    from terradelta.workflows import database

    _say([database.load_land(settings)])


def export(settings: DatabaseExportSettings) -> None:
    """Copy a cube out."""
    from terradelta.workflows import database
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        out = database.export(settings, progress)
    _say([f"{out}"])


def check(settings: DatabaseCheckSettings) -> None:
    """Tell what is there."""
    from terradelta.workflows import database

    _say(database.check(settings))


def _say(lines: list[str]) -> None:
    import typer

    for line in lines:
        typer.echo(line)
