"""How well values from 0 to 1 agree with labels, over thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.evaluate.curves import Roc, RocStream
from terradelta.evaluate.scores import MapScores
from terradelta.evaluate.urban.curves import curve
from terradelta.urban.labels.weak import NOT_LABELLED

__all__ = ["POSITIVE", "THRESHOLDS", "UrbanScores", "urban_scores"]

POSITIVE: Final = "changed"
"""Name of the positive class."""

THRESHOLDS: Final = tuple(round(0.01 * step, 2) for step in range(1, 100))
"""0.01, 0.02 ... 0.99."""


@dataclass(frozen=True, eq=False)
class UrbanScores:
    """Agreement of values with labels; the positive class is "changed", where a value is above a threshold.

    Attributes
    ----------
    changed, unchanged : int
        Labelled pixels of each class.
    thresholds : tuple of float
        Where the figures below were taken.
    maps : tuple of MapScores
        Recall, precision, F1, Cohen's kappa at each threshold.
    false : tuple of float
        Share of the unchanged pixels above each threshold, the false positive rate.
    auc, average_precision : float
        Areas under the receiver operating characteristic and the precision-recall curve, over all values that
        occur; NaN where there is only one class.
    roc : Roc or None
        The whole receiver operating characteristic; None where there is only one class.

    Examples
    --------
    >>> found = urban_scores([1, 1, 0, 0, 255], np.array([0.9, 0.4, 0.6, 0.1, 0.9]), [0.5, 0.7])
    >>> found.auc, found.at(0.5).precision, found.at(0.7).precision, found.false
    (0.75, 0.5, 1.0, (0.5, 0.0))
    """

    changed: int
    unchanged: int
    thresholds: tuple[float, ...]
    maps: tuple[MapScores, ...]
    false: tuple[float, ...]
    auc: float
    average_precision: float
    roc: Roc | None

    def at(self, threshold: float) -> MapScores:
        """Give the figures at one of the thresholds.

        Raises
        ------
        InputError
            If it is none of them.
        """
        return self.maps[self._place(threshold)]

    def false_at(self, threshold: float) -> float:
        """Give the false positive rate at one of the thresholds.

        Raises
        ------
        InputError
            If it is none of them.
        """
        return self.false[self._place(threshold)]

    def _place(self, threshold: float) -> int:
        if threshold not in self.thresholds:
            raise InputError(f"nothing was scored at the threshold {threshold:g}; give it to urban_scores")
        return self.thresholds.index(threshold)

    def best(self, figure: str) -> tuple[float, float]:
        """Give the largest value of a figure (``f1``, ``kappa`` ...), and the first threshold that has it."""
        values = self.over(figure)
        place = int(np.argmax(values))
        return float(values[place]), self.thresholds[place]

    def over(self, figure: str) -> NDArray[np.float64]:
        """Give a figure (``recall``, ``precision``, ``f1``, ``iou``, ``kappa``) over the thresholds."""
        return np.array([getattr(each, figure) for each in self.maps])

    def precision_recall(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give precision and recall over all values that occur, falling; empty with only one class."""
        if self.roc is None:
            return np.zeros(0), np.zeros(0)
        hits, alarms = self.roc.true[1:] * self.changed, self.roc.false[1:] * self.unchanged
        return hits / (hits + alarms), self.roc.true[1:]

    def document(self) -> dict[str, Any]:
        """Give the figures as JSON can keep them; None for what does not exist."""
        table = {name: self.over(name).tolist() for name in ("precision", "recall", "f1", "kappa")}
        return {
            "positive": POSITIVE,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "auc": _known(self.auc),
            "average_precision": _known(self.average_precision),
            "thresholds": list(self.thresholds),
            **table,
            "false_positive_rate": list(self.false),
        }


def urban_scores(truth: ArrayLike, score: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> UrbanScores:
    """Score values against labels.

    Parameters
    ----------
    truth : array_like
        Any shape: 0 unchanged, 255 not labelled and left out, all else changed.
    score : array_like
        Same shape, 0..1; NaN is no data and left out.
    thresholds : sequence of float
        A pixel counts as changed where its value is above.

    Returns
    -------
    UrbanScores

    Raises
    ------
    InputError
        If the shapes differ, no labelled pixel has a value, or there is no threshold.

    References
    ----------
    Cohen, J. (1960). A coefficient of agreement for nominal scales. Educational and Psychological
    Measurement, 20(1), 37-46; Fawcett, T. (2006). An introduction to ROC analysis. Pattern Recognition
    Letters, 27(8), 861-874.
    """
    real, values = np.asarray(truth), np.asarray(score)
    if real.shape != values.shape:
        raise InputError(f"labels {real.shape} and values {values.shape} differ in shape; cut both alike")
    if not len(thresholds):
        raise InputError("thresholds are empty; give at least one, for example 0.5")
    use = (real != NOT_LABELLED) & np.isfinite(values)
    if not use.any():
        raise InputError("no labelled pixel has a value; choose tiles with labels")
    changed, values = real[use] > 0, values[use]
    levels = np.asarray(thresholds, values.dtype)
    hits, alarms = (_above(values[part], levels) for part in (changed, ~changed))
    number, rest = int(changed.sum()), int((~changed).sum())
    both = 0 < number < changed.size
    areas = curve(changed, values) if both else None
    return UrbanScores(
        number,
        rest,
        tuple(map(float, thresholds)),
        tuple(MapScores.of_counts(h, f, number - h, rest - f) for h, f in zip(hits, alarms, strict=True)),
        tuple(f / rest if rest else 0.0 for f in alarms),
        float("nan") if areas is None else areas.auc,
        float("nan") if areas is None else areas.precision,
        _roc(values, changed) if both else None,
    )


def _above(values: NDArray[Any], levels: NDArray[Any]) -> list[int]:
    """Count the values above each level."""
    below: list[int] = np.searchsorted(np.sort(values), levels, "right").tolist()
    return [values.size - count for count in below]


def _roc(values: NDArray[Any], changed: NDArray[np.bool_]) -> Roc:
    stream = RocStream()
    stream.add(values, changed)
    return stream.curve()


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
