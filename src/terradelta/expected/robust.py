"""The expected image by robust statistics of the previous images of the same orbit; no training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from terradelta.errors import InputError
from terradelta.expected.parameters import RobustParameters
from terradelta.expected.preparation import Preparation, prepare
from terradelta.expected.scene import usual
from terradelta.native import in_threads
from terradelta.sar import despeckle_tv
from terradelta.types import BoolArray, FloatArray

__all__ = ["RobustDifference", "change_strength", "compare_with_history", "robust_difference"]


@dataclass(frozen=True)
class RobustDifference:
    """A target against what was expected, each (band, y, x).

    Attributes
    ----------
    expected : ndarray
        Image that should have been seen under the target's own state of the scene, dB.
    sigma : ndarray
        Standard deviation of the difference if nothing changed, dB.
    difference : ndarray
        Despeckled target minus expected, dB.
    standardised : ndarray
        Difference in standard deviations, before any regularisation.
    """

    expected: FloatArray
    sigma: FloatArray
    difference: FloatArray
    standardised: FloatArray


def compare_with_history(
    level: FloatArray,
    history: FloatArray,
    offset: FloatArray,
    inflation: FloatArray,
    parameters: RobustParameters,
    *,
    use: BoolArray | None = None,
) -> RobustDifference:
    """Compare an image with its history once the state of every scene is taken off.

    Parameters
    ----------
    level : ndarray
        (band, y, x), dB, despeckled, without its scene's state; NaN = no data.
    history : ndarray
        (time, band, y, x), dB, previous images, likewise.
    offset : ndarray
        (band, y, x), the state of the image's scene, dB.
    inflation : ndarray
        (band, y, x) or (band, 1, 1), factor on the standard deviation.
    parameters : RobustParameters
        Fewest, floor and smoothing are used.
    use : ndarray of bool, optional
        (time, y, x), false where an image shows an earlier change and must not count.

    Returns
    -------
    RobustDifference
        NaN where fewer than `fewest` previous images are left.
    """
    mean, spread = usual(history, use)
    valid = np.isfinite(history) if use is None else np.isfinite(history) & use[:, None]
    enough = valid.sum(axis=0) >= parameters.fewest
    sigma = np.sqrt(_smooth(spread**2, parameters.smoothing) + np.float32(parameters.floor) ** 2) * inflation
    difference = np.where(enough, level - mean, np.nan).astype(level.dtype)
    expected = np.where(enough, mean + offset, np.nan).astype(level.dtype)
    return RobustDifference(expected, sigma.astype(level.dtype), difference, difference / sigma)


def change_strength(standardised: FloatArray, *, regularisation: float, iterations: int) -> FloatArray:
    """Turn a standardised difference into one number per pixel: its length over the bands.

    A difference image is flat but for the changes, which total variation suits even better than the images
    themselves.

    Parameters
    ----------
    standardised : ndarray
        (band, y, x), standard deviations; NaN = no data.
    regularisation : float
        Fidelity of the total variation; 0 for none.
    iterations : int
        Sweeps of its solver.

    Returns
    -------
    ndarray
        (y, x), standard deviations, zero or more; NaN where any band is missing.

    Examples
    --------
    >>> change_strength(np.array([[[3.0]], [[4.0]]]), regularisation=0, iterations=1).tolist()
    [[5.0]]
    """
    if regularisation > 0:
        standardised = despeckle_tv(standardised, regularisation, iterations=iterations)
    return np.asarray(np.sqrt((standardised**2).sum(axis=0)))


def robust_difference(
    target: FloatArray, history: FloatArray, parameters: RobustParameters | None = None
) -> tuple[RobustDifference, FloatArray]:
    """Compare one image with its previous ones over one neighbourhood, all in memory.

    Steps: despeckle and take each scene's state off (`prepare`); expected image = mean of the history;
    standardise by a per-pixel sigma; regularise. For a running series see `PreparedSeries`.

    Parameters
    ----------
    target : ndarray
        (band, y, x), dB, as observed; NaN = no data.
    history : ndarray
        (time, band, y, x), dB, images of the same orbit before the target; the last `history` are used.
    parameters : RobustParameters, optional
        Settings; the defaults if left out.

    Returns
    -------
    difference : RobustDifference
        Expected image, sigma and differences.
    strength : ndarray
        (y, x), standard deviations over both bands.

    Raises
    ------
    InputError
        If the shapes do not fit or the history is shorter than `fewest`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> history = rng.normal(-12, 0.5, (10, 2, 24, 24)).astype("float32")
    >>> target = rng.normal(-12, 0.5, (2, 24, 24)).astype("float32")
    >>> target[:, 8:16, 8:16] -= 5
    >>> _, strength = robust_difference(target, history)
    >>> bool(strength[9:15, 9:15].min() > 2 * strength[:6].max())
    True
    """
    parameters = parameters or RobustParameters()
    if history.ndim != 4 or target.shape != history.shape[1:]:
        raise InputError(
            f"target {target.shape} and history {history.shape} do not fit; "
            "expected (band, y, x) and (time, band, y, x)"
        )
    history = history[-parameters.history :]
    if len(history) < parameters.fewest:
        raise InputError(
            f"there are {len(history)} previous images; the method needs at least {parameters.fewest}"
        )
    ready = prepare(history, target, Preparation("tv", "scene", robust=parameters))
    found = compare_with_history(ready.target, ready.images, ready.offset, ready.inflation, parameters)
    strength = change_strength(
        found.standardised, regularisation=parameters.regularisation, iterations=parameters.tv_iterations
    )
    return found, strength


def _smooth(variance: FloatArray, sigma: float) -> FloatArray:
    """Gaussian mean over the valid pixels only, band by band."""
    if sigma <= 0:
        return variance
    return np.stack(in_threads(lambda band: _smooth_band(band, sigma), list(variance)))


def _smooth_band(variance: FloatArray, sigma: float) -> FloatArray:
    valid = np.isfinite(variance)
    if valid.all():
        return np.asarray(ndimage.gaussian_filter(variance, sigma, truncate=4.0))
    filled = ndimage.gaussian_filter(np.where(valid, variance, 0), sigma, truncate=4.0)
    weight = ndimage.gaussian_filter(valid.astype(variance.dtype), sigma, truncate=4.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(valid, filled / weight, np.nan)
