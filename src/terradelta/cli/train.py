"""`terradelta train`."""

from __future__ import annotations

from terradelta.workflows.config import TrainSettings

__all__ = ["run"]


def run(settings: TrainSettings) -> None:
    """Train a network."""
    import typer

    from terradelta.workflows.progress import show_progress
    from terradelta.workflows.train import run_train, summary_line

    with show_progress() as progress:
        result = run_train(settings, progress)
    typer.echo(summary_line(settings, result))
