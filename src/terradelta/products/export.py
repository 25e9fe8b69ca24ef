"""Products in other formats: what a colleague's program reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from terradelta.errors import InputError
from terradelta.products.files import publish, staging, storing
from terradelta.products.formats import FORMATS, Job
from terradelta.products.summary import read_summary
from terradelta.types import PathType

__all__ = ["FORMATS", "export"]

_SUFFIXES = {
    ".tif": "geotiff", ".tiff": "geotiff", ".nc": "netcdf", ".zarr": "zarr", ".png": "png",
    ".geojson": "geojson", ".json": "geojson", ".gpkg": "gpkg", ".parquet": "parquet", ".shp": "shapefile",
    ".csv": "csv",
}  # fmt: skip


def export(
    folder: PathType,
    target: PathType,
    *,
    format: str | None = None,
    layers: Sequence[str] | None = None,
    bbox: tuple[float, float, float, float] | None = None,
    bbox_crs: str = "EPSG:4326",
) -> Path:
    """Write products of an output folder in another format.

    Parameters
    ----------
    folder : path-like
        What ``write`` has written, or one of its orbits.
    target : path-like
        A file, or for ``"geotiff"``, ``"png"`` and ``"shapefile"`` also a folder. Replaced when there.
    format : str, optional
        One of ``FORMATS``; without it the suffix of ``target`` tells.
    layers : sequence of str, optional
        Raster layers; all without it. Polygons have no layers.
    bbox : tuple of float, optional
        West, south, east, north: only this part. Rasters are cut along whole pixels, polygons that
        touch it are kept whole.
    bbox_crs : str
        CRS of ``bbox``: degrees unless told otherwise.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    InputError
        An unknown format or layer, no polygons, a box beside the map, or no output folder.
    StorageError
        The target cannot be written.
    """
    target = Path(target)
    name = _format(target, format)
    job = _job(Path(folder), layers, bbox, bbox_crs)
    with staging(target.parent) as stage, storing(target):
        made = FORMATS[name](job, stage / target.name)
        for path in made if isinstance(made, list) else [made]:
            publish(path, target.parent / path.relative_to(stage))
    return target


def _format(target: Path, given: str | None) -> str:
    name = given or _SUFFIXES.get(target.suffix.lower())
    if name not in FORMATS:
        what = f"format {given!r}" if given else f"suffix {target.suffix!r} of {target.name}"
        raise InputError(f"unknown {what}; formats are {', '.join(FORMATS)}")
    return str(name)


def _job(folder: Path, layers: Sequence[str] | None, bbox: Any, bbox_crs: str) -> Job:
    summary = read_summary(folder)
    chosen = tuple(layers) if layers else tuple(summary.layers)
    for layer in chosen:
        if layer not in summary.layers:
            raise InputError(f"{folder} has no layer {layer!r}; it has {', '.join(summary.layers)}")
    grid = summary.grid
    geobox = GeoBox((grid.height, grid.width), Affine(*grid.transform), grid.wkt)
    if bbox is None:
        return Job(folder, summary, chosen, Window(0, 0, grid.width, grid.height), geobox, None)
    if len(bbox) != 4 or not (bbox[0] < bbox[2] and bbox[1] < bbox[3]):
        raise InputError(f"bbox is {tuple(bbox)}; give west, south, east, north, each pair in rising order")
    try:
        box = transform_bounds(bbox_crs, CRS.from_wkt(grid.wkt), *bbox)
    except (CRSError, ValueError) as error:
        raise InputError(f"bbox_crs {bbox_crs!r} is no CRS; give e.g. 'EPSG:4326'") from error
    window = _window(geobox, box)
    if window is None:
        raise InputError(f"bbox {tuple(bbox)} ({bbox_crs}) lies beside the map, which is {_place(geobox)}")
    rows, columns = window.toslices()
    return Job(folder, summary, chosen, window, geobox[rows, columns], box)


def _window(geobox: GeoBox, box: tuple[float, float, float, float]) -> Window | None:
    corners = [~geobox.affine * (x, y) for x in (box[0], box[2]) for y in (box[1], box[3])]
    columns, rows = zip(*corners, strict=True)
    left, right = _span(columns, geobox.shape.x)
    top, bottom = _span(rows, geobox.shape.y)
    return Window(left, top, right - left, bottom - top) if left < right and top < bottom else None


def _span(places: Sequence[float], size: int) -> tuple[int, int]:
    """Whole pixels that cover the places, inside the raster."""
    return max(0, int(np.floor(min(places) + 1e-6))), min(size, int(np.ceil(max(places) - 1e-6)))


def _place(geobox: GeoBox) -> str:
    west, south, east, north = geobox.extent.to_crs("EPSG:4326").boundingbox
    return f"west {west:.5f}, south {south:.5f}, east {east:.5f}, north {north:.5f}"
