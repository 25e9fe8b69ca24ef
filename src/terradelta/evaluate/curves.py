"""Receiver operating characteristics of any number of pixels, and pixels drawn in balance."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.expected.classifiers.streaming import BITS, EXACT, ScoreStream
from terradelta.types import BoolArray

__all__ = ["Area", "Roc", "RocStream", "balanced_pixels", "split_images"]

_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


class Area(NamedTuple):
    """Area under a curve.

    Attributes
    ----------
    auc : float
        Chance that a changed pixel outscores an unchanged one; ties count half.
    bound : float
        The true area is at most so far away; 0 where each score was kept.
    """

    auc: float
    bound: float


@dataclass(frozen=True, eq=False)
class Roc:
    """A receiver operating characteristic.

    Attributes
    ----------
    false, true : ndarray
        Share of unchanged and of changed pixels above falling thresholds, from 0 to 1.
    area : Area
        Under it.
    unchanged, changed : int
        Pixels.
    """

    false: NDArray[np.float64]
    true: NDArray[np.float64]
    area: Area
    unchanged: int
    changed: int

    def true_at(self, false: ArrayLike) -> NDArray[np.float64]:
        """Give the share of changed pixels that are found at rates of false alarms, linear in between."""
        return np.interp(np.asarray(false, np.float64), self.false, self.true)


class RocStream:
    """Collects scores of changed and unchanged pixels part by part, in bounded memory.

    Parameters
    ----------
    exact : int
        Scores of each class up to which each is kept, so that ranks are exact; beyond it only counts per bin
        remain, and pairs within one bin count half.
    bits : int
        See `ScoreStream`.

    References
    ----------
    Fawcett, T. (2006). An introduction to ROC analysis. Pattern Recognition Letters, 27(8), 861-874.

    Examples
    --------
    >>> stream = RocStream()
    >>> stream.add([0.1, 0.9, 0.4, 0.3], [False, True, False, True])
    >>> stream.area()
    Area(auc=0.75, bound=0.0)
    """

    def __init__(self, *, exact: int = EXACT, bits: int = BITS) -> None:
        self.everything, self.changed = (ScoreStream(exact=exact, bits=bits) for _ in range(2))

    def add(self, scores: ArrayLike, changed: ArrayLike) -> None:
        """Take the scores of more pixels.

        Parameters
        ----------
        scores : array_like
            Any shape, larger = more change, held as float32; NaN is left out.
        changed : array_like of bool
            Same shape.

        Raises
        ------
        InputError
            If the shapes differ.
        """
        values, real = np.asarray(scores), np.asarray(changed, bool)
        if values.shape != real.shape:
            raise InputError(f"scores {values.shape} and truth {real.shape} differ in shape")
        places = np.flatnonzero(real)
        flat = values.ravel()
        self.changed.add(flat[places])
        self.everything.add(flat)

    @property
    def unchanged(self) -> int:
        """Number of unchanged pixels."""
        return self.everything.number - self.changed.number

    @property
    def is_exact(self) -> bool:
        """Whether each score was kept."""
        return self.everything.is_exact and self.changed.is_exact

    def area(self) -> Area:
        """Give the area under the curve without the curve.

        Raises
        ------
        InputError
            If only one class was seen.
        """
        pairs = self._pairs()
        if self.is_exact:
            every, found = self.everything.values(), self.changed.values()
            ranks = [np.searchsorted(each, found, side).sum() for each in (every, found) for side in _SIDES]
            return Area(float(ranks[0] + ranks[1] - ranks[2] - ranks[3]) / 2 / pairs, 0.0)
        _, quiet_counts, counts = self._bins()
        below_each = np.cumsum(quiet_counts, dtype=np.float64) - quiet_counts / 2
        within = float(quiet_counts.astype(np.float64) @ counts)
        return Area(float(counts @ below_each) / pairs, within / 2 / pairs)

    def curve(self) -> Roc:
        """Give the whole curve.

        Returns
        -------
        Roc
            With a point per distinct score, or per bin.

        Raises
        ------
        InputError
            If only one class was seen.
        """
        self._pairs()
        if self.is_exact:
            quiet, found = self._distinct()
        else:
            _, quiet, found = self._bins()
        seen = (quiet + found) > 0
        shares = [np.cumsum(each[seen][::-1]) / each.sum() for each in (quiet, found)]
        false, true = (np.concatenate([[0.0], share]) for share in shares)
        return Roc(false, true, self.area(), self.unchanged, self.changed.number)

    def _pairs(self) -> float:
        if not self.changed.number or not self.unchanged:
            raise InputError(
                f"{self.changed.number} pixels are changed and {self.unchanged} unchanged; a curve needs both"
            )
        return float(self.changed.number) * float(self.unchanged)

    def _distinct(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give how many pixels of each class have each distinct score, rising."""
        every, found = self.everything.values(), self.changed.values()
        levels = every[np.concatenate([[True], every[1:] != every[:-1]])]
        both, changed = (
            np.diff(np.searchsorted(each, levels, "right"), prepend=0) for each in (every, found)
        )
        return both - changed, changed

    def _bins(self) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        (first, every), (start, found) = self.everything.bins(), self.changed.bins()
        changed = np.pad(found, (start - first, first + len(every) - start - len(found)))
        return first, every - changed, changed


def balanced_pixels(
    changed: BoolArray, stream: random.Random, valid: BoolArray | None = None
) -> NDArray[np.intp]:
    """Draw one unchanged pixel for each changed one, from anywhere in the image, with replacement.

    The draws are those of the published code for the same state of Python's generator: row, then column,
    again while the pixel is a changed one.

    Parameters
    ----------
    changed : ndarray of bool
        (y, x).
    stream : random.Random
        Where the draws come from; it moves on.
    valid : ndarray of bool, optional
        (y, x), pixels that may be drawn; all by default.

    Returns
    -------
    ndarray of int
        Flat places: a changed pixel, its unchanged one, the next changed pixel, and so on; empty where
        nothing changed, or nothing else is valid.

    Examples
    --------
    >>> balanced_pixels(np.array([[True, False], [False, False]]), random.Random(0)).tolist()
    [0, 3]
    """
    rows, columns = changed.shape
    use = np.ones_like(changed) if valid is None else valid
    quiet = use & ~changed
    places = np.flatnonzero(changed & use)
    if not quiet.any() or not places.size:
        return np.zeros(0, np.intp)
    may = quiet.ravel().tobytes()
    drawn = np.empty(places.size, np.intp)
    for number in range(places.size):
        while True:
            place = stream.randint(0, rows - 1) * columns + stream.randint(0, columns - 1)
            if may[place]:
                break
        drawn[number] = place
    return np.column_stack([places, drawn]).ravel()


def split_images(number: int, stream: random.Random, share: float = 0.33) -> tuple[list[int], list[int]]:
    """Split images into those to train on and those to test on, as the published code does.

    Parameters
    ----------
    number : int
        Of images.
    stream : random.Random
        Where the order comes from; it moves on.
    share : float
        Of images to test on, rounded; at least one image is on each side.

    Returns
    -------
    train, test : list of int
        Numbers of the images.

    Raises
    ------
    InputError
        If there are fewer than two.

    Examples
    --------
    >>> split_images(12, random.Random(0))
    ([10, 2, 3, 7, 4, 0, 11, 6], [1, 9, 8, 5])
    """
    if number < 2:
        raise InputError(f"there is {number} image; a split needs at least 2")
    order = list(range(number))
    stream.shuffle(order)
    held = min(max(round(number * share), 1), number - 1)
    return order[held:], order[:held]
