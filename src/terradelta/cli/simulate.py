"""`terradelta simulate place` and `change`."""

from __future__ import annotations

from terradelta.workflows.config.simulate import SimulateChangeSettings, SimulatePlaceSettings

__all__ = ["change", "place"]


def place(settings: SimulatePlaceSettings) -> None:
    """Simulate a place."""
    import typer

    from terradelta.workflows.progress import show_progress
    from terradelta.workflows.simulate import run_place

    with show_progress() as progress:
        lines = run_place(settings, progress)
    typer.echo("\n".join(lines))


def change(settings: SimulateChangeSettings) -> None:
    """Put changes into images."""
    import typer

    from terradelta.workflows.progress import show_progress
    from terradelta.workflows.simulate import run_change

    with show_progress() as progress:
        lines = run_change(settings, progress)
    typer.echo("\n".join(lines))
