"""β of every window before and behind, over all pixels of an area that never is in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from terradelta.optical import Bands, BetaSums, beta_sums
from terradelta.urban.labels.rules import LabelRule
from terradelta.urban.labels.store import Betas
from terradelta.urban.labels.streams import span_means
from terradelta.urban.stack import Stack
from terradelta.windows.blocks import Slices
from terradelta.windows.times import TimeWindow

__all__ = ["FOUR", "TILE", "betas_of", "block_sums", "sides_of"]

FOUR = Bands(0, 1, 2, 3)
"""Where the bands are in what `block_sums` and the labels read: nothing but these."""

TILE = 32
"""Side of the tiles whose means make β as published."""


def sides_of(windows: Sequence[TimeWindow]) -> list[slice]:
    """Give the spans before and behind each window, in turns.

    Parameters
    ----------
    windows : sequence of TimeWindow
        Triples.

    Examples
    --------
    >>> sides_of([TimeWindow(3, 6, slice(0, 3), slice(6, 8))])
    [slice(0, 3, None), slice(6, 8, None)]
    """
    return [side for window in windows for side in (window.previous, window.next) if side is not None]


def block_sums(
    stack: Stack,
    part: Slices,
    windows: Sequence[TimeWindow],
    rule: LabelRule,
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float64]:
    """Sum what a block adds to the β of every window.

    Parameters
    ----------
    stack : Stack
        Frames of the area.
    part : slices
        Rows and columns; as published they must start at whole tiles.
    windows : sequence of TimeWindow
        Triples.
    rule : LabelRule
        Bands and variant.
    advance : callable
        Told of every window that is done.

    Returns
    -------
    ndarray of float64
        (window, 2, 4) sums of blue, ratio and MNDWI² and their count, before and behind.
    """
    sums = np.zeros((len(windows), 2, 4))
    means = span_means(stack, part, sides_of(windows), rule.bands, as_published=rule.as_published)
    for number, mean in means:
        parts = _tiles(mean) if rule.as_published else (mean,)
        total = sum((beta_sums(each, FOUR, as_published=rule.as_published) for each in parts), BetaSums())
        sums[divmod(number, 2)] = total.blue, total.ratio, total.water, total.count
        advance(number % 2)
    return sums


def _tiles(mean: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Cut whole tiles; what is left on the right and at the bottom belongs to none."""
    rows, columns = (range(0, length - TILE + 1, TILE) for length in mean.shape[1:])
    for row in rows:
        for column in columns:
            yield mean[:, row : row + TILE, column : column + TILE]


def betas_of(parts: Iterable[NDArray[np.float64]]) -> Betas:
    """Give β from the sums of all blocks.

    Parameters
    ----------
    parts : iterable of ndarray
        (window, 2, 4) from `block_sums`, always in the same order.

    Returns
    -------
    ndarray of float64
        (window, 2), NaN where nothing was observed.

    Examples
    --------
    >>> betas_of([np.array([[[0.2, 0.9, 0.1, 1], [0, 0, 0, 0]]])] * 2)
    array([[0.4, nan]])
    """
    total = np.sum(list(parts), axis=0)
    rows = total.reshape(-1, 4).tolist()
    found = [BetaSums(blue, ratio, water, int(count)).beta for blue, ratio, water, count in rows]
    return np.array(found).reshape(-1, 2)
