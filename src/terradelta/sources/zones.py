"""Which projection suits a place: UTM zones, the polar grids, and how much they distort."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from pyproj import CRS, Proj

__all__ = ["note_distortion", "note_zones", "zone_number", "zone_of"]

_UTM_NORTH, _UTM_SOUTH = 84.0, -80.0
_POLAR_NORTH, _POLAR_SOUTH = "EPSG:5041", "EPSG:5042"
_STEP = 3
"""All borders of UTM zones are multiples of this many degrees."""

_WIDEST = 3
_DISTORTION = 0.01


def zone_number(longitude: float, latitude: float) -> int:
    """Give the UTM zone of a place, with the exceptions for Norway and Svalbard.

    Examples
    --------
    >>> zone_number(5.6, 50.6), zone_number(5.3, 60.4), zone_number(15.6, 78.2), zone_number(180.5, -16)
    (31, 32, 33, 1)
    """
    longitude = (longitude + 180) % 360 - 180
    if 56 <= latitude < 64 and 3 <= longitude < 12:
        return 32
    if 72 <= latitude < 84 and 0 <= longitude < 42:
        return 31 + 2 * math.floor((longitude + 3) / 12)
    return math.floor((longitude + 180) / 6) + 1


def zone_of(longitude: float, latitude: float) -> tuple[str, tuple[str, ...]]:
    """Give the CRS of a cube at a place, and a note where it is no UTM zone.

    Examples
    --------
    >>> zone_of(5.6, 50.6)[0], zone_of(28.2, -25.7)[0], zone_of(0, 85)[0], zone_of(0, -85)[0]
    ('EPSG:32631', 'EPSG:32735', 'EPSG:5041', 'EPSG:5042')
    """
    if latitude > _UTM_NORTH or latitude < _UTM_SOUTH:
        crs = _POLAR_NORTH if latitude > 0 else _POLAR_SOUTH
        return crs, (f"the area lies beyond the UTM zones: the cube takes {crs} (polar stereographic)",)
    return f"EPSG:32{6 if latitude >= 0 else 7}{zone_number(longitude, latitude):02d}", ()


def note_zones(outline: Any, crs: str) -> tuple[str, ...]:
    """Tell when an area reaches into several UTM zones.

    Parameters
    ----------
    outline : shapely geometry
        Longitude and latitude, not cut at the antimeridian.
    crs : str
        The chosen one.

    Examples
    --------
    >>> note_zones(shapely.box(5.9, 50, 6.2, 50.1), "EPSG:32632")[0][:59]
    'the area lies in the UTM zones 31 and 32; the cube takes EP'
    """
    if crs in (_POLAR_NORTH, _POLAR_SOUTH):
        return ()
    west, _, east, _ = outline.bounds
    borders = np.arange(math.floor(west / _STEP) + 1, math.ceil(east / _STEP)) * _STEP
    zones = [str(zone_number(longitude, outline.centroid.y)) for longitude in (west, *borders)]
    zones = list(dict.fromkeys(zones))
    if len(zones) < 2:
        return ()
    named = f"{', '.join(zones[:-1])} and {zones[-1]}"
    notes = [
        f"the area lies in the UTM zones {named}; the cube takes {crs}, images of other zones are resampled"
    ]
    if len(zones) > _WIDEST:
        notes.append(
            f"the area is {len(zones)} UTM zones wide: split it, or choose a crs made for it (in Europe "
            "EPSG:3035)"
        )
    return tuple(notes)


def note_distortion(outline: Any, crs: CRS) -> tuple[str, ...]:
    """Tell when lengths on the grid differ from those on the ground by more than 1 %.

    Parameters
    ----------
    outline : shapely geometry
        Longitude and latitude.
    crs : pyproj.CRS
        CRS of the grid.
    """
    if not crs.is_projected:
        return ()
    factors = Proj(crs).get_factors(*shapely.get_coordinates(outline).T)
    scales = np.concatenate([factors.meridional_scale, factors.parallel_scale])
    worst = float(np.nanmax(np.abs(scales - 1)))
    if not worst > _DISTORTION:
        return ()
    return (
        f"lengths on the grid are up to {worst:.1%} off those on the ground; choose a crs made for the area",
    )
