"""From a sequence of strengths to dated changes: a change is what stays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.types import BoolArray, FloatArray, Size

__all__ = ["Persistence", "PersistenceResult"]


@dataclass(frozen=True)
class PersistenceResult:
    """What stayed, each (y, x) but for the difference.

    Attributes
    ----------
    score : ndarray of float32
        Largest strength that held through `confirm` acquisitions; NaN where there were never so many.
    first : ndarray of int32
        Index of the first acquisition that shows the first confirmed change, -1 where none.
    count : ndarray of uint16
        Number of confirmed changes.
    difference : ndarray of float32
        (band, y, x) mean difference in dB over the acquisitions of `score`.
    """

    score: NDArray[np.float32]
    first: NDArray[np.int32]
    count: NDArray[np.uint16]
    difference: NDArray[np.float32]


class Persistence:
    """Confirms changes that hold through several valid acquisitions in a row, pixel by pixel.

    The confirmed strength is the least of the last `confirm` valid ones. When it exceeds the threshold, a
    change is counted and dated by the first of these acquisitions, and that pixel's history starts anew
    there. An acquisition that exceeds the threshold is never used as history unless its change is confirmed,
    so a change cannot hide itself by entering the mean.

    Parameters
    ----------
    size : Size
        Rows and columns.
    bands : int
        Bands of the difference.
    remember : int
        Latest acquisitions to remember as possible history; at least the number that serves as history.
    threshold : float
        Strength, in its own unit, from which an acquisition shows a change.
    confirm : int
        Acquisitions in a row that must show it.

    Attributes
    ----------
    use : ndarray of bool
        (remember, y, x), false where an acquisition shows a change and must not serve as history; acquisition
        t lies at t modulo `remember`.

    Raises
    ------
    InputError
        If `confirm` or `remember` is below 1.

    Examples
    --------
    >>> watch = Persistence(Size(1, 2), bands=1, remember=4, threshold=3.0, confirm=2)
    >>> for t, strength in enumerate(([0.0, 9.0], [5.0, 0.0], [6.0, 0.0], [6.0, 0.0])):
    ...     watch.update(t, np.array([strength]), np.zeros((1, 1, 2)))
    >>> watch.result().first.tolist(), watch.result().score.tolist()
    ([[1, -1]], [[5.0, 0.0]])
    """

    def __init__(self, size: Size, *, bands: int, remember: int, threshold: float, confirm: int) -> None:
        if min(confirm, remember) < 1:
            raise InputError(f"confirm is {confirm}, remember {remember}; give at least 1 acquisition")
        self.threshold = threshold
        self.use = np.ones((remember, *size), np.bool_)
        self._taken = np.full(remember, -1, np.int32)
        self._strengths = np.full((confirm, *size), np.nan, np.float32)
        self._differences = np.full((confirm, bands, *size), np.nan, np.float32)
        self._times = np.full((confirm, *size), -1, np.int32)
        self._score = np.full(size, np.nan, np.float32)
        self._first = np.full(size, -1, np.int32)
        self._count = np.zeros(size, np.uint16)
        self._difference = np.full((bands, *size), np.nan, np.float32)

    def update(self, time: int, strength: FloatArray, difference: FloatArray) -> None:
        """Take the next acquisition.

        Parameters
        ----------
        time : int
            Its index in the series.
        strength : ndarray
            (y, x); NaN = no data, which neither confirms nor interrupts.
        difference : ndarray
            (band, y, x), dB.
        """
        seen = np.isfinite(strength)
        for ring, new in ((self._strengths, strength), (self._differences, difference), (self._times, time)):
            _push(ring, new, seen)
        shows = seen & (strength > self.threshold)
        place = time % len(self.use)
        self.use[place], self._taken[place] = ~shows, time
        held = self._strengths.min(axis=0)
        better = np.isfinite(held) & ~(held <= self._score)
        np.copyto(self._score, held, where=better)
        np.copyto(self._difference, self._differences.mean(axis=0), where=better)
        found = shows & (held > self.threshold)
        if found.any():
            self._count[found] += 1
            np.copyto(self._first, self._times[0], where=found & (self._first < 0))
            self.use[:, found] = self._taken[:, None] >= self._times[0][found]
            self._strengths[:, found] = np.nan

    def result(self) -> PersistenceResult:
        """Give the findings so far, as new arrays."""
        return PersistenceResult(
            self._score.copy(), self._first.copy(), self._count.copy(), self._difference.copy()
        )


def _push(ring: NDArray[Any], new: ArrayLike, where: BoolArray) -> None:
    """Put a value at the end of a ring (time, ..., y, x) in place of the oldest one."""
    for older, newer in pairwise(ring):
        np.copyto(older, newer, where=where)
    np.copyto(ring[-1], np.asarray(new, ring.dtype), where=where)
