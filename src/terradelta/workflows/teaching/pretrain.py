"""The verb: from cubes and their synthetic labels to a network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from terradelta.cube import open_cube
from terradelta.errors import InputError
from terradelta.workflows.config.pretrain import PretrainSettings
from terradelta.workflows.config.teaching import days
from terradelta.workflows.progress import Progress, no_progress
from terradelta.workflows.teaching import draw_run, told_of

if TYPE_CHECKING:
    import xarray as xr

    from terradelta.learning.fitting import FitResult
    from terradelta.urban.era import Era

__all__ = ["run_pretrain", "summary_line"]


def run_pretrain(settings: PretrainSettings, progress: Progress = no_progress) -> FitResult:
    """Teach a network with synthetic labels, or go on where the run was stopped.

    Parameters
    ----------
    settings : PretrainSettings
        What to do.
    progress : callable
        See `show_progress`.

    Returns
    -------
    FitResult
        How it went; the network is in the folder ``model`` of the run.

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
    from terradelta.learning.run import Run
    from terradelta.urban.labels.store import open_labels
    from terradelta.urban.training.data import LabelledCube
    from terradelta.urban.training.fit import pretrain

    sources = [
        LabelledCube(open_cube(cube), open_labels(labels), cube.stem)
        for cube, labels in zip(settings.data, settings.labels, strict=True)
    ]
    run = Run(settings.run)
    try:
        _, result = pretrain(
            sources,
            settings.config(_era(sources[0].labels, settings)),
            run,
            resume=settings.resume,
            weights_only=settings.resume_weights_only,
            overwrite=settings.overwrite,
            progress=progress,
        )
    finally:
        draw_run(run.log, run.plot, settings.run.name)
    return result


def _era(labels: xr.Dataset, settings: PretrainSettings) -> Era:
    """Give the era of labels, with their windows."""
    import pandas as pd

    from terradelta.urban.era import era_of

    told = labels.attrs["settings"]
    era, asked = era_of(told["era"]), settings.era.name
    if asked not in (None, era.name):
        raise InputError(
            f"{settings.labels[0]} holds labels of the era {era.name}, but era.name asks for {asked}; "
            "leave it out, or give other labels"
        )
    window = days(pd.Timedelta(told["window"]) / pd.Timedelta(days=1))
    return replace(era, step=days(told["step"]), window=window, fewest=told["fewest"], most=told["most"])


def summary_line(settings: PretrainSettings, result: FitResult) -> str:
    """Say in one line how a training went.

    Parameters
    ----------
    settings : PretrainSettings
        What it was told.
    result : FitResult
        From `run_pretrain`.

    Returns
    -------
    str
        For the screen.
    """
    return f"{settings.run}: {told_of(result)}; model in {settings.run / 'model'}"
