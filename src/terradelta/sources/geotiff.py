"""GeoTIFF, COG, JPEG 2000 and whatever else rasterio opens: headers and windows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.windows import Window

from terradelta.errors import SourceError
from terradelta.sources.grids import tidy_crs
from terradelta.sources.layers import RawLayer
from terradelta.sources.older import scene_tags
from terradelta.sources.times import parse_time

__all__ = ["ENDINGS", "read_headers", "read_window"]

ENDINGS = (".tif", ".tiff", ".jp2", ".img", ".vrt")
_SNAP_TAG = 65000


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a raster; every failure becomes one line with a cure."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as source:
                yield source
    except (RasterioIOError, RasterioError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise SourceError(
            f"{path.name}: cannot be read, truncated or damaged ({reason}); copy or download it again"
        ) from error


def read_headers(path: Path) -> list[RawLayer]:
    """Describe every band of a raster without reading pixels.

    Parameters
    ----------
    path : pathlib.Path
        File that rasterio reads.

    Returns
    -------
    list of RawLayer
        One per raster band, in order.

    Raises
    ------
    SourceError
        The file cannot be opened, is shorter than its header says, or is not georeferenced.
    """
    with _opened(path) as source:
        _check_length(path, source)
        if source.transform.is_identity:
            raise SourceError(f"{path.name}: is not georeferenced; write it with a geotransform and a CRS")
        grid = GeoBox(source.shape, source.transform, tidy_crs(source.crs.to_wkt() if source.crs else None))
        labels = _labels(path, source)
        common = scene_tags(path) | {key.lower(): value for key, value in source.tags().items()}
        return [_header(path, source, index, grid, labels, common) for index in source.indexes]


def _header(
    path: Path, source: Any, index: int, grid: GeoBox, labels: list[str], common: dict[str, str]
) -> RawLayer:
    own = {key.lower(): value for key, value in source.tags(index).items()}
    tags = common | own
    label = labels[index - 1]
    time = next(
        (parse_time(own[key]) for key in ("acquisition_datetime", "datetime", "time") if key in own), None
    )
    scale, offset = source.scales[index - 1], source.offsets[index - 1]
    nodata = source.nodatavals[index - 1]
    return RawLayer(
        path=path,
        reader="geotiff",
        key=index,
        grid=grid,
        dtype=np.dtype(source.dtypes[index - 1]),
        nodata=() if nodata is None else (float(nodata),),
        scale=scale,
        offset=offset,
        scaled=(scale, offset) != (1.0, 0.0),
        label=label,
        time=time or parse_time(label),
        tags=tags,
        count=source.count,
    )


def _labels(path: Path, source: Any) -> list[str]:
    """Descriptions of the bands; SNAP keeps its own in a private tag."""
    labels = [description or "" for description in source.descriptions]
    if any(labels) or source.count == 1 or source.driver not in ("GTiff", "COG"):
        return labels
    return _snap_labels(path, source.count) or labels


def _snap_labels(path: Path, count: int) -> list[str]:
    """Names of the bands from the XML that SNAP stores in its GeoTIFFs."""
    import re

    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            tag = file.pages.first.tags.get(_SNAP_TAG)
    except (OSError, ValueError, tifffile.TiffFileError):
        return []
    text = tag.value if tag is not None else ""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    names = re.findall(r"<BAND_NAME>([^<]+)</BAND_NAME>", text)
    return names if len(names) == count else []


def _check_length(path: Path, source: Any) -> None:
    """Find a truncated GeoTIFF by its last blocks, without reading pixels."""
    if source.driver not in ("GTiff", "COG"):
        return
    length = path.stat().st_size
    height, width = source.block_shapes[-1]
    rows, columns = -(-source.height // height), -(-source.width // width)
    for band in (1, source.count):
        for row, column in {(0, 0), (rows - 1, columns - 1)}:
            place = [
                source.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band)
                for what in ("OFFSET", "SIZE")
            ]
            if None not in place and sum(int(value) for value in place) > length:
                raise SourceError(
                    f"{path.name}: truncated: {length} bytes, but its header speaks of pixels at "
                    f"{sum(int(value) for value in place)}; copy or download it again"
                )


def read_window(layer: RawLayer, rows: slice, columns: slice) -> NDArray[Any]:
    """Read stored numbers (y, x) of a window that lies inside the raster.

    Raises
    ------
    SourceError
        The pixels cannot be read.
    """
    window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    with _opened(layer.path) as source:
        values: NDArray[Any] = source.read(layer.key, window=window)
        return values


def is_raster(path: Path) -> bool:
    """Tell from the ending whether rasterio is to read a file."""
    return path.suffix.lower() in ENDINGS and path.is_file()
