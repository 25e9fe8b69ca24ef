"""Moments in names, tags and settings: always UTC, as numpy.datetime64 in nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np

__all__ = ["Time", "parse_time", "time_by_pattern", "times_in"]

Time: TypeAlias = np.datetime64

_IN_TEXT = re.compile(
    r"(?<!\d)(?P<y>(?:19|20)\d{2})(?P<dash>[-_]?)(?P<m>\d{2})(?P=dash)(?P<d>\d{2})"
    r"(?:[T_ -]?(?P<H>\d{2})(?P<colon>[:-]?)(?P<M>\d{2})(?P=colon)(?P<S>\d{2})(?:\.\d+)?Z?)?(?!\d)"
)
_DIRECTIVES = {
    "Y": r"\d{4}",
    "m": r"\d{2}",
    "d": r"\d{2}",
    "H": r"\d{2}",
    "M": r"\d{2}",
    "S": r"\d{2}",
    "y": r"\d{2}",
    "j": r"\d{3}",
    "b": r"[A-Za-z]{3}",
    "B": r"[A-Za-z]+",
    "f": r"\d{1,6}",
}


def _utc(moment: datetime) -> Time:
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "ns")


def parse_time(text: str) -> Time | None:
    """Moment that an ISO 8601 text names, in UTC; None where the text is something else.

    Examples
    --------
    >>> str(parse_time("2021-11-19T02:58:55+01:00"))[:19]
    '2021-11-19T01:58:55'
    >>> parse_time("VV") is None
    True
    """
    stripped = text.strip()
    if not re.match(r"\d{4}-?\d{2}-?\d{2}", stripped):
        return None
    try:
        return _utc(datetime.fromisoformat(stripped))
    except ValueError:
        return None


def times_in(text: str) -> list[Time]:
    """Every date, with its time of day where there is one, that stands in a text, in that order.

    Examples
    --------
    >>> [str(time)[:19] for time in times_in("S1A_20210809T173953_x_2021-08-10.tif")]
    ['2021-08-09T17:39:53', '2021-08-10T00:00:00']
    >>> times_in("tile_20211345")
    []
    """
    found = []
    for match in _IN_TEXT.finditer(text):
        parts = [int(match[key] or 0) for key in "ymdHMS"]
        try:
            found.append(_utc(datetime(*parts)))  # type: ignore[arg-type]
        except ValueError:
            continue
    return found


def time_by_pattern(text: str, pattern: str) -> Time | None:
    """Moment that stands in a text in the form of a `strptime` pattern; None where it does not.

    Examples
    --------
    >>> str(time_by_pattern("scene_05Mar2020_VV", "%d%b%Y"))[:10]
    '2020-03-05'
    """
    expression, position = "", 0
    for match in re.finditer(r"%([A-Za-z%])", pattern):
        expression += re.escape(pattern[position : match.start()]) + _DIRECTIVES.get(
            match[1], re.escape(match[1])
        )
        position = match.end()
    expression += re.escape(pattern[position:])
    for found in re.finditer(expression, text):
        try:
            return _utc(datetime.strptime(found[0], pattern))
        except ValueError:
            continue
    return None
