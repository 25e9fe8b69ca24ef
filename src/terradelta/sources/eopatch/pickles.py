"""Times and corners from pickles of old EOPatches: the file is taken apart, nothing in it is run."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np

from terradelta.sources.grids import Bounds
from terradelta.sources.times import Time

__all__ = ["Name", "box_in", "times_in_pickle", "tokens"]

_DATETIME = "datetime.datetime"
_DATETIME_BYTES = 10
_CORNERS = ("min_x", "min_y", "max_x", "max_y")
_CONSTANTS = frozenset(
    {
        "BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "SHORT_BINBYTES", "BINBYTES", "BINFLOAT", "FLOAT",
        "BININT", "BININT1", "BININT2", "INT", "LONG1",
    }
)  # fmt: skip
_STRUCTURE = frozenset(
    {
        "PROTO", "FRAME", "STOP", "MARK", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE", "LIST", "DICT", "TUPLE",
        "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "REDUCE", "NEWOBJ", "BUILD",
    }
)  # fmt: skip
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})


class Name(str):
    """Name of a class or function that a pickle would call, such as "datetime.datetime"."""

    __slots__ = ()


def tokens(content: bytes) -> Iterator[Any]:
    """Give the plain constants and names of a pickle in their order; nothing is imported or called.

    Raises
    ------
    ValueError
        It is no pickle, or holds something else than lists, dicts and objects of plain constants.

    Examples
    --------
    >>> import pickle
    >>> list(tokens(pickle.dumps({"min_x": 3.5})))
    ['min_x', 3.5]
    """
    memo: dict[int, Any] = {}
    last: list[Any] = [None, None]
    for opcode, told, _ in pickletools.genops(content):
        argument: Any = told
        found: Any = None
        if opcode.name in _CONSTANTS:
            found = argument
        elif opcode.name == "GLOBAL":
            found = Name(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            found = Name(f"{last[0]}.{last[1]}")
        elif opcode.name in _GETS:
            found = memo.get(int(argument))
        elif opcode.name in _PUTS or opcode.name == "MEMOIZE":
            memo[len(memo) if argument is None else int(argument)] = last[1]
            continue
        elif opcode.name not in _STRUCTURE:
            raise ValueError(f"opcode {opcode.name}")
        last = [last[1], found]
        if found is not None:
            yield found


def times_in_pickle(content: bytes) -> list[Time]:
    """Give the times of a pickled list of ``datetime`` without time zone.

    Raises
    ------
    ValueError
        It holds anything else.

    Examples
    --------
    >>> import pickle
    >>> from datetime import datetime
    >>> times_in_pickle(pickle.dumps([datetime(2020, 1, 3, 10, 30)]))
    [np.datetime64('2020-01-03T10:30:00.000000')]
    """
    times = []
    for token in tokens(content):
        if isinstance(token, bytes) and len(token) == _DATETIME_BYTES:
            times.append(_moment(token))
        elif token not in (_DATETIME, "datetime"):
            raise ValueError(f"{token!r} among the times")
    return times


def _moment(state: bytes) -> Time:
    """Read what ``datetime`` keeps: year (2 bytes), month, day, hour, minute, second, microsecond (3)."""
    year, month = int.from_bytes(state[:2], "big"), state[2] & 0x7F
    day, hour, minute, second = state[3:7]
    microsecond = int.from_bytes(state[7:], "big")
    return np.datetime64(datetime(year, month, day, hour, minute, second, microsecond), "us")


def box_in(content: bytes) -> tuple[Bounds, str]:
    """Give the corners and the CRS of a pickled ``BBox``.

    Raises
    ------
    ValueError
        It holds no such thing.
    """
    corners: dict[str, float] = {}
    crs, before, within_crs = "", None, False
    for token in tokens(content):
        if before in _CORNERS and isinstance(token, int | float):
            corners[str(before)] = float(token)
        if isinstance(token, Name):
            within_crs = token.endswith(".CRS")
        elif within_crs and isinstance(token, str) and token.isdecimal():
            crs = f"EPSG:{token}"
        before = token
    if set(corners) != set(_CORNERS) or not crs:
        raise ValueError("no box of four corners and a CRS")
    left, bottom, right, top = (corners[name] for name in _CORNERS)
    return (left, bottom, right, top), crs
