"""`terradelta cube build`, `update`, `import` and `info`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from terradelta.workflows.config import BuildSettings, ImportSettings, InfoSettings, UpdateSettings

if TYPE_CHECKING:
    from terradelta.sources import FillReport
    from terradelta.workflows.building.run import Built

__all__ = ["add", "build", "info", "update"]


def build(settings: BuildSettings) -> None:
    """Make a new cube, or go on with one."""
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        if settings.source:
            from terradelta.workflows.building.run import run_build

            built = run_build(settings, progress)
        else:
            from terradelta.workflows.cubes import build_from

            report = build_from(settings, progress)
    if settings.source:
        _tell_built(built)
    else:
        _tell(report)


def update(settings: UpdateSettings) -> None:
    """Add what is new."""
    from terradelta.workflows.building.run import run_update
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        done = run_update(settings, progress)
    _tell_built(*done)


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


def _tell_built(*done: Built) -> None:
    import typer

    from terradelta.workflows.building.telling import outcome_line, plan_lines

    for built in done:
        for line in built.plan.notes:
            typer.echo(f"note: {line}", err=True)
        for line in plan_lines(built.plan) if built.collected is None else ():
            typer.echo(line)
        for line in built.collected.failures if built.collected is not None else ():
            typer.echo(f"did not come: {line}", err=True)
        typer.echo(outcome_line(built))
    if any(built.collected is not None and built.collected.unavailable for built in done):
        typer.echo("run the same command again for what did not come", err=True)
        raise typer.Exit(1)
