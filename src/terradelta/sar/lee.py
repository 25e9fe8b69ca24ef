"""Refined Lee filter: speckle smoothed within the half window on the pixel's own side of an edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.sar.decibel import as_float
from terradelta.types import BoolArray, FloatArray

__all__ = ["half_windows", "refined_lee"]

# the gradient of 3 x 3 sub-area means across each of four edges, and the two sub-areas on either side of it:
# the half window that belongs to side s of edge e is number 2 e + s
_GRADIENTS = np.array(
    [
        [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]],
        [[0, 1, 1], [-1, 0, 1], [-1, -1, 0]],
        [[1, 1, 1], [0, 0, 0], [-1, -1, -1]],
        [[1, 1, 0], [1, 0, -1], [0, -1, -1]],
    ]
)
_PIECE = 8192
_SIDES = (((1, 0), (1, 2)), ((2, 0), (0, 2)), ((2, 1), (0, 1)), ((2, 2), (0, 0)))


def refined_lee(linear: ArrayLike, looks: float, window: int = 7) -> FloatArray:
    """Smooth speckle with the refined Lee filter; each 2-D image on its own.

    Around each pixel, the means of nine overlapping sub-areas (3 x 3 pixels in a 7 x 7 window) give the
    strongest of four edges; of the two halves of the window along it, the one counts whose sub-area mean is
    nearer to the central one. With mean m and variance v of that half, speckle variance s = 1 / looks:
    ``m + b (x - m)``, ``b = (v - m**2 s) / ((1 + s) v)``, not below 0.

    Only valid pixels enter a mean; a sub-area without any counts as the central one. No-data stays no-data.
    A block needs a halo of ``window // 2`` pixels to give what the whole image gives.

    Parameters
    ----------
    linear : array_like
        Backscatter in linear power (not amplitude, not dB), shape (..., y, x); NaN, zero and negative values
        are no data.
    looks : float
        Equivalent number of looks, positive.
    window : int
        Side of the window, odd and at least 5.

    Returns
    -------
    ndarray
        Smoothed linear power, same shape, NaN where there is no data; float32 if `linear` is, else float64.

    Raises
    ------
    InputError
        If there are fewer than two dimensions, or `looks` or `window` is out of range.

    References
    ----------
    Lee, J.-S. (1981). Refined filtering of image noise using local statistics. Computer Graphics and Image
    Processing, 15(4), 380-389. Lee, J.-S., & Pottier, E. (2009). Polarimetric Radar Imaging, section 5.3.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> image = rng.gamma(4, 0.1 / 4, (64, 64))
    >>> image[3, 3] = np.nan
    >>> smooth = refined_lee(image, looks=4)
    >>> bool(np.nanstd(smooth) < 0.5 * np.nanstd(image)), int(np.isnan(smooth).sum())
    (True, 1)
    """
    values = as_float(linear, "linear")
    if values.ndim < 2:
        raise InputError(f"linear has shape {values.shape}; give images of shape (..., y, x)")
    if not (looks > 0 and np.isfinite(looks)):
        raise InputError(f"looks is {looks}; give a positive number of looks")
    if window < 5 or window % 2 == 0:
        raise InputError(f"window is {window}; give an odd number of at least 5, for example 7")
    smooth = np.full_like(values, np.nan, order="C")
    if values.size:
        for index in np.ndindex(values.shape[:-2]):
            _smooth_one(values[index], looks, window, smooth[index])
    return smooth


def half_windows(window: int) -> BoolArray:
    """Give the eight half windows, each with the line through the centre that bounds it.

    Parameters
    ----------
    window : int
        Side of the window, odd.

    Returns
    -------
    ndarray of bool
        (8, window, window): west, east, south-west, north-east, south, north, south-east, north-west.

    Examples
    --------
    >>> half_windows(5)[:, [0, 4], :][:, :, [0, 4]][0].astype(int).tolist()
    [[1, 0], [1, 0]]
    >>> half_windows(7).sum(axis=(1, 2)).tolist()
    [28, 28, 28, 28, 28, 28, 28, 28]
    """
    y, x = np.mgrid[:window, :window] - window // 2
    return np.stack([x <= 0, x >= 0, x <= y, x >= y, y >= 0, y <= 0, x >= -y, x <= -y])


def _smooth_one(image: FloatArray, looks: float, window: int, out: FloatArray) -> None:
    radius = window // 2
    with np.errstate(invalid="ignore"):
        valid = (image > 0) & np.isfinite(image)
    weights = np.pad(valid, radius).astype(np.float64)
    values = np.zeros_like(weights)
    inside = (slice(radius, -radius), slice(radius, -radius))
    values[inside] = np.where(valid, image, 0)
    chosen = _directions(values, weights, window)
    mean, variance = _statistics(values, weights, chosen, window)
    speckle = 1 / looks
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.maximum(variance - mean**2 * speckle, 0) / ((1 + speckle) * variance)
    share[variance <= 0] = 0
    np.copyto(out, mean + share * (values[inside] - mean), where=valid, casting="same_kind")


def _directions(values: NDArray[np.float64], weights: NDArray[np.float64], window: int) -> NDArray[np.intp]:
    side = window // 2 | 1
    spacing = (window - side) // 2
    total, number = _box_sums(values, side), _box_sums(weights, side)
    means = np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
    rows, columns = (length - window + 1 for length in values.shape)
    areas = np.array(
        [[means[i * spacing :, j * spacing :][:rows, :columns] for j in range(3)] for i in range(3)]
    )
    areas = np.where(np.isnan(areas), areas[1, 1], areas)
    gradients = np.abs(np.tensordot(_GRADIENTS, areas, axes=2))
    edge = gradients.argmax(axis=0)
    away = np.array([[np.abs(areas[side] - areas[1, 1]) for side in pair] for pair in _SIDES])
    nearer = (away[:, 1] < away[:, 0]).astype(np.intp)
    return np.asarray(2 * edge + np.take_along_axis(nearer, edge[np.newaxis], axis=0)[0])


def _box_sums(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    rows, columns = (length - side + 1 for length in values.shape)
    lines = sum((values[:, j : j + columns] for j in range(1, side)), values[:, :columns])
    return np.asarray(sum((lines[i : i + rows] for i in range(1, side)), lines[:rows]))


def _statistics(
    values: NDArray[np.float64], weights: NDArray[np.float64], chosen: NDArray[np.intp], window: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean, variance = np.full(chosen.shape, np.nan), np.full(chosen.shape, np.nan)
    width = values.shape[1]
    for number, half in enumerate(half_windows(window)):
        offsets = np.argwhere(half) @ [width, 1]
        y, x = np.nonzero(chosen == number)
        for start in range(0, y.size, _PIECE):
            piece = (y[start : start + _PIECE], x[start : start + _PIECE])
            mean[piece], variance[piece] = _moments(values, weights, piece[0] * width + piece[1], offsets)
    return mean, variance


def _moments(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    corner: NDArray[np.intp],
    offsets: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    flat_values, flat_weights = values.ravel(), weights.ravel()
    n, total, squares = np.zeros(corner.size), np.zeros(corner.size), np.zeros(corner.size)
    for offset in offsets:
        near = corner + offset
        value = flat_values.take(near, mode="clip")
        n += flat_weights.take(near, mode="clip")
        total += value
        squares += value * value
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        return mean, squares / n - mean**2
