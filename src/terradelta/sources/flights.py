"""The pass of a satellite: platform, direction and track, by settings, tags, name, or the sun."""

from __future__ import annotations

import math
import re
from functools import lru_cache

import numpy as np
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources.layers import Flight, RawLayer
from terradelta.sources.names import NameInfo
from terradelta.sources.older import platform_name
from terradelta.sources.sidecar import FileSettings, OrbitRule
from terradelta.sources.times import Time

__all__ = ["direction_by_sun", "flight_of"]

_PLATFORM_TAGS = ("satellite", "platform", "mission", "spacecraft_name")
_DIRECTION_TAGS = ("orbit_state", "orbit_direction", "orbit_pass_direction", "flight_direction", "pass")
_ORBIT_TAGS = ("relative_orbit", "track_number", "relative_orbit_number", "rel_orbit")
_ANGLE_TAGS = ("incidence_angle", "incidence_angle_mid_swath")
_HEADING_TAGS = ("heading", "centre_heading")
_FARTHEST_LATITUDE = 75.0


def direction_by_sun(time: Time, longitude: float, latitude: float) -> str:
    """Direction of a Sentinel-1 pass by the sun: its orbit climbs in the evening and falls in the morning.

    Sentinel-1 crosses the equator northward at 18:00 mean local solar time; below 75° of latitude that
    shifts by less than three hours. A time without time of day tells nothing.

    Parameters
    ----------
    time : numpy.datetime64
        Acquisition, UTC.
    longitude, latitude : float
        Middle of the scene, in degrees.

    Returns
    -------
    str
        "ascending", "descending", or "" where it cannot be told.

    Examples
    --------
    >>> direction_by_sun(np.datetime64("2021-11-19T01:59:00"), -119.8, 34.6)
    'ascending'
    >>> direction_by_sun(np.datetime64("2021-12-23T05:11:22"), 12.5, 41.9)
    'descending'
    """
    seconds = (time - time.astype("datetime64[D]")) / np.timedelta64(1, "s")
    if seconds == 0 or abs(latitude) > _FARTHEST_LATITUDE:
        return ""
    local_hour = (seconds / 3600 + longitude / 15) % 24
    return "ascending" if local_hour >= 12 else "descending"


def flight_of(
    raw: RawLayer, info: NameInfo, settings: FileSettings, time: Time, grid: GeoBox
) -> tuple[Flight, tuple[str, ...]]:
    """Everything known about the pass of an image; settings win over tags, tags over the name.

    Returns
    -------
    Flight, tuple of str
        The pass, and the names of the values that are guesses.

    Raises
    ------
    SourceError
        A tag or setting that is no orbit or direction.
    """
    direction = settings.orbit_direction or _direction(_tag(raw, _DIRECTION_TAGS)) or info.orbit_direction
    guess = direction_by_sun(time, *_middle(grid)) if info.group == "sar" and not direction else ""
    flight = Flight(
        platform=settings.platform or _platform(_tag(raw, _PLATFORM_TAGS)) or info.platform,
        orbit_direction=direction or guess,
        relative_orbit=_relative_orbit(raw, info, settings, time),
        incidence_angle=_number(settings.incidence_angle, _tag(raw, _ANGLE_TAGS)),
        heading=_number(settings.heading, _tag(raw, _HEADING_TAGS)),
    )
    return flight, ("orbit_direction",) if guess else ()


def _tag(raw: RawLayer, names: tuple[str, ...]) -> str:
    return next((raw.tags[name].strip() for name in names if raw.tags.get(name, "").strip()), "")


def _platform(text: str) -> str:
    """S1A from "Sentinel-1A", "SENTINEL1A" or "s1a"; L5 from "LANDSAT_5"; ERS1 from "ERS-1"."""
    found = re.fullmatch(r"(?:SENTINEL[-_ ]?|S)([12][A-D])", text.upper())
    return f"S{found[1]}" if found else platform_name(text)


def _direction(text: str) -> str:
    lowered = text.lower()
    return next((name for name in ("ascending", "descending") if lowered and name.startswith(lowered)), "")


def _number(told: float | None, text: str) -> float:
    if told is not None:
        return told
    try:
        return float(text)
    except ValueError:
        return math.nan


def _relative_orbit(raw: RawLayer, info: NameInfo, settings: FileSettings, time: Time) -> int:
    told = settings.relative_orbit
    if isinstance(told, int):
        return told
    if told:
        return _orbit_by_time(raw, told, time)
    text = _tag(raw, _ORBIT_TAGS)
    if not text:
        return info.relative_orbit
    try:
        return int(float(text))
    except ValueError as error:
        raise SourceError(
            f"{raw.path.name}: tag relative_orbit is {text!r}, no number; say 'relative_orbit' in "
            "terradelta.yaml"
        ) from error


def _orbit_by_time(raw: RawLayer, rules: list[OrbitRule], time: Time) -> int:
    """Track by the time of day, for series that mix tracks."""
    moment = time.astype("datetime64[us]").item().time()
    for rule in rules:
        if rule.after <= moment <= rule.before:
            return rule.relative_orbit
    raise SourceError(
        f"{raw.path.name}: the pass at {moment:%H:%M:%S} UTC fits none of the {len(rules)} rules of "
        "'relative_orbit' in terradelta.yaml; widen one or add one"
    )


@lru_cache(maxsize=256)
def _middle(grid: GeoBox) -> tuple[float, float]:
    """Longitude and latitude of a grid's middle."""
    box = grid.geographic_extent.boundingbox
    return (box.left + box.right) / 2, (box.bottom + box.top) / 2
