"""Scores of any number of pixels in bounded memory: exact while they are few, a histogram beyond."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError

__all__ = ["BITS", "EXACT", "ScoreStream"]

EXACT = 2**22
"""Scores up to which each is kept (16 MiB)."""

BITS = 20
"""Bits of a float32 that name its bin: sign, exponent and 11 bits of the mantissa, a width of 0.05 %."""

_WORD = 32
_STRIP = 32_768


class ScoreStream:
    """Collects scores part by part.

    A bin holds the float32 numbers that agree in their leading bits, so bins need no range, are narrow near
    zero and wide far from it, and streams can be put together.

    Parameters
    ----------
    exact : int
        Scores up to which each is kept; 0 for a histogram from the start.
    bits : int
        Leading bits that name a bin, 10..24: its width is at most 2 ** (9 - bits) of the score.

    Examples
    --------
    >>> stream = ScoreStream()
    >>> stream.add([1.0, 3.0, np.nan, 2.0])
    >>> stream.number, stream.quantile(0.5)
    (3, 2.0)
    """

    def __init__(self, *, exact: int = EXACT, bits: int = BITS) -> None:
        if not 10 <= bits <= 24:
            raise InputError(f"bits is {bits}; give 10 to 24")
        self.number = 0
        self._limit, self._shift = exact, _WORD - bits
        self._kept: list[NDArray[np.float32]] = []
        self._counts = np.zeros(0, np.int64)
        self._first = 0
        self.is_exact = True

    def add(self, scores: ArrayLike) -> None:
        """Take more scores of any shape; NaN is left out. They are held as float32."""
        values = np.asarray(scores).astype(np.float32, copy=False).ravel()
        known = ~np.isnan(values)
        if not known.all():
            values = values[known]
        self.number += values.size
        if self.is_exact and self.number > self._limit:
            self.fold()
        if self.is_exact:
            self._kept.append(values.copy() if np.may_share_memory(values, scores) else values)
        else:
            self._count(values)

    def fold(self) -> None:
        """Go over to the histogram for good."""
        kept, self._kept, self.is_exact = self._kept, [], False
        for values in kept:
            self._count(values)

    def values(self) -> NDArray[np.float32]:
        """Give all scores, sorted.

        Raises
        ------
        InputError
            If they are only counted.
        """
        if not self.is_exact:
            raise InputError(f"{self.number} scores were only counted; keep more with exact")
        merged = np.concatenate(self._kept) if self._kept else np.zeros(0, np.float32)
        merged.sort()
        self._kept = [merged]
        return merged

    def bins(self) -> tuple[int, NDArray[np.int64]]:
        """Give the number of the first bin and the counts from there on.

        Examples
        --------
        >>> stream = ScoreStream()
        >>> stream.add([1.0, 1.00001, 1.1])
        >>> first, counts = stream.bins()
        >>> int(counts[0]), int(counts.sum())
        (2, 3)
        """
        if self.is_exact:
            folded = ScoreStream(exact=0, bits=_WORD - self._shift)
            for values in self._kept:
                folded.add(values)
            return folded.bins()
        return self._first, self._counts

    def quantile(self, share: float) -> float:
        """Give the score that a share of all does not exceed.

        Parameters
        ----------
        share : float
            0..1.

        Returns
        -------
        float
            As `numpy.quantile` where each score is kept; else the upper edge of the bin, so that no larger
            share than ``1 - share`` exceeds it.

        Raises
        ------
        InputError
            If there is no score.
        """
        if not self.number:
            raise InputError("there is no valid score; nothing can be counted")
        if self.is_exact:
            return float(np.quantile(self.values().astype(np.float64), share))
        place = int(np.searchsorted(np.cumsum(self._counts), share * self.number))
        return float(_edge(self._first + min(place, len(self._counts) - 1) + 1, self._shift))

    def edges(self, first: int, number: int) -> NDArray[np.float32]:
        """Give the lower edges of bins."""
        return _edge(np.arange(first, first + number), self._shift)

    def _count(self, values: NDArray[np.float32]) -> None:
        # strip by strip: the temporary arrays stay in the processor's cache
        for start in range(0, values.size, _STRIP):
            keys = _ordered(values[start : start + _STRIP])
            keys >>= self._shift
            low = int(keys.min())
            keys -= low
            found = np.bincount(keys)
            self._widen(low, low + len(found))
            self._counts[low - self._first : low - self._first + len(found)] += found

    def _widen(self, low: int, high: int) -> None:
        if not self._counts.size:
            self._first = low
        before, after = max(self._first - low, 0), max(high - self._first - len(self._counts), 0)
        if before or after:
            self._counts = np.pad(self._counts, (before, after))
            self._first -= before


def _ordered(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Turn float32 into int32 of the same order; -0 becomes 0."""
    bits: NDArray[np.int32] = (values + np.float32(0)).view(np.int32)
    if bits.min() < 0:
        bits ^= (bits >> (_WORD - 1)) & np.int32(0x7FFFFFFF)
    return bits


def _edge(places: ArrayLike, shift: int) -> NDArray[np.float32]:
    wide = np.asarray(places, np.int64) << shift
    bits = np.clip(wide, np.iinfo(np.int32).min, np.iinfo(np.int32).max).astype(np.int32)
    return np.asarray(bits ^ ((bits >> (_WORD - 1)) & np.int32(0x7FFFFFFF))).view(np.float32)
