"""No-data and border noise of Sentinel-1 GRD scenes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from terradelta.errors import InputError
from terradelta.sar.decibel import as_float
from terradelta.types import BoolArray, FloatArray

__all__ = ["border_noise_mask"]

_EIGHT = np.ones((3, 3), np.bool_)


def border_noise_mask(linear: ArrayLike, *, threshold: float = 3e-4, grow: int = 0) -> BoolArray:
    """Mark what is no data: invalid values anywhere, and the fringe of tiny values along the scene's edge.

    Zero, negative, infinite and NaN values are no data wherever they are, also inside the scene. Values below
    `threshold` are border noise only where they hang together (eight neighbours) with the edge of the array
    or with no data that reaches that edge; dark water inside the scene is kept. Look at whole scenes, not at
    blocks: in a block the edge of the array is not the edge of the scene.

    Parameters
    ----------
    linear : array_like
        Backscatter in linear power, shape (..., y, x); each 2-D image is looked at on its own.
    threshold : float
        Largest value of the fringe, linear, positive; 3e-4 is -35 dB, well below the sensor's noise.
    grow : int
        Pixels by which the edge-connected part is widened, for a fringe with holes.

    Returns
    -------
    ndarray of bool
        True where there is no usable value, same shape.

    Raises
    ------
    InputError
        If there are fewer than two dimensions, or a parameter is out of range.

    References
    ----------
    Ali, I., Cao, S., Naeimi, V., Paulik, C., & Wagner, W. (2018). Methods to remove the border noise from
    Sentinel-1 synthetic aperture radar data. IEEE Journal of Selected Topics in Applied Earth Observations
    and Remote Sensing, 11(3), 777-786.

    Examples
    --------
    >>> scene = [[0.0, 1e-5, 0.1, 0.1], [0.0, 0.1, 1e-5, 0.1], [0.0, 0.1, 0.1, 0.1]]
    >>> border_noise_mask(scene).astype(int).tolist()
    [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]]
    """
    values = as_float(linear, "linear")
    if values.ndim < 2:
        raise InputError(f"linear has shape {values.shape}; give images of shape (..., y, x)")
    if not threshold > 0:
        raise InputError(f"threshold is {threshold}; give a positive linear value, for example 3e-4")
    if grow < 0:
        raise InputError(f"grow is {grow}; give 0 or more pixels")
    mask = np.empty(values.shape, np.bool_)
    for index in np.ndindex(values.shape[:-2]):
        mask[index] = _mask_one(values[index], threshold, grow)
    return mask


def _mask_one(image: FloatArray, threshold: float, grow: int) -> BoolArray:
    with np.errstate(invalid="ignore"):
        invalid = ~((image > 0) & np.isfinite(image))
        low = invalid | (image < threshold)
    edge = _reaching_the_edge(low)
    if grow and edge.any():
        edge = ndimage.binary_dilation(edge, _EIGHT, iterations=grow)
    return np.asarray(invalid | edge)


def _reaching_the_edge(low: BoolArray) -> BoolArray:
    labels, number = ndimage.label(low, _EIGHT)
    reached = np.zeros(number + 1, np.bool_)
    for line in (labels[:1], labels[-1:], labels[:, :1], labels[:, -1:]):
        reached[line] = True
    reached[0] = False
    return np.asarray(reached[labels])
