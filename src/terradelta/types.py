"""Small value types shared by all parts; they know nothing but themselves."""

from __future__ import annotations

from os import PathLike
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "FloatArray", "Offset", "PathType", "Size"]

PathType: TypeAlias = str | PathLike[str]
FloatArray: TypeAlias = NDArray[np.floating[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]


class Size(NamedTuple):
    """Number of rows and columns.

    Examples
    --------
    >>> Size(y=100, x=80).x
    80
    """

    y: int
    x: int


class Offset(NamedTuple):
    """Row and column of a first pixel.

    Examples
    --------
    >>> Offset(y=0, x=32)
    Offset(y=0, x=32)
    """

    y: int
    x: int
