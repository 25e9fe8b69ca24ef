"""Connected areas of one class in a raster, and their outlines when they are asked for."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine

from terradelta.land.nearest import by_distance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["RasterAreas", "label_areas"]

_STRIP = 2**22
_KEPT = 4096
_FIRST_WINDOW = 128


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    step = max(1, _STRIP // max(1, shape[1]))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def label_areas(numbers: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Give each 4-connected area of equal class a number.

    Works in strips; beside the result about 20 bytes per pixel of a strip of 4 million pixels are needed.

    Parameters
    ----------
    numbers : ndarray of uint8, (y, x)
        Classes; 0 = none.

    Returns
    -------
    ndarray of int32, (y, x)
        Number of the area, 1 up, in the order of the first pixels; 0 = none.

    Examples
    --------
    >>> label_areas(np.array([[1, 1, 2], [0, 2, 1]], np.uint8)).tolist()
    [[1, 1, 2], [0, 3, 4]]
    """
    from skimage.measure import label

    labels = np.zeros(numbers.shape, np.int32)
    total, links = 0, [np.empty((2, 0), np.int32)]
    for rows in _strips(numbers.shape):
        found, count = label(numbers[rows], connectivity=1, background=0, return_num=True)  # type: ignore[no-untyped-call]
        labels[rows] = np.where(found > 0, found + total, 0)
        total += int(count)
        if rows.start:
            above, below = rows.start - 1, rows.start
            same = (numbers[above] == numbers[below]) & (numbers[above] > 0)
            links.append(np.stack([labels[above, same], labels[below, same]]))
    pairs = np.concatenate(links, axis=1)
    if pairs.size:
        names = _joined(pairs, total)
        for rows in _strips(numbers.shape):
            labels[rows] = names[labels[rows]]
    return labels


def _joined(pairs: NDArray[np.int32], total: int) -> NDArray[np.int32]:
    """Give the final number of each number, where pairs are one area; 0 stays."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(pairs.shape[1], bool), (pairs[0], pairs[1])), shape=(total + 1, total + 1))
    _, group = connected_components(graph, directed=False)
    _, first, back = np.unique(group, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[back], np.int32)


class RasterAreas:
    """The areas of a raster of classes: numbered once, outlined only when they are asked for.

    Memory: 5 bytes per pixel (600 MB for 11,000 x 11,000 pixels) and 17 bytes per area; outlines of the last
    4096 areas are kept.

    Parameters
    ----------
    numbers : ndarray of uint8, (y, x)
        Classes, 1 up; 0 = none.
    affine : affine.Affine
        From column and row to map coordinates.

    Examples
    --------
    >>> areas = RasterAreas(np.array([[1, 1, 2]], np.uint8), Affine(10, 0, 0, 0, -10, 10))
    >>> areas.outline(1).wkt
    'POLYGON ((0 10, 0 0, 20 0, 20 10, 0 10))'
    >>> places, distances = areas.nearest(5.0, 5.0, 9, {1, 2})
    >>> places.tolist(), distances.tolist()
    ([1, 2], [0.0, 15.0])
    """

    def __init__(self, numbers: NDArray[np.uint8], affine: Affine) -> None:
        self.labels = label_areas(numbers)
        self._affine = affine
        self._outlines: OrderedDict[int, Any] = OrderedDict()
        self.count = int(self.labels.max(initial=0))
        self.numbers = np.zeros(self.count + 1, np.uint8)
        self._box = np.empty((4, self.count + 1), np.int32)
        self._box[:2], self._box[2:] = np.iinfo(np.int32).max, -1
        for rows in _strips(numbers.shape):
            row, column = np.nonzero(self.labels[rows])
            label = self.labels[rows][row, column]
            self.numbers[label] = numbers[rows][row, column]
            for place, values in ((0, row + rows.start), (1, column)):
                np.minimum.at(self._box[place], label, values.astype(np.int32))
                np.maximum.at(self._box[place + 2], label, values.astype(np.int32))
        side = math.hypot(affine.a, affine.d), math.hypot(affine.b, affine.e)
        self._step = abs(affine.determinant) / max(side)
        self._half = math.hypot(abs(affine.a) + abs(affine.b), abs(affine.d) + abs(affine.e)) / 2

    def outline(self, area: int) -> Any:
        """Trace an area along its pixel edges.

        Parameters
        ----------
        area : int
            Its number.

        Returns
        -------
        shapely.Polygon
            In map coordinates.
        """
        if area in self._outlines:
            self._outlines.move_to_end(area)
            return self._outlines[area]
        top, left, bottom, right = self._box[:, area]
        mask = self.labels[top : bottom + 1, left : right + 1] == area
        polygon = _traced(mask, self._affine @ Affine.translation(int(left), int(top)))
        self._outlines[area] = polygon
        if len(self._outlines) > _KEPT:
            self._outlines.popitem(last=False)
        return polygon

    def nearest(
        self, x: float, y: float, count: int, numbers: set[int]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Find the nearest areas of some classes.

        Parameters
        ----------
        x, y : float
            The point.
        count : int
            How many; fewer come if there are fewer.
        numbers : set of int
            Which classes.

        Returns
        -------
        places : ndarray of int
            Numbers of areas in the order of distance; equal distances in the order of the areas.
        distances : ndarray of float64
            Planar; 0 = the point is inside.
        """
        wanted = np.isin(self.numbers, list(numbers))
        wanted[0] = False
        near = self._candidates(x, y, count, wanted)
        polygons = np.array([self.outline(int(area)) for area in near], dtype=object)
        places, distances = by_distance(polygons, x, y, count)
        return near[places], distances

    def _candidates(self, x: float, y: float, count: int, wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Areas among which the nearest are, by their pixels: a window grows until no other can be nearer."""
        column, row = (math.floor(place) for place in ~self._affine @ (x, y))
        height, width = self.labels.shape
        reach = _FIRST_WINDOW
        while True:
            rows = slice(*np.clip((row - reach, row + reach + 1), 0, height))
            columns = slice(*np.clip((column - reach, column + reach + 1), 0, width))
            whole = (rows.stop - rows.start, columns.stop - columns.start) == (height, width)
            areas, gaps = self._gaps(x, y, rows, columns, wanted)
            # nothing beyond the window is nearer than this, and a pixel's edge is nearer than its centre
            limit = np.partition(gaps, count - 1)[count - 1] if len(gaps) >= count else np.inf
            if whole or limit <= reach * self._step:
                return areas[gaps - self._half <= limit]
            reach *= 2

    def _gaps(
        self, x: float, y: float, rows: slice, columns: slice, wanted: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Areas within a window, and the distance of the nearest pixel centre of each."""
        gaps = np.full(len(wanted), np.inf)
        for strip in _strips((rows.stop - rows.start, columns.stop - columns.start)):
            first = rows.start + strip.start
            label = self.labels[first : rows.start + strip.stop, columns]
            row, column = np.nonzero(wanted[label])
            at_x, at_y = self._affine @ (column + columns.start + 0.5, row + first + 0.5)
            np.minimum.at(gaps, label[row, column], np.hypot(at_x - x, at_y - y))
        areas = np.flatnonzero(np.isfinite(gaps))
        return areas, gaps[areas]


def _traced(mask: NDArray[np.bool_], affine: Affine) -> Any:
    from rasterio.features import shapes

    pieces = [shapely.geometry.shape(shape) for shape, _ in shapes(mask.astype(np.uint8), mask, 4, affine)]
    polygon = pieces[0]
    # an area that meets itself at a corner gives an outline that touches itself
    return polygon if polygon.is_valid else shapely.make_valid(polygon, method="structure")
