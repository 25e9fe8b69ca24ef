"""Writers of other formats, one function each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import geopandas as gpd
import numpy as np
import rasterio
import shapely
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from terradelta.errors import InputError
from terradelta.products.files import require_room
from terradelta.products.layers import LAYERS
from terradelta.products.maps import draw_map
from terradelta.products.preview import load_preview
from terradelta.products.summary import Summary

__all__ = ["FORMATS", "Job"]

_CHUNK = 2048


@dataclass(frozen=True)
class Job:
    """What to export and which part of it.

    Attributes
    ----------
    folder : Path
        Output folder to read from.
    summary : Summary
        Its figures.
    layers : tuple of str
        Raster layers to write.
    window : Window
        Part of the rasters.
    geobox : GeoBox
        Grid of that part.
    bbox : tuple of float or None
        Left, bottom, right, top in the CRS of the rasters, for polygons.
    """

    folder: Path
    summary: Summary
    layers: tuple[str, ...]
    window: Window
    geobox: GeoBox
    bbox: tuple[float, float, float, float] | None

    def path(self, layer: str) -> Path:
        """Give the file of a layer."""
        return self.folder / self.summary.layers[layer].file


def _single(job: Job, target: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether the target is one file; several layers need a folder."""
    if target.suffix.lower() not in suffixes:
        target.mkdir()
        return False
    if len(job.layers) != 1:
        many = ", ".join(job.layers)
        raise InputError(f"{target.name} takes one layer, not {many}; choose one or give a folder")
    return True


def _geotiff(job: Job, target: Path) -> Path:
    single = _single(job, target, (".tif", ".tiff"))
    for layer in job.layers:
        _clip(job, layer, target if single else target / f"{layer}.tif")
    return target


def _clip(job: Job, layer: str, target: Path) -> None:
    """Copy a part of a raster by blocks into a plain GeoTIFF, with its tags and colours."""
    with rasterio.open(job.path(layer)) as source:
        floats = source.dtypes[0].startswith("float")
        pixels = int(job.window.height) * int(job.window.width) * source.count
        require_room(target.parent, pixels * np.dtype(source.dtypes[0]).itemsize)
        profile = {
            "driver": "GTiff", "dtype": source.dtypes[0], "nodata": source.nodata, "count": source.count,
            "height": job.window.height, "width": job.window.width, "crs": source.crs, "tiled": True,
            "transform": job.geobox.affine, "blockxsize": 256, "blockysize": 256, "compress": "DEFLATE",
            "predictor": 3 if floats else 2, "bigtiff": "IF_SAFER",
        }  # fmt: skip
        with rasterio.open(target, "w", **profile) as file:
            file.update_tags(**{k: v for k, v in source.tags().items() if k != "AREA_OR_POINT"})
            file.units, file.descriptions = source.units, source.descriptions
            if source.colorinterp[0] == ColorInterp.palette:
                file.write_colormap(1, source.colormap(1))
            step = _CHUNK
            for row in range(0, int(job.window.height), step):
                for column in range(0, int(job.window.width), step):
                    size = (min(step, job.window.width - column), min(step, job.window.height - row))
                    part = Window(job.window.col_off + column, job.window.row_off + row, *size)
                    file.write(source.read(window=part), window=Window(column, row, *size))


class _Lazy:
    """A raster file as an array that is read where it is indexed."""

    def __init__(self, path: Path, window: Window) -> None:
        self._path, self._window = path, window
        with rasterio.open(path) as file:
            self.dtype = np.dtype(file.dtypes[0])
            self.shape = (file.count, int(window.height), int(window.width))
        self.ndim = 3

    def __getitem__(self, index: tuple[slice | int, slice, slice]) -> NDArray[Any]:
        rows, columns = (part.indices(size) for part, size in zip(index[1:], self.shape[1:], strict=True))
        part = Window(
            self._window.col_off + columns[0], self._window.row_off + rows[0],
            columns[1] - columns[0], rows[1] - rows[0],
        )  # fmt: skip
        with rasterio.open(self._path) as file:
            return np.asarray(file.read(window=part)[index[0]])


