"""Kept times and windows over them: which observations belong together."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError

__all__ = ["TimeWindow", "complete", "kept_times", "time_windows"]

_LOG = logging.getLogger(__name__)

_Ticks = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Observations of one window, as indices into the times it was made from.

    Attributes
    ----------
    start, stop : int
        First observation, and the one behind the last.
    previous, next : slice or None
        Observations of the windows of the same length before and behind it; None unless triples were asked.

    Examples
    --------
    >>> window = TimeWindow(3, 8)
    >>> len(window), list(range(10))[window.slice]
    (5, [3, 4, 5, 6, 7])
    """

    start: int
    stop: int
    previous: slice | None = None
    next: slice | None = None

    @property
    def slice(self) -> slice:
        """Its observations, to index the times with."""
        return slice(self.start, self.stop)

    def __len__(self) -> int:
        """Give the number of observations."""
        return self.stop - self.start


def kept_times(
    times: ArrayLike,
    *,
    step: np.timedelta64,
    start: np.datetime64 | None = None,
    end: np.datetime64 | None = None,
) -> NDArray[np.intp]:
    """Choose the observations that count: of each step of time the last.

    Steps are counted from the start, so that observations close together count once. An observation at or
    past the end, or before the start, is not chosen.

    Parameters
    ----------
    times : array_like of datetime64
        (time,) sorted; several may be equal.
    step : numpy.timedelta64
        Length of a step.
    start : numpy.datetime64, optional
        Where steps are counted from; the first time if not given.
    end : numpy.datetime64, optional
        Where to stop, not included; never if not given.

    Returns
    -------
    ndarray of intp
        Indices into `times`, rising.

    Raises
    ------
    InputError
        If the times are not sorted or missing, or the step is not positive.

    Examples
    --------
    >>> days = np.array(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-07"], "datetime64[D]")
    >>> kept_times(days, step=np.timedelta64(2, "D")).tolist()
    [1, 2, 3]
    >>> kept_times(days, step=np.timedelta64(2, "D"), start=days[1], end=days[3]).tolist()
    [2]
    """
    ticks = _ticks(times)
    length = _length(step, "step")
    if not len(ticks):
        return np.empty(0, np.intp)
    origin = int(ticks[0]) if start is None else _moment(start, "start")
    low = int(np.searchsorted(ticks, origin, "left"))
    high = len(ticks) if end is None else int(np.searchsorted(ticks, _moment(end, "end"), "left"))
    steps = (ticks[low:high] - origin) // length
    last = np.ones(len(steps), bool)
    last[:-1] = steps[1:] != steps[:-1]
    return np.flatnonzero(last) + low


def time_windows(
    times: ArrayLike,
    *,
    length: np.timedelta64,
    stride: int,
    fewest: int,
    most: int,
    triples: bool = False,
) -> list[TimeWindow]:
    """Give the windows over a series: one at every stride-th time, if it holds enough observations.

    A window holds t <= time < t + length. With triples, the previous one holds t - length <= time < t and the
    next one t + length <= time < t + 2 length, and each needs the fewest. A window that holds more than the
    most keeps its first ones, a previous one its last; that is told once in the log. Windows that the end of
    the series cuts short are among the result: see `complete`.

    Parameters
    ----------
    times : array_like of datetime64
        (time,) sorted, such as what `kept_times` chose.
    length : numpy.timedelta64
        Length of a window.
    stride : int
        From the start of one window to the start of the next, in observations.
    fewest, most : int
        Observations that a window must hold, and may hold.
    triples : bool
        Whether to give the previous and the next window too.

    Returns
    -------
    list of TimeWindow
        In the order of their starts.

    Raises
    ------
    InputError
        If the times are not sorted or missing, or a number makes no sense.

    Examples
    --------
    >>> days = np.datetime64("2020-01-01") + 10 * np.arange(8)
    >>> month = np.timedelta64(30, "D")
    >>> [w.slice for w in time_windows(days, length=month, stride=3, fewest=2, most=5)]
    [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None)]
    >>> time_windows(days, length=month, stride=3, fewest=2, most=5, triples=True)
    [TimeWindow(start=3, stop=6, previous=slice(0, 3, None), next=slice(6, 8, None))]
    """
    ticks = _ticks(times)
    span = _length(length, "length")
    _check_counts(stride, fewest, most)
    starts = np.arange(0, len(ticks), stride)
    moments = ticks[starts]
    stops = np.searchsorted(ticks, moments + span, "left")
    parts = [(starts, np.minimum(stops, starts + most))]
    over = stops - starts > most
    if triples:
        before = np.searchsorted(ticks, moments - span, "left")
        behind = np.searchsorted(ticks, moments + 2 * span, "left")
        until = np.minimum(starts, np.searchsorted(ticks, moments, "left"))
        parts += [(np.maximum(before, until - most), until), (stops, np.minimum(behind, stops + most))]
        over |= (until - before > most) | (behind - stops > most)
    enough = np.logical_and.reduce([stop - start >= fewest for start, stop in parts])
    _tell_cut(int(np.count_nonzero(over & enough)), most)
    rows = np.array(parts)[:, :, enough].transpose(2, 0, 1).tolist()
    return [TimeWindow(*own, *(slice(*other) for other in others)) for own, *others in rows]


