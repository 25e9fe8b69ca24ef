"""The frames that a network sees: every pixel's last valid value of every sensor, at each kept time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.cube.acquisitions import as_time
from terradelta.errors import CubeError, InputError
from terradelta.types import Size
from terradelta.urban.era import Branches, Era, era_of
from terradelta.urban.observations import Sensor, optical_sensor, radar_sensor
from terradelta.windows import Slices, kept_times

__all__ = ["Stack"]

_DIRECTIONS = ("ascending", "descending")
_SAMPLE = 256
_SAMPLES = 8
_MOST_REFLECTANCE = 2.0


@dataclass(frozen=True, eq=False)
class Stack:
    """Frames over time of a cube, made from its images part by part when they are asked for.

    Attributes
    ----------
    era : Era
        Which bands are read, in which order.
    branches : {"both", "sar", "optical"}
        Which sensors are read.
    size : Size
        Rows and columns of the cube.
    times : ndarray of datetime64[ns]
        (time,) kept times, UTC.
    identities : tuple of str
        One for every observation that is read, kept or not, in the order of time: time, sensor, platform,
        orbit, and the digest of its pixels where the cube knows it, else its source.
    digests : tuple of str
        One per kept time, over all observations up to then: where they are equal, so are all frames up to
        there (as far as the identities tell).
    sensors : tuple of Sensor
        Ascending, descending, optical, as far as they are read.

    Examples
    --------
    >>> from terradelta.simulate import place
    >>> from terradelta.urban.era import S1S2
    >>> stack = Stack.of(place(seed=0, size=32, years=0.2, changes=0, optical_days=10), S1S2)
    >>> stack.channels, stack.size
    (17, Size(y=32, x=32))
    >>> frames = [frame.copy() for frame in stack.frames(slice(0, 8), slice(0, 32))]
    >>> len(frames) == len(stack.times), frames[0].shape
    (True, (17, 8, 32))
    """

    era: Era
    branches: Branches
    size: Size
    times: NDArray[np.datetime64]
    identities: tuple[str, ...]
    digests: tuple[str, ...]
    sensors: tuple[Sensor, ...]

    @classmethod
    def of(
        cls,
        cube: xr.DataTree,
        era: Era | str,
        *,
        branches: Branches = "both",
        start: Any = None,
        end: Any = None,
        step: np.timedelta64 | None = None,
    ) -> Stack:
        """Prepare the frames of a cube; nothing but a few samples is read.

        Parameters
        ----------
        cube : xarray.DataTree
            In memory or opened: backscatter in linear power, reflectance 0..1 and ``clear``.
        era : Era or str
            Bands and time step; bands are found by name.
        branches : {"both", "sar", "optical"}
            Which sensors to read; only their observations count.
        start, end : datetime64, datetime or str, optional
            First time of a frame, and where to stop (not included), UTC. Images before the start still feed
            the frames. The first observation and no end if not given.
        step : numpy.timedelta64, optional
            Of the observations within one step, counted from the start, the last makes a frame; the era's if
            not given.

        Returns
        -------
        Stack
            Ready to read.

        Raises
        ------
        CubeError
            If the cube lacks a sensor, a direction or a band, holds decibel or digital numbers, or nothing in
            the period.
        InputError
            If an argument makes no sense.
        """
        era, first, last = era_of(era), _time(start), _time(end)
        if branches not in get_args(Branches):
            raise InputError(f"branches is {branches!r}; choose from {', '.join(get_args(Branches))}")
        if first is not None and last is not None and first >= last:
            raise InputError(
                f"the period from {_day(first)} to {_day(last)} is empty; give an end after the start"
            )
        sensors = tuple(_sensors(cube, era, branches, last))
        for sensor in sensors:
            _check_values(sensor, _size_of(cube, sensor))
        size = _common_size(cube, sensors)
        observed = np.sort(np.concatenate([sensor.times for sensor in sensors]))
        kept = observed[kept_times(observed, step=era.step if step is None else step, start=first, end=last)]
        if not len(kept):
            raise CubeError(
                f"no observation is from {_day(first)} on, the last one is of {_day(observed[-1])}; "
                "choose an earlier start or add images"
            )
        names = tuple(sorted(name for sensor in sensors for name in sensor.identities))
        return cls(
            era, branches, size, kept, names, _rolling(era, branches, size, kept, names, observed), sensors
        )

    @property
    def channels(self) -> int:
        """Channels of a frame: ascending bands, descending bands, optical bands, as far as they are read."""
        return sum(len(sensor.bands) for sensor in self.sensors)

    def frames(
        self, rows: slice, columns: slice, *, first: int = 0, last: int | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Give the frames of a block, one after the other.

        Every pixel shows its last valid value of every sensor, 0 before there was any. Images are read one at
        a time, and only the block of them; those before the first frame only until every pixel is known.

        Parameters
        ----------
        rows, columns : slice
            The block.
        first, last : int
            The first kept time, and the one to stop before; to the end if None.

        Yields
        ------
        ndarray of float32
            (channel, y, x): linear power and reflectance. The array is used again for the next frame: copy
            what is to be kept.

        Raises
        ------
        InputError
            If the block or the frames are not there.
        CubeError
            If an image cannot be read.

        Notes
        -----
        The block's pixels do not depend on what else is read with them.
        """
        part = _part(rows, columns, self.size)
        last = len(self.times) if last is None else last
        if not 0 <= first <= last <= len(self.times):
            raise InputError(f"frames {first} to {last} were asked for; there are {len(self.times)}, from 0")
        return self._walk(part, first, last)

    def _walk(self, part: Slices, first: int, last: int) -> Iterator[NDArray[np.float32]]:
        extent = tuple(axis.stop - axis.start for axis in part)
        frame = np.zeros((self.channels, *extent), np.float32)
        states = np.split(frame, np.cumsum([len(sensor.bands) for sensor in self.sensors])[:-1])
        stops = [np.searchsorted(sensor.times, self.times, "right").tolist() for sensor in self.sensors]
        seen = [0] * len(self.sensors)
        for number in range(first, last):
            for which, (sensor, state) in enumerate(zip(self.sensors, states, strict=True)):
                sensor.carry(state, range(seen[which], stops[which][number]), part)
                seen[which] = stops[which][number]
            yield frame


