"""Runs the experiment: the same methods on the real and the simulated series, then time and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from terradelta.evaluate.opera.experiment import load_patches, parameters_for, train_networks
from terradelta.evaluate.opera.judging import Progress, judge, silent
from terradelta.evaluate.opera.patches import Patch
from terradelta.evaluate.opera.protocol import Protocol
from terradelta.evaluate.opera.report import MethodFigures
from terradelta.evaluate.peers.cost import Cost, Task, measure
from terradelta.evaluate.peers.methods import TransformerPeer, transformer_peers
from terradelta.evaluate.peers.places import simulated_series
from terradelta.evaluate.peers.plan import Plan
from terradelta.evaluate.peers.report import PeersReport, SeriesFigures
from terradelta.evaluate.peers.writing import write_report
from terradelta.types import PathType

if TYPE_CHECKING:
    from terradelta.evaluate.teaching import Taught

__all__ = ["run"]


def run(
    out: PathType,
    *,
    data: PathType | None = None,
    wheel: PathType | None = None,
    networks: Sequence[str] = (),
    seed: int = 0,
    plan: Plan | None = None,
    progress: Progress | None = None,
) -> str:
    """Put pre-trained transformers beside the methods of this package, and write table and picture.

    Parameters
    ----------
    out : path
        Folder for ``peers.md``, ``peers.json`` and ``peers.png``; trained networks stay in ``real/networks``
        and ``simulated/networks`` there and are not trained again.
    data : path, optional
        Folder ``opera_rtc_s1_t137``; without it only the simulated series is judged.
    wheel : path, optional
        Wheel of distmetrics, unpacked wheel or installed package; without it no transformer is judged.
    networks : sequence of str
        Keys of `terradelta.evaluate.opera.lessons.LESSONS`, trained on what came before the targets.
    seed : int
        Of discs and places.
    plan : Plan, optional
        How much is run.
    progress : callable, optional
        Takes a label and a number of steps, gives a context manager that gives a function to advance.

    Returns
    -------
    str
        The Markdown tables.

    Raises
    ------
    InputError
        If wheel, weight set or network are unknown.
    SourceError
        If the data are not there.
    StorageError
        If the output cannot be written.
    """
    plan, folder = plan or Plan(), Path(out)
    first = _peers(wheel, plan.sets, plan.strides[:1])
    series = []
    if data is not None:
        protocol = Protocol()
        patches = load_patches(Path(data), protocol)
        taught = train_networks(
            Path(data), folder / "real", networks, plan.trainings, protocol, patches, progress
        )
        series.append(("real", patches, protocol, taught))
    simulated = simulated_series(seed, places=plan.places, size=plan.size)
    taught = train_networks(
        folder,
        folder / "simulated",
        networks,
        plan.trainings,
        simulated.protocol,
        simulated.patches,
        progress,
    )
    series.append(("simulated", list(simulated.patches), simulated.protocol, taught))
    found = [_judged(*one, first, plan, seed, progress) for one in series]
    more: dict[str, TransformerPeer] = {}
    best = _best(found, first, plan)
    if wheel is not None and best:
        more = _peers(wheel, best, plan.strides[1:])
        more |= transformer_peers(wheel, best[:1], plan.strides[len(plan.strides) // 2], "reflect")
        found = [
            _joined(one, _judged(*line[:3], {}, more, replace(plan, methods=()), seed, progress))
            for one, line in zip(found, series, strict=True)
        ]
    costs = _costs(plan, {**first, **more}, wheel, folder, networks, progress)
    report = PeersReport(seed, plan, tuple(found), costs)
    return write_report(report, folder)


def _peers(wheel: PathType | None, sets: Sequence[str], strides: Sequence[int]) -> dict[str, TransformerPeer]:
    """Read weight sets at every stride."""
    if wheel is None:
        return {}
    peers: dict[str, TransformerPeer] = {}
    for stride in strides:
        peers.update(transformer_peers(wheel, sets, stride))
    return peers


def _judged(
    name: str,
    patches: Sequence[Patch],
    protocol: Protocol,
    taught: Mapping[str, Taught],
    peers: Mapping[str, TransformerPeer],
    plan: Plan,
    seed: int,
    progress: Progress | None,
) -> SeriesFigures:
    report = judge(
        patches, protocol, parameters_for(protocol), seed=seed, trained=taught, peers=peers,
        only=plan.methods, progress=progress,
    )  # fmt: skip
    return SeriesFigures(name, protocol, report.methods)


def _joined(one: SeriesFigures, more: SeriesFigures) -> SeriesFigures:
    return replace(one, methods={**one.methods, **more.methods})


def _best(found: Sequence[SeriesFigures], peers: Mapping[str, TransformerPeer], plan: Plan) -> list[str]:
    """Name the best weight sets by the mean over all series, so that the peer is shown at its best."""

    def quality(key: str) -> float:
        every: list[MethodFigures] = [one.methods[key] for one in found]
        return -sum(figures.mean_auc for figures in every)

    ranked = [peers[key].transformer.name for key in sorted(peers, key=quality)]
    return list(dict.fromkeys(ranked))[: plan.best]


def _costs(
    plan: Plan,
    peers: Mapping[str, TransformerPeer],
    wheel: PathType | None,
    out: Path,
    networks: Sequence[str],
    progress: Progress | None,
) -> dict[str, Cost]:
    """Measure every method, one after the other, each in a process of its own."""
    if not plan.cost_size:
        return {}
    tasks = {key: Task(key) for key in plan.methods}
    for name in networks:
        tasks[f"{name}-0"] = Task(name, network=str(out / "simulated" / "networks" / f"{name}-0" / "model"))
    for key, peer in peers.items():
        if peer.median:
            continue  # takes what the same without it takes
        tasks[key] = Task(key, str(wheel), peer.transformer.name, peer.stride, peer.edges)
    costs = {}
    with (progress or silent)("measure", len(tasks)) as advance:
        for key, task in tasks.items():
            costs[key] = measure(task, plan.cost_size)
            advance(1)
    return costs
