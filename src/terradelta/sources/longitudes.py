"""Outlines that cross the antimeridian: cut at 180°, and made whole again for a projection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import shapely
from shapely.affinity import translate

from terradelta.errors import SourceError

__all__ = ["cut_at_antimeridian", "made_whole", "smallest_span", "without_jumps"]

_FARTHEST = 540.0


def without_jumps(polygon: Any) -> tuple[Any, bool]:
    """Give a polygon whose neighbouring vertices lie at 179.5 and -179.5 longitudes beyond 180.

    No outline of less than half the Earth spans more than 180 degrees, so one that does crosses the
    antimeridian.

    Parameters
    ----------
    polygon : shapely.Polygon
        Longitudes and latitudes in degrees.

    Returns
    -------
    shapely.Polygon, bool
        The polygon, and whether it was changed.

    Examples
    --------
    >>> import shapely
    >>> without_jumps(shapely.box(-179.5, -17, 179.5, -16))[0].bounds
    (179.5, -17.0, 180.5, -16.0)
    """
    west, _, east, _ = polygon.bounds
    if east - west <= 180 or west < -180 or east > 180:
        return polygon, False
    return shapely.transform(polygon, _eastward), True


def _eastward(points: Any) -> Any:
    return np.column_stack([np.where(points[:, 0] < 0, points[:, 0] + 360, points[:, 0]), points[:, 1]])


def cut_at_antimeridian(polygons: Iterable[Any]) -> Any:
    """Unite polygons, and move what lies beyond ±180 degrees of longitude to the other side.

    Parameters
    ----------
    polygons : iterable of shapely.Polygon
        Valid; longitudes between -540 and 540.

    Returns
    -------
    shapely.Polygon or shapely.MultiPolygon
        All longitudes between -180 and 180; polygons that lie there are not touched.

    Raises
    ------
    SourceError
        A longitude farther out.

    Examples
    --------
    >>> import shapely
    >>> [part.bounds for part in cut_at_antimeridian([shapely.box(179, -17, 181, -16)]).geoms]
    [(-180.0, -17.0, -179.0, -16.0), (179.0, -17.0, 180.0, -16.0)]
    """
    parts = []
    for polygon in polygons:
        west, south, east, north = polygon.bounds
        if west < -_FARTHEST or east > _FARTHEST:
            raise SourceError(
                f"longitudes from {west:g} to {east:g} are no degrees; say the CRS of the outline with crs"
            )
        if west >= -180 and east <= 180:
            parts.append(polygon)
            continue
        for turn in (-360, 0, 360):
            inside = shapely.intersection(polygon, shapely.box(turn - 180, south - 1, turn + 180, north + 1))
            parts.append(translate(inside, -turn))
    united = shapely.union_all(parts)
    areas = [part for part in shapely.get_parts(united) if part.area > 0 and part.geom_type == "Polygon"]
    return areas[0] if len(areas) == 1 else shapely.MultiPolygon(areas)


def smallest_span(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """West and east of the smallest span of longitudes that holds all given ones, around the Earth.

    Examples
    --------
    >>> smallest_span([(5, 6), (7, 8)]), smallest_span([(179, 180), (-180, -179)])
    ((5, 8), (179, -179))
    """
    spans = sorted(spans)
    gaps, east = [], spans[0][1]
    for span in spans[1:]:
        gaps.append((span[0] - east, span[0], east))
        east = max(east, span[1])
    width, west_after, east_before = max(gaps, default=(0.0, 0.0, 0.0))
    if width > spans[0][0] + 360 - east:
        return west_after, east_before
    return spans[0][0], east


def made_whole(outline: Any, west: float, east: float) -> Any:
    """Join the parts of a cut outline again, with longitudes up to 360 where it crosses the antimeridian.

    Parameters
    ----------
    outline : shapely geometry
        Longitudes between -180 and 180.
    west, east : float
        Its span; west is greater than east where it crosses.

    Examples
    --------
    >>> import shapely
    >>> parts = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
    >>> made_whole(parts, 179, -179).bounds
    (179.0, 0.0, 181.0, 1.0)
    """
    if west <= east:
        return outline
    parts = shapely.get_parts(outline)
    return shapely.union_all([translate(part, 360) if part.bounds[2] <= east else part for part in parts])
