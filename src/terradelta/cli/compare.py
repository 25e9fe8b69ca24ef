"""`terradelta compare`."""

from __future__ import annotations

from terradelta.workflows.config import CompareSettings

__all__ = ["run"]


def run(settings: CompareSettings) -> None:
    """Compare two folders of results; exit code 1 where they differ."""
    import typer

    from terradelta.products import compare

    differences = compare(settings.first, settings.second, tolerance=settings.tolerance)
    if not differences:
        typer.echo(f"{settings.first} and {settings.second} are equal within {settings.tolerance:g}")
        return
    typer.echo("\n".join(differences))
    raise typer.Exit(1)
