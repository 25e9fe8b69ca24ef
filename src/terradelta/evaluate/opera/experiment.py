"""Runs the experiment: every method on every target, with discs and without."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from terradelta.errors import InputError
from terradelta.evaluate.opera.deviations import deviations
from terradelta.evaluate.opera.methods import METHODS, Case, Images, images_of, looks_of, score_all
from terradelta.evaluate.opera.patches import Patch, load_patch
from terradelta.evaluate.opera.protocol import Protocol, disc_mask, large_change
from terradelta.evaluate.opera.report import Example, MethodFigures, OperaReport
from terradelta.evaluate.opera.writing import write_report
from terradelta.evaluate.scores import auc, share_above, threshold_for
from terradelta.expected import RobustParameters
from terradelta.simulate import offset_change
from terradelta.types import BoolArray, FloatArray, PathType

if TYPE_CHECKING:
    from terradelta.evaluate.teaching import Taught

__all__ = ["run"]

Advance: TypeAlias = Callable[[int], None]
Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Advance]]
_WORKERS = 4


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
    parameters = parameters or _parameters_for(protocol)
    names = (*protocol.stable, protocol.changed)
    patches = [load_patch(Path(data), name, protocol.dates) for name in names]
    steps = len(protocol.stable) * len(protocol.targets) + len(protocol.large_targets)
    trained = _trained(Path(data), Path(out), networks, seeds, protocol, patches, progress)
    tally = _Tally(trained)
    with (progress or _silent)("evaluate", steps) as advance, _pool() as pool:
        for number, patch in enumerate(patches[:-1]):
            _Stable(patch, number, protocol, parameters, seed, trained).judge(tally, pool, advance)
        _judge_large(patches[-1], protocol, parameters, tally, pool, advance, trained)
    curves = deviations(patches[:-1], protocol, parameters, trained) if trained else {}
    report = OperaReport(seed, protocol, parameters, tally.methods, tuple(tally.examples), curves)
    write_report(report, Path(out))
    return report


def _parameters_for(protocol: Protocol) -> RobustParameters:
    """Let the robust method use what the protocol lets it know."""
    usual = RobustParameters()
    return replace(usual, history=protocol.history, fewest=min(usual.fewest, protocol.history))


def _trained(
    data: Path,
    out: Path,
    networks: Sequence[str],
    seeds: int,
    protocol: Protocol,
    patches: Sequence[Patch],
    progress: Progress | None,
) -> dict[str, Taught]:
    """Train the networks on what came before the first target."""
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


@contextmanager
def _silent(label: str, steps: int) -> Iterator[Advance]:
    yield lambda _: None


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that leave nothing waiting when interrupted."""
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, _WORKERS))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _Tally:
    """Collects the figures of all methods, and the examples."""

    def __init__(self, trained: Mapping[str, Taught]) -> None:
        self.methods = {key: MethodFigures(*method) for key, method in METHODS.items()}
        for key, one in trained.items():
            self.methods[key] = MethodFigures(one.lesson.label, "network")
        self.examples: list[Example] = []


@dataclass(frozen=True)
class _Judged:
    """Scores of one target, by method, with the discs and without."""

    mask: BoolArray
    with_discs: dict[str, FloatArray]
    without: dict[str, FloatArray]


