"""What needs no network: differences of two optical images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from terradelta.types import FloatArray

__all__ = ["BASELINES", "baselines", "difference_length", "endisi"]

BASELINES: Mapping[str, str] = {
    "spectral": "length of the spectral difference",
    "standardised": "the same, bands standardised",
    "endisi": "difference of ENDISI",
}
"""Key and label of each, in the order of the tables."""

_BLUE, _GREEN, _SWIR1, _SWIR2 = 1, 2, 11, 12


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


def endisi(image: FloatArray, shift: float = 0.25) -> FloatArray:
    """Give the imperviousness of an image of the 13 bands of Sentinel-2.

    Parameters
    ----------
    image : ndarray
        (13, y, x) reflectance; NaN is no data.
    shift : float
        Offset α of the index.

    Returns
    -------
    ndarray
        (y, x) 0..1; 0 where a ratio is undefined, NaN where there is no data.

    References
    ----------
    Chen, J. et al. (2019). Enhanced normalized difference index for impervious surface area estimation at
    the plateau basin scale. Journal of Applied Remote Sensing, 13(1), 016502. Water and soil are taken off
    as by Zitzlsberger et al. (2021), Remote Sensing 13(15) 3000.

    Examples
    --------
    >>> image = np.full((13, 1, 2), 0.25)
    >>> image[1, 0, 1] = 0.05
    >>> endisi(image).round(2).tolist()
    [[0.16, 0.0]]
    """
    blue, green, first, second = (image[band].astype(np.float64) for band in (_BLUE, _GREEN, _SWIR1, _SWIR2))
    with np.errstate(divide="ignore", invalid="ignore"):
        water = (green - first) / (green + first)
        dry = first / second + water**2
        known = np.isfinite(dry) & np.isfinite(blue)
        weight = 2 * blue[known].mean() / dry[known].mean() if known.any() else 0.0
        index = (blue - weight * dry) / (blue + weight * dry) + shift
        index = np.maximum(index, 0) - 2 * np.maximum(water, 0)
        index -= np.maximum((first - blue) / (first + blue), 0)
    found = np.clip(np.nan_to_num(index, nan=0.0, posinf=0.0, neginf=0.0), 0, 1)
    return np.where(np.isfinite(image).all(axis=0), found, np.nan)


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
        "endisi": np.abs(endisi(second) - endisi(first)),
    }
    return {key: scores[key] for key in BASELINES}
