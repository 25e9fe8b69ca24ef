"""Total-variation despeckling in decibel that never spreads missing values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from skimage.restoration import denoise_tv_bregman

from terradelta.errors import InputError
from terradelta.sar.decibel import as_float
from terradelta.types import FloatArray

__all__ = ["TV_HALO", "despeckle_tv"]

_MARGIN = 8

TV_HALO = 32
"""Pixels to read around a block so that its result equals that of the whole image within 1e-4 dB."""


def despeckle_tv(decibel: ArrayLike, weight: float = 0.2, *, iterations: int = 30) -> FloatArray:
    """Smooth speckle by total variation (Rudin-Osher-Fatemi, split Bregman), each 2-D image on its own.

    Minimises ``sum |grad u| + weight * sum (u - decibel)**2``: the smaller `weight`, the smoother, and edges
    stay. In dB speckle is additive with the same spread everywhere, so one weight serves dark and bright
    ground. Missing pixels are filled from the nearest valid one before and masked again after.

    The number of iterations is fixed, with no stop criterion over the whole image. Therefore a block read
    with a halo gives what the whole image gives: for `weight` 0.1 or more the largest difference is 4e-3 dB
    with a halo of 16 pixels and 2e-5 dB with 32 (`weight` 0.05: 2e-2 and 2e-4 dB). Thirty iterations are
    1e-3 dB (root mean square) from the converged result at `weight` 0.2, 1e-2 dB at 0.05 and 0.5; sixty are
    below 1e-3 dB. One megapixel takes 0.8 s; other threads go on meanwhile.

    Parameters
    ----------
    decibel : array_like
        Backscatter in dB, shape (..., y, x), for example (time, band, y, x). NaN and infinite
        values are no data.
    weight : float
        Fidelity to the data, positive; 0.2 suits 4 to 12 looks.
    iterations : int
        Sweeps of the solver, at least 1; a smaller `weight` needs more.

    Returns
    -------
    ndarray
        Smoothed dB, same shape, NaN exactly where the input had no data; float32 if the input is, else
        float64.

    Raises
    ------
    InputError
        If there are fewer than two dimensions, or `weight` or `iterations` is not positive.

    References
    ----------
    Goldstein, T., & Osher, S. (2009). The split Bregman method for L1-regularized problems. SIAM Journal on
    Imaging Sciences, 2(2), 323-343.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> noisy = rng.normal(-12.0, 2.0, (32, 32))
    >>> noisy[0, 0] = np.nan
    >>> smooth = despeckle_tv(noisy)
    >>> bool(np.nanstd(smooth) < 0.4 * np.nanstd(noisy)), int(np.isnan(smooth).sum())
    (True, 1)
    """
    values = as_float(decibel, "decibel")
    if values.ndim < 2:
        raise InputError(f"decibel has shape {values.shape}; give images of shape (..., y, x)")
    if not (weight > 0 and np.isfinite(weight)):
        raise InputError(f"weight is {weight}; give a positive number, for example 0.2")
    if iterations < 1:
        raise InputError(f"iterations is {iterations}; give at least 1")
    smooth = np.full_like(values, np.nan, order="C")
    for index in np.ndindex(values.shape[:-2]):
        _smooth_one(values[index], weight, iterations, smooth[index])
    return smooth


def _smooth_one(image: FloatArray, weight: float, iterations: int, out: FloatArray) -> None:
    valid = np.isfinite(image)
    if not valid.any():
        return
    filled = image if valid.all() else _filled(image, valid)
    # the solver keeps the mean, so a centred image loses less to rounding in float32
    mean = filled.mean(dtype=np.float64).astype(image.dtype)
    # at its rim the solver smooths less; a mirrored margin moves that rim outside
    mirrored = np.pad(filled - mean, _MARGIN, mode="symmetric")
    smooth = denoise_tv_bregman(mirrored, weight=weight, max_num_iter=iterations, eps=0.0)
    smooth = np.reshape(smooth, mirrored.shape)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    np.copyto(out, smooth + mean, where=valid)


def _filled(image: FloatArray, valid: np.ndarray) -> FloatArray:
    nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)])
