"""From folders of rasters to cubes, wired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from terradelta.sources import FillReport, build_cube, import_into
from terradelta.workflows.config import BuildSettings, ImportSettings
from terradelta.workflows.progress import Progress, no_progress

__all__ = ["build_from", "import_from"]


def build_from(settings: BuildSettings, progress: Progress = no_progress) -> FillReport:
    """Make a cube as told; the same settings again complete it.

    Raises
    ------
    SourceError, ConflictError, StorageError
        From `build_cube`.
    """
    options = _options(settings)
    options |= {"crs": settings.crs, "resolution": settings.resolution}
    if settings.bounds:
        options["bounds"] = tuple(settings.bounds)
    return _followed(
        lambda tell: build_cube(settings.place, settings.cube, progress=tell, **options), progress
    )


def import_from(settings: ImportSettings, progress: Progress = no_progress) -> FillReport:
    """Fill a cube as told.

    Raises
    ------
    CubeError, SourceError, ConflictError, StorageError
        From `import_into`.
    """
    options = _options(settings)
    return _followed(
        lambda tell: import_into(settings.cube, settings.source, progress=tell, **options), progress
    )


def _options(settings: BuildSettings | ImportSettings) -> dict[str, Any]:
    return {
        "pattern": settings.pattern or "*",
        "sidecar": settings.sidecar,
        "on_error": "skip" if settings.skip_damaged else "stop",
        "record": settings.record,
    }


def _followed(
    work: Callable[[Callable[[int, int, str], None]], FillReport], progress: Progress
) -> FillReport:
    """Turn the sources' own way of telling how far they are into a bar."""
    step: Any = None
    advance: Any = None
    told = 0

    def tell(done: int, total: int, what: str) -> None:
        nonlocal step, advance, told
        if step is None:
            step = progress("filling the cube", total)
            advance = step.__enter__()
        advance(done - told)
        told = done

    try:
        return work(tell)
    finally:
        if step is not None:
            step.__exit__(None, None, None)
