"""Mappings of backscatter from the distribution of one land cover to that of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import ndtr

from terradelta.errors import InputError

__all__ = ["KernelMapping", "QuantileMapping"]

Float64 = NDArray[np.float64]
POINTS, DROPPED = 8192, 3


def _finite(values: NDArray[Any], name: str) -> Float64:
    array = np.asarray(values, np.float64).ravel()
    array = array[np.isfinite(array)]
    if array.size == 0:
        raise InputError(f"{name} has no finite value; give at least one pixel of that class in this image")
    return array


@dataclass(frozen=True, eq=False)
class QuantileMapping:
    """Map values so that equal quantiles of two classes meet: ``F_target^-1(F_forest(x))``.

    Both inverse distribution functions are empirical quantiles at 8,192 points, three left out at each end,
    linear in between. Inside that range and without repeated values, both ways below are equal.

    Attributes
    ----------
    forest, target : ndarray of float64, (point,)
        Abscissae and ordinates, in the value space of the fit (dB in the published program).
    published : bool
        Extend the end segments beyond the range and keep repeated abscissae, as published: few pixels or
        quantised values then give NaN or infinity. If False (default), repeated abscissae take the mean of
        their ordinates and values beyond the range are shifted as its end is: always finite.

    Notes
    -----
    Alatalo et al. 2023 (IEEE TGRS 61) call it kernel density estimate; the library used there takes
    empirical quantiles.
    """

    forest: Float64
    target: Float64
    published: bool = False

    @classmethod
    def fit(
        cls, forest_values: NDArray[Any], target_values: NDArray[Any], *, published: bool = False
    ) -> QuantileMapping:
        """Fit the mapping to pixels of two classes in one band.

        Parameters
        ----------
        forest_values, target_values : ndarray
            Pixels of the class that is left and of the class that comes; non-finite ones are left out.
        published : bool
            See the class.

        Returns
        -------
        QuantileMapping

        Raises
        ------
        InputError
            If a class has no finite value.

        Examples
        --------
        >>> x = np.arange(100.0)
        >>> QuantileMapping.fit(x, x - 2.5)(np.array([50.0, 200.0])).round(6).tolist()
        [47.5, 197.5]
        """
        forest = _quantiles(_finite(forest_values, "forest"))
        target = _quantiles(_finite(target_values, "target"))
        if not published:
            forest, target = _one_each(forest, target)
        return cls(forest, target, published)

    def __call__(self, values: NDArray[Any]) -> Float64:
        """Map values.

        Parameters
        ----------
        values : ndarray
            Any shape; NaN stays NaN.

        Returns
        -------
        ndarray of float64, same shape
        """
        x = np.asarray(values, np.float64)
        return (
            _extended(x, self.forest, self.target)
            if self.published
            else _shifted(x, self.forest, self.target)
        )


def _quantiles(values: Float64) -> Float64:
    """Give empirical quantiles with plotting positions ``(i - 0.4) / (n + 0.2)`` (Cunnane 1978)."""
    if values.size == 1:
        return np.full(POINTS - 2 * DROPPED, values[0])
    share = np.linspace(0, 1, POINTS)[DROPPED:-DROPPED]
    rank = values.size * share + (0.4 + share * (1 - 0.4 - 0.4))
    whole = np.floor(np.clip(rank, 1, values.size - 1)).astype(np.intp)
    part = np.clip(rank - whole, 0, 1)
    ordered = np.sort(values)
    return np.asarray((1 - part) * ordered[whole - 1] + part * ordered[whole])


def _one_each(x: Float64, y: Float64) -> tuple[Float64, Float64]:
    """Give repeated abscissae the mean of their ordinates."""
    distinct, inverse, count = np.unique(x, return_inverse=True, return_counts=True)
    return distinct, np.bincount(inverse, y) / count


def _extended(values: Float64, x: Float64, y: Float64) -> Float64:
    high = np.clip(np.searchsorted(x, values), 1, len(x) - 1)
    low = high - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (y[high] - y[low]) / (x[high] - x[low])
        return np.asarray(slope * (values - x[low]) + y[low])


def _shifted(values: Float64, x: Float64, y: Float64) -> Float64:
    inside = np.clip(values, x[0], x[-1])
    return np.asarray(np.interp(inside, x, y) + (values - inside))


@dataclass(frozen=True, eq=False)
class KernelMapping:
    """Map values between kernel density estimates of two classes, as the paper words it.

    Gaussian kernels with the bandwidth of the normal reference rule; the distribution functions are exact
    to the linear binning of 4,096 points.

    Attributes
    ----------
    forest, target : ndarray of float64, (point,)
        Abscissae and ordinates, in the value space of the fit. Values beyond are shifted as the end is.
    """

    forest: Float64
    target: Float64

    @classmethod
    def fit(cls, forest_values: NDArray[Any], target_values: NDArray[Any]) -> KernelMapping:
        """Fit the mapping to pixels of two classes in one band.

        Parameters
        ----------
        forest_values, target_values : ndarray
            As in `QuantileMapping.fit`.

        Returns
        -------
        KernelMapping

        Raises
        ------
        InputError
            If a class has no finite value, or only one value: there is no density then.

        Examples
        --------
        >>> x = np.random.default_rng(0).normal(size=1000)
        >>> KernelMapping.fit(x, x - 2.5)(np.array([0.0, 9.0])).round(4).tolist()
        [-2.5, 6.5]
        """
        x, forest = _kernel_distribution(_finite(forest_values, "forest"), "forest")
        y, target = _kernel_distribution(_finite(target_values, "target"), "target")
        used = (forest > _TAIL) & (forest < 1 - _TAIL)
        share, first = np.unique(target, return_index=True)
        return cls(x[used], np.interp(forest[used], share, y[first]))

    def __call__(self, values: NDArray[Any]) -> Float64:
        """Map values; as in `QuantileMapping`."""
        return _shifted(np.asarray(values, np.float64), self.forest, self.target)


_GRID, _TAIL = 4096, 1e-6
_NORMAL_QUARTILES, _REFERENCE = 1.349, 2 * 24**-0.2


def _bandwidth(values: Float64, name: str) -> float:
    """Take the normal reference rule: 1.059 min(s, IQR / 1.349) n^(-1/5) (Silverman 1986)."""
    spread = float(np.std(values, ddof=1)) if values.size > 1 else 0.0
    if values.size < 2 or spread <= 1e-9 * max(1.0, float(np.abs(values).max())):
        raise InputError(
            f"{name} has the constant value {values[0]:g}, so it has no kernel density; "
            "give pixels that differ, or take mapping='quantile'"
        )
    quartiles = np.percentile(values, [25, 75])
    middle = float(quartiles[1] - quartiles[0]) / _NORMAL_QUARTILES
    scale = min(spread, middle) if middle > 0 else spread
    return float(_REFERENCE * scale * values.size**-0.2)


def _kernel_distribution(values: Float64, name: str) -> tuple[Float64, Float64]:
    width = _bandwidth(values, name)
    low, high = values.min() - 5 * width, values.max() + 5 * width
    grid = np.linspace(low, high, _GRID)
    position = (values - low) / (grid[1] - grid[0])
    cell = np.minimum(position.astype(np.intp), _GRID - 2)
    right = position - cell
    weights = np.bincount(cell, 1 - right, _GRID) + np.bincount(cell + 1, right, _GRID)
    steps = (np.arange(2 * _GRID - 1) - (_GRID - 1)) * (grid[1] - grid[0])
    size = fft.next_fast_len(3 * _GRID, real=True)
    product = fft.rfft(weights / values.size, size) * fft.rfft(ndtr(steps / width), size)
    shares = fft.irfft(product, size)[_GRID - 1 : 2 * _GRID - 1]
    return grid, np.maximum.accumulate(np.clip(shares, 0.0, 1.0))