def _dataset(job: Job) -> xr.Dataset:
    """Give the chosen layers as a lazy dataset with CF attributes."""
    dataset = xr.Dataset(attrs={"Conventions": "CF-1.10", "title": job.summary.title or "terradelta",
                                "source": f"terradelta {job.summary.tool_version}"})  # fmt: skip
    for name in job.layers:
        layer, info = LAYERS[name], job.summary.layers[name]
        lazy = da.from_array(_Lazy(job.path(name), job.window), chunks=(1, _CHUNK, _CHUNK), asarray=False)  # type: ignore[no-untyped-call]
        several = len(info.bands) > 1
        array = wrap_xr(lazy if several else lazy[0], job.geobox, axis=1 if several else 0)
        if several:
            names = [band.name for band in info.bands]
            array = array.rename({array.dims[0]: "band"}).assign_coords(band=np.array(names, dtype=object))
        array.attrs = {"long_name": info.description, "units": info.unit, "grid_mapping": "spatial_ref"}
        array.encoding = {"_FillValue": np.array(layer.nodata, layer.dtype).item()}
        dataset[name] = array
    return dataset.assign_coords(spatial_ref=dataset[job.layers[0]].spatial_ref)


def _netcdf(job: Job, target: Path) -> Path:
    dataset = _dataset(job)
    require_room(target.parent, dataset.nbytes)  # on a full disk HDF5 would crash the whole process
    for array in dataset.data_vars.values():
        array.encoding |= {"zlib": True, "complevel": 4}
    dataset.to_netcdf(target, engine="h5netcdf")
    return target


def _zarr(job: Job, target: Path) -> Path:
    _dataset(job).to_zarr(target, mode="w", zarr_format=3, consolidated=False)
    return target


def _png(job: Job, target: Path) -> Path:
    single = _single(job, target, (".png",))
    scratch = target.parent / "clip"
    scratch.mkdir()
    for layer in job.layers:
        _clip(job, layer, scratch / f"{layer}.tif")
        for preview in load_preview(scratch / f"{layer}.tif", job.geobox):
            name = f"{layer}-{preview.label}.png" if preview.label else f"{layer}.png"
            (target if single else target / name).write_bytes(draw_map(preview, title=job.summary.title))
    shutil.rmtree(scratch)
    return target


def _polygons(job: Job) -> gpd.GeoDataFrame:
    path = job.folder / "polygons.parquet"
    if not path.is_file():
        raise InputError(f"{job.folder} has no polygons; they need a 'change' layer")
    polygons = gpd.read_parquet(path)
    return polygons if job.bbox is None else polygons[polygons.intersects(shapely.box(*job.bbox))]


def _vector(driver: str, **options: Any) -> Callable[[Job, Path], Path]:
    def write(job: Job, target: Path) -> Path:
        polygons = _polygons(job)
        if driver == "GeoJSON":
            polygons = polygons.to_crs("EPSG:4326")
        polygons.to_file(target, driver=driver, geometry_type="MultiPolygon", use_arrow=True, **options)
        _require_whole(target, len(polygons))
        return target

    return write


def _require_whole(target: Path, number: int) -> None:
    """Refuse a file that ends early: on a full disk some drivers say nothing."""
    there = gpd.read_file(target)
    if len(there) != number or there.geometry.isna().any():
        raise OSError(f"{target.name} is not whole")


def _shapefile(job: Job, target: Path) -> list[Path]:
    """Write ``.shp`` with its companions; a target without that suffix is a folder for them."""
    polygons = _polygons(job)
    if target.suffix.lower() != ".shp":
        target.mkdir()
        polygons.to_file(target / "polygons.shp", driver="ESRI Shapefile", encoding="UTF-8")
        _require_whole(target / "polygons.shp", len(polygons))
        return [target]
    polygons.to_file(target, driver="ESRI Shapefile", encoding="UTF-8")
    _require_whole(target, len(polygons))
    return sorted(target.parent.glob(f"{target.stem}.*"))


def _parquet(job: Job, target: Path) -> Path:
    _polygons(job).to_parquet(target, compression="zstd", write_covering_bbox=True)
    return target


def _csv(job: Job, target: Path) -> Path:
    """Write the attributes, a point inside each polygon in degrees, and its outline as WKT."""
    polygons = _polygons(job)
    degrees = polygons.geometry.to_crs("EPSG:4326")
    points = degrees.representative_point()
    table = polygons.drop(columns="geometry")
    table["longitude"], table["latitude"] = points.x.round(7), points.y.round(7)
    table["wkt"] = degrees.to_wkt(rounding_precision=7)
    table.to_csv(target, index=False)
    return target


FORMATS: dict[str, Callable[[Job, Path], Path | list[Path]]] = {
    "geotiff": _geotiff,
    "netcdf": _netcdf,
    "zarr": _zarr,
    "png": _png,
    "geojson": _vector("GeoJSON", RFC7946="YES"),
    "gpkg": _vector("GPKG", layer="change"),
    "parquet": _parquet,
    "shapefile": _shapefile,
    "csv": _csv,
}
"""Writers by name of format: rasters first, then polygons."""
