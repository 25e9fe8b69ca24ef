"""Linear backscatter to decibel and back, and the log-ratio; missing stays missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from terradelta.errors import InputError
from terradelta.types import FloatArray

__all__ = ["log_ratio", "to_db", "to_linear"]


def to_db(linear: ArrayLike) -> FloatArray:
    """Turn linear backscatter into decibel.

    Parameters
    ----------
    linear : array_like
        Backscatter in linear power, any shape. Zero, negative, infinite and NaN values are no data.

    Returns
    -------
    ndarray
        ``10 log10(linear)`` in dB, same shape, NaN where there is no data; float32 if `linear`
        is, else float64.

    Raises
    ------
    InputError
        If `linear` holds anything but real numbers.

    Examples
    --------
    >>> to_db([1.0, 0.1, 0.0, -1.0]).tolist()
    [0.0, -10.0, nan, nan]
    """
    values = as_float(linear, "linear")
    with np.errstate(invalid="ignore", divide="ignore"):
        decibel = np.asarray(np.log10(values))
    decibel[np.isinf(decibel)] = np.nan
    decibel *= 10
    return decibel


def to_linear(decibel: ArrayLike) -> FloatArray:
    """Turn decibel into linear backscatter.

    Parameters
    ----------
    decibel : array_like
        Values in dB, any shape. NaN and infinite values are no data.

    Returns
    -------
    ndarray
        ``10 ** (decibel / 10)`` in linear power, same shape, NaN where there is no data or where the value
        leaves the range of the type; float32 if `decibel` is, else float64.

    Raises
    ------
    InputError
        If `decibel` holds anything but real numbers.

    Examples
    --------
    >>> to_linear([0.0, -10.0, float("nan"), float("-inf")]).tolist()
    [1.0, 0.1, nan, nan]
    """
    values = as_float(decibel, "decibel")
    with np.errstate(over="ignore", under="ignore"):
        linear = np.power(values.dtype.type(10), values / 10)
    return np.asarray(np.where((linear > 0) & np.isfinite(linear), linear, np.nan), dtype=values.dtype)


def log_ratio(new: ArrayLike, old: ArrayLike) -> FloatArray:
    """Difference of two images in dB, positive where it became brighter.

    Parameters
    ----------
    new, old : array_like
        Backscatter in linear power of the later and the earlier image; the shapes broadcast.

    Returns
    -------
    ndarray
        ``to_db(new) - to_db(old)`` in dB, NaN where either has no data.

    Raises
    ------
    InputError
        If the shapes do not fit together.

    Examples
    --------
    >>> log_ratio([0.1, 0.2, 0.0], [0.01, 0.2, 0.3]).round(6).tolist()
    [10.0, 0.0, nan]
    """
    later, earlier = to_db(new), to_db(old)
    try:
        np.broadcast_shapes(later.shape, earlier.shape)
    except ValueError:
        raise InputError(
            f"new has shape {later.shape} and old {earlier.shape}; bring both onto one grid first"
        ) from None
    return np.asarray(later - earlier)


def as_float(values: ArrayLike, name: str) -> FloatArray:
    """Give real numbers as float32 (if they are) or float64, without a copy where none is needed.

    Parameters
    ----------
    values : array_like
        Any shape.
    name : str
        What the error calls it.

    Returns
    -------
    ndarray
        The values, floating.

    Raises
    ------
    InputError
        If they are not real numbers.

    Examples
    --------
    >>> as_float([1, 2], "linear").dtype
    dtype('float64')
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{name} has type {array.dtype}; give real numbers (intensities, not complex samples)"
        )
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64, copy=False)
