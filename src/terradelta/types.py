"""Small value types shared by all parts; they know nothing but themselves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from os import PathLike
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "FloatArray", "Offset", "PathType", "Period", "Size"]

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


class Period(NamedTuple):
    """From a moment on, up to and without another; UTC.

    Examples
    --------
    >>> np.datetime64("2020-06-01") in Period(np.datetime64("2020-01-01"), np.datetime64("2021-01-01"))
    True
    """

    start: np.datetime64
    end: np.datetime64

    def __contains__(self, time: object) -> bool:
        """Whether a moment lies in the period."""
        return isinstance(time, np.datetime64) and bool(self.start <= time < self.end)

    def __str__(self) -> str:
        """ISO 8601, with the last moment rather than the first one after it."""
        last = self.end - np.timedelta64(1, "s")
        return f"{np.datetime_as_string(self.start, 'D')}/{np.datetime_as_string(last, 'D')}"

    @classmethod
    def parse(cls, text: str, *, now: datetime | None = None) -> Period:
        """Read ``2017/2020``, ``2019-06/2019-08-15`` or ``2019/``: years, months, days, moments; both count.

        Parameters
        ----------
        text : str
            First and last time, with a slash between them; one alone means itself. No last time means now.
        now : datetime, optional
            For an open end; the clock's time by default.

        Raises
        ------
        ValueError
            If the text is none, or ends before it starts.

        Examples
        --------
        >>> str(Period.parse("2017/2020")), str(Period.parse("2020-02"))
        ('2017-01-01/2020-12-31', '2020-02-01/2020-02-29')
        """
        first, slash, last = (part.strip() for part in text.partition("/"))
        start = _moment(first)
        end: np.datetime64
        if last in ("", "..") and slash:
            end = np.datetime64((now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None), "s")
        else:
            end = _moment(last or first) + 1
        period = cls(start.astype("datetime64[ns]"), end.astype("datetime64[ns]"))
        if not period.start < period.end:
            raise ValueError(f"it ends ({last or 'now'}) before it starts ({first}); exchange the two")
        return period


def _moment(text: str) -> np.datetime64:
    """Read a year, month, day or second, as a datetime64 of that unit."""
    try:
        if not 1900 <= int(text[:4]) < 2200:
            raise ValueError
        if re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", text):
            return np.datetime64(text, ("Y", "M", "D")[text.count("-")])
        moment = datetime.fromisoformat(text)
        if not re.search("[T ]", text):
            return np.datetime64(moment.date(), "D")
    except ValueError:
        raise ValueError(
            f"{text!r} is no time of 1900 to 2199; write for example 2017/2020 or 2019-06-01/2019-08-15"
        ) from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "s")