def _time(value: Any) -> np.datetime64 | None:
    return None if value is None else as_time(value)


def _day(time: np.datetime64 | None) -> str:
    return "the first" if time is None else np.datetime_as_string(time, "D")


def _sensors(cube: xr.DataTree, era: Era, branches: Branches, end: np.datetime64 | None) -> Iterator[Sensor]:
    if branches != "optical":
        yield from _radar(cube, era, end)
    if branches != "sar":
        other = 'use networks that read the radar alone (branches="sar")'
        if "optical" not in cube.children or not cube["optical"].sizes.get("time", 0):
            raise CubeError(f"the cube holds no optical images; add some, or {other}")
        optical = optical_sensor(cube, era.optical_bands, end)
        if not len(optical):
            raise CubeError(
                f"the cube holds no optical images before {_day(end)}; choose a later end, or {other}"
            )
        yield optical


def _radar(cube: xr.DataTree, era: Era, end: np.datetime64 | None) -> list[Sensor]:
    other = 'use networks that read the optical images alone (branches="optical")'
    if "sar" not in cube.children or not cube["sar"].sizes.get("time", 0):
        raise CubeError(f"the cube holds no radar images; add some, or {other}")
    both = [radar_sensor(cube, direction, era.sar_bands, end) for direction in _DIRECTIONS]
    missing = [sensor.name for sensor in both if not len(sensor)]
    if missing:
        when = "" if end is None else f" before {_day(end)}"
        only = f", only {' and '.join(s.name for s in both if len(s))} ones" if len(missing) == 1 else ""
        raise CubeError(
            f"the cube holds no {' or '.join(missing)} radar images{when}{only}; both directions are needed: "
            f"add what is missing, or {other}"
        )
    return both


def _size_of(cube: xr.DataTree, sensor: Sensor) -> Size:
    sizes = cube["optical" if sensor.name == "optical" else "sar"].sizes
    return Size(sizes["y"], sizes["x"])


def _common_size(cube: xr.DataTree, sensors: Sequence[Sensor]) -> Size:
    sizes = {_size_of(cube, sensor) for sensor in sensors}
    if len(sizes) > 1:
        told = " and ".join(f"{size.y} x {size.x}" for size in sorted(sizes))
        raise CubeError(f"radar and optical images have {told} pixels; bring them onto one grid")
    return sizes.pop()


def _check_values(sensor: Sensor, size: Size) -> None:
    """Refuse what is in other units, judged by the middle of the first image with valid pixels there."""
    part = tuple(slice((n - min(n, _SAMPLE)) // 2, (n + min(n, _SAMPLE)) // 2) for n in size)
    wanted = np.ones([axis.stop - axis.start for axis in part], bool)
    for index in np.unique(np.linspace(0, len(sensor) - 1, _SAMPLES).astype(int)).tolist():
        found = sensor.read(index, (part[0], part[1]), wanted)
        if found is not None:
            values, good = found
            _check_sample(sensor, index, np.asarray(values)[list(sensor.bands)][:, good])
            return


def _check_sample(sensor: Sensor, index: int, sample: NDArray[Any]) -> None:
    middle, when = float(np.median(sample)), _day(sensor.times[index])
    if sensor.name != "optical" and middle < 0:
        raise CubeError(
            f"the {sensor.name} radar image of {when} has the median {middle:.4g}, but linear power is never "
            "below 0: this looks like decibel; convert it with terradelta.sar.to_linear (10 ** (dB / 10))"
        )
    if sensor.name == "optical" and middle > _MOST_REFLECTANCE:
        raise CubeError(
            f"the optical image of {when} has the median {middle:.4g}, expected 0..1: these look like "
            "digital numbers; scale them first (Sentinel-2: subtract the offset, divide by 10000)"
        )


def _rolling(
    era: Era,
    branches: Branches,
    size: Size,
    kept: NDArray[np.datetime64],
    identities: Sequence[str],
    observed: NDArray[np.datetime64],
) -> tuple[str, ...]:
    """Digest of all observations up to each kept time, and of what decides how they are read."""
    begin = [branches, era.sar_bands, era.optical_bands, size]
    running, digests, seen = hashlib.sha256(json.dumps(begin).encode()), [], 0
    for time, stop in zip(kept, np.searchsorted(observed, kept, "right").tolist(), strict=True):
        running.update("\n".join(["", *identities[seen:stop], np.datetime_as_string(time)]).encode())
        digests.append(running.hexdigest())
        seen = stop
    return tuple(digests)


def _part(rows: slice, columns: slice, size: Size) -> Slices:
    parts = []
    for name, axis, length in zip(("rows", "columns"), (rows, columns), size, strict=True):
        start, stop, step = axis.indices(length)
        if step != 1 or stop <= start or (axis.stop or 0) > length:
            raise InputError(f"{name} are {axis}; give a slice with step 1 within the {length} of the cube")
        parts.append(slice(start, stop))
    return parts[0], parts[1]
