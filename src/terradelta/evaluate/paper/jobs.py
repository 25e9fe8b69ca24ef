"""One network with one seed: trained, judged, and what that took."""

from __future__ import annotations

import json
import logging
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from terradelta.evaluate.images import experiment as images
from terradelta.evaluate.images.differences import Expect
from terradelta.evaluate.images.report import ImagesReport
from terradelta.evaluate.images.svc import SVC_KINDS
from terradelta.evaluate.paper.material import Material
from terradelta.evaluate.teaching import Lesson, teach
from terradelta.evaluate.urban.writing import as_json, write_files

__all__ = ["Cost", "Job", "Judged", "judge", "run_jobs"]

_LOG = logging.getLogger(__name__)
_COST = "cost.json"
_POINTS = 201


class Cost(NamedTuple):
    """What a training took.

    Attributes
    ----------
    seconds, processor_seconds : float
        By the clock, and of the processor.
    peak_mib : float or None
        Greatest memory of the process; None where the system does not tell.
    """

    seconds: float
    processor_seconds: float
    peak_mib: float | None


@dataclass(frozen=True)
class Job:
    """One network to train and to judge.

    Attributes
    ----------
    key : str
        Of the network.
    seed : int
        Of weights and changes.
    lesson : Lesson or None
        None: the predictions that the samples hold.
    model : Path or None
        A trained network in place of a lesson.
    """

    key: str
    seed: int
    lesson: Lesson | None = None
    model: Path | None = None

    @property
    def name(self) -> str:
        """Folder of the job."""
        return f"{self.key}-{self.seed}"


class Judged(NamedTuple):
    """What came out of a job.

    Attributes
    ----------
    key : str
        Of the network.
    seed : int
        Of weights and changes.
    figures : dict
        ``threshold`` and ``svc`` as in ``images.json``.
    cost : Cost or None
        Of the training.
    """

    key: str
    seed: int
    figures: dict[str, Any]
    cost: Cost | None


def run_jobs(
    jobs: Sequence[Job], material: Material, out: Path, *, workers: int, threads: int
) -> Iterator[Judged]:
    """Train and judge, a process for each job; what is finished already is not trained again.

    Parameters
    ----------
    jobs : sequence of Job
        All.
    material : Material
        To learn from and to be judged by.
    out : Path
        Folder for ``runs`` and ``judged``.
    workers : int
        Processes at a time.
    threads : int
        Threads of each.

    Yields
    ------
    Judged
        As they end.

    Raises
    ------
    TerradeltaError
        What stopped a job; the others that run are ended first.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        waiting = [pool.submit(_work, job, material, out, threads) for job in jobs]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _work(job: Job, material: Material, out: Path, threads: int) -> Judged:
    """Do one job, in a process of its own."""
    import torch

    torch.set_num_threads(threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return judge(job, material, out)


def judge(job: Job, material: Material, out: Path) -> Judged:
    """Train the network of a job if it has to be, and judge it.

    Parameters
    ----------
    job : Job
        What.
    material, out
        As of `run_jobs`.

    Returns
    -------
    Judged
    """
    expect, cost = _network(job, material, out)
    kinds = ("subtraction",) if "without" in job.key else SVC_KINDS
    report: ImagesReport = images.run(
        material.tests[job.seed], out / "judged" / job.name, seed=job.seed, expect=expect, kinds=kinds
    )
    return Judged(job.key, job.seed, report.as_dict(), cost)


def _network(job: Job, material: Material, out: Path) -> tuple[Expect | None, Cost | None]:
    if job.model is not None:
        from terradelta.expected.model import ExpectedImage

        return ExpectedImage.from_pretrained(job.model).expected_db, None
    if job.lesson is None:
        return None, None
    run = out / "runs" / job.name
    trained = (run / "model").is_dir()
    begun, busy = time.perf_counter(), time.process_time()
    taught = teach(material.train, material.validation, job.lesson, job.seed, run)
    if not trained:
        cost = Cost(time.perf_counter() - begun, time.process_time() - busy, _peak_mib())
        write_files(run, {_COST: as_json(cost._asdict())})
    file = run / _COST
    known = Cost(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None
    return taught.model.expected_db, known


def _peak_mib() -> float | None:
    """Give the greatest memory of this process so far."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)
