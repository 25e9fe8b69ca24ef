"""`terradelta evaluate`."""

from __future__ import annotations

from terradelta.workflows.config import EvaluateSettings

__all__ = ["run"]


def run(settings: EvaluateSettings) -> None:
    """Score the methods."""
    import typer

    from terradelta.workflows.evaluate import run_evaluate
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        text = run_evaluate(settings, progress)
    typer.echo(text)
