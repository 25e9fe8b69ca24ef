"""Linear regression in which outliers take no part."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.types import FloatArray

__all__ = ["BiweightFit", "biweight_regression"]

_MAD_TO_SIGMA = 1.4826
_RIDGE = 1e-9


class BiweightFit(NamedTuple):
    """Coefficients (k,) and the scale of the residuals."""

    coefficients: NDArray[np.float64]
    scale: float


def biweight_regression(
    design: FloatArray, values: FloatArray, *, cutoff: float = 2.5, iterations: int = 8
) -> BiweightFit:
    """Fit values by a linear model with Tukey's biweight, started from the densest half of the values.

    A fit started from least squares is already bent where much has changed, and stays so. The shortest
    interval that holds half of the values ("shorth") marks the majority instead; from there the weights
    ``(1 - (r / (cutoff * s))**2)**2`` and the scale ``s = 1.4826 median|r|`` are iterated.

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
        If the shapes do not fit together.

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
    design, values = np.asarray(design, np.float64), np.asarray(values, np.float64)
    if design.ndim != 2 or values.shape != design.shape[:1]:
        raise InputError(f"design {design.shape} and values {values.shape} do not fit; expected (n, k), (n,)")
    known = np.isfinite(values) & np.isfinite(design).all(axis=1)
    rows, targets = design[known], values[known]
    if len(targets) < 2 * rows.shape[1]:
        return BiweightFit(np.zeros(rows.shape[1]), 0.0)
    centre, scale = _shorth(targets)
    weights = _biweight(targets - centre, cutoff * scale)
    coefficients = np.zeros(rows.shape[1])
    for _ in range(iterations):
        weighted = rows * weights[:, None]
        ridge = _RIDGE * len(rows) * np.eye(rows.shape[1])
        coefficients = np.linalg.solve(weighted.T @ rows + ridge, weighted.T @ targets)
        residuals = targets - rows @ coefficients
        scale = _MAD_TO_SIGMA * float(np.median(np.abs(residuals)))
        weights = _biweight(residuals, cutoff * scale)
    return BiweightFit(coefficients, scale)


def _shorth(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and scale of the densest half."""
    ordered = np.sort(values)
    half = len(ordered) // 2
    start = int(np.argmin(ordered[half:] - ordered[: len(ordered) - half]))
    dense = ordered[start : start + half + 1]
    return float(dense.mean()), float(dense[-1] - dense[0]) / 2 * _MAD_TO_SIGMA


def _biweight(residuals: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    if reach <= 0:
        return np.asarray(np.abs(residuals) <= np.finfo(np.float32).eps, dtype=np.float64)
    return np.clip(1 - (residuals / reach) ** 2, 0, None) ** 2
