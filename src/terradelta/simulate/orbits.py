"""Sentinel-1 passes: when, from where, by which satellite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from terradelta.errors import InputError
from terradelta.simulate.fields import pixel_centres
from terradelta.types import FloatArray, Size

__all__ = ["ORBITS", "Orbit", "Pass", "heading", "incidence_map", "look_azimuth", "passes"]

_CYCLE = 12
_TRACKS = 175
_INCLINATION = 98.18
_DEGREES_PER_M = (46.0 - 29.0) / 250_000.0
_S1B_LAST = np.datetime64("2021-12-23")
_HOURS = {"ascending": 17.53, "descending": 5.83}


@dataclass(frozen=True)
class Orbit:
    """One relative orbit that sees the place.

    Attributes
    ----------
    number : int
        Relative orbit, 1..175.
    direction : {"ascending", "descending"}
        Way of flight.
    incidence_angle : float
        At the middle of the place in degrees, 29..46.
    repeat : {6, 12}
        Days between passes: 6 = S1A and S1B by turns (S1A alone, every 12 days, after S1B failed on
        23 December 2021), 12 = S1A alone.

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> Orbit(88, "ascending", 38.6).repeat
    6
    """

    number: int
    direction: Literal["ascending", "descending"]
    incidence_angle: float
    repeat: Literal[6, 12] = 6

    def __post_init__(self) -> None:
        if not 1 <= self.number <= _TRACKS:
            raise InputError(f"relative orbit is {self.number}; give 1 to {_TRACKS}")
        if self.direction not in _HOURS:
            raise InputError(f"orbit direction is {self.direction!r}; give 'ascending' or 'descending'")
        if not 29.0 <= self.incidence_angle <= 46.0:
            raise InputError(f"incidence angle is {self.incidence_angle}; Sentinel-1 IW has 29 to 46 degrees")
        if self.repeat not in (6, 12):
            raise InputError(f"orbit repeat is {self.repeat} days; give 6 (two satellites) or 12 (one)")


ORBITS = (
    Orbit(88, "ascending", 38.6, 6),
    Orbit(37, "descending", 43.2, 12),
    Orbit(110, "descending", 34.4, 12),
    Orbit(161, "ascending", 31.2, 12),
)


class Pass(NamedTuple):
    """One acquisition: its time (UTC), its orbit and its satellite."""

    time: np.datetime64
    orbit: Orbit
    platform: str


def heading(latitude: float, direction: str) -> float:
    """Give the flight direction over a latitude.

    Spherical geometry of an orbit inclined by 98.18 degrees (Torres et al. 2012, Remote Sensing of
    Environment 120, 9-24); the turning of the Earth, less than 4 degrees, is left out.

    Parameters
    ----------
    latitude : float
        In degrees.
    direction : {"ascending", "descending"}
        Way of flight.

    Returns
    -------
    float
        Degrees clockwise from north, -180..180.

    Examples
    --------
    >>> round(heading(50.6, "ascending"), 1), round(heading(50.6, "descending"), 1)
    (-13.0, -167.0)
    """
    ratio = np.cos(np.deg2rad(_INCLINATION)) / max(np.cos(np.deg2rad(latitude)), 1e-9)
    up = float(np.rad2deg(np.arcsin(np.clip(ratio, -1.0, 1.0))))
    return up if direction == "ascending" else -180.0 - up


def look_azimuth(flight: float) -> float:
    """Give the direction in which a right-looking radar looks.

    Parameters
    ----------
    flight : float
        Heading in degrees.

    Returns
    -------
    float
        Degrees clockwise from north, 0..360.

    Examples
    --------
    >>> look_azimuth(-13.0)
    77.0
    """
    return (flight + 90.0) % 360.0


def incidence_map(orbit: Orbit, flight: float, size: Size, resolution: float) -> FloatArray:
    """Spread the incidence angle over the place: it grows by 17 degrees over the 250 km swath.

    Parameters
    ----------
    orbit : Orbit
        Gives the angle in the middle.
    flight : float
        Heading in degrees.
    size : Size
        Rows and columns.
    resolution : float
        Pixel size in m.

    Returns
    -------
    ndarray, (y, x), float32
        Degrees.

    Examples
    --------
    >>> angle = incidence_map(ORBITS[0], -13.0, Size(3, 500), 20.0)
    >>> bool(angle[1, -1] > angle[1, 0])
    True
    """
    east, north = pixel_centres(size, resolution)
    away = np.deg2rad(look_azimuth(flight))
    ground_range = east * np.sin(away) + north * np.cos(away)
    return np.asarray(orbit.incidence_angle + _DEGREES_PER_M * ground_range, np.float32)


def _track(orbit: Orbit, start: np.datetime64, end: np.datetime64) -> list[Pass]:
    """List the passes of one relative orbit; its place in the 12-day cycle follows from its number."""
    epoch = np.datetime64("2014-04-03T00:00:00", "s")
    offset = np.timedelta64(orbit.number * _CYCLE // _TRACKS, "D")
    hour = np.timedelta64(round(_HOURS[orbit.direction] * 3600) + 7 * (orbit.number % 60), "s")
    first = epoch + offset + hour
    steps = int((start - first) // np.timedelta64(6, "D")) - 1
    found = []
    while (time := first + np.timedelta64(6 * steps, "D")) < end:
        platform = "S1A" if steps % 2 == 0 else "S1B"
        flown = platform == "S1A" or (orbit.repeat == 6 and time < _S1B_LAST)
        if flown and time >= start:
            found.append(Pass(time.astype("datetime64[ns]"), orbit, platform))
        steps += 1
    return found


def passes(orbits: tuple[Orbit, ...], start: np.datetime64, end: np.datetime64) -> tuple[Pass, ...]:
    """List all passes from start to end (not included) in order of time.

    Parameters
    ----------
    orbits : tuple of Orbit
        The relative orbits.
    start, end : numpy.datetime64
        Period, UTC.

    Returns
    -------
    tuple of Pass

    Examples
    --------
    >>> year = passes(ORBITS[:1], np.datetime64("2020-01-01"), np.datetime64("2020-02-01"))
    >>> [each.platform for each in year]
    ['S1B', 'S1A', 'S1B', 'S1A', 'S1B']
    """
    begin, finish = start.astype("datetime64[s]"), end.astype("datetime64[s]")
    found = [each for orbit in orbits for each in _track(orbit, begin, finish)]
    return tuple(sorted(found, key=lambda each: (each.time, each.orbit.number)))
