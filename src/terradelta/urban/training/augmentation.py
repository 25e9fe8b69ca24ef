"""The sixteen ways in which the transfer shows a tile: mirrored, turned, with columns that do not change."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.types import BoolArray

__all__ = ["CODES", "frozen_pixels", "orient"]

CODES = 16
"""Number of codes: ``frozen + 2 * mirrored + 4 * turn``."""


def orient(values: NDArray[Any], code: int) -> NDArray[Any]:
    """Mirror and turn images.

    Parameters
    ----------
    values : ndarray
        (..., y, x).
    code : int
        0 to 15, ``frozen + 2 * mirrored + 4 * turn``: first mirrored left to right; then turned: 1, a quarter
        clockwise; 2, a quarter the other way; 3, half. Whether columns are frozen changes nothing here.

    Returns
    -------
    ndarray
        (..., y, x), or (..., x, y) after a quarter turn; a view, no copy.

    Raises
    ------
    InputError
        If there is no such code.

    References
    ----------
    Zitzlsberger et al., Int. J. Remote Sensing 44(17) 5172-5206, 2023.

    Examples
    --------
    >>> image = np.array([[1, 2], [3, 4]])
    >>> [orient(image, code).tolist() for code in (0, 2, 4, 8, 12)]
    [[[1, 2], [3, 4]], [[2, 1], [4, 3]], [[3, 1], [4, 2]], [[2, 4], [1, 3]], [[4, 3], [2, 1]]]
    """
    _check(code)
    turn = code // 4
    if code & 2:
        values = values[..., ::-1]
    if turn in (1, 3):
        values = values[..., ::-1, :]
    if turn in (2, 3):
        values = values[..., ::-1]
    return np.swapaxes(values, -1, -2) if turn in (1, 2) else values


def frozen_pixels(shape: tuple[int, int], code: int) -> BoolArray:
    """Tell which pixels of an oriented tile show the first observation of each window at every step.

    With an odd code these are the odd columns of the tile before it is oriented, otherwise none. As nothing
    changes there, the label is 0. This teaches that no change in time means no change.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the tile before it is oriented.
    code : int
        As for `orient`.

    Returns
    -------
    ndarray of bool
        (y, x) of the oriented tile.

    Raises
    ------
    InputError
        If there is no such code.

    Examples
    --------
    >>> frozen_pixels((2, 4), 1).astype(int).tolist(), frozen_pixels((2, 4), 3).astype(int).tolist()
    ([[0, 1, 0, 1], [0, 1, 0, 1]], [[1, 0, 1, 0], [1, 0, 1, 0]])
    """
    _check(code)
    frozen = np.zeros(shape, bool)
    frozen[:, 1::2] = code & 1
    return orient(frozen, code)


def _check(code: int) -> None:
    if not 0 <= code < CODES:
        raise InputError(f"no augmentation has the code {code}; give 0 to {CODES - 1}")
