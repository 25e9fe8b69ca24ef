"""`terradelta cube build`, `import` and `info`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from terradelta.workflows.config import BuildSettings, ImportSettings, InfoSettings

if TYPE_CHECKING:
    from terradelta.sources import FillReport

__all__ = ["add", "build", "info"]


def build(settings: BuildSettings) -> None:
    """Make a new cube."""
    from terradelta.workflows.cubes import build_from
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        report = build_from(settings, progress)
    _tell(report)


def add(settings: ImportSettings) -> None:
    """Fill a cube further."""
    from terradelta.workflows.cubes import import_from
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        report = import_from(settings, progress)
    _tell(report)


def info(settings: InfoSettings) -> None:
    """Show a cube at a glance."""
    import typer

    from terradelta.cube import open_cube, summary

    typer.echo(summary(open_cube(settings.cube)).render())


def _tell(report: FillReport) -> None:
    import typer

    for word, lines in (("note", report.warnings), ("left out", report.empty + report.failures)):
        for line in lines:
            typer.echo(f"{word}: {line}", err=True)
    typer.echo(f"{report.path}: {report}")
