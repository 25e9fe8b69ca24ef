"""Figures of all trainings together: mean and spread over the seeds, beside those of the publication."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terradelta.evaluate.paper.jobs import Judged
from terradelta.evaluate.paper.lessons import MAIN
from terradelta.expected.conditions import GROUPS

__all__ = [
    "CONVENTIONAL",
    "Figure",
    "Outcome",
    "PaperReport",
    "cost_of",
    "losses_of",
    "main_keys",
    "outcomes",
    "peak_of",
]

CONVENTIONAL = ("nearest-geometry", "same-direction", "latest")
"""The published choices 1 to 3 of a previous image."""

_LEAST_GAIN = {"shift": 0.08, "stored": 0.06}
_LEAST_LEAD = 0.02
_COSTLY = 3
_TITLE = {"shift": "offset", "stored": "statistical"}


class Figure(NamedTuple):
    """A figure with its spread.

    Attributes
    ----------
    mean, spread : float
        Over the seeds; the spread is the standard deviation, 0 for one seed.
    """

    mean: float
    spread: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """Sum up the values of all seeds."""
        found = np.fromiter(values, np.float64)
        return cls(float(found.mean()), float(found.std(ddof=1)) if found.size > 1 else 0.0)

    def text(self, digits: int = 3) -> str:
        """Write it, e.g. ``0.871 ± 0.004``.

        Examples
        --------
        >>> Figure.of([0.8, 0.9]).text(2)
        '0.85 ± 0.07'
        """
        return f"{self.mean:.{digits}f} ± {self.spread:.{digits}f}"


@dataclass(frozen=True, eq=False)
class PaperReport:
    """All that was judged.

    Attributes
    ----------
    data : str
        Name of the data.
    protocol : dict
        Sizes.
    labels : dict
        Key of a network to what tables call it.
    judged : tuple of Judged
        One for each network and seed.
    seconds : float
        Of the whole experiment by the clock.
    """

    data: str
    protocol: Mapping[str, Any]
    labels: Mapping[str, str]
    judged: tuple[Judged, ...]
    seconds: float

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes that were judged, offset first."""
        found = self.judged[0].figures["threshold"]
        return tuple(change for change in _TITLE if change in found)

    def has(self, key: str) -> bool:
        """Tell whether a network was judged."""
        return any(one.key == key for one in self.judged)

    def of(self, key: str) -> list[Judged]:
        """Give the results of a network in the order of the seeds."""
        return sorted((one for one in self.judged if one.key == key), key=lambda one: one.seed)

    def auc(self, key: str, change: str, way: str = "prediction", what: str = "auc") -> Figure | None:
        """Give an area under the curve; None if the data do not allow that way."""
        ways = [one.figures["threshold"][change] for one in self.of(key)]
        values = [found[way][what] for found in ways if way in found]
        return Figure.of(values) if values else None

    def conventional(self, change: str, way: str, what: str = "auc") -> Figure | None:
        """Give an area for a difference without a network; the same whatever network is beside it."""
        return self.auc(self.judged[0].key, change, way, what)

    def curve(self, key: str, change: str, way: str) -> NDArray[np.float64] | None:
        """Give the mean curve: share of changed pixels found at even steps of false alarms."""
        ways = [one.figures["threshold"][change] for one in self.of(key)]
        found = [one[way]["true_positive_rates"] for one in ways if way in one]
        return np.mean(found, axis=0) if found else None

    def accuracy(self, key: str, change: str, way: str, kind: str = "subtraction") -> Figure | None:
        """Give the accuracy of the linear classifier."""
        values = [
            one["accuracy"]
            for judged in self.of(key)
            for one in judged.figures["svc"]["classifiers"]
            if (one["kind"], one["change"], one["way"]) == (kind, change, way)
        ]
        return Figure.of(values) if values else None

    def best(self, key: str, change: str) -> Figure | None:
        """Give the area of the network's own score: standardised if it tells how sure it is."""
        return self.auc(key, change, "standardised") or self.auc(key, change)

    def as_dict(self) -> dict[str, Any]:
        """Give everything as JSON can keep it."""
        return {
            "data": self.data,
            "protocol": dict(self.protocol),
            "labels": dict(self.labels),
            "seconds": self.seconds,
            "outcomes": [one._asdict() for one in outcomes(self)],
            "judged": [
                {
                    "network": one.key,
                    "seed": one.seed,
                    "training": None if one.cost is None else one.cost._asdict(),
                    **one.figures,
                }
                for one in self.judged
            ],
        }


class Outcome(NamedTuple):
    """A statement of the publication or of this project, held against the figures.

    Attributes
    ----------
    statement : str
        What should come out.
    found : str
        The figures.
    holds : bool
        Whether it did.
    """

    statement: str
    found: str
    holds: bool


