"""`terradelta demo`."""

from __future__ import annotations

from terradelta.workflows.config import DemoSettings

__all__ = ["run"]


def run(settings: DemoSettings) -> None:
    """Simulate, detect, show."""
    import typer

    from terradelta.workflows.demo import run_demo
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        lines = run_demo(settings, progress)
    typer.echo("\n".join(lines))
