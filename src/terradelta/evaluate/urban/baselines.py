"""What needs no network: differences of two optical images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from terradelta.optical import beta_sums, endisi
from terradelta.types import FloatArray

__all__ = ["BASELINES", "baselines", "difference_length"]

BASELINES: Mapping[str, str] = {
    "spectral": "length of the spectral difference",
    "standardised": "the same, bands standardised",
    "endisi": "difference of ENDISI",
}
"""Key and label of each, in the order of the tables."""

_SHIFT = 0.25


def difference_length(first: FloatArray, second: FloatArray, *, standardise: bool = False) -> FloatArray:
    """Give the length of the change vector between two images.

    Parameters
    ----------
    first, second : ndarray
        (band, y, x) reflectance; NaN is no data.
    standardise : bool
        Bring each band of each image to mean 0 and standard deviation 1 first, which takes differences of
        light and haze away.

    Returns
    -------
    ndarray
        (y, x).

    References
    ----------
    Malila, W. A. (1980). Change vector analysis: an approach for detecting forest changes with Landsat.
    LARS Symposia, 385.

    Examples
    --------
    >>> difference_length(np.zeros((2, 1, 1)), np.array([3.0, 4.0]).reshape(2, 1, 1)).item()
    5.0
    """
    if standardise:
        first, second = _standard(first), _standard(second)
    return np.asarray(np.sqrt(((second - first) ** 2).sum(axis=0)))


def _standard(image: FloatArray) -> FloatArray:
    mean = np.nanmean(image, axis=(1, 2), keepdims=True)
    spread = np.nanstd(image, axis=(1, 2), keepdims=True)
    return np.asarray((image - mean) / np.maximum(spread, 1e-6))


def baselines(first: FloatArray, second: FloatArray) -> dict[str, FloatArray]:
    """Give every baseline for two images.

    Parameters
    ----------
    first, second : ndarray
        (13, y, x) reflectance; NaN is no data.

    Returns
    -------
    dict of str to ndarray
        Key of `BASELINES` to (y, x), larger = more change.
    """
    scores = {
        "spectral": difference_length(first, second),
        "standardised": difference_length(first, second, standardise=True),
        "endisi": np.abs(_impervious(second) - _impervious(first)),
    }
    return {key: scores[key] for key in BASELINES}


def _impervious(image: FloatArray) -> FloatArray:
    """ENDISI with β of the image itself, NaN where a band has no data."""
    found = endisi(image, beta_sums(image).beta, _SHIFT)
    return np.where(np.isfinite(image).all(axis=0), found, np.nan)
