"""Runs the experiment: reads the patches, trains networks, has all methods judged, writes the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from terradelta.errors import InputError
from terradelta.evaluate.opera.deviations import deviations
from terradelta.evaluate.opera.judging import Peer, Progress, judge
from terradelta.evaluate.opera.patches import Patch, load_patch
from terradelta.evaluate.opera.protocol import Protocol
from terradelta.evaluate.opera.report import OperaReport
from terradelta.evaluate.opera.writing import write_report
from terradelta.expected import RobustParameters
from terradelta.types import PathType

if TYPE_CHECKING:
    from terradelta.evaluate.teaching import Taught

__all__ = ["load_patches", "parameters_for", "run", "train_networks"]


def run(
    data: PathType,
    out: PathType,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    protocol: Protocol | None = None,
    parameters: RobustParameters | None = None,
    networks: Sequence[str] = (),
    seeds: int = 3,
    peers: Mapping[str, Peer] | None = None,
) -> OperaReport:
    """Score the robust method, plain ones and networks on real Sentinel-1 series, with table and picture.

    Parameters
    ----------
    data : path
        Folder ``opera_rtc_s1_t137`` of OPERA RTC-S1 series, linear power.
    out : path
        Folder for ``opera.md``, ``opera.png`` and ``opera.json``; each replaced in one step.
    seed : int
        Which discs.
    progress : callable, optional
        Takes a label and a number of steps, gives a context manager that gives a function to advance.
    protocol : Protocol, optional
        What the experiment fixes; the default is the published one.
    parameters : RobustParameters, optional
        Of the robust method; by default it uses the history of the protocol.
    networks : sequence of str
        Keys of `LESSONS`: which networks to train, on the images before the first target.
    seeds : int
        Trainings of each; they stay in the folder ``networks`` and are not done again.
    peers : mapping, optional
        More methods by their keys, such as those of `terradelta.evaluate.peers`.

    Returns
    -------
    OperaReport
        Figures of every method by date and patch, and the examples of the picture.

    Raises
    ------
    SourceError
        If the folder does not hold the patches of the protocol.
    StorageError
        If the output cannot be written.
    """
    protocol = protocol or Protocol()
    parameters = parameters or parameters_for(protocol)
    patches = load_patches(Path(data), protocol)
    trained = train_networks(Path(data), Path(out), networks, seeds, protocol, patches, progress)
    report = judge(
        patches, protocol, parameters, seed=seed, trained=trained, peers=peers or {}, progress=progress
    )
    curves = deviations(patches[:-1], protocol, parameters, trained) if trained else {}
    report = replace(report, deviations=curves)
    write_report(report, Path(out))
    return report


def load_patches(data: Path, protocol: Protocol) -> list[Patch]:
    """Read the stable patches and, as the last one, the changed one."""
    return [load_patch(data, name, protocol.dates) for name in (*protocol.stable, protocol.changed)]


def parameters_for(protocol: Protocol) -> RobustParameters:
    """Let the robust method use what the protocol lets it know."""
    usual = RobustParameters()
    return replace(usual, history=protocol.history, fewest=min(usual.fewest, protocol.history))


def train_networks(
    data: Path,
    out: Path,
    networks: Sequence[str],
    seeds: int,
    protocol: Protocol,
    patches: Sequence[Patch],
    progress: Progress | None,
) -> dict[str, Taught]:
    """Train networks on what came before the first target, or read them if they were trained already.

    Parameters
    ----------
    data, out : pathlib.Path
        Of the patches, and for the run folders.
    networks : sequence of str
        Keys of `LESSONS`.
    seeds : int
        Trainings of each.
    protocol : Protocol
        Names the other patches to learn from.
    patches : sequence of Patch
        To learn from.
    progress : callable, optional
        As for `run`.

    Returns
    -------
    dict of str to Taught
        Key and seed to network.

    Raises
    ------
    InputError
        If a network is unknown.
    """
    if not networks:
        return {}
    from terradelta.evaluate.opera.lessons import LESSONS, taught

    for name in networks:
        if name not in LESSONS:
            raise InputError(f"no network is called {name!r} here; there are {', '.join(LESSONS)}")
    more = [load_patch(data, name, protocol.dates) for name in protocol.also_taught]
    return {
        f"{name}-{seed}": taught(
            [*patches, *more],
            protocol.targets[0],
            LESSONS[name],
            seed,
            out / "networks" / f"{name}-{seed}",
            progress,
        )
        for name in networks
        for seed in range(seeds)
    }
