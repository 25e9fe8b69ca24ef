"""What labels need of a block, in one walk through time: optical means, and the radar images of windows."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from terradelta.types import BoolArray
from terradelta.urban.observations import Sensor
from terradelta.urban.stack import Stack
from terradelta.windows.blocks import Slices

__all__ = ["RadarSeries", "span_means"]

Image = NDArray[np.float32]


def span_means(
    stack: Stack,
    part: Slices,
    spans: Sequence[slice],
    bands: Sequence[int],
    *,
    as_published: bool = False,
) -> Iterator[tuple[int, Image]]:
    """Average the optical frames of many spans of kept times, however much they overlap.

    Sums over all frames up to a moment are kept where a span starts, and taken off those where it ends: each
    frame is added once.

    Parameters
    ----------
    stack : Stack
        With an optical sensor.
    part : slices
        Rows and columns.
    spans : sequence of slice
        Kept times, none empty.
    bands : sequence of int
        Optical bands to give.
    as_published : bool
        Count frames of pixels that were never observed as 0, too; see `mean_frame`.

    Yields
    ------
    number, mean : int, ndarray of float32
        Place in `spans`, and (band, y, x), 0 where nothing was observed; in the order in which spans end.
    """
    order = sorted(range(len(spans)), key=lambda number: (spans[number].stop, number))
    first = min(span.start for span in spans)
    users = Counter(span.start for span in spans)
    running = _Running(stack, part, bands)
    opened: dict[int, NDArray[np.float64]] = {}
    for number in order:
        span = spans[number]
        while first < span.stop:
            if first in users:
                opened[first] = running.totals().copy()
            running.add(first)
            first += 1
        since = running.totals() - opened[span.start]
        frames = span.stop - span.start if as_published else np.maximum(since[-1], 1)
        yield number, np.asarray(since[:-1] / frames, np.float32)
        users[span.start] -= 1
        if not users[span.start]:
            del opened[span.start]


class _Running:
    """Sums over all frames so far, of some bands, and last how many frames show an observation."""

    def __init__(self, stack: Stack, part: Slices, bands: Sequence[int]) -> None:
        self._sensor, self._part, self._bands = stack.sensors[-1], part, list(bands)
        self._stops = _stops(self._sensor, stack)
        extent = [axis.stop - axis.start for axis in part]
        self._state = np.zeros((len(self._sensor.bands), *extent), np.float32)
        self._frame = np.zeros((len(self._bands) + 1, *extent))
        self._totals = np.zeros_like(self._frame)
        self._seen = self._waiting = 0

    def add(self, number: int) -> None:
        """Add the frame of a kept time; one that is equal to that before is only counted for now."""
        stop = self._stops[number]
        if stop > self._seen:
            self.totals()
            self._sensor.carry(self._state, range(self._seen, stop), self._part)
            self._frame[:-1] = self._state[self._bands]
            self._frame[-1] = (self._state != 0).any(axis=0)
            self._seen = stop
        self._waiting += 1

    def totals(self) -> NDArray[np.float64]:
        """Give the sums, (band + 1, y, x); not to be changed."""
        if self._waiting:
            self._totals += self._frame if self._waiting == 1 else self._waiting * self._frame
            self._waiting = 0
        return self._totals


class RadarSeries:
    """The radar images of one direction in windows whose starts and ends rise; each is read once.

    Parameters
    ----------
    stack : Stack
        Where the sensor is from.
    sensor : Sensor
        Ascending or descending.
    part : slices
        Rows and columns.
    carried : bool
        Give the frame of every kept time, with earlier values carried on, rather than new observations alone
        (NaN where a pixel has none).
    """

    def __init__(self, stack: Stack, sensor: Sensor, part: Slices, *, carried: bool) -> None:
        self._sensor, self._part, self._carried = sensor, part, carried
        self._stops = _stops(sensor, stack)
        extent = [axis.stop - axis.start for axis in part]
        self._state: Image = np.zeros((len(sensor.bands), *extent), np.float32)
        self._held: deque[tuple[int, Image]] = deque()
        self._next = self._seen = 0

    def between(self, start: int, stop: int) -> list[Image]:
        """Give the images of some kept times; later calls start and stop later.

        Parameters
        ----------
        start, stop : int
            First kept time, after 0, and the one behind the last.

        Returns
        -------
        list of ndarray
            Each (band, y, x) linear power; not to be changed.
        """
        while self._held and self._held[0][0] < start:
            self._held.popleft()
        for number in range(max(start, self._next), stop):
            self._read(number)
        self._next = max(stop, self._next)
        return [image for _, image in self._held]

    def _read(self, number: int) -> None:
        new = range(self._seen if self._carried else self._stops[number - 1], self._stops[number])
        self._seen = self._stops[number]
        if self._carried:
            if new:
                self._state = self._state.copy()
                self._sensor.carry(self._state, new, self._part)
            self._held.append((number, self._state))
        elif new:
            image: Image = np.full_like(self._state, np.nan)
            self._sensor.carry(image, new, self._part)
            missing: BoolArray = np.isnan(image[0])
            if not missing.all():
                self._held.append((number, image))


def _stops(sensor: Sensor, stack: Stack) -> list[int]:
    """Count the observations up to each kept time."""
    counts: list[int] = np.searchsorted(sensor.times, stack.times, "right").tolist()
    return counts