@dataclass(frozen=True)
class _Stable:
    """A patch without a large change."""

    patch: Patch
    number: int
    protocol: Protocol
    parameters: RobustParameters
    seed: int
    networks: Mapping[str, Taught]

    def judge(self, tally: _Tally, pool: ThreadPoolExecutor, advance: Advance) -> None:
        """Score all targets and add to the figures."""
        images, looks = images_of(self.patch.linear, self.parameters), looks_of(self.patch)
        judged: dict[str, _Judged] = {}
        targets = self.protocol.targets
        for target, one in zip(
            targets, pool.map(lambda target: self._target(images, target, looks), targets), strict=True
        ):
            judged[self.patch.days[target]] = one
            advance(1)
        thresholds = {key: self._count(key, figures, judged) for key, figures in tally.methods.items()}
        self._keep_examples(tally, images, judged, thresholds)

    def _target(self, images: Images, target: int, looks: float) -> _Judged:
        history = images.at(list(range(target - self.protocol.history, target)))
        mask = disc_mask(self.protocol, self.patch.size, self.seed, self.number, target)
        disturbed = offset_change(self.patch.linear[target], mask, self.protocol.decibel)
        cases = (images_of(disturbed, self.parameters), images.at(target))
        scores = [score_all(Case(case, history, looks), self.parameters, self.networks) for case in cases]
        return _Judged(mask, *scores)

    def _count(self, key: str, figures: MethodFigures, judged: dict[str, _Judged]) -> float:
        name, rain = self.patch.name, self.protocol.rain
        dry = {day: one for day, one in judged.items() if day not in self.protocol.wet}
        threshold = threshold_for(
            np.stack([one.without[key] for one in dry.values()]), self.protocol.false_alarms
        )
        figures.auc[name] = {day: auc(one.mask, one.with_discs[key]) for day, one in judged.items()}
        figures.threshold[name] = threshold
        figures.rain[name] = share_above(judged[rain].without[key], threshold)
        figures.found[name] = {
            day: share_above(one.with_discs[key], threshold, one.mask) for day, one in dry.items()
        }
        return threshold

    def _keep_examples(
        self, tally: _Tally, images: Images, judged: dict[str, _Judged], thresholds: dict[str, float]
    ) -> None:
        """Keep the first dry target with discs of the first patch, and the wet scene of the last."""
        if self.number == 0:
            day = next(day for day in judged if day not in self.protocol.wet)
            mask, scores = judged[day].mask, judged[day].with_discs
            image = offset_change(self.patch.linear[self.patch.days.index(day)], mask, self.protocol.decibel)
            seen = images_of(image, self.parameters).smooth
            tally.examples.append(_example("discs", self.patch, day, seen, mask, scores, thresholds))
        if self.number == len(self.protocol.stable) - 1:
            day = self.protocol.rain
            seen = images.smooth[self.patch.days.index(day)]
            scores = judged[day].without
            tally.examples.append(_example("rain", self.patch, day, seen, None, scores, thresholds))


def _judge_large(
    patch: Patch,
    protocol: Protocol,
    parameters: RobustParameters,
    tally: _Tally,
    pool: ThreadPoolExecutor,
    advance: Advance,
    networks: Mapping[str, Taught],
) -> None:
    changed, unchanged = large_change(patch, protocol)
    images, looks = images_of(patch.linear, parameters), looks_of(patch)
    history = images.at(list(protocol.large_history)[-protocol.history :])
    cases = [Case(images.at(target), history, looks) for target in protocol.large_targets]
    scored: list[dict[str, FloatArray]] = []
    for scores in pool.map(lambda case: score_all(case, parameters, networks), cases):
        scored.append(scores)
        advance(1)
    thresholds = {}
    for key, figures in tally.methods.items():
        for target, scores in zip(protocol.large_targets, scored, strict=True):
            figures.large[patch.days[target]] = auc(changed, scores[key], changed | unchanged)
        quiet = np.stack([scores[key][unchanged] for scores in scored])
        thresholds[key] = threshold_for(quiet, protocol.false_alarms)
    last = protocol.large_targets[-1]
    tally.examples.append(
        _example("large", patch, patch.days[last], images.smooth[last], changed, scored[-1], thresholds)
    )


def _example(
    kind: str,
    patch: Patch,
    day: str,
    seen: FloatArray,
    truth: BoolArray | None,
    scores: dict[str, FloatArray],
    thresholds: dict[str, float],
) -> Example:
    relative = {key: score / thresholds[key] for key, score in scores.items()}
    return Example(kind, patch.name, day, seen[patch.bands.index("VH")], truth, relative)
