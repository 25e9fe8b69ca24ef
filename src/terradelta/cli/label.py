"""`terradelta label`."""

from __future__ import annotations

from terradelta.workflows.config import LabelSettings

__all__ = ["run"]


def run(settings: LabelSettings) -> None:
    """Label a cube."""
    import typer

    from terradelta.workflows.label import run_label
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        line = run_label(settings, progress)
    typer.echo(line)