def complete(window: TimeWindow, times: ArrayLike, most: int | None = None) -> bool:
    """Tell whether a window is whole, not cut short by the end of the series.

    It is if a later observation is known, or if it holds the most already.

    Parameters
    ----------
    window : TimeWindow
        One that `time_windows` gave.
    times : array_like of datetime64
        The times it was made from.
    most : int, optional
        Observations that a window may hold, as given to `time_windows`.

    Returns
    -------
    bool
        True if further observations cannot lengthen it.

    Examples
    --------
    >>> days = np.datetime64("2020-01-01") + 10 * np.arange(8)
    >>> windows = time_windows(days, length=np.timedelta64(30, "D"), stride=3, fewest=1, most=9)
    >>> [complete(window, days) for window in windows]
    [True, True, False]
    """
    return window.stop < np.size(np.asarray(times)) or (most is not None and len(window) >= most)


def _tell_cut(number: int, most: int) -> None:
    if number:
        what = "one window holds" if number == 1 else f"{number} windows hold"
        _LOG.warning("%s more than %d observations and %s cut to that; raise most to keep all",
                     what, most, "is" if number == 1 else "are")  # fmt: skip


def _check_counts(stride: int, fewest: int, most: int) -> None:
    if stride < 1:
        raise InputError(f"stride is {stride}; give 1 or more observations")
    if fewest < 0:
        raise InputError(f"fewest is {fewest}; give 0 or more observations")
    if most < max(fewest, 1):
        raise InputError(f"most is {most}; give at least {max(fewest, 1)}, as many as a window needs")


def _ticks(times: ArrayLike) -> _Ticks:
    """Give sorted times in nanoseconds."""
    array = np.asarray(times)
    if array.size and (array.ndim != 1 or array.dtype.kind != "M"):
        raise InputError(f"times are {array.dtype} of shape {array.shape}; give one row of numpy.datetime64")
    if np.isnat(array.astype("datetime64[ns]")).any():
        raise InputError("times hold NaT; leave out observations without a time")
    ticks = array.astype("datetime64[ns]").astype(np.int64).ravel()
    if (np.diff(ticks) < 0).any():
        raise InputError("times are not in order; sort them first")
    return ticks


def _moment(value: Any, name: str) -> int:
    try:
        moment = np.datetime64(value, "ns")
    except (TypeError, ValueError):
        moment = np.datetime64("NaT", "ns")
    if np.isnat(moment):
        raise InputError(f"{name} is {value!r}; give a numpy.datetime64")
    return int(moment.astype(np.int64))


def _length(value: Any, name: str) -> int:
    try:
        length = np.timedelta64(value, "ns") if isinstance(value, np.timedelta64) else np.timedelta64("NaT")
    except (TypeError, ValueError):
        length = np.timedelta64("NaT")
    if np.isnat(length) or int(length.astype(np.int64)) <= 0:
        raise InputError(f"{name} is {value!r}; give a positive numpy.timedelta64 in days or shorter units")
    return int(length.astype(np.int64))
