"""The place that is asked for: an outline, and the grid of the cube over it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS

from terradelta.errors import SourceError
from terradelta.sources.grids import Bounds, propose_grid
from terradelta.sources.longitudes import cut_at_antimeridian, made_whole, smallest_span, without_jumps
from terradelta.sources.outlines import (
    Outlines,
    densified,
    in_degrees,
    known_crs,
    mended,
    projected,
    read_outlines,
)
from terradelta.sources.zones import note_distortion, note_zones, zone_of
from terradelta.types import PathType

__all__ = ["Area", "choose_grid", "read_area", "search_boxes"]

_NUMBER = r"\s*[-+]?\d+(?:\.\d*)?\s*"
_BOX = re.compile(",".join([_NUMBER] * 4))
_LONGEST_SIDE = 2**31
_COARSEST_DEGREES = 0.1
_WIDEST_DEGREES = 60.0
_APART = 100.0
"""Far more than 0.2 m, and less than a turn, in any unit."""


@dataclass(frozen=True)
class Area:
    """The outline of a place.

    Attributes
    ----------
    outline : shapely Polygon or MultiPolygon
        Longitude and latitude (EPSG:4326); one that crosses the antimeridian is cut there in two.
    name : str
        Name of the place, empty if it has none.
    notes : tuple of str
        What was mended or chosen, for the user.
    """

    outline: Any
    name: str = ""
    notes: tuple[str, ...] = ()

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north in degrees; west is greater than east across the antimeridian."""
        _, south, _, north = self.outline.bounds
        parts = shapely.get_parts(self.outline)
        west, east = smallest_span([(part.bounds[0], part.bounds[2]) for part in parts])
        return west, south, east, north


def read_area(what: PathType | Any, *, crs: str | None = None) -> Area:
    """Read the outline of a place.

    Parameters
    ----------
    what : path, str or shapely geometry
        A file of polygons (GeoJSON, GeoPackage, shapefile, KML), all of which are united; a text
        ``"west,south,east,north"`` in degrees, with west greater than east across the antimeridian; or a
        polygon.
    crs : str, optional
        CRS of a polygon (EPSG:4326 unless told otherwise), or of a file that carries none.

    Returns
    -------
    Area
        In EPSG:4326. Broken outlines are mended, and `notes` tell by how much that changed the area.

    Raises
    ------
    SourceError
        The file is missing, unreadable, empty or without CRS, holds points or lines, or lies outside the
        Earth; nothing is left of a broken outline; a pole lies inside.

    Examples
    --------
    >>> read_area("5.5,50.6,5.7,50.7").bounds
    (5.5, 50.6, 5.7, 50.7)
    >>> read_area("179,-17,-179,-16").bounds
    (179.0, -17.0, -179.0, -16.0)
    """
    if isinstance(what, str) and _BOX.fullmatch(what):
        return Area(_box(what))
    if isinstance(what, shapely.Geometry):
        found = Outlines([what], crs or "EPSG:4326")
    else:
        found = read_outlines(Path(what), crs)
    where = found.where
    polygons, notes = mended([without_jumps(one) for one in in_degrees(found)], where)
    outline = cut_at_antimeridian(polygons)
    if outline.is_empty:
        raise SourceError(f"{where}: nothing of the outline remains once it is mended; draw it again")
    return Area(outline, found.name, (*found.notes, *notes))


def _box(text: str) -> Any:
    """Outline of a text with four degrees."""
    west, south, east, north = (float(part) for part in text.split(","))
    if not (-90 <= south < north <= 90):
        raise SourceError(
            f"box {text!r}: latitudes {south:g} and {north:g}; give west,south,east,north with "
            "-90 <= south < north <= 90"
        )
    if not (-180 <= west <= 180 and -180 <= east <= 360 and west != east):
        raise SourceError(
            f"box {text!r}: longitudes {west:g} and {east:g}; give west,south,east,north with two "
            "longitudes between -180 and 180 (west greater than east across the antimeridian)"
        )
    return cut_at_antimeridian([shapely.box(west, south, east if east > west else east + 360, north)])


