"""Days of values: which stamps make up a day, and what it comes to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import SourceError
from terradelta.sources.units import check_plausible
from terradelta.sources.weather.fields import Field, Index, Times
from terradelta.sources.weather.placing import Cells

__all__ = ["Accumulated", "Days", "Span", "daily"]

_LOG = logging.getLogger(__name__)

Accumulated: TypeAlias = Literal["step", "day"]
"""What amounts within a day are: those since the stamp before, or since 00 UTC."""

Span: TypeAlias = tuple[np.datetime64, np.datetime64]
"""First day, and the first one after the last."""

_DAY = np.timedelta64(1, "D").astype("timedelta64[ns]")
_TICK = np.timedelta64(1, "ns")
_HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")
_AT_ONCE = 64 * 2**20
_TOLERANCE = 0.02
_ENOUGH = 12


class Days(NamedTuple):
    """Values by the day.

    Attributes
    ----------
    days : array of datetime64[ns]
        Whole days, UTC, rising; what is missing is not among them.
    values : array (day, y, x) of float32
        °C, mm/day or cm.
    """

    days: Times
    values: NDArray[np.float32]


@dataclass(frozen=True)
class _Calendar:
    """Stamps sorted into days: ``index[starts[i]:starts[i + 1]]`` are those of ``days[i]``."""

    days: Times
    index: Index
    starts: Index

    def blocks(self, bytes_per_stamp: int) -> Iterator[tuple[slice, Index, Index]]:
        """Days in turns that fit into memory: their slice, their stamps, and the first stamp of each."""
        first = 0
        while first < self.days.size:
            room = self.starts[first] + max(1, _AT_ONCE // bytes_per_stamp)
            last = max(first + 1, int(np.searchsorted(self.starts, room, side="right")) - 1)
            stamps = slice(int(self.starts[first]), int(self.starts[last]))
            yield slice(first, last), self.index[stamps], self.starts[first:last] - self.starts[first]
            first = last


def daily(field: Field, quantity: str, cells: Cells, period: Span | None, told: Accumulated | None) -> Days:
    """Average or add up the values of each day.

    A day counts if all its stamps are there, and has a value where all of them have one.

    Parameters
    ----------
    field : Field
        What to read.
    quantity : str
        Which it is.
    cells : Cells
        Where.
    period : Span, optional
        Days that count.
    told : {"step", "day"}, optional
        What amounts within a day are; found out from the values by default.

    Raises
    ------
    SourceError
        Months instead of days, no whole day, implausible values, or amounts that are no whole day's.
    """
    step = _step(field)
    midnight = field.added and _since_midnight(field, cells, step, told)
    calendar = _calendar(field, step, midnight)
    if period is not None:
        calendar = _kept(calendar, (calendar.days >= period[0]) & (calendar.days < period[1]))
    calendar = _whole(field, calendar, 1 if midnight else _per_day(step))
    shape = (cells.rows.size, cells.columns.size)
    values = np.empty((calendar.days.size, *(shape if cells.weights is None else (1, 1))), np.float32)
    for days, stamps, starts in calendar.blocks(8 * shape[0] * shape[1]):
        part = cells.mean(field.load(stamps, cells.rows, cells.columns))
        total = np.add.reduceat(part, starts, axis=0)
        counts = np.diff(np.append(starts, stamps.size))[:, None, None]
        result = total if field.added else total / counts
        check_plausible(quantity, result, field.where)
        values[days] = result if quantity == "temperature" else result.clip(min=0)
    return Days(calendar.days, values)


def _step(field: Field) -> np.timedelta64:
    """Usual distance of two stamps."""
    if field.times.size < 2:
        return np.timedelta64(1, "D")
    step = np.timedelta64(int(np.median(np.diff(field.times).astype(np.int64))), "ns")
    if step > 25 * _DAY:
        raise SourceError(
            f"{field.where}: its values are {step / _DAY:.3g} days apart; give daily or hourly weather"
        )
    return step


def _per_day(step: np.timedelta64) -> int:
    """How many stamps a whole day has; 1 where days are not cut into equal parts."""
    return int(_DAY // step) if step < _DAY and _DAY % step == np.timedelta64(0, "ns") else 1


def _calendar(field: Field, step: np.timedelta64, midnight: bool) -> _Calendar:
    """Sort stamps into days; a stamp at the end of its span at 00 UTC belongs to the day before."""
    before = midnight or (field.ends and step < _DAY)
    labels = (field.times - _TICK if before else field.times).astype("datetime64[D]")
    index = np.arange(field.times.size)
    if midnight:
        index = np.flatnonzero(field.times == field.times.astype("datetime64[D]"))
    days, starts = np.unique(labels[index], return_index=True)
    return _Calendar(days.astype("datetime64[ns]"), index, np.append(starts, index.size))


def _kept(calendar: _Calendar, keep: NDArray[np.bool_]) -> _Calendar:
    """Keep some of the days."""
    counts = np.diff(calendar.starts)
    return _Calendar(
        calendar.days[keep],
        calendar.index[np.repeat(keep, counts)],
        np.concatenate([[0], np.cumsum(counts[keep])]).astype(np.intp),
    )


def _whole(field: Field, calendar: _Calendar, expected: int) -> _Calendar:
    """Days with all their stamps; the others are left out and told."""
    counts = np.diff(calendar.starts)
    partial = counts < expected
    if not calendar.days.size or partial.all():
        there = f"{str(calendar.days[0])[:10]} has {counts[0]}" if calendar.days.size else "none has any"
        raise SourceError(
            f"{field.where}: no whole day in the period ({there} of {expected} values); "
            "give whole days, and 00 UTC of the day after"
        )
    if partial.any():
        _LOG.warning(
            "%s: %d days are not whole and left out, the first %s with %d of %d values",
            field.where, partial.sum(), str(calendar.days[partial][0])[:10], counts[partial][0], expected,
        )  # fmt: skip
    return _kept(calendar, ~partial)


def _since_midnight(field: Field, cells: Cells, step: np.timedelta64, told: Accumulated | None) -> bool:
    """Whether amounts count from 00 UTC on, as those of ERA5-Land do; seen from the values unless told."""
    if told is not None:
        return told == "day"
    parts = _per_day(step)
    if parts == 1:
        return False
    counting = _counts_on(field, cells, parts)
    if not counting and field.hourly and step > _HOUR:
        raise SourceError(
            f"{field.where}: amounts of one hour every {step / _HOUR:.3g} hours make no day; give all hours, "
            "or say 'accumulated: step' if they are those since the stamp before"
        )
    return counting


def _counts_on(field: Field, cells: Cells, parts: int) -> bool:
    """Look for amounts that fall within a day; if it rains on and on and none does, they count on.

    Days are looked at from 00 UTC (excluded) to 00 UTC (included), in the cells around the middle.
    """
    labels = (field.times - _TICK).astype("datetime64[D]")
    _, starts, counts = np.unique(labels, return_index=True, return_counts=True)
    whole = starts[counts == parts]
    rows, columns = (axis[max(axis.size // 2 - 1, 0) :][:3] for axis in (cells.rows, cells.columns))
    wet, alike = np.zeros((rows.size, columns.size), np.int64), True
    for start in range(0, whole.size, 31):
        stamps = (whole[start : start + 31, None] + np.arange(parts)).ravel()
        values = field.load(stamps, rows, columns).reshape(-1, parts, rows.size, columns.size)
        before, after = values[:, :-1], values[:, 1:]
        if (after < before - _TOLERANCE - 1e-3 * before).any():
            return False
        wet += ((before > _TOLERANCE) & (after > _TOLERANCE)).sum(axis=(0, 1))
        alike &= not (np.abs(values.sum(axis=1) - values[:, -1]) > _TOLERANCE * parts).any()
        if wet.max() >= _ENOUGH:
            return True
    if not alike:
        raise SourceError(
            f"{field.where}: too few days to see whether amounts are those since the stamp before or since "
            "00 UTC; say 'accumulated: step' or 'accumulated: day' in terradelta.yaml"
        )
    return False
