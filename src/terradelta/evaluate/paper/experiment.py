"""Runs the experiment: samples, trainings, judgement, tables and pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from terradelta.errors import ConflictError, InputError
from terradelta.evaluate.images.experiment import Advance, Progress
from terradelta.evaluate.paper.jobs import Job, Judged, run_jobs
from terradelta.evaluate.paper.lessons import MAIN, lessons
from terradelta.evaluate.paper.material import Material, gather
from terradelta.evaluate.paper.pictures import draw_curves, draw_expectations
from terradelta.evaluate.paper.protocol import FULL, PaperProtocol
from terradelta.evaluate.paper.report import PaperReport
from terradelta.evaluate.paper.tables import markdown
from terradelta.evaluate.paper.what_if import expectations_of, telling_sample
from terradelta.evaluate.urban.writing import as_json, write_files
from terradelta.types import PathType

__all__ = ["run"]

_SETTINGS = "protocol.json"
_STORED = "predictions in the data"
_GIVEN = "given network"


def run(
    out: PathType,
    data: PathType | None = None,
    *,
    protocol: PaperProtocol = FULL,
    networks: Sequence[str] = (),
    model: PathType | None = None,
    workers: int = 2,
    threads: int = 1,
    progress: Progress | None = None,
) -> PaperReport:
    """Make the paper's tables and pictures.

    Parameters
    ----------
    out : path
        Folder for ``paper.md``, ``paper.json``, the pictures, samples and trainings. The same call again
        trains only what is not finished.
    data : path, optional
        A cube, TFRecord files of the published data set, or a file of samples; simulated places if left out.
    protocol : PaperProtocol
        Sizes.
    networks : sequence of str
        Keys of `lessons.lessons`; all if none is named.
    model : path, optional
        A trained network that is judged in place of trainings.
    workers, threads : int
        Trainings at a time, and threads of each.
    progress : callable, optional
        Takes a label and a number of steps, gives a context manager that gives a function to advance.

    Returns
    -------
    PaperReport
        All figures.

    Raises
    ------
    InputError
        The data cannot be used, or a network is unknown.
    ConflictError
        The folder holds an experiment of other sizes or data.
    """
    begun, folder = time.perf_counter(), Path(out)
    started = progress or _silent
    chosen = _chosen(protocol, networks)
    _mark(folder, protocol, data)
    material = gather(data, protocol, folder / "samples", started, workers=workers)
    jobs, labels = _jobs(protocol, chosen, material, None if model is None else Path(model))
    judged = _judged(jobs, material, folder, workers, threads, started)
    seconds = time.perf_counter() - begun
    report = PaperReport(material.name, protocol.document(), labels, judged, seconds)
    _write(report, jobs, material, folder)
    return report


@contextmanager
def _silent(label: str, steps: int) -> Iterator[Advance]:
    yield lambda _: None


def _chosen(protocol: PaperProtocol, networks: Sequence[str]) -> list[str]:
    known = list(lessons(protocol))
    for name in networks:
        if name not in known:
            raise InputError(f"no network is called {name!r}; choose from {', '.join(known)}")
    return [name for name in known if name in networks] if networks else known


def _mark(folder: Path, protocol: PaperProtocol, data: PathType | None) -> None:
    """Note what the folder is of; refuse one that is of something else."""
    settings = {**protocol.document(), "data": "" if data is None else Path(data).name}
    file = folder / _SETTINGS
    if file.is_file():
        known = json.loads(file.read_text(encoding="utf-8"))
        other = [name for name in settings if known.get(name) != settings[name]]
        if other:
            raise ConflictError(
                f"{folder} holds this experiment with another {', '.join(other)}; name another folder"
            )
    else:
        write_files(folder, {_SETTINGS: as_json(settings)})


def _jobs(
    protocol: PaperProtocol, chosen: Sequence[str], material: Material, model: Path | None
) -> tuple[list[Job], dict[str, str]]:
    """List what is to be trained and judged, single conditions last, and what tables call it."""
    seeds = range(protocol.seeds)
    if model is not None:
        return [Job("given", seed, model=model) for seed in seeds], {"given": _GIVEN}
    jobs, labels = [], {}
    if material.tests[0][0].prediction is not None:
        jobs, labels = [Job("stored", seed) for seed in seeds], {"stored": _STORED}
    if len(material.train) and len(material.validation):
        known = lessons(protocol)
        order = sorted(product(chosen, seeds), key=lambda pair: pair[0] not in MAIN and pair[1])
        few = range(min(protocol.ablations, protocol.seeds))
        jobs += [Job(key, seed, known[key]) for key, seed in order if key in MAIN or seed in few]
        labels |= {key: known[key].label for key in chosen}
    if not jobs:
        raise InputError(
            f"{material.name} has too few samples to train on and holds no predictions; "
            "add samples, or name a trained network with weights"
        )
    return jobs, labels


def _judged(
    jobs: Sequence[Job], material: Material, folder: Path, workers: int, threads: int, started: Progress
) -> tuple[Judged, ...]:
    found = []
    with started("networks", len(jobs)) as advance:
        for one in run_jobs(jobs, material, folder, workers=workers, threads=threads):
            found.append(one)
            advance(1)
    order = {(job.key, job.seed): number for number, job in enumerate(jobs)}
    return tuple(sorted(found, key=lambda one: order[one.key, one.seed]))


def _write(report: PaperReport, jobs: Sequence[Job], material: Material, folder: Path) -> None:
    files = {
        "paper.json": as_json(report.as_dict()),
        "paper.png": draw_curves(report),
        "paper.md": markdown(report).encode(),
        **_what_if(report, jobs, material, folder),
    }
    write_files(folder, files)
    _losses(jobs, folder)


def _what_if(report: PaperReport, jobs: Sequence[Job], material: Material, folder: Path) -> dict[str, bytes]:
    """Draw a scene under changed conditions, by the first training of each network told all conditions."""
    from terradelta.expected.model import ExpectedImage

    pictures = {}
    sample = telling_sample(material.tests[0])
    for job in jobs:
        if job.seed or job.key not in ("unet", "conditioned", "given"):
            continue
        place = job.model or folder / "runs" / job.name / "model"
        expect = ExpectedImage.from_pretrained(place).expected_db
        title = f"{report.labels[job.key]}, {sample.bands[0]}, {str(sample.time)[:10]}"
        drawn = draw_expectations(sample.target[0], expectations_of(sample, expect), title)
        pictures[f"what-if-{job.key}.png"] = drawn
    return pictures


def _losses(jobs: Sequence[Job], folder: Path) -> None:
    """Draw the validation losses of the first trainings together, a picture for each architecture."""
    from terradelta.evaluate.training_curves import compare_curves
    from terradelta.learning.log import read_log
    from terradelta.learning.run import Run

    first = [job for job in jobs if job.seed == 0 and job.lesson is not None]
    runs = {job.key: read_log(Run(folder / "runs" / job.name).log) for job in first}
    for family in ("unet", "conditioned"):
        alike = {key: rows for key, rows in runs.items() if key.startswith(family)}
        if alike:
            compare_curves(alike, folder / "losses" / family)
