"""What the satellites themselves add to the signal."""

from __future__ import annotations

import numpy as np

from terradelta.types import FloatArray

__all__ = ["add_noise_floor", "gain_db", "satellite_db"]


def satellite_db(platform: str) -> float:
    """Offset Sentinel-1B by 0.3 dB from Sentinel-1A.

    Schmidt et al. 2020, Remote Sensing 12(5) 854: differences in the order of 0.3 dB over targets of
    medium and high backscatter. The sign here is a choice.

    Parameters
    ----------
    platform : str
        "S1A", "S1B" or another.

    Returns
    -------
    float
        dB.

    Examples
    --------
    >>> satellite_db("S1B")
    0.3
    """
    return 0.3 if platform == "S1B" else 0.0


def gain_db(rng: np.random.Generator) -> FloatArray:
    """Draw the pass-to-pass gain of both bands (standard deviation 0.15 dB).

    Torres et al. 2012, Remote Sensing of Environment 120, 9-24: radiometric stability 0.5 dB (3 sigma).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws, one per pass.

    Returns
    -------
    ndarray, (band,)
        dB.

    Examples
    --------
    >>> gain_db(np.random.default_rng(0)).shape
    (2,)
    """
    return np.asarray(rng.normal(0.0, 0.15, 2))


def add_noise_floor(linear: FloatArray, decibel: float) -> FloatArray:
    """Add the receiver's thermal noise in linear power, so that nothing is darker than the floor.

    Torres et al. 2012, Remote Sensing of Environment 120, 9-24: noise-equivalent sigma0 at most -22 dB,
    in flight several dB lower. Speckle multiplies signal and noise alike.

    Parameters
    ----------
    linear : ndarray
        Signal in linear power.
    decibel : float
        Floor in dB.

    Returns
    -------
    ndarray, same shape and dtype

    Examples
    --------
    >>> float(10 * np.log10(add_noise_floor(np.array(10 ** -2.6), -26.0)).round(1))
    -23.0
    """
    return np.asarray(linear + np.asarray(10.0 ** (decibel / 10.0), np.asarray(linear).dtype))
