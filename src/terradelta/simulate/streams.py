"""Random streams by name, so that no part of a place changes the draws of another."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from terradelta.errors import InputError

__all__ = ["stream"]


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Give the random generator of one named part of a simulated place.

    The same seed and names always give the same draws, whatever else was drawn before: switching one
    effect off or adding a change leaves all other draws as they were.

    Parameters
    ----------
    seed : int
        Seed of the place, zero or positive.
    *names : str or int
        What the draws are for, such as ``"speckle", 12``.

    Returns
    -------
    numpy.random.Generator

    Raises
    ------
    InputError
        If the seed is negative or not a whole number.

    Examples
    --------
    >>> a, b = stream(3, "rain"), stream(3, "rain")
    >>> a.normal() == b.normal()
    True
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed is {seed!r}; give a whole number, zero or positive")
    words = [crc32(name.encode()) if isinstance(name, str) else int(name) for name in names]
    return np.random.default_rng([int(seed), *words])
