"""Elevation and land cover from files that the user has, tiles or one raster, as layers of a cube."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from terradelta.errors import SourceError
from terradelta.sources import geotiff, netcdf
from terradelta.sources.describe import describe
from terradelta.sources.grids import require_crs, shift_between, tidy_crs
from terradelta.sources.layers import Decoding, Layer
from terradelta.sources.reading import decode, read_categories, read_measurement, read_stored
from terradelta.sources.remote.offers import LayerOffer
from terradelta.sources.resampling import positions
from terradelta.sources.sidecar import FileSettings, load_sidecar
from terradelta.sources.weather.placing import extent_of, middle_of
from terradelta.types import PathType

__all__ = ["layer_from_file"]

_COMPANIONS = re.compile(r"_(EDM|FLM|HEM|WBM|ACM|InputQuality)$")
_VOIDS = (-32768.0, -32767.0, -9999.0)
_HEIGHTS = (-500.0, 9000.0)
_PLACES = 64
_METRES = ("", "m", "metre", "metres", "meter", "meters")


@dataclass(frozen=True)
class _Sheet:
    """Tiles of one lattice, laid side by side.

    Attributes
    ----------
    layer : Layer
        The whole, with its grid; its path is that of the first tile.
    tiles : tuple of Layer
        The pieces; where they overlap the first with data wins.
    places : tuple of (int, int)
        Row and column of each in the whole.
    """

    layer: Layer
    tiles: tuple[Layer, ...]
    places: tuple[tuple[int, int], ...]

    def read(self, _: Layer, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a window of the whole: heights as float32 with NaN, classes with 0 for no data."""
        classes = self.layer.categorical
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        result = np.full(shape, 0 if classes else np.nan, self.layer.raw.dtype if classes else np.float32)
        for tile, (row, column) in zip(self.tiles, self.places, strict=True):
            spans = [
                (max(span.start, first), min(span.stop, first + size))
                for span, first, size in zip((rows, columns), (row, column), tile.grid.shape, strict=True)
            ]
            (top, bottom), (left, right) = spans
            if top >= bottom or left >= right:
                continue
            stored = read_stored(tile, slice(top - row, bottom - row), slice(left - column, right - column))
            values = _classes(stored, tile) if classes else _heights(stored, tile)
            part = result[
                top - rows.start : bottom - rows.start, left - columns.start : right - columns.start
            ]
            np.copyto(part, values, where=(part == 0) if classes else np.isnan(part), casting="unsafe")
        return result


def layer_from_file(
    path: PathType, *, name: str, grid: GeoBox, categorical: bool | None = None
) -> LayerOffer:
    """Offer a raster, or the tiles in a folder, as a layer of a cube.

    Parameters
    ----------
    path : path
        GeoTIFF, VRT or NetCDF file, or a folder of tiles such as those of the Copernicus DEM or of ESA
        WorldCover, in any CRS and of any spacing; folders in it are looked into.
    name : str
        Name of the layer: ``dem`` (m), ``land_cover`` (the file's own classes), ...
    grid : GeoBox
        Grid of the cube.
    categorical : bool, optional
        Classes (nearest neighbour, integers, 0 = no data) or measurements (bilinear, float32, NaN = no
        data); by default by name and type.

    Returns
    -------
    LayerOffer
        Nothing is read yet but headers. Heights of 0, as over the sea, stay 0; where no tile lies is no
        data.

    Raises
    ------
    SourceError
        Nothing there, a file that cannot be read, heights in feet, several bands, or a place that the files
        do not cover.
    """
    path = Path(path)
    tiles = [_tile(file, name, categorical) for file in _files(path)]
    near = [_seen_from(tile, grid) for tile in tiles if _touches(tile.grid, grid)]
    if not near:
        raise SourceError(f"{path.name}: covers {_box(tiles)}, not the cube; take files of this place")
    kinds = {tile.categorical for tile in near}
    if len(kinds) > 1:
        raise SourceError(f"{path.name}: holds classes and measurements; say which with 'categorical'")
    sheets = _sheets(near)
    first = near[0].raw.path
    more = f"+{len(near) - 1}" if len(near) > 1 else ""
    return LayerOffer(
        key=f"file/{name}/{first.stem}{more}", source="file", product=first.stem, name=name,
        categorical=near[0].categorical, read=partial(_read_sheets, sheets), facts=_facts(near, grid),
    )  # fmt: skip


