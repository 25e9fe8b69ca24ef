"""The trainings of the experiment, each in a process of its own."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from terradelta.cube import open_cube
from terradelta.errors import ConflictError
from terradelta.evaluate.urban.transfer.material import Material, weak_labels
from terradelta.evaluate.urban.transfer.protocol import TransferProtocol
from terradelta.learning import TrainingOptions
from terradelta.types import PathType

__all__ = ["Job", "jobs_of", "run_jobs"]

PRETRAINED, TRANSFERRED, AB_INITIO, PUBLISHED = "pre-trained", "transferred", "ab initio", "published"
"""Kinds of networks."""


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes
    ----------
    kind : str
        What is taught.
    seed : int
        Of weights, order and windows.
    version : int
        Lists of tiles, from 1; 0: none, for pre-training.
    """

    kind: str
    seed: int
    version: int = 0

    def folder(self, out: Path) -> Path:
        """Give its run folder."""
        name = f"{self.kind.replace(' ', '-')}-{self.seed}"
        return out / "runs" / (f"{name}-V{self.version}" if self.version else name)


def jobs_of(kind: str, seeds: Sequence[int], versions: Sequence[int] = (0,)) -> list[Job]:
    """Give the trainings of one kind.

    Examples
    --------
    >>> [job.folder(Path("out")).name for job in jobs_of("ab initio", [0], [1, 2])]
    ['ab-initio-0-V1', 'ab-initio-0-V2']
    """
    return [Job(kind, seed, version) for seed in seeds for version in versions]


def run_jobs(
    jobs: Sequence[Job],
    material: Material,
    protocol: TransferProtocol,
    out: Path,
    *,
    weights: PathType | None = None,
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Train, a process with one thread for each job; what is finished already is not trained again.

    Parameters
    ----------
    jobs : sequence of Job
        In any order; those that begin with other runs need these to be done.
    material : Material
        Places and labels.
    protocol : TransferProtocol
        Sizes.
    out : Path
        Folder for ``runs``.
    weights : path, optional
        Published weights, for jobs that begin with them.
    workers : int
        Processes at a time.
    advance : callable
        Told of each job that is done.

    Raises
    ------
    TerradeltaError
        What stopped a job; the others that run are ended first.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        waiting = [pool.submit(_work, job, material, protocol, out, weights) for job in jobs]
        try:
            for done in as_completed(waiting):
                done.result()
                advance(1)
        finally:
            pool.shutdown(cancel_futures=True)


def _work(
    job: Job, material: Material, protocol: TransferProtocol, out: Path, weights: PathType | None
) -> None:
    import torch

    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    if job.kind == PRETRAINED:
        _pretrain(job, material, protocol, out)
    else:
        _transfer(job, material, protocol, out, weights)


def _kept(train: Callable[..., Any]) -> None:
    """Train, unless that was done before; a run of other settings or data is replaced."""
    try:
        train()
    except ConflictError:
        train(overwrite=True)


def _options(protocol: TransferProtocol, seed: int, **numbers: Any) -> TrainingOptions:
    precision: Any = protocol.precision
    return TrainingOptions(
        seed=seed, precision=precision, device="cpu", pictures_every=0, schedule="cosine", clip=1.0, **numbers
    )


def _pretrain(job: Job, material: Material, protocol: TransferProtocol, out: Path) -> None:
    from terradelta.urban.labels import open_labels
    from terradelta.urban.training.config import PretrainConfig
    from terradelta.urban.training.data import LabelledCube
    from terradelta.urban.training.fit import pretrain

    numbers = {"epochs": protocol.epochs, "batch": protocol.batch, "learning_rate": protocol.learning_rate}
    config = PretrainConfig(
        era=protocol.era,
        every=protocol.every,
        norm_momentum=protocol.norm_momentum,
        options=_options(protocol, job.seed, **numbers),
    )
    sources = [
        LabelledCube(open_cube(home), open_labels(labels), home.stem)
        for home, labels in zip(material.homes, material.labels, strict=True)
    ]
    _kept(partial(pretrain, sources, config, job.folder(out)))


def _transfer(
    job: Job, material: Material, protocol: TransferProtocol, out: Path, weights: PathType | None
) -> None:
    from terradelta.urban import load_network
    from terradelta.urban.training.config import TransferConfig
    from terradelta.urban.training.fit import transfer

    epochs, rate = {
        TRANSFERRED: (protocol.transfer_epochs, protocol.transfer_learning_rate),
        AB_INITIO: (protocol.fresh_epochs, protocol.fresh_learning_rate),
        PUBLISHED: (protocol.published_epochs, protocol.transfer_learning_rate),
    }[job.kind]
    numbers = {"epochs": epochs, "batch": protocol.transfer_batch, "learning_rate": rate}
    config = TransferConfig(
        era=protocol.published_era if job.kind == PUBLISHED else protocol.era,
        visits=protocol.visits,
        augment="random",
        norm_momentum=protocol.norm_momentum if job.kind == AB_INITIO else TransferConfig.norm_momentum,
        saving=job.kind == PUBLISHED,
        options=_options(protocol, job.seed, **numbers),
    )
    net = None
    if job.kind == TRANSFERRED:
        net = load_network(replace(job, kind=PRETRAINED, version=0).folder(out) / "model")
    elif job.kind == PUBLISHED and weights is not None:
        net = load_network(weights)
    weak = weak_labels(material.target, protocol)
    lists = weak.versions[job.version - 1]
    _kept(partial(transfer, open_cube(material.target), weak, lists, net, config, job.folder(out)))
