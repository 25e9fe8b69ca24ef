"""Linear regression in which outliers take no part."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.native import cores, in_threads
from terradelta.types import BoolArray, FloatArray

__all__ = ["BiweightFit", "biweight_regression", "biweight_regressions"]

_Floats: TypeAlias = NDArray[np.float64]

_MAD_TO_SIGMA = 1.4826
_RIDGE = 1e-9
_CLEARLY = 0.7
_CHUNK = 1024
_WORTH_A_THREAD = 2**15


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
    the outliers lie anywhere; that fit is taken if its scale is clearly smaller (0.7 times).
    A little smaller it is also where it follows a change that took most of one kind of ground.

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
    return biweight_regressions(design, values[None], cutoff=cutoff, iterations=iterations)[0]


def biweight_regressions(
    design: FloatArray, values: FloatArray, *, cutoff: float = 2.5, iterations: int = 8
) -> list[BiweightFit]:
    """Fit several sets of values by one design; see `biweight_regression`.

    One matrix product serves the normal equations of all fits, which is many times faster than one by one.

    Parameters
    ----------
    design : ndarray
        (n, k); rows with NaN are left out.
    values : ndarray
        (m, n); NaN is left out, in each set by itself.
    cutoff : float
        Residuals of more than this many scales have weight zero.
    iterations : int
        Reweightings, at least 1.

    Returns
    -------
    list of BiweightFit
        One per set.

    Raises
    ------
    InputError
        If the shapes do not fit together, or `iterations` is below 1.

    Examples
    --------
    >>> x = np.linspace(0, 1, 200)
    >>> fits = biweight_regressions(np.stack([np.ones(200), x], 1), np.stack([1 + 2 * x, 3 - x]))
    >>> [fit.coefficients.round(3).tolist() for fit in fits]
    [[1.0, 2.0], [3.0, -1.0]]
    """
    if design.ndim != 2 or values.ndim != 2 or values.shape[1] != design.shape[0]:
        raise InputError(
            f"design {design.shape} and values {values.shape} do not fit; expected (n, k), (m, n)"
        )
    if iterations < 1:
        raise InputError(f"iterations is {iterations}; give at least 1")
    whole = np.isfinite(design).all(axis=1)
    rows, targets = design[whole].astype(np.float64), values[:, whole].astype(np.float64)
    known = np.isfinite(targets)
    fits = [BiweightFit(np.zeros(rows.shape[1]), 0.0)] * len(targets)
    enough = np.flatnonzero(known.sum(axis=1) >= max(2 * rows.shape[1], 1))

    def some(places: NDArray[np.intp]) -> None:
        found = _Fits(rows, targets[places], known[places]).run(cutoff, iterations)
        for place, fit in zip(places, found, strict=True):
            fits[place] = fit

    shares = np.array_split(enough, cores() if rows.size > _WORTH_A_THREAD else 1)
    in_threads(some, [part for part in shares if len(part)])
    return fits


class _Fits:
    """Several sets of values (m, n) over one design (n, k)."""

    def __init__(self, rows: _Floats, targets: _Floats, known: BoolArray) -> None:
        self._columns, self._known = np.ascontiguousarray(rows.T), None if known.all() else known
        self._targets = targets if self._known is None else np.where(known, targets, 0)
        self._numbers = known.sum(axis=1)
        self._pairs = np.triu_indices(rows.shape[1])

    def run(self, cutoff: float, iterations: int) -> list[BiweightFit]:
        """Reweight from both starts, carried side by side; keep the second if it is clearly narrower."""
        slopes = self._solve(self._weigh(np.ones((1, *self._targets.shape))))
        starts = np.concatenate([self._targets[None], self._residuals(slopes)])
        weights = self._weigh(self._each(lambda one: _majority(one, cutoff), starts))
        for _ in range(iterations):
            coefficients = self._solve(weights)
            residuals = self._residuals(coefficients)
            scales = _MAD_TO_SIGMA * self._medians(np.abs(residuals))
            weights = self._weigh(_biweight(residuals, cutoff * scales[..., None]))
        best = (scales[1] < _CLEARLY * scales[0]).astype(int)
        return [
            BiweightFit(coefficients[which, one].copy(), float(scales[which, one]))
            for one, which in enumerate(best)
        ]

    def _weigh(self, weights: _Floats) -> _Floats:
        return weights if self._known is None else weights * self._known

    def _solve(self, weights: _Floats) -> _Floats:
        """Weighted least squares, with a trace of ridge against columns that are alike."""
        terms, (first, second) = len(self._columns), self._pairs
        flat = weights.reshape(-1, weights.shape[-1])
        weighted = (weights * self._targets).reshape(flat.shape)
        upper = np.zeros((len(flat), len(first)))
        # chunk by chunk: the products of all pairs of columns stay in the processor's cache
        for start in range(0, flat.shape[1], _CHUNK):
            part = np.s_[:, start : start + _CHUNK]
            columns = self._columns[part]
            upper += flat[part] @ (columns[first] * columns[second]).T
        normal = np.empty((len(flat), terms, terms))
        normal[:, first, second] = normal[:, second, first] = upper
        ridge = _RIDGE * np.resize(self._numbers, len(flat))
        normal[:, range(terms), range(terms)] += ridge[:, None]
        solved = np.linalg.solve(normal, (weighted @ self._columns.T)[..., None])
        return np.asarray(solved.reshape(*weights.shape[:2], terms), np.float64)

    def _residuals(self, coefficients: _Floats) -> _Floats:
        return np.asarray(self._targets - coefficients @ self._columns)

    def _medians(self, values: _Floats) -> _Floats:
        if self._known is None:
            return np.asarray(np.median(values, axis=-1))
        medians = np.empty(values.shape[:2])
        for start, one in np.ndindex(values.shape[:2]):
            medians[start, one] = np.median(values[start, one, self._known[one]])
        return medians

    def _each(self, function: Callable[[_Floats], _Floats], values: _Floats) -> _Floats:
        """Apply a function to the known values of every set."""
        out = np.zeros_like(values)
        for start, one in np.ndindex(values.shape[:2]):
            seen = slice(None) if self._known is None else self._known[one]
            out[start, one, seen] = function(values[start, one, seen])
        return out


def _majority(values: _Floats, cutoff: float) -> _Floats:
    """Weights by the distance from the densest half of the values."""
    centre, scale = _shorth(values)
    return _biweight(values - centre, np.array(cutoff * scale))


def _shorth(values: _Floats) -> tuple[float, float]:
    """Give mean and scale of the densest half."""
    ordered = np.sort(values)
    half = len(ordered) // 2
    start = int(np.argmin(ordered[half:] - ordered[: len(ordered) - half]))
    dense = ordered[start : start + half + 1]
    return float(dense.mean()), float(dense[-1] - dense[0]) / 2 * _MAD_TO_SIGMA


def _biweight(residuals: _Floats, reach: _Floats) -> _Floats:
    """Tukey's weights; where the reach is zero, those of the residuals that are zero too."""
    none = reach <= 0
    weights = residuals / np.where(none, 1, reach)
    np.square(weights, out=weights)
    np.subtract(1, weights, out=weights)
    np.maximum(weights, 0, out=weights)
    np.square(weights, out=weights)
    if none.any():
        return np.where(none, np.abs(residuals) <= np.finfo(np.float32).eps, weights)
    return weights
