"""Distributions behind the sequential omnibus test: p-values, and the thresholds they amount to."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, gammaln, xlogy

Float64Array: TypeAlias = NDArray[np.float64]

_BISECTIONS = 70
_LARGEST_STATISTIC = 2000.0
_LONGEST_SUM = 128


def step_correction(j: Float64Array, looks: float, bands: int) -> tuple[Float64Array, Float64Array]:
    """Give rho and omega2 for the test of the j-th observation against the j - 1 before it."""
    rho = 1 - (1 + 1 / (j * (j - 1))) / (6 * looks)
    return rho, -bands / 4 * (1 - 1 / rho) ** 2


def series_correction(k: Float64Array, looks: float, bands: int) -> tuple[Float64Array, Float64Array]:
    """Give rho and omega2 for the test that all k observations are alike."""
    rho = 1 - (1 + 1 / k) / (6 * looks)
    return rho, -bands * (k - 1) / 4 * (1 - 1 / rho) ** 2


def survival(statistic: Float64Array, freedom: Float64Array | int, omega: Float64Array) -> Float64Array:
    """Probability to exceed ``-2 rho ln R`` under no change, a mixture of two chi-squared laws, in 0..1."""
    x, a = np.maximum(statistic, 0) / 2, np.asarray(freedom, np.float64) / 2
    if a.size and (a == a.flat[0]).all():
        a = np.asarray(a.flat[0])
    # Q(a + 1, x) = Q(a, x) + x**a exp(-x) / gamma(a + 1), twice, gives the second law from the first
    with np.errstate(divide="ignore"):
        more = np.exp(a * np.log(x) - x - gammaln(a + 1)) * (1 + x / (a + 1))
    return np.asarray(np.clip(_upper_gamma(a, x) + omega * more, 0, 1))


def step_p_values(
    log_ratio_per_look: Float64Array, count: NDArray[np.intp], looks: float, bands: int
) -> Float64Array:
    """P-values of the step after `count` observations, from ``ln R / looks`` less its `_constant` part."""
    j = np.maximum(count, 1) + 1.0
    rho, omega = step_correction(j, looks, bands)
    statistic = -2 * rho * looks * (bands * _constant(j) + log_ratio_per_look)
    return np.where(count > 0, survival(statistic, bands, omega), np.nan)


def series_p_values(
    log_products: Float64Array, log_of_sums: Float64Array, k: NDArray[np.intp], looks: float, bands: int
) -> Float64Array:
    """P-values of the omnibus test of `k` observations, NaN below two.

    ``ln Q = looks * (bands * k ln k + sum of ln products - k * ln(product of the sums))``.
    """
    number = np.maximum(k, 2).astype(np.float64)
    rho, omega = series_correction(number, looks, bands)
    log_q = looks * (bands * xlogy(number, number) + log_products - number * log_of_sums)
    return np.where(k > 1, survival(-2 * rho * log_q, bands * (number - 1), omega), np.nan)


@lru_cache(maxsize=32)
def step_thresholds(size: int, looks: float, bands: int, significance: float) -> Float64Array:
    """Largest ``ln R / looks - bands * _constant`` that is a change, by the observations before (index).

    The p-value falls as the statistic grows, so one number per count replaces a chi-squared law per pixel.
    """
    j = np.arange(2, size + 1, dtype=np.float64)
    rho, omega = step_correction(j, looks, bands)
    low: Float64Array = np.zeros_like(j)
    high: Float64Array = np.full_like(j, _LARGEST_STATISTIC)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = survival(middle, bands, omega) > significance
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    limits = -high / (2 * rho * looks) - bands * _constant(j)
    table = np.concatenate([[-np.inf], limits])
    table.setflags(write=False)
    return table


def _constant(j: Float64Array) -> Float64Array:
    """Give ``j ln j - (j - 1) ln(j - 1)``, the part of ``ln R / looks`` per band that no data enter."""
    return np.asarray(xlogy(j, j) - xlogy(j - 1, j - 1))


def _upper_gamma(a: Float64Array, x: Float64Array) -> Float64Array:
    """Regularised upper incomplete gamma function, a short sum where `a` is one small integer."""
    if a.ndim or not (float(a).is_integer() and a <= _LONGEST_SUM):
        return np.asarray(gammaincc(a, x))
    term = np.exp(-x)
    total = term.copy()
    for i in range(1, int(a)):
        term *= x
        term /= i
        total += term
    return total
