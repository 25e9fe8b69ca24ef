"""The equivalent number of looks, measured in the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc, gammaincinv

from terradelta.errors import InputError
from terradelta.sar.decibel import as_float
from terradelta.types import FloatArray

__all__ = ["equivalent_looks"]

_ITERATIONS = 100
_KEPT_UP_TO = 0.85


def equivalent_looks(linear: ArrayLike, window: int = 7) -> float:
    """Estimate the equivalent number of looks from how much homogeneous ground varies.

    In each window (side by side, free of no-data) the squared coefficient of variation is taken. For N
    independent pixels of L looks its mean is exactly ``N / (N L + 1)``, also in small windows. Edges and
    texture only make it larger: therefore a gamma law is fitted to the lower part of the values, cut at its
    own 85 % quantile, starting from their mode.

    Neighbouring pixels of real images are not independent; then small windows show too many looks. A larger
    `window` lessens that, as long as the ground is homogeneous over it.

    Parameters
    ----------
    linear : array_like
        Backscatter in linear power, shape (..., y, x); all images count together. NaN, zero and negative
        values are no data.
    window : int
        Side of the windows, at least 3.

    Returns
    -------
    float
        Equivalent number of looks.

    Raises
    ------
    InputError
        If there are fewer than two dimensions, `window` is below 3, or no window is whole and varies.

    References
    ----------
    Anfinsen, S. N., Doulgeris, A. P., & Eltoft, T. (2009). Estimation of the equivalent number of looks in
    polarimetric synthetic aperture radar imagery. IEEE Transactions on Geoscience and Remote Sensing, 47(11),
    3795-3809.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> round(equivalent_looks(rng.gamma(4, 0.1 / 4, (300, 300))), 1)
    4.0
    """
    values = as_float(linear, "linear")
    if values.ndim < 2:
        raise InputError(f"linear has shape {values.shape}; give images of shape (..., y, x)")
    if window < 3:
        raise InputError(f"window is {window}; give at least 3 pixels")
    variation = _squared_variation(values, window)
    if not variation.size:
        raise InputError(
            f"no window of {window} x {window} pixels is free of no-data and varies; give a smaller one"
        )
    pixels = window * window
    return float(1 / _typical(variation, pixels) - 1 / pixels)


def _squared_variation(values: FloatArray, window: int) -> NDArray[np.float64]:
    rows, columns = (length // window for length in values.shape[-2:])
    cut = values[..., : rows * window, : columns * window].astype(np.float64)
    cells = cut.reshape(*values.shape[:-2], rows, window, columns, window).swapaxes(-3, -2)
    flat = cells.reshape(-1, window * window)
    with np.errstate(invalid="ignore"):
        flat = flat[((flat > 0) & np.isfinite(flat)).all(axis=1)]
    if not flat.size:
        return np.empty(0)
    squared = flat.var(axis=1, ddof=1) / flat.mean(axis=1) ** 2
    return np.asarray(squared[squared > 0])


def _typical(variation: NDArray[np.float64], pixels: int) -> float:
    """Mean of the gamma law that fits the lower part; its shape follows from the looks that mean implies."""
    mean = float(np.exp(_half_sample_mode(np.log(variation))))
    for _ in range(_ITERATIONS):
        shape = _shape(mean, pixels)
        cut = gammaincinv(shape, _KEPT_UP_TO) * mean / shape
        kept = variation[variation <= cut]
        if not kept.size:
            break
        # the mean of a gamma law cut above is smaller than that of the whole by this factor
        lessened = gammainc(shape + 1, shape * cut / mean) / gammainc(shape, shape * cut / mean)
        previous, mean = mean, float(kept.mean() / lessened)
        if abs(mean - previous) < 1e-6 * mean:
            break
    return mean


def _shape(mean: float, pixels: int) -> float:
    """Half the degrees of freedom of a sample variance of gamma-distributed pixels around a known mean."""
    looks = max(1 / mean - 1 / pixels, 0.1)
    # 6 / (L N) is the kurtosis of the gamma law; dividing by the squared sample mean takes 4 / (L N) away
    return 1 / (2 / (pixels - 1) + 2 / (looks * pixels))


def _half_sample_mode(values: NDArray[np.float64]) -> float:
    ordered = np.sort(values)
    while ordered.size > 3:
        half = ordered.size // 2
        start = int(np.argmin(ordered[half:] - ordered[: ordered.size - half]))
        ordered = ordered[start : start + half]
    return float(ordered.mean())
