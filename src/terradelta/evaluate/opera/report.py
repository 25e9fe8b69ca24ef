"""The figures of the experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

from terradelta.evaluate.opera.methods import Group
from terradelta.evaluate.opera.protocol import Protocol
from terradelta.expected import RobustParameters
from terradelta.types import BoolArray, FloatArray

__all__ = ["PUBLISHED", "Example", "MethodFigures", "OperaReport", "Published"]


@dataclass(frozen=True)
class MethodFigures:
    """Figures of one method.

    Attributes
    ----------
    label : str
        What the table calls the method.
    group : str
        ``robust``, ``network``, ``ablation``, ``plain``, ``test`` or ``peer``.
    auc : dict
        Patch to date to area under the curve of the discs.
    found : dict
        Patch to dry date to the share of disc pixels above the threshold.
    threshold : dict
        Patch to the threshold, in the unit of the method's score.
    rain : dict
        Patch to the share of pixels of the wet scene above the threshold.
    large : dict
        Date to area under the curve of the large change.
    lost : dict
        Patch to the share of its pixels with data that the method gives no score for, dry targets.
    """

    label: str
    group: Group
    auc: dict[str, dict[str, float]] = field(default_factory=dict)
    found: dict[str, dict[str, float]] = field(default_factory=dict)
    threshold: dict[str, float] = field(default_factory=dict)
    rain: dict[str, float] = field(default_factory=dict)
    large: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)

    @property
    def mean_auc(self) -> float:
        """Mean over patches and dates."""
        return fmean(_leaves(self.auc))

    @property
    def worst_auc(self) -> float:
        """Least of all patches and dates."""
        return min(_leaves(self.auc))

    @property
    def mean_found(self) -> float:
        """Share of disc pixels above the threshold, mean over patches and dry dates."""
        return fmean(_leaves(self.found))

    @property
    def mean_rain(self) -> float:
        """Share of the wet scene above the threshold, mean over patches."""
        return fmean(self.rain.values())

    @property
    def mean_large(self) -> float:
        """Area under the curve of the large change, mean over dates."""
        return fmean(self.large.values())

    @property
    def mean_lost(self) -> float:
        """Share of the pixels with data without a score, mean over patches; 0 if it was not counted."""
        return fmean(self.lost.values()) if self.lost else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Give means and single figures for JSON."""
        means = {
            "auc": self.mean_auc,
            "auc_worst": self.worst_auc,
            "found": self.mean_found,
            "rain": self.mean_rain,
            "large": self.mean_large,
            "lost": self.mean_lost,
        }
        return {"label": self.label, "group": self.group, "means": means, "single": _single(self)}


def _single(figures: MethodFigures) -> dict[str, Any]:
    every = asdict(figures)
    return {name: every[name] for name in ("auc", "found", "threshold", "rain", "large", "lost")}


def _leaves(nested: Mapping[str, Mapping[str, float]]) -> list[float]:
    return [value for inner in nested.values() for value in inner.values()]


class Published(NamedTuple):
    """Figures by the same protocol that were published elsewhere; not computed here."""

    label: str
    auc: str
    rain: str
    large: str


PUBLISHED = (
    Published("prototype of the robust method, other discs", "0.997", "2.5 %", "0.995"),
    Published("nine pre-trained transformers, same despeckling", "0.984", "12–20 %", "0.945–0.995"),
)


@dataclass(frozen=True)
class Example:
    """Maps of one target for the picture.

    Attributes
    ----------
    kind : str
        ``discs``, ``rain`` or ``large``.
    patch, day : str
        Which target.
    seen : ndarray
        (y, x), VH of the target, dB, despeckled.
    truth : ndarray of bool or None
        (y, x), what changed; None where nothing did.
    relative : dict of str to ndarray
        Method to its score in units of its threshold.
    """

    kind: str
    patch: str
    day: str
    seen: FloatArray
    truth: BoolArray | None
    relative: dict[str, FloatArray]


@dataclass(frozen=True)
class OperaReport:
    """What the experiment found.

    Attributes
    ----------
    seed : int
        Of the discs.
    protocol : Protocol
        What was fixed.
    parameters : RobustParameters
        Of the robust method.
    methods : dict of str to MethodFigures
        In the order of the table.
    examples : tuple of Example
        Maps for the picture.
    deviations : mapping
        Label to the shares of unchanged pixels beyond so many standard deviations; empty without networks.
    """

    seed: int
    protocol: Protocol
    parameters: RobustParameters
    methods: dict[str, MethodFigures]
    examples: tuple[Example, ...] = ()
    deviations: Mapping[str, Mapping[float, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Give every figure, ready for JSON."""
        from terradelta import __version__

        return {
            "experiment": "opera",
            "terradelta": __version__,
            "seed": self.seed,
            "protocol": asdict(self.protocol),
            "parameters": asdict(self.parameters),
            "methods": {key: figures.as_dict() for key, figures in self.methods.items()},
            "deviations": {label: dict(shares) for label, shares in self.deviations.items()},
            "published_elsewhere": [line._asdict() for line in PUBLISHED],
        }
