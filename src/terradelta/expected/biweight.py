"""Linear regression in which outliers take no part."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.types import FloatArray

__all__ = ["BiweightFit", "biweight_regression"]

_Floats: TypeAlias = NDArray[np.float64]

_MAD_TO_SIGMA = 1.4826
_RIDGE = 1e-9


class BiweightFit(NamedTuple):
    """What a regression found.

    Attributes
    ----------
    coefficients : ndarray
        (k,), one per column of the design.
    scale : float
        Standard deviation of the residuals of the majority, in the unit of the values.
    """

    coefficients: _Floats
    scale: float


def biweight_regression(
    design: FloatArray, values: FloatArray, *, cutoff: float = 2.5, iterations: int = 8
) -> BiweightFit:
    """Fit values by a linear model with Tukey's biweight, started from the densest half of the values.

    A fit started from least squares is already bent where much has changed, and stays so. The shortest
    interval that holds half of the values ("shorth") marks the majority instead; from there the weights
    ``(1 - (r / (cutoff * s))**2)**2`` and the scale ``s = 1.4826 median|r|`` are iterated. The same is done
    from the densest half of the residuals of least squares, which serves better where the model is steep and
    the outliers lie anywhere; that fit is taken if its scale is smaller.

    Parameters
    ----------
    design : ndarray
        (n, k) columns of the model, the constant among them; rows with NaN are left out.
    values : ndarray
        (n,) what to fit; NaN is left out.
    cutoff : float
        Residuals of more than this many scales have weight zero.
    iterations : int
        Reweightings, at least 1.

    Returns
    -------
    BiweightFit
        Coefficients and scale, in the unit of `values`; both zero where fewer than 2 k values are left.

    Raises
    ------
    InputError
        If the shapes do not fit together, or `iterations` is below 1.

    References
    ----------
    Beaton, A. E., & Tukey, J. W. (1974). The fitting of power series, meaning polynomials, illustrated on
    band-spectroscopic data. Technometrics, 16(2), 147-185.
    Andrews, D. F., et al. (1972). Robust Estimates of Location. Princeton University Press (the shorth).

    Examples
    --------
    >>> x = np.linspace(0, 1, 200)
    >>> y = 1 + 2 * x
    >>> y[:60] -= 5
    >>> fit = biweight_regression(np.stack([np.ones(200), x], 1), y)
    >>> fit.coefficients.round(3).tolist()
    [1.0, 2.0]
    """
    if design.ndim != 2 or values.shape != design.shape[:1]:
        raise InputError(f"design {design.shape} and values {values.shape} do not fit; expected (n, k), (n,)")
    if iterations < 1:
        raise InputError(f"iterations is {iterations}; give at least 1")
    known = np.isfinite(values) & np.isfinite(design).all(axis=1)
    rows, targets = design[known].astype(np.float64), values[known].astype(np.float64)
    terms = rows.shape[1]
    if len(targets) < 2 * terms:
        return BiweightFit(np.zeros(terms), 0.0)
    slopes = _solve(rows, targets, np.ones(len(rows)))
    first, second = (
        _reweighted(rows, targets, _majority(start, cutoff), cutoff, iterations)
        for start in (targets, targets - rows @ slopes)
    )
    return second if second.scale < first.scale else first


def _reweighted(
    rows: _Floats, targets: _Floats, weights: _Floats, cutoff: float, iterations: int
) -> BiweightFit:
    """Iterate weights and coefficients."""
    for _ in range(iterations):
        coefficients = _solve(rows, targets, weights)
        residuals = targets - rows @ coefficients
        scale = _MAD_TO_SIGMA * float(np.median(np.abs(residuals)))
        weights = _biweight(residuals, cutoff * scale)
    return BiweightFit(coefficients, scale)


def _solve(rows: _Floats, targets: _Floats, weights: _Floats) -> _Floats:
    """Weighted least squares, with a trace of ridge against columns that are alike."""
    weighted = rows.T * weights
    ridge = _RIDGE * len(rows) * np.eye(rows.shape[1])
    return np.asarray(np.linalg.solve(weighted @ rows + ridge, weighted @ targets), np.float64)


def _majority(values: _Floats, cutoff: float) -> _Floats:
    """Weights by the distance from the densest half of the values."""
    centre, scale = _shorth(values)
    return _biweight(values - centre, cutoff * scale)


def _shorth(values: _Floats) -> tuple[float, float]:
    """Give mean and scale of the densest half."""
    ordered = np.sort(values)
    half = len(ordered) // 2
    start = int(np.argmin(ordered[half:] - ordered[: len(ordered) - half]))
    dense = ordered[start : start + half + 1]
    return float(dense.mean()), float(dense[-1] - dense[0]) / 2 * _MAD_TO_SIGMA


def _biweight(residuals: _Floats, reach: float) -> _Floats:
    if reach <= 0:
        return np.asarray(np.abs(residuals) <= np.finfo(np.float32).eps, dtype=np.float64)
    return np.clip(1 - (residuals / reach) ** 2, 0, None) ** 2
