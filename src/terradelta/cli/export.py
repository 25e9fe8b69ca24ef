"""`terradelta export`."""

from __future__ import annotations

from terradelta.workflows.config import ExportSettings

__all__ = ["run"]


def run(settings: ExportSettings) -> None:
    """Write results in another format."""
    import typer

    from terradelta.workflows.exports import export_results

    typer.echo(f"{export_results(settings)}")
