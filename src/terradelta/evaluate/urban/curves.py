"""How well a score separates changed from unchanged pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from terradelta.evaluate.scores import auc
from terradelta.types import BoolArray, FloatArray

__all__ = ["Curve", "curve"]


@dataclass(frozen=True)
class Curve:
    """Figures of a score against labels, over all thresholds.

    Attributes
    ----------
    auc : float
        Area under the receiver operating characteristic; 0.5 = knows nothing.
    precision : float
        Average precision; the share of changed pixels = knows nothing.

    Examples
    --------
    >>> print(Curve(0.8, 0.125))
    0.800 (0.125)
    """

    auc: float
    precision: float

    def __str__(self) -> str:
        return f"{self.auc:.3f} ({self.precision:.3f})"


def curve(changed: BoolArray, score: FloatArray, valid: BoolArray | None = None) -> Curve:
    """Score a map against labels.

    Parameters
    ----------
    changed : ndarray of bool
        Any shape, the labels.
    score : ndarray
        Same shape, larger = more change; NaN is no data and left out.
    valid : ndarray of bool, optional
        Same shape, where to look; everywhere by default.

    Returns
    -------
    Curve
        Area and average precision (Manning, Raghavan & Schütze 2008, *Introduction to Information
        Retrieval*, ch. 8).

    Raises
    ------
    InputError
        If only one of the two classes is left.

    Examples
    --------
    >>> curve(np.array([False, True, False, True]), np.array([0.1, 0.9, 0.4, 0.3]))
    Curve(auc=0.75, precision=0.833...)
    """
    from sklearn.metrics import average_precision_score

    area = auc(changed, score, valid)
    use = np.isfinite(score) if valid is None else np.isfinite(score) & valid
    return Curve(area, float(average_precision_score(changed[use], score[use])))
