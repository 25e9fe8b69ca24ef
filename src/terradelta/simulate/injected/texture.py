"""Where copied texture comes from: one displacement for each change."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from terradelta.simulate.injected.recipe import Recipe
from terradelta.simulate.streams import stream
from terradelta.types import BoolArray

__all__ = ["Moves", "find_moves"]


class Moves(NamedTuple):
    """Displacements of copied texture.

    Attributes
    ----------
    steps : ndarray of int64, (change, 2)
        Rows and columns from a changed pixel to the pixel that it becomes.
    usable : ndarray of bool, (y, x)
        Changed pixels whose source lies inside the image, has data and does not change itself.
    """

    steps: NDArray[np.int64]
    usable: BoolArray


def find_moves(
    touched: NDArray[np.int32], allowed: BoolArray, valid: BoolArray, count: int, recipe: Recipe, seed: int
) -> Moves:
    """Try displacements for each change and keep that with the most usable (and preferred) pixels."""
    steps = np.zeros((count, 2), np.int64)
    usable = np.zeros(touched.shape, bool)
    free = valid & (touched == 0)
    wanted = free & ~allowed if recipe.texture_from == "outside" else free
    wanted = wanted if wanted.any() else free
    for number in range(1, count + 1):
        rows, columns = np.nonzero(touched == number)
        if rows.size == 0 or not free.any():
            continue
        rng = stream(seed, "injected", "texture", number)
        steps[number - 1], good = _best(rows, columns, free, wanted, recipe.texture_tries, rng)
        usable[rows[good], columns[good]] = True
    return Moves(steps, usable)


def _best(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    free: BoolArray,
    wanted: BoolArray,
    tries: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], BoolArray]:
    """Give the displacement that takes most pixels to wanted ones, and which pixels it serves."""
    middle = np.array([int(np.median(rows)), int(np.median(columns))])
    sources = np.argwhere(wanted)[rng.integers(np.count_nonzero(wanted), size=tries)]
    best, most = sources[0] - middle, (-1, -1)
    for step in sources - middle:
        score = (
            int(np.count_nonzero(_at(wanted, rows, columns, step))),
            int(np.count_nonzero(_at(free, rows, columns, step))),
        )
        if score > most:
            best, most = step, score
    return best, _at(free, rows, columns, best)


def _at(
    mask: BoolArray, rows: NDArray[np.int64], columns: NDArray[np.int64], step: NDArray[np.int64]
) -> BoolArray:
    """Look a mask up at displaced pixels; False outside."""
    y, x = rows + step[0], columns + step[1]
    inside = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
    found = np.zeros(len(rows), bool)
    found[inside] = mask[y[inside], x[inside]]
    return found
