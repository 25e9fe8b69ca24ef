"""Labels to train networks with: made from the cube itself, or from polygons of changes."""

from __future__ import annotations

from terradelta.workflows.config import LabelSettings
from terradelta.workflows.progress import Progress, no_progress

__all__ = ["run_label"]


def run_label(settings: LabelSettings, progress: Progress = no_progress) -> str:
    """Make the labels that the settings ask for.

    The same command again goes on where it was stopped, or finds that all is done.

    Parameters
    ----------
    settings : LabelSettings
        What to do.
    progress : callable
        See `show_progress`.

    Returns
    -------
    str
        What was made, in one line.

    Raises
    ------
    ConflictError
        If labels of other settings are there and `overwrite` is not set.
    CubeError, InputError, LockedError, StorageError
        If the cube or another input cannot be used, or the folder cannot be written.
    """
    if settings.method == "polygons":
        from terradelta.workflows.label.weak import run_weak, summary_line

        return summary_line(run_weak(settings, progress))
    from terradelta.workflows.label.synthetic import run_synthetic

    return run_synthetic(settings, progress)
