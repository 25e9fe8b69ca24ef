"""Judges every method on every target of a set of series, with discs and without."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from typing import Protocol as Interface

import numpy as np

from terradelta.evaluate.opera.methods import METHODS, Case, Images, Scorer, images_of, looks_of, score_all
from terradelta.evaluate.opera.patches import Patch
from terradelta.evaluate.opera.protocol import Protocol, disc_mask, large_change, protocol_of
from terradelta.evaluate.opera.report import Example, MethodFigures, OperaReport
from terradelta.evaluate.scores import auc, share_above, threshold_for
from terradelta.expected import RobustParameters
from terradelta.simulate import offset_change
from terradelta.types import BoolArray, FloatArray

if TYPE_CHECKING:
    from terradelta.evaluate.teaching import Taught

__all__ = ["Advance", "Peer", "Progress", "judge", "silent"]

Advance: TypeAlias = Callable[[int], None]
Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Advance]]
_WORKERS = 4


class Peer(Scorer, Interface):
    """A method from elsewhere with the name that the table gives it."""

    @property
    def label(self) -> str:
        """What the table calls it."""


def judge(
    patches: Sequence[Patch],
    protocol: Protocol,
    parameters: RobustParameters,
    *,
    seed: int = 0,
    trained: Mapping[str, Taught] | None = None,
    peers: Mapping[str, Peer] | None = None,
    only: Collection[str] | None = None,
    progress: Progress | None = None,
) -> OperaReport:
    """Score methods on stable series with discs and on one with a large change.

    Parameters
    ----------
    patches : sequence of Patch
        The stable ones and, last, the changed one.
    protocol : Protocol
        Targets, history and discs.
    parameters : RobustParameters
        Of the robust method.
    seed : int
        Which discs.
    trained, peers : mapping, optional
        Networks and other methods by their keys.
    only : collection of str, optional
        Keys of `METHODS` to judge; all by default.
    progress : callable, optional
        Takes a label and a number of steps, gives a context manager that gives a function to advance.

    Returns
    -------
    OperaReport
        Figures by date and patch. Examples for the picture only if all of `METHODS` are judged.

    Raises
    ------
    InputError
        If a disc finds no room.
    """
    tally = _Tally(trained or {}, peers or {}, only)
    stable, large = patches[:-1], patches[-1]
    steps = len(stable) * len(protocol.targets) + len(protocol.large_targets)
    with (progress or silent)("evaluate", steps) as advance, _pool() as pool:
        for number, patch in enumerate(stable):
            own = protocol_of(patch, protocol)
            _Stable(patch, number, own, parameters, seed, tally).judge(pool, advance)
        _judge_large(large, protocol, parameters, tally, pool, advance)
    return OperaReport(seed, protocol, parameters, tally.methods, tuple(tally.examples))


@contextmanager
def silent(label: str, steps: int) -> Iterator[Advance]:
    """Show no progress."""
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

    def __init__(
        self, trained: Mapping[str, Taught], peers: Mapping[str, Peer], only: Collection[str] | None
    ) -> None:
        self.only = only
        self.others: dict[str, Scorer] = {**trained, **peers}
        self.methods = {
            key: MethodFigures(*method) for key, method in METHODS.items() if only is None or key in only
        }
        for key, one in trained.items():
            self.methods[key] = MethodFigures(one.lesson.label, "network")
        for key, peer in peers.items():
            self.methods[key] = MethodFigures(peer.label, "peer")
        self.examples: list[Example] = []

    def scores(self, case: Case, parameters: RobustParameters) -> dict[str, FloatArray]:
        """Score one target by all methods."""
        return score_all(case, parameters, self.others, self.only)


@dataclass(frozen=True)
class _Judged:
    """Scores of one target, by method, with the discs and without, and where there are data enough."""

    mask: BoolArray
    known: BoolArray
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
    tally: _Tally

    def judge(self, pool: ThreadPoolExecutor, advance: Advance) -> None:
        """Score all targets and add to the figures."""
        tally, images, looks = self.tally, images_of(self.patch.linear, self.parameters), looks_of(self.patch)
        judged: dict[str, _Judged] = {}
        targets = self.protocol.targets
        for target, one in zip(
            targets, pool.map(lambda target: self._target(images, target, looks), targets), strict=True
        ):
            judged[self.patch.days[target]] = one
            advance(1)
        thresholds = {key: self._count(key, figures, judged) for key, figures in tally.methods.items()}
        if tally.only is None:
            self._keep_examples(tally, images, judged, thresholds)

    def _target(self, images: Images, target: int, looks: float) -> _Judged:
        history = images.at(list(range(target - self.protocol.history, target)))
        size, allowed = self.patch.size, self.patch.allowed
        mask = disc_mask(self.protocol, size, self.seed, self.number, target, allowed)
        disturbed = offset_change(self.patch.linear[target], mask, self.protocol.decibel)
        cases = (images_of(disturbed, self.parameters), images.at(target))
        scores = [self.tally.scores(Case(case, history, looks), self.parameters) for case in cases]
        enough = np.isfinite(history.linear).all(axis=1).sum(axis=0) >= self.parameters.fewest
        known = np.isfinite(self.patch.linear[target]).all(axis=0) & enough
        return _Judged(mask, known, *scores)

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
        figures.lost[name] = float(np.mean([_lost(one, key) for one in dry.values()]))
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


def _lost(judged: _Judged, key: str) -> float:
    """Share of the pixels with enough data that got no score."""
    return float((judged.known & ~np.isfinite(judged.without[key])).sum() / max(judged.known.sum(), 1))


def _judge_large(
    patch: Patch,
    protocol: Protocol,
    parameters: RobustParameters,
    tally: _Tally,
    pool: ThreadPoolExecutor,
    advance: Advance,
) -> None:
    changed, unchanged = large_change(patch, protocol)
    images, looks = images_of(patch.linear, parameters), looks_of(patch)
    history = images.at(list(protocol.large_history)[-protocol.history :])
    cases = [Case(images.at(target), history, looks) for target in protocol.large_targets]
    scored: list[dict[str, FloatArray]] = []
    for scores in pool.map(lambda case: tally.scores(case, parameters), cases):
        scored.append(scores)
        advance(1)
    thresholds = {}
    for key, figures in tally.methods.items():
        for target, scores in zip(protocol.large_targets, scored, strict=True):
            figures.large[patch.days[target]] = auc(changed, scores[key], changed | unchanged)
        quiet = np.stack([scores[key][unchanged] for scores in scored])
        thresholds[key] = threshold_for(quiet, protocol.false_alarms)
    if tally.only is not None:
        return
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
