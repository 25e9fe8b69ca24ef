"""Shapes put into a scene: where simulated changes lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.types import BoolArray

__all__ = ["place_shapes"]


def place_shapes(
    forest: NDArray[Any],
    shapes: Sequence[BoolArray] | BoolArray,
    positions_xy: Sequence[Sequence[int]] | NDArray[Any],
    valid: BoolArray | None = None,
) -> NDArray[np.int32]:
    """Put shapes into a scene, each with the middle of its box on a given pixel.

    Parameters
    ----------
    forest : ndarray of bool or 0/1, (y, x)
        Where changes are allowed.
    shapes : sequence of ndarray of bool, (y, x) each
        Outlines; parts beyond the border are cut off.
    positions_xy : sequence, (shape, 2)
        Column and row of each middle, inside the scene.
    valid : ndarray of bool, (y, x), optional
        Pixels with data; all by default. No other pixel is ever touched.

    Returns
    -------
    ndarray of int32, (y, x)
        0, or the number of the change from 1 on; later shapes cover earlier ones.

    Raises
    ------
    InputError
        If sizes or numbers do not fit, or a position lies outside.

    Examples
    --------
    >>> place_shapes(np.ones((2, 4)), [np.ones((2, 2), bool)], [(2, 1)]).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    ground = np.asarray(forest) == 1
    if ground.ndim != 2:
        raise InputError(f"forest mask is {ground.shape}; give one of (y, x)")
    if valid is not None:
        if np.shape(valid) != ground.shape:
            raise InputError(f"valid mask is {np.shape(valid)}; give one of the scene's size {ground.shape}")
        ground = ground & np.asarray(valid, bool)
    if len(shapes) != len(positions_xy):
        raise InputError(f"{len(shapes)} shapes at {len(positions_xy)} positions; give one position for each")
    mask = np.zeros(ground.shape, np.int32)
    for number, (shape, position) in enumerate(zip(shapes, positions_xy, strict=True), 1):
        _place(mask, ground, np.asarray(shape, bool), position, number)
    return mask


def _place(
    mask: NDArray[np.int32], ground: BoolArray, shape: BoolArray, position: Sequence[int], number: int
) -> None:
    if shape.ndim != 2:
        raise InputError(f"shape {number} is {shape.shape}; give one of (y, x)")
    if len(position) != 2:
        raise InputError(f"position {number} is {position!r}; give column and row")
    x, y = (int(each) for each in position)
    rows, columns = mask.shape
    if not (0 <= y < rows and 0 <= x < columns):
        raise InputError(f"position {number} is x {x}, y {y}; give one inside {columns} columns, {rows} rows")
    top, left = y - shape.shape[0] // 2, x - shape.shape[1] // 2
    inside = np.s_[max(top, 0) : max(top + shape.shape[0], 0), max(left, 0) : max(left + shape.shape[1], 0)]
    cut = shape[max(-top, 0) : max(rows - top, 0), max(-left, 0) : max(columns - left, 0)]
    mask[inside][cut & ground[inside]] = number
