"""`terradelta transfer`."""

from __future__ import annotations

from terradelta.workflows.config import TransferSettings

__all__ = ["run"]


def run(settings: TransferSettings) -> None:
    """Teach a network what a place is like."""
    import typer

    from terradelta.workflows.progress import show_progress
    from terradelta.workflows.teaching.transfer import run_transfer, summary_line

    with show_progress() as progress:
        found = run_transfer(settings, progress)
    typer.echo(summary_line(settings, found))
