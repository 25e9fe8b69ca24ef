"""How well a change map, or a score before any threshold, agrees with a known truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.types import BoolArray, FloatArray

__all__ = ["DateErrors", "MapScores", "auc", "date_errors", "map_scores", "share_above", "threshold_for"]

_NO_DATE = -1


@dataclass(frozen=True)
class MapScores:
    """Agreement of a map of changes with the truth.

    A figure whose denominator is zero is 0; where map and truth are both empty all but `kappa` are 1.

    Attributes
    ----------
    recall : float
        Share of the true changes that the map shows.
    precision : float
        Share of the shown changes that are true.
    f1 : float
        Harmonic mean of both.
    iou : float
        Pixels in both over pixels in either.
    kappa : float
        Cohen's kappa: agreement beyond that of chance; 1 where map and truth are constant and equal.

    Examples
    --------
    >>> print(MapScores(0.9, 0.8, 0.847, 0.735, 0.82))
    recall 0.900, precision 0.800, F1 0.847, IoU 0.735, kappa 0.820
    """

    recall: float
    precision: float
    f1: float
    iou: float
    kappa: float

    def __str__(self) -> str:
        return (
            f"recall {self.recall:.3f}, precision {self.precision:.3f}, F1 {self.f1:.3f}, "
            f"IoU {self.iou:.3f}, kappa {self.kappa:.3f}"
        )

    @classmethod
    def of_counts(cls, hits: int, false: int, missed: int, quiet: int) -> MapScores:
        """Give the figures of a table of two by two.

        Parameters
        ----------
        hits, false, missed, quiet : int
            Pixels that are changed in both, only in the map, only in the truth, and in neither.

        Returns
        -------
        MapScores

        Examples
        --------
        >>> MapScores.of_counts(1, 1, 0, 2).f1
        0.66...
        """
        if hits + false + missed == 0:
            return cls(1.0, 1.0, 1.0, 1.0, 1.0)
        total = hits + false + missed + quiet
        by_chance = ((hits + false) * (hits + missed) + (missed + quiet) * (false + quiet)) / total**2
        agreement = (hits + quiet) / total
        return cls(
            recall=_share(hits, hits + missed),
            precision=_share(hits, hits + false),
            f1=_share(2 * hits, 2 * hits + false + missed),
            iou=_share(hits, hits + false + missed),
            kappa=(agreement - by_chance) / (1 - by_chance) if by_chance < 1 else 1.0,
        )


@dataclass(frozen=True)
class DateErrors:
    """How far dates of change are off.

    Attributes
    ----------
    pixels : int
        Truly changed pixels that were looked at.
    dated : float
        Share of them that got a date.
    median : float
        Median of date minus truth, days, over those with a date; NaN where there is none.
    median_absolute : float
        Median of its size, days; NaN likewise.
    share_within : float
        Share of all `pixels` with a date at most `days` off.
    days : int
        What counts as near.

    Examples
    --------
    >>> print(DateErrors(200, 0.95, 4.0, 6.0, 0.9, 12))
    95.0 % of 200 pixels dated, median error +4.0 days (size 6.0), 90.0 % within 12 days
    """

    pixels: int
    dated: float
    median: float
    median_absolute: float
    share_within: float
    days: int

    def __str__(self) -> str:
        return (
            f"{self.dated:.1%} of {self.pixels} pixels dated, median error {self.median:+.1f} days "
            f"(size {self.median_absolute:.1f}), {self.share_within:.1%} within {self.days} days"
        ).replace("%", " %")


def map_scores(changed: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> MapScores:
    """Compare a map of changes with the truth, pixel by pixel.

    Parameters
    ----------
    changed : array_like
        (y, x) or any shape, bool or 0/1: the map; other values (255) are no data and left out.
    truth : array_like
        Same shape, likewise.
    valid : array_like of bool, optional
        Same shape, where to look; everywhere by default.

    Returns
    -------
    MapScores
        Recall, precision, F1, intersection over union, kappa.

    Raises
    ------
    InputError
        If the shapes differ or no pixel is left.

    References
    ----------
    Cohen, J. (1960). A coefficient of agreement for nominal scales. Educational and Psychological
    Measurement, 20(1), 37-46.

    Examples
    --------
    >>> found = map_scores([1, 1, 0, 0, 255], [1, 0, 0, 0, 1])
    >>> found.recall, found.precision, found.iou, found.kappa
    (1.0, 0.5, 0.5, 0.5)
    """
    shown, real = np.asarray(changed), np.asarray(truth)
    looked_at = np.isin(shown, (0, 1)) & np.isin(real, (0, 1)) if shown.shape == real.shape else None
    use = _use(looked_at, valid, f"changed {shown.shape} and truth {real.shape}")
    is_shown, is_real = shown[use] == 1, real[use] == 1
    hits = int((is_shown & is_real).sum())
    false, missed = int(is_shown.sum()) - hits, int(is_real.sum()) - hits
    return MapScores.of_counts(hits, false, missed, is_real.size - hits - false - missed)


def _use(looked_at: BoolArray | None, valid: ArrayLike | None, what: str) -> BoolArray:
    """Pixels that count; refuses shapes that differ and nothing left."""
    mask = None if valid is None else np.asarray(valid, bool)
    if looked_at is None or (mask is not None and mask.shape != looked_at.shape):
        raise InputError(f"{what} do not fit together or to the mask; give arrays of one shape")
    use = looked_at if mask is None else looked_at & mask
    if not use.any():
        raise InputError(f"{what} have no valid pixel in common; nothing can be scored")
    return use


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def date_errors(
    dates: ArrayLike, truth_dates: ArrayLike, where: ArrayLike | None = None, *, days: int = 30
) -> DateErrors:
    """Compare dates of change with the true ones.

    Parameters
    ----------
    dates : array_like
        (y, x) or any shape, days since 1970-01-01; -1 is none.
    truth_dates : array_like
        Same shape, likewise; pixels without a true date are left out.
    where : array_like of bool, optional
        Same shape, where to look; everywhere by default.
    days : int
        Largest error that counts as near.

    Returns
    -------
    DateErrors
        Median, signed and absolute, and the share within `days`.

    Raises
    ------
    InputError
        If the shapes differ or no pixel has a true date.

    Examples
    --------
    >>> date_errors([100, 112, -1, 50], [100, 100, 100, -1], days=6)
    DateErrors(pixels=3, dated=0.66..., median=6.0, median_absolute=6.0, share_within=0.33..., days=6)
    """
    found, real = np.asarray(dates), np.asarray(truth_dates)
    known = real != _NO_DATE if found.shape == real.shape else None
    use = _use(known, where, f"dates {found.shape} and true dates {real.shape}")
    found, real = found[use].astype(np.float64), real[use].astype(np.float64)
    dated = found != _NO_DATE
    errors = (found - real)[dated]
    any_dated = bool(dated.any())
    return DateErrors(
        pixels=int(use.sum()),
        dated=float(dated.mean()),
        median=float(np.median(errors)) if any_dated else float("nan"),
        median_absolute=float(np.median(np.abs(errors))) if any_dated else float("nan"),
        share_within=float((np.abs(errors) <= days).sum() / use.sum()),
        days=days,
    )


def auc(truth: ArrayLike, score: FloatArray, valid: ArrayLike | None = None) -> float:
    """Area under the receiver operating characteristic: chance that a change outscores an unchanged pixel.

    Parameters
    ----------
    truth : array_like of bool
        Any shape, true where it changed.
    score : ndarray
        Same shape, larger = more change; NaN is no data and left out.
    valid : array_like of bool, optional
        Same shape, where to look; everywhere by default.

    Returns
    -------
    float
        0.5 for a score that knows nothing, 1 for one that separates.

    Raises
    ------
    InputError
        If the shapes differ or only one of the two classes is left.

    References
    ----------
    Fawcett, T. (2006). An introduction to ROC analysis. Pattern Recognition Letters, 27(8), 861-874.

    Examples
    --------
    >>> auc([False, True, False, True], np.array([0.1, 0.9, 0.4, 0.3]))
    0.75
    """
    from sklearn.metrics import roc_auc_score

    real = np.asarray(truth, bool)
    known = np.isfinite(score) if real.shape == score.shape else None
    use = _use(known, valid, f"truth {real.shape} and score {score.shape}")
    changed = int(real[use].sum())
    if changed in (0, int(use.sum())):
        raise InputError(
            f"{changed} of {int(use.sum())} pixels are changed; a curve needs both changed and unchanged ones"
        )
    return float(roc_auc_score(real[use], score[use]))


def threshold_for(score: ArrayLike, rate: float) -> float:
    """Threshold that a given share of unchanged pixels exceeds.

    Parameters
    ----------
    score : array_like
        Any shape, scores where nothing changed; NaN is no data.
    rate : float
        Share of false alarms, between 0 and 1.

    Returns
    -------
    float
        Quantile ``1 - rate`` of the valid scores.

    Raises
    ------
    InputError
        If the rate is out of range or no score is valid.

    Examples
    --------
    >>> threshold_for(np.arange(101.0), 0.05)
    95.0
    """
    if not 0 < rate < 1:
        raise InputError(f"rate is {rate}; give a share between 0 and 1, for example 0.01")
    return float(np.quantile(_finite(score), 1 - rate))


def share_above(score: ArrayLike, threshold: float, where: ArrayLike | None = None) -> float:
    """Share of the valid pixels whose score exceeds a threshold.

    Parameters
    ----------
    score : array_like
        Any shape; NaN is no data.
    threshold : float
        In the unit of the score.
    where : array_like of bool, optional
        Same shape, where to look; everywhere by default.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    InputError
        If no score is valid there.

    Examples
    --------
    >>> share_above([0.5, 2.0, 3.0, float("nan")], 1.0)
    0.66...
    """
    values = np.asarray(score)
    return float((_finite(values if where is None else values[np.asarray(where, bool)]) > threshold).mean())


def _finite(score: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(score, np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        raise InputError("score has no valid pixel; nothing can be counted")
    return values
