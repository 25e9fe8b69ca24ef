"""Rasters as cloud-optimised GeoTIFFs, written block by block from dask or NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.base
import numpy as np
import odc.geo.xr  # noqa: F401  (registers the .odc accessor)
import rasterio
import rasterio.shutil
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from terradelta.errors import InputError, StorageError
from terradelta.products.area import wkt_of
from terradelta.products.files import require_room, storing
from terradelta.products.layers import LAYERS, Layer, encode, valid
from terradelta.products.moments import Moments
from terradelta.products.summary import LayerSummary, Tally

__all__ = ["TILE", "grid_of", "to_cog", "write_rasters"]

TILE = 512
_STEP = 1024


def grid_of(dataset: xr.Dataset) -> GeoBox:
    """Find the grid of a dataset.

    Parameters
    ----------
    dataset : xarray.Dataset
        With a CRS (``spatial_ref``) and regular coordinates.

    Returns
    -------
    GeoBox
        Its grid.

    Raises
    ------
    InputError
        There is none.
    """
    geobox = dataset.odc.geobox
    if not isinstance(geobox, GeoBox) or geobox.crs is None:
        raise InputError(
            "the result has no georeference; give it regular coordinates and dataset.odc.assign_crs(...)"
        )
    return geobox


@dataclass
class _Job:
    """One layer on its way from the dataset to its file."""

    layer: Layer
    source: xr.DataArray
    bands: list[str]
    unit: str
    description: str
    raw: Path
    moments: list[Moments] = field(default_factory=list)

    def summary(self) -> LayerSummary:
        return LayerSummary(
            file=f"{self.layer.name}.tif",
            dtype=self.layer.dtype,
            nodata=f"{self.layer.nodata:g}",
            unit=self.unit,
            description=self.description,
            bands=[moment.summary(name) for moment, name in zip(self.moments, self.bands, strict=True)],
        )


def write_rasters(
    dataset: xr.Dataset, folder: Path, tags: Mapping[str, str], tally: Tally
) -> dict[str, LayerSummary]:
    """Write every layer of a dataset as a COG.

    All layers of a block are computed together and once, so blocks that share work (a dask graph that
    gives score and change at once) share it here too. Memory: the blocks of one window, that is the
    dask chunks or 1024² pixels, whichever is larger.

    Parameters
    ----------
    dataset : xarray.Dataset
        Variables named as in ``LAYERS``, (y, x) or (band, y, x), NumPy or dask.
    folder : Path
        Existing folder for the files.
    tags : mapping of str
        Metadata items of every file.
    tally : Tally
        Is given every block.

    Returns
    -------
    dict of LayerSummary
        By layer, in the order of the table.

    Raises
    ------
    InputError
        An unknown variable, a wrong value or shape, or no georeference.
    StorageError
        The files cannot be written.
    """
    geobox = grid_of(dataset)
    jobs = _jobs(dataset, folder)
    pixels = geobox.shape.y * geobox.shape.x
    sizes = [len(job.bands) * np.dtype(job.layer.dtype).itemsize * pixels for job in jobs]
    require_room(folder, int(1.1 * (sum(sizes) + max(sizes))))
    _fill(jobs, geobox, tags, tally)
    for job in jobs:
        with storing(folder):
            _check_size(job, geobox)
            _figures(job)
            to_cog(job.raw, folder / f"{job.layer.name}.tif", job.layer)
            job.raw.unlink()
    return {job.layer.name: job.summary() for job in jobs}


def _jobs(dataset: xr.Dataset, folder: Path) -> list[_Job]:
    unknown = sorted(str(name) for name in dataset.data_vars if name not in LAYERS)
    if unknown:
        raise InputError(f"unknown layer {unknown[0]!r}; known are {', '.join(LAYERS)}")
    jobs = [_job(LAYERS[name], dataset[name], folder) for name in LAYERS if name in dataset.data_vars]
    if not jobs:
        raise InputError(f"the result has no layer; give at least one of {', '.join(LAYERS)}")
    return jobs


def _job(layer: Layer, source: xr.DataArray, folder: Path) -> _Job:
    spatial = source.odc.spatial_dims
    others = [str(dim) for dim in source.dims if dim not in (spatial or ())]
    if spatial is None or len(others) > 1 or (others and layer.kind != "measure"):
        wanted = "(y, x) or (band, y, x)" if layer.kind == "measure" else "(y, x)"
        raise InputError(f"layer {layer.name!r} has dimensions {source.dims}; expected {wanted}")
    if others:
        bands = [str(label) for label in source[others[0]].values]
    else:
        source, bands = source.expand_dims("band"), [layer.name]
    source = source.transpose(*(others or ["band"]), *spatial)
    unit = str(source.attrs.get("units", source.attrs.get("unit", layer.unit)))
    description = str(source.attrs.get("long_name", layer.description))
    return _Job(
        layer, source, bands, unit, description, folder / f"{layer.name}.raw.tif", [Moments() for _ in bands]
    )


def _fill(jobs: Sequence[_Job], geobox: GeoBox, tags: Mapping[str, str], tally: Tally) -> None:
    files = []
    try:
        with storing(jobs[0].raw.parent):
            files = [_create(job, geobox, tags) for job in jobs]
        for rows, columns in _windows([job.source for job in jobs]):
            lazy = [job.source[:, rows, columns].data for job in jobs]
            arrays = dask.base.compute(*lazy)  # type: ignore[no-untyped-call]
            blocks = [encode(job.layer, array) for job, array in zip(jobs, arrays, strict=True)]
            tally.add(rows.start, {job.layer.name: block for job, block in zip(jobs, blocks, strict=True)})
            window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
            for job, block, file in zip(jobs, blocks, files, strict=True):
                for moment, band in zip(job.moments, block, strict=True):
                    moment.add(band[valid(job.layer, band)])
                with storing(job.raw.parent):
                    file.write(block, window=window)
    finally:
        for file in files:
            with storing(jobs[0].raw.parent):
                file.close()


def _windows(sources: Sequence[xr.DataArray]) -> Iterator[tuple[slice, slice]]:
    """Cover the raster along dask's chunks, small chunks together, each pixel once."""
    chunked = next((source for source in sources if source.chunks), sources[0])
    chunks = chunked.chunks[-2:] if chunked.chunks else tuple((size,) for size in chunked.shape[-2:])
    lazy = bool(chunked.chunks)
    for rows in _spans(chunks[0], lazy):
        for columns in _spans(chunks[1], lazy):
            yield rows, columns