def _files(path: Path) -> list[Path]:
    """Give the file, or the tiles of a folder without what describes their quality."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path} does not exist; check the path of the layer")
    endings = (*geotiff.ENDINGS, *netcdf.ENDINGS)
    found = (file for file in path.rglob("*") if file.suffix.lower() in endings and file.is_file())
    files = sorted(file for file in found if not _COMPANIONS.search(file.stem))
    if not files:
        raise SourceError(f"{path} has no raster ({', '.join(endings)}); check the path of the layer")
    return files


def _tile(path: Path, name: str, categorical: bool | None) -> Layer:
    """Describe one file, which must hold one layer of that name."""
    settings = load_sidecar(None, path.parent).for_file(path.name)
    told: dict[str, Any] = {key: getattr(settings, key) for key in settings.model_fields_set}
    told |= {"sensor": "static", "layer": name}
    told |= {"categorical": categorical} if categorical is not None else {}
    reader = netcdf if path.suffix.lower() in netcdf.ENDINGS else geotiff
    layers = describe(reader.read_headers(path), FileSettings(**told))
    if len(layers) != 1:
        raise SourceError(f"{path.name}: holds {len(layers)} layers; give a file with one")
    layer = replace(layers[0], grid=_flat(layers[0].grid))
    if name == "dem":
        _check_metres(layer)
        if not layer.decoding.nodata:
            layer = replace(layer, decoding=replace(layer.decoding, nodata=_VOIDS))
    return layer


def _flat(grid: GeoBox) -> GeoBox:
    """Grid without the vertical part of its CRS."""
    crs = CRS(require_crs(grid).to_wkt())
    if not crs.is_compound:
        return grid
    return GeoBox(grid.shape, grid.affine, tidy_crs(crs.sub_crs_list[0].to_wkt()))


def _vertical(path: Path) -> tuple[str, str]:
    """Name of the vertical CRS, and unit of the heights, as far as a raster tells them."""
    if path.suffix.lower() in netcdf.ENDINGS:
        return "", ""
    with rasterio.open(path) as source:
        unit = (source.units[0] or "").strip().lower()
        crs = CRS(source.crs.to_wkt())
    if not crs.is_compound:
        return "", unit
    vertical = crs.sub_crs_list[1]
    return vertical.name, unit or vertical.axis_info[0].unit_name.lower()


def _check_metres(layer: Layer) -> None:
    _, unit = _vertical(layer.raw.path)
    unit = unit or layer.raw.tags.get("units", "").strip().lower()
    if unit not in _METRES:
        raise SourceError(f"{layer.name}: its heights are in {unit!r}; convert them to metres")


def _touches(tile: GeoBox, grid: GeoBox) -> bool:
    """Whether a tile and a grid overlap, seen on the Earth, the antimeridian included."""
    box, (west, south, east, north) = tile.geographic_extent.boundingbox, extent_of(grid)
    across = any(box.left + turn <= east and west <= box.right + turn for turn in (-360, 0, 360))
    return bool(across and box.bottom <= north and south <= box.top)


def _seen_from(tile: Layer, grid: GeoBox) -> Layer:
    """Move a tile by whole turns to the grid, so that those on both sides of the antimeridian touch."""
    if not require_crs(tile.grid).geographic:
        return tile
    affine = tile.grid.affine
    turns = round((middle_of(grid)[0] - affine.c - affine.a * tile.grid.shape[1] / 2) / 360)
    moved = GeoBox(tile.grid.shape, Affine.translation(360 * turns, 0) @ affine, tile.grid.crs)
    return replace(tile, grid=moved) if turns else tile


def _box(tiles: Iterable[Layer]) -> str:
    boxes = [tile.grid.geographic_extent.boundingbox for tile in tiles]
    west, south = min(box.left for box in boxes), min(box.bottom for box in boxes)
    east, north = max(box.right for box in boxes), max(box.top for box in boxes)
    return f"{west:.4f} to {east:.4f} degrees east and {south:.4f} to {north:.4f} north"


def _sheets(tiles: Sequence[Layer]) -> tuple[_Sheet, ...]:
    """Lay tiles of one lattice side by side, so that no seam is left between them."""
    groups: list[list[Layer]] = []
    for tile in tiles:
        group = next((one for one in groups if shift_between(one[0].grid, tile.grid) is not None), None)
        if group is None:
            groups.append([tile])
        else:
            group.append(tile)
    return tuple(_sheet(group) for group in groups)


def _sheet(tiles: Sequence[Layer]) -> _Sheet:
    base = tiles[0].grid
    shifts = [shift_between(base, tile.grid) or (0, 0) for tile in tiles]
    top, left = min(row for row, _ in shifts), min(column for _, column in shifts)
    places = tuple((row - top, column - left) for row, column in shifts)
    shape = tuple(
        max(place[axis] + tile.grid.shape[axis] for place, tile in zip(places, tiles, strict=True))
        for axis in (0, 1)
    )
    whole = GeoBox(shape, base.affine @ Affine.translation(left, top), base.crs)
    dtype = np.result_type(*(tile.raw.dtype for tile in tiles))
    if tiles[0].categorical and dtype.kind == "f":
        dtype = np.dtype(np.int32)
    raw = replace(tiles[0].raw, dtype=dtype, grid=whole)
    layer = replace(tiles[0], raw=raw, grid=whole, decoding=Decoding())
    return _Sheet(layer, tuple(tiles), places)


def _heights(stored: NDArray[Any], tile: Layer) -> NDArray[np.float32]:
    values = decode(stored, tile.decoding, tile.name)
    low, high = _HEIGHTS
    if tile.band == "dem" and ((values < low) | (values > high)).any():
        raise SourceError(
            f"{tile.name}: heights from {np.nanmin(values):.6g} to {np.nanmax(values):.6g} m cannot be; "
            "say 'nodata' or 'scale' in terradelta.yaml"
        )
    return values


def _classes(stored: NDArray[Any], tile: Layer) -> NDArray[Any]:
    """Classes as they are, 0 where a file's number means no data."""
    missing = np.isin(stored, tile.decoding.nodata) | ~np.isfinite(stored)
    values = np.where(missing, 0, stored)
    if stored.dtype.kind == "f" and (values != np.rint(values)).any():
        raise SourceError(f"{tile.name}: fractions are no classes; say 'categorical: false'")
    return values


