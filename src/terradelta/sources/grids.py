"""Grids: do two agree to the pixel, which one suits all files, which files lie together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from terradelta.errors import SourceError

__all__ = ["Bounds", "places", "propose_grid", "require_crs", "shift_between", "tidy_crs"]

Bounds = tuple[float, float, float, float]
_PIXEL = 1e-2


def tidy_crs(text: str | None) -> CRS | None:
    """Give a CRS as its EPSG code where it is one, so that equal grids compare equal.

    Examples
    --------
    >>> str(tidy_crs(CRS("EPSG:32631").to_wkt())), tidy_crs(None)
    ('EPSG:32631', None)
    """
    if not text:
        return None
    crs = CRS(text)
    return CRS(f"EPSG:{crs.epsg}") if crs.epsg is not None else crs


def require_crs(grid: GeoBox) -> CRS:
    """Give the CRS of a grid that must have one.

    Raises
    ------
    SourceError
        It has none.
    """
    if grid.crs is None:
        raise SourceError("the grid has no CRS; give a GeoBox with one, or crs=")
    return grid.crs


def _rotated(grid: GeoBox) -> bool:
    return bool(grid.affine.b != 0 or grid.affine.d != 0)


def shift_between(source: GeoBox, target: GeoBox) -> tuple[int, int] | None:
    """Row and column of the source at the target's first pixel, if both lie on one lattice; else None.

    Examples
    --------
    >>> whole = GeoBox((100, 100), Affine(30, 0, 240000, 0, -30, 3900000), "EPSG:32611")
    >>> shift_between(whole, whole[20:30, 40:60]), shift_between(whole, whole.zoom_out(2))
    ((20, 40), None)
    """
    if source.crs != target.crs or _rotated(source) or _rotated(target):
        return None
    a, b = source.affine, target.affine
    for first, second, size in ((a.a, b.a, target.shape[1]), (a.e, b.e, target.shape[0])):
        if abs(second / first - 1) * size > _PIXEL:
            return None
    column, row = ~a @ (b.c, b.f)
    if source.crs is not None and source.crs.geographic and _beyond_half_a_turn(source, target, column):
        return None
    if abs(column - round(column)) > _PIXEL or abs(row - round(row)) > _PIXEL:
        return None
    return round(row), round(column)


def _beyond_half_a_turn(source: GeoBox, target: GeoBox, column: float) -> bool:
    """Whether the target reaches so far from the source's middle that longitudes there are counted anew."""
    ends = column - source.shape[1] / 2, column + target.shape[1] - source.shape[1] / 2
    return bool(max(abs(end) for end in ends) * abs(source.affine.a) > 180 + abs(source.affine.a))


def propose_grid(
    grids: Sequence[GeoBox],
    *,
    geobox: GeoBox | None = None,
    bounds: Bounds | None = None,
    crs: str | None = None,
    resolution: float | None = None,
) -> tuple[GeoBox, list[str]]:
    """Choose the grid of a new cube: as given, else the files' own lattice over all of them.

    Parameters
    ----------
    grids : sequence of GeoBox
        Grids of the images that decide.
    geobox : GeoBox, optional
        Take this one.
    bounds : (left, bottom, right, top), optional
        Extent in the units of `crs`; grown to whole pixels.
    crs : str, optional
        CRS of the cube; the most frequent one of the files by default.
    resolution : float, optional
        Edge of a pixel in the units of `crs`; the finest of the files by default.

    Returns
    -------
    GeoBox, list of str
        The grid, and warnings about the choice.

    Raises
    ------
    SourceError
        Nothing to take a grid from, an unknown CRS, or bounds that hold nothing.
    """
    if geobox is not None:
        return geobox, []
    if not grids:
        raise SourceError("no image to take a grid from; give bounds, crs and resolution")
    wanted = None if crs is None else _known(crs)
    own, warnings = _reference(grids, wanted)
    if wanted is not None and str(own.crs) != wanted:
        own = own.to_crs(wanted)
    lattice = _lattice(own, resolution)
    box = bounds if bounds is not None else _union(grids, own)
    grid = _snapped(lattice, box, own.crs)
    return grid, warnings


