"""What each condition is worth: runs that leave one out each, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from terradelta.errors import InputError
from terradelta.workflows.config.base import load_settings
from terradelta.workflows.config.train import FEATURES, TrainSettings
from terradelta.workflows.progress import Progress, no_progress

__all__ = ["ablation_settings", "run_ablations"]


def run_ablations(runs: Sequence[Path], out: Path, progress: Progress = no_progress) -> str:
    """Draw the validation losses of runs in one plot; train them first if a configuration is given.

    Parameters
    ----------
    runs : sequence of Path
        Run folders of `terradelta train`; or one YAML configuration, from which eight are trained below
        `out`: with all conditions, without each of the six, and without weather. Those that are finished
        stay, those that were stopped go on.
    out : Path
        Folder for ``ablations.png``, ``ablations.md`` and ``ablations.json``.
    progress : callable
        See `show_progress`.

    Returns
    -------
    str
        The table, Markdown.

    Raises
    ------
    InputError
        A folder is no run, or training fails.
    TrainingStopped
        After SIGINT or SIGTERM; the same call goes on.
    """
    from terradelta.evaluate.training_curves import compare_curves
    from terradelta.learning.log import read_log
    from terradelta.learning.run import Run

    folders = list(runs)
    if len(runs) == 1 and runs[0].is_file():
        folders = _train(runs[0], out, progress)
    if len({folder.resolve().name for folder in folders}) < len(folders):
        raise InputError("two runs have the same name; give folders of different names")
    for folder in folders:
        _ = Run(folder).settings  # says so if it is none
    return compare_curves({folder.resolve().name: read_log(Run(folder).log) for folder in folders}, out)


def _train(file: Path, out: Path, progress: Progress) -> list[Path]:
    from terradelta.workflows.train import run_train

    cases = ablation_settings(file, out)
    for settings in cases:
        run_train(settings, progress)
    return [settings.run for settings in cases]


def ablation_settings(file: Path, out: Path) -> list[TrainSettings]:
    """Give the settings of the eight runs of one configuration.

    Parameters
    ----------
    file : Path
        YAML for `terradelta train`; its ``run``, ``ablate`` and ``no_weather`` are replaced.
    out : Path
        Folder of the run folders.

    Returns
    -------
    list of TrainSettings
        All conditions first.

    Raises
    ------
    ConfigError
        If the configuration cannot be used.
    """
    changes: dict[str, dict[str, Any]] = {
        "all": {},
        **{f"without-{name}": {"ablate": [name]} for name in FEATURES},
    }
    plain = {"ablate": [], "no_weather": False}
    return [
        load_settings(TrainSettings, file, {**plain, **change, "run": out / name})
        for name, change in [*changes.items(), ("no-weather", {"no_weather": True})]
    ]
