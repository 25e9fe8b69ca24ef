"""Outlines from files: read, brought to longitude and latitude, mended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError, ProjError

from terradelta.errors import SourceError
from terradelta.sources.mending import mend

__all__ = ["Outlines", "densified", "in_degrees", "known_crs", "mended", "projected", "read_outlines"]

_STEPS = 100
_KINDS = "give GeoJSON, GeoPackage, shapefile or KML with polygons"


@dataclass(frozen=True)
class Outlines:
    """Geometries of a place as they were given.

    Attributes
    ----------
    geometries : sequence of shapely geometry
        Of any kind, in `crs`.
    crs : str
        Their CRS.
    name : str
        Name of the place.
    where : str
        What messages call it.
    notes : tuple of str
        What was chosen on reading.
    """

    geometries: Sequence[Any]
    crs: str
    name: str = ""
    where: str = "the outline"
    notes: tuple[str, ...] = ()


def known_crs(text: Any) -> CRS:
    """Give a CRS by its code or description.

    Raises
    ------
    SourceError
        It is none.

    Examples
    --------
    >>> known_crs("EPSG:32631").to_epsg()
    32631
    """
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise SourceError(f"crs {text!r} is no CRS; give for example 'EPSG:32631'") from error


def read_outlines(path: Path, crs: str | None) -> Outlines:
    """Read all geometries of a vector file.

    Parameters
    ----------
    path : pathlib.Path
        GeoJSON, GeoPackage, shapefile, KML, or whatever else GDAL reads; several layers are joined.
    crs : str, optional
        CRS of a file that carries none.

    Raises
    ------
    SourceError
        The file is missing, unreadable, empty or without CRS.
    """
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError, GeometryError

    if not path.exists():
        raise SourceError(f"{path} does not exist; give a file of polygons, or 'west,south,east,north'")
    told = crs if _without_crs(path) else None
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        frames = [pyogrio.read_dataframe(path, layer=name, on_invalid="ignore") for name in layers]
    except (DataSourceError, DataLayerError, FieldError, GeometryError, OSError) as error:
        raise SourceError(f"{path.name}: cannot be read ({_reason(error)}); {_cure(path)}") from error
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        raise SourceError(f"{path.name}: holds no feature; {_KINDS}")
    own = {frame.crs for frame in frames}
    if len(own) > 1:
        raise SourceError(f"{path.name}: its layers have several CRS; keep one layer")
    chosen = told or own.pop() or crs
    if chosen is None:
        raise SourceError(
            f"{path.name}: has no CRS; say it with crs, for example 'EPSG:32631'"
            + (", or put its .prj file beside it" if path.suffix.lower() == ".shp" else "")
        )
    notes = (f"{path.name}: the layers {', '.join(layers)} are united",) if len(frames) > 1 else ()
    if crs is not None and known_crs(chosen) != known_crs(crs):
        notes = (*notes, f"{path.name}: carries its own CRS ({_short(chosen)}), which counts, not {crs}")
    shapes = [shape for frame in frames for shape in frame.geometry if shape is not None]
    return Outlines(shapes, chosen, _name(path, frames), path.name, notes)


def _without_crs(path: Path) -> bool:
    """Whether a file is GeoJSON that leaves its CRS to be EPSG:4326, which then may be told otherwise."""
    if path.suffix.lower() not in (".geojson", ".json"):
        return False
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and "crs" not in document


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).split(" It might help")[0].rstrip(".;")


def _cure(path: Path) -> str:
    if path.suffix.lower() in (".shp", ".shx", ".dbf"):
        return "a shapefile needs its .shx and .dbf beside the .shp; copy them all"
    return _KINDS


def _short(crs: Any) -> str:
    authority = known_crs(crs).to_authority()
    return ":".join(authority) if authority else known_crs(crs).name


def _name(path: Path, frames: Sequence[Any]) -> str:
    """Name of a single feature that has one, else of the file."""
    if len(frames) == 1 and len(frames[0]) == 1:
        for column in frames[0].columns:
            value = frames[0][column].iloc[0]
            if str(column).lower() == "name" and isinstance(value, str) and value.strip():
                return value.strip()
    return path.stem


def in_degrees(outlines: Outlines) -> list[Any]:
    """Bring polygons to longitude and latitude; edges of a projection are followed.

    Returns
    -------
    list of shapely.Polygon
        Two-dimensional, perhaps broken.

    Raises
    ------
    SourceError
        Points or lines, no polygon at all, latitudes beyond the poles, a pole inside, or no way from the CRS.
    """
    polygons = _polygons(outlines)
    crs = known_crs(outlines.crs)
    if not crs.equals(CRS("EPSG:4326"), ignore_axis_order=True):
        polygons = _transformed(polygons, crs, outlines.where)
    points = shapely.get_coordinates(polygons)
    if not np.isfinite(points).all():
        raise SourceError(f"{outlines.where}: not finite in EPSG:4326; check its CRS ({_short(crs)})")
    south, north = points[:, 1].min(), points[:, 1].max()
    if south < -90 or north > 90:
        raise SourceError(
            f"{outlines.where}: latitudes from {south:g} to {north:g}, beyond ±90; is it in another CRS (say "
            "it with crs), or are longitude and latitude swapped?"
        )
    return list(polygons)


def _polygons(outlines: Outlines) -> Any:
    """Polygons of all geometries; anything else is refused."""
    parts = shapely.get_parts(shapely.get_parts(shapely.force_2d(list(outlines.geometries))))
    parts = [part for part in parts if not part.is_empty]
    others = sorted({part.geom_type for part in parts if part.geom_type != "Polygon"})
    if others:
        raise SourceError(
            f"{outlines.where}: holds {' and '.join(others)}, which have no area; give polygons alone"
        )
    if not parts:
        raise SourceError(f"{outlines.where}: holds no polygon; {_KINDS}")
    return np.array(parts, dtype=object)


def densified(geometry: Any) -> Any:
    """Add vertices along the edges, so that they bend as they should in another CRS."""
    west, south, east, north = geometry.bounds
    longest = max(east - west, north - south) / _STEPS
    return shapely.segmentize(geometry, longest) if longest > 0 else geometry


def projected(outline: Any, crs: CRS) -> Any:
    """Bring an outline from longitude and latitude to another CRS.

    Raises
    ------
    SourceError
        The CRS does not reach there.
    """
    try:
        transformer = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        place = shapely.transform(outline, transformer.transform, interleaved=False)
    except ProjError as error:
        raise SourceError(f"no way from EPSG:4326 to {_short(crs)} ({error}); choose another crs") from error
    if not np.isfinite(place.bounds).all():
        raise SourceError(
            f"{_short(crs)} does not reach the whole area; leave crs out, or choose one made for the place"
        )
    return place


def _transformed(polygons: Any, crs: CRS, where: str) -> Any:
    try:
        transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        if crs.is_projected:
            _refuse_pole(polygons, transformer, where)
            polygons = np.array([densified(polygon) for polygon in polygons], dtype=object)
        return shapely.transform(polygons, transformer.transform, interleaved=False)
    except ProjError as error:
        raise SourceError(
            f"{where}: no way from {_short(crs)} to EPSG:4326 ({error}); check its CRS"
        ) from error


def _refuse_pole(polygons: Any, transformer: Transformer, where: str) -> None:
    for latitude, name in ((90, "North"), (-90, "South")):
        pole = transformer.transform(0, latitude, direction="INVERSE")
        if np.isfinite(pole).all() and shapely.intersects(polygons, shapely.Point(pole)).any():
            raise SourceError(f"{where}: the {name} Pole lies inside; draw an outline that leaves it out")


def mended(polygons: Sequence[tuple[Any, bool]], where: str) -> tuple[list[Any], list[str]]:
    """Make polygons valid, and tell what that changed.

    Parameters
    ----------
    polygons : sequence of (shapely.Polygon, bool)
        Longitude and latitude, and whether jumps across the antimeridian were taken out.
    where : str
        What messages call them.

    Returns
    -------
    list of shapely.Polygon, list of str
        Valid polygons, and notes.
    """
    shapes = [polygon for polygon, _ in polygons]
    notes = []
    if any(crosses for _, crosses in polygons):
        notes.append(f"{where}: spans more than 180° of longitude: taken as crossing the antimeridian")
    found = mend(shapes)
    if found.repaired or found.skipped:
        broken = [shape for shape in shapes if not shape.is_valid]
        before, after = (sum(_square_kilometres(one) for one in some) for some in (shapes, found.polygons))
        reason = shapely.is_valid_reason(broken[0])
        notes.append(
            f"{where}: {len(broken)} of {len(shapes)} outlines mended ({reason}); "
            f"area {before:.4g} km² before, {after:.4g} km² after"
        )
    return list(found.polygons), notes


def _square_kilometres(polygon: Any) -> float:
    return abs(Geod(ellps="WGS84").geometry_area_perimeter(polygon)[0]) / 1e6
