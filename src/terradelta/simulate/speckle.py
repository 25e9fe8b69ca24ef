"""Speckle: the grain of every coherent image."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft, ndimage, special

from terradelta.errors import InputError
from terradelta.types import FloatArray

__all__ = ["correlated_normal", "speckle"]

_REACH = 6.0
_STEPS = 1 << 14
_LAGS = 512


@lru_cache(maxsize=16)
def _quantiles(looks: float) -> FloatArray:
    """Tabulate the gamma quantile of each normal value from -6 to 6."""
    normal = np.linspace(-_REACH, _REACH, _STEPS)
    return np.asarray(special.gammaincinv(looks, special.ndtr(normal)) / looks, np.float32)


@lru_cache(maxsize=16)
def _kernel(cells: float) -> FloatArray:
    """Design the filter that turns white noise into noise of correlation sinc**2(lag / cells)."""
    lag = fft.fftfreq(_LAGS, 1 / _LAGS)
    power = np.maximum(fft.fft(np.sinc(lag / cells) ** 2).real, 0.0)
    kernel = fft.fftshift(fft.ifft(np.sqrt(power)).real)
    reach = max(2, int(np.ceil(4 * cells)))
    kernel = kernel[_LAGS // 2 - reach : _LAGS // 2 + reach + 1]
    return np.asarray(kernel / np.sqrt((kernel**2).sum()))


def correlated_normal(
    rng: np.random.Generator, shape: tuple[int, ...], resolution: float, spacing: float
) -> FloatArray:
    """Draw normal numbers that are alike within the radar's resolution cell.

    The correlation along each axis is sinc**2(distance / resolution): that of the intensity of a radar of
    this resolution without window (Oliver & Quegan 2004, *Understanding Synthetic Aperture Radar Images*).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    shape : tuple of int
        (..., y, x).
    resolution, spacing : float
        Resolution of the radar and pixel size in m.

    Returns
    -------
    ndarray of float32
        Mean 0, standard deviation 1.

    Examples
    --------
    >>> correlated_normal(np.random.default_rng(0), (4, 5), 20.0, 10.0).shape
    (4, 5)
    """
    noise = rng.standard_normal(shape, dtype=np.float32)
    kernel = _kernel(resolution / spacing)
    for axis in (-2, -1):
        noise = ndimage.correlate1d(noise, kernel, axis=axis, mode="wrap")
    return np.asarray(noise, np.float32)


def speckle(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    looks: float,
    *,
    resolution: float = 0.0,
    spacing: float = 1.0,
) -> FloatArray:
    """Draw multi-look speckle: gamma numbers of mean 1 and variance 1 / looks, to be multiplied on power.

    Goodman 1976, Journal of the Optical Society of America 66(11) 1145-1150; the equivalent number of
    looks of a Sentinel-1 IW GRDH pixel is 4.4.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws; how many are drawn never depends on the scene.
    shape : tuple of int
        (..., y, x).
    looks : float
        Equivalent number of looks.
    resolution, spacing : float
        Resolution of the radar and pixel size in m; where the resolution is coarser than a third of a pixel
        neighbours are correlated. 0 (default): independent pixels.

    Returns
    -------
    ndarray of float32
        Positive.

    Raises
    ------
    InputError
        If `looks` is not positive.

    Examples
    --------
    >>> grain = speckle(np.random.default_rng(0), (200, 200), 4.4)
    >>> round(float(1 / grain.var()), 1)
    4.4
    """
    if not looks > 0:
        raise InputError(f"looks is {looks}; give a positive equivalent number of looks, such as 4.4")
    if 3.0 * resolution <= spacing:
        grain = rng.standard_gamma(looks, shape, dtype=np.float32) / np.float32(looks)
    else:
        normal = correlated_normal(rng, shape, resolution, spacing)
        step = np.float32((_STEPS - 1) / (2 * _REACH))
        place = np.clip((normal + np.float32(_REACH)) * step + np.float32(0.5), 0, _STEPS - 1)
        grain = _quantiles(looks)[place.astype(np.int32)]
    return np.asarray(np.maximum(grain, np.float32(1e-6)))
