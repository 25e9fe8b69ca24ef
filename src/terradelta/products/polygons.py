"""Areas of change as polygons, in a GeoPackage and a GeoParquet file."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import shapes

from terradelta.products.area import wkt_of
from terradelta.products.components import PIXELS, Components, find_components
from terradelta.products.files import storing

__all__ = ["COLUMNS", "change_polygons", "write_polygons"]

COLUMNS: dict[str, tuple[Any, str]] = {
    "id": (pd.ArrowDtype(pa.int64()), "number of the polygon, by its first pixel"),
    "area_m2": (pd.ArrowDtype(pa.float64()), "area on the ground, m²"),
    "pixels": (pd.ArrowDtype(pa.int64()), "number of pixels"),
    "first_date": (pd.ArrowDtype(pa.date32()), "earliest date of change in it"),
    "last_date": (pd.ArrowDtype(pa.date32()), "latest date of change in it"),
    "mean_score": (pd.ArrowDtype(pa.float64()), "mean strength of change"),
    "max_score": (pd.ArrowDtype(pa.float64()), "largest strength of change"),
    "orbit": (pd.ArrowDtype(pa.string()), "orbit of the result, or combined"),
}
"""Attributes of a polygon: type and meaning."""


def change_polygons(
    folder: Path, geobox: GeoBox, scratch: Path, *, orbit: str = "", minimum_area_m2: float = 0.0
) -> gpd.GeoDataFrame:
    """Outline the 8-connected areas of change of the rasters in a folder.

    Figures are added up strip by strip; outlines are followed by GDAL line by line in a raster on
    disk. Memory therefore grows with the outlines, not with the raster.

    Parameters
    ----------
    folder : Path
        Holds ``change.tif`` and, where there are any, ``date.tif`` and ``score.tif``; ``first.tif``
        and ``last.tif`` give the range of dates where they exist.
    geobox : GeoBox
        Grid of the rasters.
    scratch : Path
        Existing folder for a temporary raster.
    orbit : str
        Value of the column ``orbit``.
    minimum_area_m2 : float
        Smaller areas are left out, m².

    Returns
    -------
    geopandas.GeoDataFrame
        Columns as in ``COLUMNS`` and MultiPolygons in the raster's CRS; no row when nothing changed.
    """
    mask = scratch / "changed.raw.tif"
    try:
        found = find_components(folder, geobox, mask)
        keep = np.flatnonzero(found.area >= minimum_area_m2)
        outlines = _outlines(mask, found, keep, geobox)
    finally:
        mask.unlink(missing_ok=True)
    table = _attributes(found, keep, orbit)
    return gpd.GeoDataFrame(table, geometry=list(outlines), crs=wkt_of(geobox))


def _outlines(mask: Path, found: Components, keep: NDArray[Any], geobox: GeoBox) -> NDArray[Any]:
    outlines = np.full(keep.size, None, dtype=object)
    if not keep.size:
        return outlines
    with rasterio.open(mask) as file:
        band = rasterio.band(file, 1)
        rings = [shapely.geometry.shape(found) for found, _ in shapes(band, mask=band, connectivity=8)]
    polygons = shapely.transform(np.array(rings, dtype=object), lambda points: points / (PIXELS.a, PIXELS.e))
    place = np.searchsorted(found.first[keep], _first_pixels(polygons, geobox.shape.x))
    place = np.minimum(place, keep.size - 1)
    right = found.first[keep][place] == _first_pixels(polygons, geobox.shape.x)
    outlines[place[right]] = polygons[right]
    return _on_the_ground(outlines, geobox)


def _first_pixels(polygons: NDArray[Any], width: int) -> NDArray[np.int64]:
    """First pixel of each outline in reading order: its top edge's left end is a vertex of it."""
    points, index = shapely.get_coordinates(shapely.get_exterior_ring(polygons), return_index=True)
    order = (points[:, 1] * (width + 1) + points[:, 0]).astype("int64")
    starts = np.flatnonzero(np.diff(index, prepend=-1))
    smallest = np.minimum.reduceat(order, starts)
    return np.asarray(smallest // (width + 1) * width + smallest % (width + 1))


def _on_the_ground(outlines: NDArray[Any], geobox: GeoBox) -> NDArray[Any]:
    a, b, c, d, e, f = geobox.affine[:6]

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(points @ np.array([[a, d], [b, e]]) + np.array([c, f]))

    # areas that touch at a corner give an outline that touches itself: valid only as several parts
    whole = shapely.make_valid(shapely.transform(outlines, place), method="structure", keep_collapsed=False)
    several = shapely.get_type_id(whole) == shapely.GeometryType.MULTIPOLYGON
    parts = zip(whole, several, strict=True)
    return np.array([shape if many else shapely.MultiPolygon([shape]) for shape, many in parts], dtype=object)


def _attributes(found: Components, keep: NDArray[Any], orbit: str) -> pd.DataFrame:
    scored = found.score_count[keep] > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = found.score_sum[keep] / found.score_count[keep]
    values = {
        "id": list(range(1, keep.size + 1)),
        "area_m2": found.area[keep].tolist(),
        "pixels": found.pixels[keep].tolist(),
        "first_date": _dates(found.first_date[keep]),
        "last_date": _dates(found.last_date[keep]),
        "mean_score": _known(mean, scored),
        "max_score": _known(found.score_max[keep], scored),
        "orbit": [orbit] * keep.size,
    }
    return pd.DataFrame({name: pd.array(values[name], dtype=kind) for name, (kind, _) in COLUMNS.items()})


def _known(values: NDArray[np.float64], known: NDArray[np.bool_]) -> list[float | None]:
    return [value if there else None for value, there in zip(values.tolist(), known, strict=True)]


def _dates(days: NDArray[np.int64]) -> list[date | None]:
    return [date(1970, 1, 1) + timedelta(days=day) if day >= 0 else None for day in days.tolist()]


def write_polygons(polygons: gpd.GeoDataFrame, folder: Path) -> list[str]:
    """Write polygons as ``polygons.gpkg`` (layer ``change``) and ``polygons.parquet``.

    Parameters
    ----------
    polygons : geopandas.GeoDataFrame
        From ``change_polygons``.
    folder : Path
        Existing folder.

    Returns
    -------
    list of str
        Names of the files.

    Raises
    ------
    StorageError
        They cannot be written.
    """
    with storing(folder):
        polygons.to_file(
            folder / "polygons.gpkg",
            layer="change",
            driver="GPKG",
            use_arrow=True,
            geometry_type="MultiPolygon",
        )
        polygons.to_parquet(folder / "polygons.parquet", compression="zstd", write_covering_bbox=True)
    return ["polygons.gpkg", "polygons.parquet"]