def search_boxes(area: Area) -> tuple[Bounds, ...]:
    """Give one or, across the antimeridian, two boxes for searches in catalogues.

    Returns
    -------
    tuple of (west, south, east, north)
        Degrees, west below east.

    Examples
    --------
    >>> search_boxes(read_area("179,-17,-179,-16"))
    ((179.0, -17.0, 180.0, -16.0), (-180.0, -17.0, -179.0, -16.0))
    """
    west, south, east, north = area.bounds
    if west <= east:
        return ((west, south, east, north),)
    return (west, south, 180.0, north), (-180.0, south, east, north)


def choose_grid(
    area: Area, *, crs: str | None = None, resolution: float = 10.0
) -> tuple[GeoBox, tuple[str, ...]]:
    """Choose the grid of a cube over an area.

    Pixel edges lie on whole multiples of the resolution, as those of Sentinel-2 tiles do, so that images of
    the same CRS and resolution are taken over bit for bit.

    Parameters
    ----------
    area : Area
        The place.
    crs : str, optional
        By default the UTM zone of the area's centroid (with the exceptions for Norway and Svalbard), and
        beyond 84° N and 80° S universal polar stereographic.
    resolution : float
        Edge of a pixel in the units of `crs`.

    Returns
    -------
    GeoBox, tuple of str
        The grid over the bounds of the area, and notes about the choice.

    Raises
    ------
    SourceError
        An unknown CRS or one that cannot hold the area, a resolution that does not suit it, or an area more
        than 60 degrees wide and no `crs`.

    Examples
    --------
    >>> grid, notes = choose_grid(read_area("5.5,50.6,5.7,50.7"))
    >>> str(grid.crs), tuple(grid.shape), (grid.affine.c, grid.affine.f), notes
    ('EPSG:32631', (1163, 1453), (676540.0, 5619950.0), ())
    """
    west, _, east, _ = area.bounds
    whole = made_whole(area.outline, west, east)
    notes: tuple[str, ...] = ()
    if crs is None:
        crs, notes = zone_of(whole.centroid.x, whole.centroid.y)
        _check_width(whole, polar=bool(notes))
        notes += note_zones(whole, crs)
    system = known_crs(crs)
    _check_resolution(system, crs, resolution)
    if west > east:
        _require_continuous(system, whole.centroid.y, crs)
    place = projected(densified(whole), system)
    lattice = GeoBox((1, 1), Affine(resolution, 0, 0, 0, -resolution, 0), crs)
    grid, _ = propose_grid([lattice], bounds=place.bounds)
    if max(grid.shape) > _LONGEST_SIDE:
        raise SourceError(
            f"a grid of {grid.shape[0]} x {grid.shape[1]} pixels is too large; take a smaller area or a "
            f"resolution coarser than {resolution:g}"
        )
    return grid, (*notes, *note_distortion(whole, system))


def _require_continuous(system: CRS, latitude: float, crs: str) -> None:
    """Refuse a CRS in which the two sides of the antimeridian lie apart."""
    sides = [projected(shapely.Point(longitude, latitude), system) for longitude in (-179.999999, 179.999999)]
    if sides[0].distance(sides[1]) > _APART:
        raise SourceError(
            f"the area crosses the antimeridian, which no grid of {crs} can; leave crs out to take a UTM zone"
        )


def _check_width(whole: Any, *, polar: bool) -> None:
    """Refuse an area over which a UTM zone would fold."""
    west, _, east, _ = whole.bounds
    if not polar and east - west > _WIDEST_DEGREES:
        raise SourceError(
            f"the area is {east - west:g} degrees wide, too wide for a UTM zone; give crs, or a smaller area"
        )


def _check_resolution(system: CRS, crs: str, resolution: float) -> None:
    """Refuse what is no length in the units of a CRS."""
    if not 0 < resolution < float("inf"):
        raise SourceError(f"resolution {resolution:g} is no length; give one above 0 in the units of {crs}")
    if not (system.is_geographic or system.is_projected):
        raise SourceError(f"crs {crs} is neither projected nor geographic; give for example 'EPSG:32631'")
    if system.is_geographic and resolution > _COARSEST_DEGREES:
        raise SourceError(
            f"resolution {resolution:g} is in degrees for {crs}; 10 m are about 0.00009, or leave crs out to "
            "give metres in a UTM zone"
        )
