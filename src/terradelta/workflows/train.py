"""The verb: from data to a run folder with a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from terradelta.learning.log import read_log
from terradelta.workflows.config.train import TrainSettings
from terradelta.workflows.progress import Progress, no_progress

if TYPE_CHECKING:
    from terradelta.learning.fitting import FitResult

__all__ = ["run_train", "summary_line"]


def run_train(settings: TrainSettings, progress: Progress = no_progress) -> FitResult:
    """Train a network, or go on where the run was stopped.

    Parameters
    ----------
    settings : TrainSettings
        What to do.
    progress : callable
        See `show_progress`.

    Returns
    -------
    FitResult
        How it went; the model is in the folder ``model`` of the run.

    Raises
    ------
    ConflictError
        The run folder was begun with other settings or data and `overwrite` is not set.
    LockedError
        Another process trains there.
    InputError, CubeError, StorageError
        Data or settings cannot be used, a loss is no number, or the folder cannot be written.
    TrainingStopped
        After SIGINT or SIGTERM, with the checkpoint written.
    """
    from terradelta.learning.fitting import require_lightning

    require_lightning()
    from terradelta.expected.training.fit import train_expected
    from terradelta.learning.run import Run

    run = Run(settings.run)
    try:
        _, result = train_expected(
            [str(path) for path in settings.data],
            settings.config(),
            run,
            validation=[str(path) for path in settings.validation] or None,
            resume=settings.resume,
            weights_only=settings.resume_weights_only,
            overwrite=settings.overwrite,
            progress=progress,
        )
    finally:
        _draw(run.log, run.plot, settings.run.name)
    return result


def _draw(log: Path, plot: Path, title: str) -> None:
    """Draw the losses that there are, also of a run that was stopped."""
    rows = read_log(log) if log.is_file() else []
    if rows:
        from terradelta.evaluate.training_curves import draw_losses

        draw_losses(rows, plot, title=title)


def summary_line(settings: TrainSettings, result: FitResult) -> str:
    """Say in one line how a training went.

    Parameters
    ----------
    settings : TrainSettings
        What it was told.
    result : FitResult
        From `run_train`.

    Returns
    -------
    str
        For the screen.
    """
    best = next((row for row in result.log if int(row["epoch"]) == result.best_epoch), {})
    error = f", {best['val_rmse_db']:.2f} dB rms" if "val_rmse_db" in best else ""
    epochs = "1 epoch" if result.epochs == 1 else f"{result.epochs} epochs"
    before = "finished before, nothing to do: " if result.idle else ""
    return (
        f"{settings.run}: {before}{settings.network}, {epochs}, best validation loss {result.best_loss:.4g} "
        f"in epoch {result.best_epoch}{error}; model in {settings.run / 'model'}"
    )
