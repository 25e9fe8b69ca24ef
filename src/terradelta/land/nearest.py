"""Nearest polygons to a point, by an index, and what is said when there are too few."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from terradelta.errors import InputError
from terradelta.land.classes import check_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["NearestPolygons", "by_distance", "check_found", "check_question"]

_LOG = logging.getLogger(__name__)


def check_question(x: float, y: float, count: int, classes: Sequence[str]) -> tuple[str, ...]:
    """Refuse a question for the nearest areas that makes no sense.

    Parameters
    ----------
    x, y : float
        The point.
    count : int
        How many areas.
    classes : sequence of str
        Names of `CLASSES`.

    Returns
    -------
    tuple of str
        The classes.

    Raises
    ------
    InputError
        If the point is not finite, the count less than 1, or a class unknown.

    Examples
    --------
    >>> check_question(0.0, 0.0, 50, ("mire",))
    ('mire',)
    """
    if not (math.isfinite(x) and math.isfinite(y)):
        raise InputError(f"the point is ({x}, {y}); give finite coordinates in the CRS of the land cover")
    if count < 1:
        raise InputError(f"{count} nearest areas asked for; give 1 or more")
    return check_classes(classes)


def check_found(found: int, count: int, classes: Sequence[str], where: str) -> None:
    """Refuse an answer without any area; tell the log when there are fewer than were asked for.

    Parameters
    ----------
    found, count : int
        How many there are, how many were asked for.
    classes : sequence of str
        Which classes were asked for.
    where : str
        What was searched, for the message.

    Raises
    ------
    InputError
        If nothing was found.

    Examples
    --------
    >>> check_found(50, 50, ("mire",), "land.gpkg")
    """
    if not found:
        raise InputError(
            f"{where} has no area of {', '.join(classes)}; give land cover that has some, or other classes"
        )
    if found < count:
        _LOG.warning(
            "%s has only %d of the %d areas of %s asked for; all are taken",
            where, found, count, ", ".join(classes),
        )  # fmt: skip


def by_distance(
    polygons: NDArray[Any], x: float, y: float, count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Sort polygons by their distance to a point; equal distances stay in order.

    Parameters
    ----------
    polygons : ndarray of shapely.Polygon
        Some polygons.
    x, y : float
        The point.
    count : int
        How many to give.

    Returns
    -------
    places : ndarray of int
        Of the nearest polygons.
    distances : ndarray of float64
        Planar distances; 0 = the point is inside.

    Examples
    --------
    >>> places, distances = by_distance(np.array([shapely.box(5, 0, 6, 1), shapely.box(0, 0, 1, 1)]), 2, 0, 2)
    >>> places.tolist(), distances.tolist()
    ([1, 0], [1.0, 3.0])
    """
    distances = shapely.distance(polygons, shapely.Point(x, y))
    places = np.argsort(distances, kind="stable")[:count]
    return places, np.asarray(distances[places], np.float64)


class NearestPolygons:
    """Polygons with an index (an R-tree); the answers are those of a sort by distance.

    Parameters
    ----------
    polygons : ndarray of shapely.Polygon
        All polygons.

    Examples
    --------
    >>> index = NearestPolygons(np.array([shapely.box(i, 0, i + 0.5, 1) for i in range(100)]))
    >>> index.nearest(40.25, 0.5, 3)[0].tolist()
    [40, 39, 41]
    """

    def __init__(self, polygons: NDArray[Any]) -> None:
        self._polygons = polygons
        self._tree = shapely.STRtree(polygons)
        left, bottom, right, top = shapely.total_bounds(polygons) if len(polygons) else (0.0, 0.0, 0.0, 0.0)
        self._bounds = (left, bottom, right, top)
        self._spacing = math.sqrt(max(right - left, top - bottom) ** 2 / max(1, len(polygons))) or 1.0

    def within(self, left: float, bottom: float, right: float, top: float) -> NDArray[np.intp]:
        """Tell which polygons may reach into a box: their own boxes do.

        Parameters
        ----------
        left, bottom, right, top : float
            The box.

        Returns
        -------
        ndarray of int
            Places, in order.
        """
        return np.sort(self._tree.query(shapely.box(left, bottom, right, top)))

    def nearest(self, x: float, y: float, count: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Find the nearest polygons.

        Parameters
        ----------
        x, y : float
            The point.
        count : int
            How many; fewer come if there are fewer.

        Returns
        -------
        places : ndarray of int
            In the order of distance; equal distances in the order of the polygons.
        distances : ndarray of float64
            Planar; 0 = the point is inside.
        """
        left, bottom, right, top = self._bounds
        furthest = math.hypot(max(abs(x - left), abs(x - right)), max(abs(y - bottom), abs(y - top)))
        outside = math.hypot(max(left - x, 0.0, x - right), max(bottom - y, 0.0, y - top))
        reach = outside + self._spacing * math.sqrt(count)
        while True:
            # whatever is nearer than the reach has its box in this square
            found = self.within(x - reach, y - reach, x + reach, y + reach)
            places, distances = by_distance(self._polygons[found], x, y, count)
            if reach >= furthest or (len(places) == count and distances[-1] <= reach):
                return found[places], distances
            reach *= 2.0
