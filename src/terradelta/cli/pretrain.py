"""`terradelta pretrain`."""

from __future__ import annotations

from terradelta.workflows.config import PretrainSettings

__all__ = ["run"]


def run(settings: PretrainSettings) -> None:
    """Teach a network."""
    import typer

    from terradelta.workflows.progress import show_progress
    from terradelta.workflows.teaching.pretrain import run_pretrain, summary_line

    with show_progress() as progress:
        found = run_pretrain(settings, progress)
    typer.echo(summary_line(settings, found))