def _spans(chunks: Sequence[int], lazy: bool) -> list[slice]:
    total = sum(chunks)
    ends = np.cumsum(chunks).tolist() if lazy else [*range(_STEP, total, _STEP), total]
    spans, start = [], 0
    for index, end in enumerate(ends):
        following = ends[index + 1] if index + 1 < len(ends) else None
        if following is None or following - start > _STEP:
            spans.append(slice(start, end))
            start = end
    return spans


def _create(job: _Job, geobox: GeoBox, tags: Mapping[str, str]) -> Any:
    layer = job.layer
    file = rasterio.open(
        job.raw, "w", driver="GTiff", dtype=layer.dtype, nodata=layer.nodata, count=len(job.bands),
        height=geobox.shape.y, width=geobox.shape.x, crs=wkt_of(geobox), transform=geobox.affine,
        tiled=True, blockxsize=TILE, blockysize=TILE, interleave="band", bigtiff="IF_SAFER",
    )  # fmt: skip
    file.update_tags(**tags, TERRADELTA_LAYER=layer.name)
    file.units = tuple(job.unit for _ in job.bands)
    several = len(job.bands) > 1
    for index, name in enumerate(job.bands, 1):
        file.set_band_description(index, f"{name}: {job.description}" if several else job.description)
    if layer.classes:
        file.write_colormap(1, _palette(layer))
    return file


def _palette(layer: Layer) -> dict[int, tuple[int, int, int, int]]:
    palette = {int(layer.nodata): (0, 0, 0, 0)}
    for entry in layer.classes:
        red, green, blue = bytes.fromhex(entry.colour[1:])
        palette[entry.value] = (red, green, blue, 255)
    return palette


def _check_size(job: _Job, geobox: GeoBox) -> None:
    """GDAL may keep silent when the last tiles do not fit on the disk."""
    tiles = -(-geobox.shape.y // TILE) * -(-geobox.shape.x // TILE)
    needed = tiles * TILE**2 * np.dtype(job.layer.dtype).itemsize * len(job.bands)
    if job.raw.stat().st_size < needed:
        raise StorageError(f"no room left in {job.raw.parent} for layer {job.layer.name!r}; free some room")


def _figures(job: _Job) -> None:
    """Store the figures the way GDAL does, so that viewers need not compute them again."""
    total = job.source.shape[-2] * job.source.shape[-1]
    with rasterio.open(job.raw, "r+") as file:
        for index, band in enumerate(job.summary().bands, 1):
            if band.valid_pixels:
                file.update_tags(
                    index,
                    STATISTICS_MINIMUM=repr(band.minimum), STATISTICS_MAXIMUM=repr(band.maximum),
                    STATISTICS_MEAN=repr(band.mean), STATISTICS_STDDEV=repr(band.deviation),
                    STATISTICS_VALID_PERCENT=f"{100 * band.valid_pixels / total:.4g}",
                )  # fmt: skip


def to_cog(source: Path, target: Path, layer: Layer) -> None:
    """Turn a GeoTIFF into a COG with overviews that suit the layer.

    Parameters
    ----------
    source : Path
        Any raster that GDAL reads.
    target : Path
        The COG.
    layer : Layer
        Decides resampling and predictor.
    """
    rasterio.shutil.copy(
        source, target, driver="COG", compress="ZSTD", predictor="NO" if layer.classes else "YES",
        blocksize=TILE, overview_resampling=layer.resampling, num_threads="ALL_CPUS", bigtiff="IF_SAFER",
    )  # fmt: skip
    with rasterio.open(target) as check:
        if check.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") != "COG":
            raise StorageError(f"{target} is not whole; free some room and write again")
