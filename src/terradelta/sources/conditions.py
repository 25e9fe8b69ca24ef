"""Heading and incidence angle where files tell neither: from the orbit of Sentinel-1, marked as estimated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from terradelta.sources.grids import require_crs
from terradelta.sources.layers import Flight

__all__ = ["Point", "completed", "heading_at", "incidence_at", "places_on"]

Point = tuple[float, float]
"""Longitude and latitude in degrees."""

_INCLINATION = math.radians(98.18)
_ORBITS, _DAYS = 175, 12
_EARTH_PER_ORBIT = _DAYS / _ORBITS
"""Turns of the earth below the plane of the orbit while the satellite makes one."""
_FIRST_NODE = 0.156
"""Longitude at which relative orbit 1 crosses the equator northward, in degrees."""
_MID_SWATH = math.radians(4.4)
"""From the ground track to the middle of the swath of IW, seen from the middle of the earth."""
_SWATHS = {"IW1": 33.4, "IW2": 39.1, "IW3": 43.9}
_PLAUSIBLE = (18.0, 48.0)
_PLATFORMS = ("S1A", "S1B", "S1C", "S1D")
_STEP, _OVERLAP = math.radians(0.05), math.radians(5)
_ELLIPSOID = (6_378_137.0, 6_356_752.314245)


@dataclass(frozen=True)
class _Pass:
    """Places of the satellite above the rotating earth (m), and the way it flies there (of any length)."""

    place: NDArray[np.float64]
    velocity: NDArray[np.float64]


def heading_at(direction: str, latitude: float) -> float:
    """Heading of Sentinel-1 over the ground while its swath lies at a latitude.

    The ground track of a circular orbit, inclined by 98.18°, over the rotating earth; the satellite looks to
    the right, so it stands up to 1° of latitude beside what it sees. Within 0.1° of the
    headings in real products.

    Parameters
    ----------
    direction : str
        "ascending" or "descending".
    latitude : float
        Of the scene's middle, in degrees.

    Returns
    -------
    float
        Degrees clockwise from north, -180 to 180; NaN where the direction is unknown or nothing flies.

    Examples
    --------
    >>> round(heading_at("ascending", 45.5), 1), round(heading_at("descending", 41.8), 1)
    (-14.2, -166.3)
    """
    if direction not in ("ascending", "descending"):
        return math.nan
    north = 1.0 if direction == "ascending" else -1.0
    scene, heading = math.radians(latitude), 0.0
    below = scene
    for _ in range(20):
        beside = math.sin(_MID_SWATH) * math.cos(below) * math.sin(heading)
        seen = math.cos(_MID_SWATH) * math.sin(below) - beside
        below += (math.sin(scene) - seen) / max(math.cos(below), 0.1)
        tilt = math.cos(_INCLINATION) / math.cos(below)
        if abs(tilt) >= 1:
            return math.nan
        east = tilt - _EARTH_PER_ORBIT * math.cos(below)
        heading = math.atan2(east, north * math.sqrt(1 - tilt**2))
    return math.degrees(heading)


def incidence_at(relative_orbit: int, direction: str, points: Sequence[Point]) -> NDArray[np.float64]:
    """Incidence angles on the ellipsoid at places that a track of Sentinel-1 sees.

    All satellites repeat the same 175 ground tracks; the satellite that looks straight at a place gives the
    angle. Within 0.12° of real
    products up to 1800 m of height.

    Parameters
    ----------
    relative_orbit : int
        1 to 175.
    direction : str
        "ascending" or "descending".
    points : sequence of (float, float)
        Longitude and latitude.

    Returns
    -------
    array of float64
        Degrees from the vertical; NaN where the track passes too far away to see a place on its right.

    Examples
    --------
    >>> incidence_at(59, "ascending", [(3.5, 45.5), (120.0, 45.5)]).round(0)
    array([40., nan])
    """
    if not 1 <= relative_orbit <= _ORBITS or direction not in ("ascending", "descending"):
        return np.full(len(points), math.nan)
    track = _pass(relative_orbit, direction)
    return np.array([_incidence(track, *point) for point in points])


@lru_cache(maxsize=8)
def _pass(relative_orbit: int, direction: str) -> _Pass:
    """Where the satellite climbs or sinks on a track, which begins at the equator, northward."""
    angle = np.arange(-_OVERLAP, 2 * math.pi + _OVERLAP, _STEP)
    angle = angle[(np.cos(angle) > 0) == (direction == "ascending")]
    ahead, behind = (_satellite(relative_orbit, angle + step) for step in (_STEP, -_STEP))
    return _Pass(_satellite(relative_orbit, angle), ahead - behind)


def _satellite(relative_orbit: int, angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places above the turning earth, by the angle from the ascending node (radians)."""
    node = math.radians(_FIRST_NODE - (relative_orbit - 1) * 360 * _EARTH_PER_ORBIT)
    latitude = np.arcsin(math.sin(_INCLINATION) * np.sin(angle))
    across = np.arctan2(math.cos(_INCLINATION) * np.sin(angle), np.cos(angle))
    longitude = node + across - angle * _EARTH_PER_ORBIT
    radius = 7_075_250 - 8_200 * np.sin(angle) + 1_530 * np.cos(2 * angle)
    flat = radius * np.cos(latitude)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), radius * np.sin(latitude)], axis=-1)