def outcomes(report: PaperReport) -> list[Outcome]:
    """Hold what should come out against what did.

    Parameters
    ----------
    report : PaperReport
        All figures.

    Returns
    -------
    list of Outcome
        Only those whose figures are there.
    """
    found: list[Outcome] = []
    for change in report.changes:
        found += _order(report, change)
        found += _gain(report, change)
    found += _costly(report)
    found += _lead(report)
    return found


def _order(report: PaperReport, change: str) -> list[Outcome]:
    if not (report.has("unet") and report.has("unet-dry")):
        return []
    areas = [report.auc("unet", change), report.auc("unet-dry", change)]
    areas += [report.conventional(change, way) for way in CONVENTIONAL]
    values = [one.mean for one in areas if one is not None]
    if len(values) < len(areas):
        return []
    text = " > ".join(f"{value:.3f}" for value in values)
    holds = all(first > second for first, second in pairwise(values))
    words = "expected > expected without weather > conventional 1 > 2 > 3"
    return [Outcome(f"{_TITLE[change]} change: {words} in AUC", text, holds)]


def _gain(report: PaperReport, change: str) -> list[Outcome]:
    before, found = report.conventional(change, CONVENTIONAL[0]), []
    for key in ("unet", "conditioned"):
        area = report.best(key, change) if report.has(key) else None
        if area is not None and before is not None:
            gain, least = area.mean - before.mean, _LEAST_GAIN[change]
            words = f"{_TITLE[change]} change: {report.labels[key]} gains {least} over conventional 1"
            found.append(Outcome(words, f"{gain:+.3f}", gain >= least))
    return found


def losses_of(report: PaperReport, change: str) -> dict[str, float]:
    """Give by how much the area falls when a condition is left out, greatest loss first.

    Parameters
    ----------
    report : PaperReport
        All figures.
    change : str
        Which change.

    Returns
    -------
    dict
        Condition to loss; empty if none was left out.
    """
    found = {}
    for name in GROUPS:
        pairs = _pairs(report, f"conditioned-without-{name}", change)
        if pairs:
            found[name] = float(np.mean([whole - part for whole, part in pairs]))
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _pairs(report: PaperReport, key: str, change: str) -> list[tuple[float, float]]:
    """Give the areas with and without a condition, of the seeds that have both."""

    def areas(name: str) -> dict[int, float]:
        return {one.seed: one.figures["threshold"][change]["standardised"]["auc"] for one in report.of(name)}

    whole, part = areas("conditioned"), areas(key)
    return [(whole[seed], part[seed]) for seed in part if seed in whole]


def _costly(report: PaperReport) -> list[Outcome]:
    found = []
    for change in report.changes:
        lost = losses_of(report, change)
        if lost:
            text = ", ".join(f"{name.replace('_', ' ')} {value:+.4f}" for name, value in lost.items())
            most = list(lost)[:_COSTLY]
            holds = {"orbit_direction", "precipitation"} <= set(most)
            words = "orbit direction and precipitation are among the three that cost most when left out"
            found.append(Outcome(f"{_TITLE[change]} change: {words}", text, holds))
    return found


def _lead(report: PaperReport) -> list[Outcome]:
    if not (report.has("unet") and report.has("conditioned")):
        return []
    found = []
    for change in report.changes:
        plain, ours = report.auc("unet", change), report.best("conditioned", change)
        if plain is not None and ours is not None:
            lead = ours.mean - plain.mean
            words = f"{_TITLE[change]} change: conditioned network leads the published one by {_LEAST_LEAD}"
            found.append(Outcome(words, f"{lead:+.3f}", lead >= _LEAST_LEAD))
    seconds = [cost_of(report, key) for key in ("unet", "conditioned")]
    if seconds[0] is not None and seconds[1] is not None:
        text = f"{seconds[1].mean:.0f} s against {seconds[0].mean:.0f} s of the processor"
        words = "the conditioned network trains no longer than the published one"
        found.append(Outcome(words, text, seconds[1].mean <= seconds[0].mean))
    return found


def cost_of(report: PaperReport, key: str) -> Figure | None:
    """Give the processor seconds of a training; None if they are not known."""
    values = [one.cost.processor_seconds for one in report.of(key) if one.cost is not None]
    return Figure.of(values) if values else None


def peak_of(report: PaperReport, key: str) -> float | None:
    """Give the greatest memory in MiB of the trainings of a network; None if it is not known."""
    peaks: Sequence[float] = [
        one.cost.peak_mib for one in report.of(key) if one.cost is not None and one.cost.peak_mib is not None
    ]
    return max(peaks) if peaks else None


def main_keys(report: PaperReport) -> list[str]:
    """Give the networks that no condition was taken from alone."""
    return [key for key in report.labels if key in MAIN or "without" not in key]
