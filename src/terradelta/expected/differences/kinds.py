"""Kinds of difference between an image and what was expected, on plain arrays."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np

from terradelta.errors import InputError
from terradelta.types import FloatArray

__all__ = ["KINDS", "NO_CHANGE", "UNITS", "Kind", "compare", "length", "scale_together", "standardise"]

Kind: TypeAlias = Literal["subtraction", "ratio", "log-ratio", "scaled-ratio", "scaled-log-ratio"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""All kinds: a difference in dB; ratio of linear power and its logarithm; and the two as published."""

NO_CHANGE: dict[str, float] = {
    "subtraction": 0.0,
    "ratio": 1.0,
    "log-ratio": 0.0,
    "scaled-ratio": 1.0,
    "scaled-log-ratio": 0.0,
}
"""Value of each kind where the image is as expected."""

UNITS: dict[str, str] = {"subtraction": "dB"} | dict.fromkeys(KINDS[1:], "1")
"""Unit of each kind."""

_LIFT = np.float32(0.01)


def compare(
    target: FloatArray,
    expected: FloatArray,
    kind: Kind = "subtraction",
    low: FloatArray | float | None = None,
    high: FloatArray | float | None = None,
) -> FloatArray:
    """Compare an image with what was expected, pixel by pixel and band by band.

    Parameters
    ----------
    target, expected : ndarray
        Any shape, dB; NaN = no data.
    kind : str
        ``"subtraction"``: target - expected, dB. ``"ratio"``: of their linear power, 1 = as expected.
        ``"log-ratio"``: its natural logarithm. ``"scaled-ratio"`` and ``"scaled-log-ratio"``: as published,
        of the dB values after `scale_together`.
    low, high : float, optional
        For the scaled kinds, the values that become 0.01 and 1.01; by default the extremes of both images.

    Returns
    -------
    ndarray
        Same shape and type; NaN where either has no data.

    Raises
    ------
    InputError
        If the kind is unknown or the shapes differ.

    Examples
    --------
    >>> new, old = np.array([-10.0, -13.0]), np.array([-13.0, -13.0])
    >>> [compare(new, old, kind).round(3).tolist() for kind in ("subtraction", "ratio", "scaled-ratio")]
    [[3.0, 0.0], [1.995, 1.0], [101.0, 1.0]]
    """
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; give one of {', '.join(KINDS)}")
    if target.shape != expected.shape:
        raise InputError(f"target {target.shape} and expected image {expected.shape} differ in shape")
    if kind in ("scaled-ratio", "scaled-log-ratio"):
        new, old = scale_together(target, expected, low=low, high=high)
        ratio = new / old
        return np.asarray(ratio if kind == "scaled-ratio" else np.log(ratio))
    decibel = np.asarray(target - expected)
    if kind == "subtraction":
        return decibel
    natural = decibel * decibel.dtype.type(np.log(10) / 10)
    return np.asarray(natural if kind == "log-ratio" else np.exp(natural))


def scale_together(
    *images: FloatArray, low: FloatArray | float | None = None, high: FloatArray | float | None = None
) -> tuple[FloatArray, ...]:
    """Scale images to 0.01..1.01 by the least and the greatest value of all of them, over all bands.

    Parameters
    ----------
    *images : ndarray
        Any shapes, dB; NaN = no data.
    low, high : float, optional
        In place of the least and the greatest value.

    Returns
    -------
    tuple of ndarray
        Likewise.

    Raises
    ------
    InputError
        If no pixel is valid or all values are equal.

    References
    ----------
    Alatalo, Sipola, Rantonen (2023), IEEE TGRS 61, 5218714: features of the linear SVC.

    Examples
    --------
    >>> [one.round(2).tolist() for one in scale_together(np.array([-20.0, -10.0]), np.array([-15.0]))]
    [[0.01, 1.01], [0.51]]
    """
    finite = [one[np.isfinite(one)] for one in images if low is None or high is None]
    if finite and not any(one.size for one in finite):
        return images
    if low is None:
        low = min(one.min() for one in finite if one.size)
    if high is None:
        high = max(one.max() for one in finite if one.size)
    width = np.subtract(high, low)
    if not np.all(width > 0):
        raise InputError(f"all pixels are {np.asarray(low):g} dB, so they cannot be scaled; use subtraction")
    return tuple(np.asarray((one - low) / width + _LIFT, dtype=one.dtype) for one in images)


def length(difference: FloatArray, kind: Kind = "subtraction") -> FloatArray:
    """Give the Euclidean length over the bands of a difference: one number per pixel, larger = more change.

    Parameters
    ----------
    difference : ndarray
        (band, ...), from `compare`; NaN = no data.
    kind : str
        Its kind: a ratio is measured from 1.

    Returns
    -------
    ndarray
        (...), zero or more, in the unit of the difference; NaN where any band is missing.

    Examples
    --------
    >>> length(np.array([[3.0], [-4.0]])).tolist(), length(np.array([[4.0], [5.0]]), "ratio").tolist()
    ([5.0], [5.0])
    """
    away = difference - difference.dtype.type(NO_CHANGE[kind]) if NO_CHANGE[kind] else difference
    squares = np.square(away[0])
    for band in away[1:]:
        squares += np.square(band)
    return np.asarray(np.sqrt(squares, out=squares))


def standardise(difference: FloatArray, sigma: FloatArray) -> FloatArray:
    """Give a difference in standard deviations.

    Parameters
    ----------
    difference : ndarray
        dB.
    sigma : ndarray
        Same shape, dB, standard deviation of the difference if nothing changed.

    Returns
    -------
    ndarray
        NaN where either is missing or sigma is not above 0.

    Examples
    --------
    >>> standardise(np.array([3.0, 3.0]), np.array([1.5, 0.0])).tolist()
    [2.0, nan]
    """
    return np.asarray(difference / np.where(sigma > 0, sigma, np.nan), dtype=difference.dtype)