def _known(crs: str) -> str:
    try:
        return str(CRS(crs))
    except CRSError as error:
        raise SourceError(f"crs {crs!r} is no CRS; give for example 'EPSG:32631'") from error


def _reference(grids: Sequence[GeoBox], crs: str | None) -> tuple[GeoBox, list[str]]:
    """Choose the finest grid in the wanted, else the most frequent CRS."""
    counts = Counter(str(grid.crs) for grid in grids)
    wanted = crs if crs in counts else counts.most_common(1)[0][0]
    warnings = []
    if len(counts) > 1:
        warnings.append(
            f"files have several CRS ({', '.join(sorted(counts))}): the cube takes {crs or wanted}"
        )
    same = [grid for grid in grids if str(grid.crs) == wanted]
    return min(same, key=lambda grid: abs(grid.affine.a * grid.affine.e)), warnings


def _lattice(own: GeoBox, resolution: float | None) -> Affine:
    """Transform whose pixel edges the cube's grid shall hit."""
    affine = own.affine
    if resolution is None:
        return affine
    if not resolution > 0:
        raise SourceError(f"resolution {resolution} is no length; give one above 0 in the units of {own.crs}")
    return Affine(resolution, 0, affine.c, 0, -resolution, affine.f)


def _union(grids: Sequence[GeoBox], own: GeoBox) -> Bounds:
    crs = require_crs(own)
    boxes = [grid.boundingbox if grid.crs == crs else grid.footprint(crs).boundingbox for grid in grids]
    return (
        min(box.left for box in boxes), min(box.bottom for box in boxes),
        max(box.right for box in boxes), max(box.top for box in boxes),
    )  # fmt: skip


def _snapped(lattice: Affine, box: Bounds, crs: Any) -> GeoBox:
    """Grid of whole lattice pixels that covers a box; a hair's breadth does not cost a row."""
    left, bottom, right, top = box
    if not (left < right and bottom < top):
        raise SourceError(f"bounds {box} hold nothing; give (left, bottom, right, top)")
    columns = [(x - lattice.c) / lattice.a for x in (left, right)]
    rows = [(y - lattice.f) / lattice.e for y in (top, bottom)]
    first_column, first_row = (math.floor(min(values) + _PIXEL) for values in (columns, rows))
    last_column, last_row = (math.ceil(max(values) - _PIXEL) for values in (columns, rows))
    shape = (max(last_row - first_row, 1), max(last_column - first_column, 1))
    return GeoBox(shape, lattice @ Affine.translation(first_column, first_row), crs)


def places(grids: Mapping[str, GeoBox]) -> list[list[str]]:
    """Sort named grids into groups that touch each other, in the order of their names.

    Examples
    --------
    >>> near = GeoBox((10, 10), Affine(10, 0, 0, 0, -10, 0), "EPSG:32631")
    >>> far = GeoBox((10, 10), Affine(10, 0, 90000, 0, -10, 0), "EPSG:32631")
    >>> places({"a": near, "b": far, "c": near})
    [['a', 'c'], ['b']]
    """
    boxes = {name: _geographic(grid) for name, grid in grids.items()}
    found: list[tuple[list[str], list[Bounds]]] = []
    for name in sorted(boxes):
        near = [group for group in found if any(_touch(boxes[name], box) for box in group[1])]
        names = [name for group in near for name in group[0]] + [name]
        members = [box for group in near for box in group[1]] + [boxes[name]]
        found = [group for group in found if group not in near] + [
            (sorted(names), list(dict.fromkeys(members)))
        ]
    return sorted(names for names, _ in found)


def _geographic(grid: GeoBox) -> Bounds:
    box = grid.geographic_extent.boundingbox
    return box.left, box.bottom, box.right, box.top


def _touch(one: Bounds, other: Bounds) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
