"""The experiment from end to end: places, labels, trainings, judgement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import xarray as xr

from terradelta.cube import open_cube
from terradelta.errors import InputError
from terradelta.evaluate.training_curves import compare_curves
from terradelta.evaluate.urban.networks import Progress, Watch, no_progress
from terradelta.evaluate.urban.transfer.jobs import (
    AB_INITIO,
    PRETRAINED,
    PUBLISHED,
    TRANSFERRED,
    Job,
    jobs_of,
    run_jobs,
)
from terradelta.evaluate.urban.transfer.judging import Figures, judge
from terradelta.evaluate.urban.transfer.material import gather, weak_labels
from terradelta.evaluate.urban.transfer.protocol import FULL, TransferProtocol
from terradelta.evaluate.urban.transfer.report import document, draw, report
from terradelta.evaluate.urban.writing import as_json, write_files
from terradelta.learning import read_log
from terradelta.learning.run import Run
from terradelta.types import PathType
from terradelta.urban.labels.weak import WeakLabels

__all__ = ["run"]

_FROM_PUBLISHED = "transferred from published"


def run(
    out: PathType,
    *,
    protocol: TransferProtocol = FULL,
    weights: PathType | None = None,
    workers: int = 2,
    progress: Progress = no_progress,
) -> str:
    """Teach networks on simulated places, and see what each step of the teaching brings.

    Two places give synthetic labels to pre-train on. A third one, which is different, has a few weakly
    labelled tiles, for the transfer and for networks that begin with random weights. All are judged by tiles
    of the third place that none of them saw.

    Parameters
    ----------
    out : path
        Folder for ``urban-transfer.md``, ``.json`` and ``.png``, losses, places, runs and maps. What is there
        from an earlier call is used again.
    protocol : TransferProtocol
        Sizes.
    weights : path, optional
        Published weights: they are judged too, as they are and after a transfer.
    workers : int
        Trainings at a time.
    progress : callable
        Takes a label and a number of steps, gives a context manager that gives a function to advance.

    Returns
    -------
    str
        The Markdown tables.

    Raises
    ------
    InputError
        If the protocol makes no sense, or the weights are no network.
    StorageError
        If the output cannot be written.

    References
    ----------
    G. Zitzlsberger et al., International Journal of Remote Sensing 44(17) 5172-5206, 2023, whose order of the
    networks this looks for.
    """
    if workers < 1 or protocol.seeds < 1:
        raise InputError(f"{workers} trainings at a time with {protocol.seeds} seeds; give 1 or more of each")
    folder = Path(out)
    material = gather(protocol, folder / "places", progress)
    cube, weak = open_cube(material.target), weak_labels(material.target, protocol)
    numbers, seeds = range(1, len(weak.versions) + 1), range(protocol.seeds)
    rounds = [
        jobs_of(PRETRAINED, seeds),
        [*jobs_of(TRANSFERRED, seeds, numbers), *jobs_of(AB_INITIO, seeds, numbers)],
    ]
    if weights is not None:
        rounds[1] += jobs_of(PUBLISHED, [0], numbers)
    with progress("training", sum(map(len, rounds))) as advance:
        for jobs in rounds:
            run_jobs(jobs, material, protocol, folder, weights=weights, workers=workers, advance=advance)
    found = _judged(cube, weak, rounds, weights, protocol, folder, progress)
    every = [job for jobs in rounds for job in jobs]
    losses = {job.folder(folder).name: read_log(Run(job.folder(folder)).log) for job in every}
    compare_curves(losses, folder, name="urban-transfer-losses")
    text = report(found, material, weak, protocol)
    files = {
        "urban-transfer.json": as_json({"protocol": repr(asdict(protocol)), **document(found)}),
        "urban-transfer.png": draw(found, protocol),
        "urban-transfer.md": f"{text}\n".encode(),
    }
    write_files(folder, files)
    return text


def _judged(
    cube: xr.DataTree,
    weak: WeakLabels,
    rounds: Sequence[Sequence[Job]],
    weights: PathType | None,
    protocol: TransferProtocol,
    folder: Path,
    progress: Progress,
) -> dict[str, list[Figures]]:
    """Judge the networks, seed by seed; those that begin with published weights by themselves."""
    how = Watch(protocol.stride)
    every = [job for jobs in rounds for job in jobs]
    sets: dict[str, dict[str, list[Path]]] = {
        f"seed {seed}": {
            kind: [job.folder(folder) / "model" for job in every if (job.kind, job.seed) == (kind, seed)]
            for kind in (PRETRAINED, AB_INITIO, TRANSFERRED)
        }
        for seed in range(protocol.seeds)
    }
    if weights is not None:
        later = [job.folder(folder) / "model" for job in every if job.kind == PUBLISHED]
        sets["published"] = {PUBLISHED: [_shortened(weights, protocol, folder)], _FROM_PUBLISHED: later}
    found = {}
    with progress("judging", len(sets)) as advance:
        for name, kinds in sets.items():
            maps = folder / "maps" / name.replace(" ", "-")
            found[name] = judge(cube, weak, kinds, how, maps)
            advance(1)
    return found


def _shortened(weights: PathType, protocol: TransferProtocol, folder: Path) -> Path:
    """Keep published weights as a network for the observations of this experiment."""
    from terradelta.urban import load_network

    net = load_network(weights)
    net.era = protocol.published_era
    model = folder / "runs" / "published" / "model"
    net.save_pretrained(model)
    return model
