"""Choosing the shift α of ENDISI for a place, from the histogram of the index before it is added."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError

__all__ = ["Histogram", "shift_histogram", "suggest_shift"]

_BINS = 256
_RANGE = (-2.0, 1.0)


class Histogram(NamedTuple):
    """How often the index before the shift has which value over land, and where α cuts it.

    Attributes
    ----------
    edges : ndarray of float64
        (bin + 1,) limits of the bins, -2..1.
    counts : ndarray of int64
        (bin,) pixels.
    threshold : float
        Otsu's threshold: impervious ground lies above it.
    shift : float
        Suggested α: minus the threshold, kept within 0..1.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    threshold: float
    shift: float


def shift_histogram(values: ArrayLike, bins: int = _BINS) -> Histogram:
    """Give the histogram of the index before the shift, Otsu's threshold in it and the α that it suggests.

    Otsu's threshold is the one that leaves the least variance within the two classes it makes. α lifts just
    what is above it over 0, and the rest is cut off.

    Parameters
    ----------
    values : array_like
        What `terradelta.optical.unshifted` gave, of any shape; NaN is left out.
    bins : int
        Number of bins between -2 and 1, at least 2.

    Returns
    -------
    Histogram
        What a picture of it needs.

    Raises
    ------
    InputError
        If fewer than two different values are there, or fewer than two bins are asked for.

    References
    ----------
    Otsu, N. (1979). A threshold selection method from gray-level histograms. IEEE Transactions on Systems,
    Man, and Cybernetics, 9(1), 62-66.

    Examples
    --------
    >>> found = shift_histogram([-0.72, -0.65, -0.65, -0.15, -0.12, np.nan], bins=30)
    >>> int(found.counts.sum()), round(found.threshold, 2), round(found.shift, 2)
    (5, -0.4, 0.4)
    """
    if bins < 2:
        raise InputError(f"bins is {bins}; give 2 or more")
    array = np.asarray(values, np.float64)
    counts, edges = np.histogram(array[np.isfinite(array)], bins, range=_RANGE)
    if np.count_nonzero(counts) < 2:
        raise InputError(
            f"the index has {np.count_nonzero(counts)} different values on land; a threshold needs two or "
            "more: take a larger area, or set the shift yourself, for example 0.25"
        )
    threshold = _otsu(counts, edges)
    return Histogram(edges, counts, threshold, float(np.clip(-threshold, 0, 1)))


def suggest_shift(values: ArrayLike) -> float:
    """Suggest α for a place: minus Otsu's threshold of the index before the shift.

    Parameters
    ----------
    values : array_like
        What `terradelta.optical.unshifted` gave, of any shape; NaN is left out.

    Returns
    -------
    float
        α, 0..1.

    Raises
    ------
    InputError
        If fewer than two different values are there.

    Examples
    --------
    >>> round(suggest_shift([-0.7, -0.6, -0.6, -0.2, -0.1]), 2)
    0.4
    """
    return shift_histogram(values).shift


def _otsu(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> float:
    """Middle of the edges between bins that separate the classes best."""
    below, total = np.cumsum(counts)[:-1], counts.sum()
    both = (below > 0) & (below < total)
    moment = np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)
    below, inner = below[both], edges[1:-1][both]
    between = (moment[-1] * below / total - moment[:-1][both]) ** 2 / (below * (total - below))
    return float(inner[between >= between.max() * (1 - 1e-12)].mean())
