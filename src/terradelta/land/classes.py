"""Classes of land cover, and the codes of ESA WorldCover."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from terradelta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["CLASSES", "OPEN", "WORLDCOVER", "check_classes", "class_numbers"]

CLASSES = ("forest", "mire", "field", "meadow", "lake", "open", "urban")
"""All classes; ``open`` is other open land: bare ground, rock, shrubs. Numbered from 1."""

OPEN = ("mire", "field", "meadow", "lake", "open")
"""Open land, to which a felled forest is likened."""

WORLDCOVER: Mapping[int, str] = MappingProxyType({
    10: "forest",
    20: "open",
    30: "meadow",
    40: "field",
    50: "urban",
    60: "open",
    80: "lake",
    90: "mire",
    95: "forest",
    100: "open",
})  # fmt: skip
"""Codes of ESA WorldCover (Zanaga et al. 2021) with a class; snow and ice (70) has none."""


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Refuse names that are no classes.

    Parameters
    ----------
    classes : sequence of str
        Names of `CLASSES`; one name alone is taken too.

    Returns
    -------
    tuple of str

    Raises
    ------
    InputError
        If there is none, or one is unknown.

    Examples
    --------
    >>> check_classes(["mire", "field"])
    ('mire', 'field')
    """
    names = (classes,) if isinstance(classes, str) else tuple(classes)
    unknown = dict.fromkeys(name for name in names if name not in CLASSES)
    if unknown or not names:
        what = ", ".join(map(repr, unknown)) or "nothing"
        raise InputError(f"classes of land cover: {what} given; choose from {', '.join(CLASSES)}")
    return names


def class_numbers(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn codes of ESA WorldCover into numbers of classes.

    Parameters
    ----------
    codes : ndarray, any shape
        Codes; NaN and unknown ones have no class.

    Returns
    -------
    ndarray of uint8, same shape
        Place in `CLASSES` plus 1; 0 = none.

    Examples
    --------
    >>> class_numbers(np.array([10, 80, 70, 255])).tolist()
    [1, 5, 0, 0]
    """
    table = np.zeros(256, np.uint8)
    for code, name in WORLDCOVER.items():
        table[code] = CLASSES.index(name) + 1
    codes = np.asarray(codes)
    if codes.dtype == np.uint8:
        return np.asarray(table[codes])
    known = (codes >= 0) & (codes <= 255) & (codes == np.floor(codes))
    return np.asarray(table[np.where(known, codes, 0).astype(np.uint8)])
