"""The verb: from a cube, weak labels and a network to a network of the place for each version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terradelta.cube import open_cube
from terradelta.errors import ConfigError, InputError
from terradelta.learning.log import read_log
from terradelta.workflows.config.transfer import TransferSettings
from terradelta.workflows.progress import Progress, no_progress
from terradelta.workflows.teaching import draw_run, told_of

if TYPE_CHECKING:
    from terradelta.learning.fitting import FitResult
    from terradelta.urban.labels.weak import WeakLabels
    from terradelta.urban.network import ERCNN

__all__ = ["run_transfer", "summary_line"]


def run_transfer(settings: TransferSettings, progress: Progress = no_progress) -> dict[str, FitResult]:
    """Teach a network what changes look like in a place, once per version, or go on with what is missing.

    Parameters
    ----------
    settings : TransferSettings
        What to do.
    progress : callable
        See `show_progress`.

    Returns
    -------
    dict
        How it went by version; the network of V1 is in the folder ``V1/model`` of the run, and so on.

    Raises
    ------
    ConflictError
        A run folder was begun with other settings or data and `overwrite` is not set.
    LockedError
        Another process trains there.
    InputError, CubeError, StorageError
        Data or settings cannot be used, a loss is no number, or a folder cannot be written.
    TrainingStopped
        After SIGINT or SIGTERM, with the checkpoint written.
    """
    _require_one_start(settings)
    from terradelta.learning.fitting import require_lightning

    require_lightning()
    from terradelta.learning.run import Run
    from terradelta.urban.era import era_of
    from terradelta.urban.training.fit import transfer
    from terradelta.workflows.label.weak import read_weak

    weak, cube = read_weak(settings.labels), open_cube(settings.data)
    _require_versions(settings, weak)
    net = None if settings.weights is None else _network(settings.weights, settings)
    config = settings.config(net.era if net is not None else era_of(settings.era.name or "s1s2"))
    results: dict[str, FitResult] = {}
    for number in settings.versions:
        run = Run(settings.run / f"V{number}")
        lists = weak.versions[number - 1]
        try:
            _, results[run.folder.name] = transfer(
                cube,
                weak,
                lists,
                net,
                config,
                run,
                overwrite=settings.overwrite,
                progress=_named(progress, run.folder.name),
            )
        finally:
            draw_run(run.log, run.plot, f"{settings.run.name}, {run.folder.name}")
            _draw_together(settings)
    return results


def _require_one_start(settings: TransferSettings) -> None:
    if (settings.weights is None) != settings.ab_initio:
        told = "weights and ab_initio are both given" if settings.ab_initio else "there are no weights"
        raise ConfigError(f"{told}; give weights to begin from, or ab_initio for random ones")
    if (settings.run / "config.yaml").is_file():
        raise InputError(
            f"{settings.run} is the folder of a single run; choose another, in which each version has one"
        )


def _require_versions(settings: TransferSettings, weak: WeakLabels) -> None:
    missing = [number for number in settings.versions if number > len(weak.versions)]
    if missing:
        raise InputError(
            f"{settings.labels} has no tile lists of version {missing[0]}, only {len(weak.versions)}; "
            "choose among those, or make labels with more"
        )


def _network(path: Path, settings: TransferSettings) -> ERCNN:
    """Read weights, also those of a run folder, and see that they are of what is asked for."""
    from terradelta.urban.model_files import load_network

    if (path / "checkpoints").is_dir() and not (path / "config.json").is_file():
        if not (path / "model").is_dir():
            raise InputError(f"{path} is a run that is not finished; finish it first")
        path /= "model"
    net = load_network(path)
    for what, asked, there in (
        ("era.name", settings.era.name, net.era.name),
        ("branches", settings.branches, net.branches),
    ):
        if asked not in (None, there):
            raise InputError(
                f"{path} holds a network of {there}, but {what} asks for {asked}; leave it out, or "
                "give other weights"
            )
    return net


def _named(progress: Progress, name: str) -> Any:
    return lambda label, total: progress(f"{label} {name}", total)


def _draw_together(settings: TransferSettings) -> None:
    """Draw the validation losses of all versions that there are in one picture, with a table."""
    logs = {folder.name: read_log(folder / "log.csv") for folder in sorted(settings.run.glob("V*"))}
    rows = {name: log for name, log in logs.items() if log}
    if rows:
        from terradelta.evaluate.training_curves import compare_curves

        compare_curves(rows, settings.run, name="versions")


def summary_line(settings: TransferSettings, results: Mapping[str, FitResult]) -> str:
    """Say in one line how the trainings went.

    Parameters
    ----------
    settings : TransferSettings
        What they were told.
    results : mapping
        From `run_transfer`.

    Returns
    -------
    str
        For the screen.
    """
    told = "; ".join(f"{name}: {told_of(result)}" for name, result in results.items())
    folders = ", ".join(str(settings.run / name / "model") for name in results)
    return f"{settings.run}: {told}; models in {folders}"