def _read_sheets(sheets: Sequence[_Sheet], grid: GeoBox) -> NDArray[Any]:
    """Read all sheets onto a grid; where they overlap the first with data wins."""
    classes = sheets[0].layer.categorical
    dtype = np.result_type(*(sheet.layer.raw.dtype for sheet in sheets)) if classes else np.float32
    result = np.full(grid.shape, 0 if classes else np.nan, dtype)
    for sheet in sheets:
        holes = result == 0 if classes else np.isnan(result)
        if holes.any():
            read = partial(read_categories, missing=0) if classes else read_measurement
            result[holes] = read(sheet.layer, grid, read=sheet.read)[holes]
    return result


def _facts(tiles: Sequence[Layer], grid: GeoBox) -> dict[str, str]:
    """Say what the layer is made from."""
    names = [tile.name for tile in tiles]
    facts = {"files": ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")}
    vertical = _vertical(tiles[0].raw.path)[0] if tiles[0].band == "dem" else ""
    if not vertical and names[0].startswith("Copernicus_DSM"):
        vertical = "EGM2008 height"
    if vertical:
        facts["vertical"] = vertical
    share = _covered(tiles, grid)
    if share < 0.999:
        facts["covered"] = f"{share:.1%} of the cube"
    return facts


def _covered(tiles: Sequence[Layer], grid: GeoBox) -> float:
    """Share of a grid's places, evenly spread, that lie in a tile."""
    places = grid.zoom_to((_PLACES, _PLACES))
    seen = np.zeros(places.shape, bool)
    for tile in tiles:
        inside = (
            (axis > -0.5) & (axis < size - 0.5)
            for axis, size in zip(positions(tile.grid, places), tile.grid.shape, strict=True)
        )
        seen |= np.logical_and(*inside)
    return float(seen.mean())