def _incidence(track: _Pass, longitude: float, latitude: float) -> float:
    place, up = _ground(longitude, latitude)
    sights = place - track.place
    at = int(np.argmin(np.einsum("ij,ij->i", sights, sights)))
    sight, velocity = sights[at], track.velocity[at]
    sight = sight - velocity * (sight @ velocity) / (velocity @ velocity)
    right = np.cross(velocity, track.place[at]) @ sight > 0
    angle = math.degrees(math.acos(float(-sight @ up / np.linalg.norm(sight))))
    return angle if right and _PLAUSIBLE[0] <= angle <= _PLAUSIBLE[1] else math.nan


def _ground(longitude: float, latitude: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place on the ellipsoid (m) and its vertical."""
    east, north = math.radians(longitude), math.radians(latitude)
    up = np.array([math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)])
    squares = np.square([_ELLIPSOID[0], _ELLIPSOID[0], _ELLIPSOID[1]])
    scaled = squares * up
    return scaled / math.sqrt(float(scaled @ up)), up


def completed(flight: Flight, points: Sequence[Point], subswath: str = "") -> tuple[Flight, tuple[str, ...]]:
    """Fill in heading and incidence angle of a Sentinel-1 pass, where they are missing and can be told.

    The incidence angle comes from the track; without one, from the sub-swath of a burst; without either it
    stays unknown.

    Parameters
    ----------
    flight : Flight
        What is known. Other satellites stay as they are.
    points : sequence of (float, float)
        Longitude and latitude of places in the scene; the incidence angle is their mean.
    subswath : str
        "IW1", "IW2" or "IW3", or several with commas; empty if unknown.

    Returns
    -------
    Flight, tuple of str
        The pass, and the names of the values that are estimates now.

    Examples
    --------
    >>> flight, estimated = completed(Flight("S1A", "ascending", 59), [(3.5, 45.5)])
    >>> round(flight.heading, 1), round(flight.incidence_angle), estimated
    (-14.2, 40, ('incidence_angle', 'heading'))
    """
    if flight.platform not in (*_PLATFORMS, "") or not points:
        return flight, ()
    estimated = []
    if math.isnan(flight.incidence_angle):
        angle = _mean_incidence(flight, points, subswath)
        if not math.isnan(angle):
            flight = replace(flight, incidence_angle=angle)
            estimated.append("incidence_angle")
    if math.isnan(flight.heading):
        latitude = float(np.mean([point[1] for point in points]))
        heading = heading_at(flight.orbit_direction, latitude)
        if not math.isnan(heading):
            flight = replace(flight, heading=heading)
            estimated.append("heading")
    return flight, tuple(estimated)


def _mean_incidence(flight: Flight, points: Sequence[Point], subswath: str) -> float:
    angles = incidence_at(flight.relative_orbit, flight.orbit_direction, points)
    seen = angles[np.isfinite(angles)]
    if seen.size:
        return float(seen.mean())
    known = [_SWATHS[name] for name in subswath.split(",") if name in _SWATHS]
    return float(np.mean(known)) if known and not flight.relative_orbit else math.nan


@lru_cache(maxsize=64)
def places_on(grid: GeoBox, count: int = 5) -> tuple[Point, ...]:
    """Places spread evenly over a grid, as longitude and latitude.

    Parameters
    ----------
    grid : GeoBox
        Any grid with a CRS.
    count : int
        Places along each side.
    """
    rows, columns = grid.shape
    parts = (np.arange(count) + 0.5) / count
    across, down = (axis.ravel() for axis in np.meshgrid(parts * columns, parts * rows))
    affine = grid.affine
    x = affine.a * across + affine.b * down + affine.c
    y = affine.d * across + affine.e * down + affine.f
    to_degrees = Transformer.from_crs(require_crs(grid).to_wkt(), "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    return tuple(zip(longitude.tolist(), latitude.tolist(), strict=True))
