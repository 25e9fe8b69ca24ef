"""Results in other formats, wired."""

from __future__ import annotations

from pathlib import Path

from terradelta.products import export
from terradelta.workflows.config import ExportSettings

__all__ = ["export_results"]


def export_results(settings: ExportSettings) -> Path:
    """Export as told.

    Raises
    ------
    InputError, StorageError
        From `export`.
    """
    west_south_east_north = tuple(settings.bounds) or None
    return export(
        settings.source,
        settings.target,
        format=settings.format,
        layers=settings.layers or None,
        bbox=west_south_east_north,  # type: ignore[arg-type]
        bbox_crs=settings.bounds_crs,
    )
