"""NetCDF time series and layers: headers and windows, by their CF attributes."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources.grids import tidy_crs
from terradelta.sources.layers import RawLayer

__all__ = ["ENDINGS", "axis_name", "find_crs", "open_raw", "read_headers", "read_window"]

ENDINGS = (".nc", ".nc4", ".cdf")
_AXES = {
    "time": ("time", "timestamp", "t", "date", "day", "valid_time"),
    "y": ("y", "lat", "latitude", "northing"),
    "x": ("x", "lon", "longitude", "easting"),
}
_CRS_TEXTS = ("crs_wkt", "spatial_ref", "proj4", "proj4_params", "proj4string")


def axis_name(dims: tuple[Hashable, ...], axis: str) -> str | None:
    """Name of the dimension that plays the part of "time", "y" or "x"; None where there is none.

    Examples
    --------
    >>> axis_name(("timestamp", "latitude", "longitude"), "y")
    'latitude'
    """
    return next((str(name) for name in dims if str(name).lower() in _AXES[axis]), None)


def open_raw(path: Path) -> xr.Dataset:
    """Open a NetCDF file with its stored numbers (no scaling, no masking), times decoded.

    Raises
    ------
    SourceError
        It cannot be opened, or its times cannot be understood.
    """
    try:
        stamp = path.stat()
        return _opened(path, stamp.st_mtime_ns, stamp.st_size)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SourceError:
    reason = " ".join(str(error).split())[:160]
    calendar = re.search(r"calendar '(\w+)'", str(error))
    if calendar:
        return SourceError(
            f"{path.name}: its calendar {calendar[1]!r} has other days than ours; convert it to 'standard'"
        )
    if path.is_file() and zipfile.is_zipfile(path):
        return SourceError(f"{path.name}: is a ZIP archive; unpack it and give the files in it")
    return SourceError(
        f"{path.name}: cannot be read, truncated, damaged or no NetCDF ({reason}); copy or download it again"
    )


@lru_cache(maxsize=4)
def _opened(path: Path, modified: int, size: int) -> xr.Dataset:
    """Keep the last few files open: a series is read image by image."""
    return xr.open_dataset(path, mask_and_scale=False, decode_timedelta=False)


def read_headers(path: Path) -> list[RawLayer]:
    """Describe every image (y, x) of a NetCDF file, one per variable and time.

    Parameters
    ----------
    path : pathlib.Path
        A NetCDF file with dimensions y, x and perhaps time.

    Returns
    -------
    list of RawLayer
        Empty where the file holds no raster.

    Raises
    ------
    SourceError
        The file cannot be opened or its grid is not regular.
    """
    dataset = open_raw(path)
    layers: list[RawLayer] = []
    for name, variable in dataset.data_vars.items():
        y, x = axis_name(variable.dims, "y"), axis_name(variable.dims, "x")
        time = axis_name(variable.dims, "time")
        if y is None or x is None or set(variable.dims) - {y, x, time} or variable.dtype.kind not in "uif":
            continue
        if min(variable.sizes[y], variable.sizes[x]) < 2:
            continue
        layers += _of_variable(path, dataset, str(name), (time, y, x))
    return layers


def _of_variable(
    path: Path, dataset: xr.Dataset, name: str, dims: tuple[str | None, str, str]
) -> list[RawLayer]:
    time, y, x = dims
    variable = dataset[name]
    attributes = variable.attrs
    grid = _grid(path, dataset, variable, y, x)
    tags = {str(key).lower(): str(value) for key, value in (dataset.attrs | attributes).items()}
    nodata = tuple(
        float(np.asarray(attributes[key]).ravel()[0])
        for key in ("_FillValue", "missing_value")
        if key in attributes
    )
    moments: list[Any] = [None] if time is None else list(dataset[time].values)
    if time is not None and dataset[time].dtype.kind != "M":
        raise SourceError(
            f"{path.name}: times of {name} cannot be understood; give them CF units (days since ...)"
        )
    return [
        RawLayer(
            path=path,
            reader="netcdf",
            key=(name, None if time is None else index),
            grid=grid,
            dtype=variable.dtype,
            nodata=nodata,
            scale=float(attributes.get("scale_factor", 1.0)),
            offset=float(attributes.get("add_offset", 0.0)),
            scaled="scale_factor" in attributes or "add_offset" in attributes,
            label=name,
            time=None if moment is None else np.datetime64(moment, "ns"),
            tags=tags,
            count=len(moments),
        )
        for index, moment in enumerate(moments)
    ]


def _grid(path: Path, dataset: xr.Dataset, variable: xr.DataArray, y: str, x: str) -> GeoBox:
    """Grid from the coordinates of the pixels' middles, rows from north to south."""
    if y not in dataset.coords or x not in dataset.coords:
        raise SourceError(
            f"{path.name}: {variable.name} has no coordinates {y}, {x}; write them into the file"
        )
    (y_step, y_first), (x_step, x_first) = (
        _axis(path, np.asarray(dataset[name].values, float)) for name in (y, x)
    )
    rows, columns = variable.sizes[y], variable.sizes[x]
    if y_step > 0:
        y_first, y_step = y_first + y_step * (rows - 1), -y_step
    transform = Affine(x_step, 0, x_first - x_step / 2, 0, y_step, y_first - y_step / 2)
    return GeoBox((rows, columns), transform, tidy_crs(find_crs(dataset, variable, y)))


def _axis(path: Path, values: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Step and first value of a regular axis."""
    steps = np.diff(values)
    step = float((values[-1] - values[0]) / (values.size - 1))
    if step == 0 or not np.allclose(steps, step, rtol=1e-2, atol=0):
        raise SourceError(
            f"{path.name}: its grid is not regular (steps {steps.min()} to {steps.max()}); warp it first"
        )
    return float(_tidy(step)), float(values[0])


def _tidy(step: float) -> float:
    """Take a rounding error of the coordinates out of a step."""
    return round(step) if abs(step - round(step)) < 1e-6 * abs(step) else step


def find_crs(dataset: xr.Dataset, variable: xr.DataArray, y: str) -> str | None:
    """CRS of a variable by its grid mapping, then by common attributes; longitude and latitude are WGS 84."""
    mapping = str(variable.encoding.get("grid_mapping", variable.attrs.get("grid_mapping", "")))
    for name in (mapping, "spatial_ref", "crs"):
        if name and name in dataset.variables:
            attributes = dataset[name].attrs
            text = next((attributes[key] for key in _CRS_TEXTS if attributes.get(key)), "")
            if text:
                return str(text)
    attributes = dataset.attrs | variable.attrs
    found = re.search(
        r"epsg:?\s*(\d{4,6})", f"{attributes.get('crs', '')} epsg:{attributes.get('epsg', '')}".lower()
    )
    if found:
        return f"EPSG:{found[1]}"
    return "EPSG:4326" if y.lower() in ("lat", "latitude") else None


def read_window(layer: RawLayer, rows: slice, columns: slice) -> NDArray[Any]:
    """Read stored numbers (y, x) of a window, rows from north to south.

    Raises
    ------
    SourceError
        The pixels cannot be read.
    """
    name, index = layer.key if isinstance(layer.key, tuple) else (str(layer.key), None)
    dataset = open_raw(layer.path)
    variable = dataset.variables[name]
    y, x = str(axis_name(variable.dims, "y")), str(axis_name(variable.dims, "x"))
    image = variable if index is None else variable.isel({str(axis_name(variable.dims, "time")): index})
    image = image.transpose(y, x)
    northing = dataset.variables[y].values
    if northing[0] < northing[-1]:
        height = image.sizes[y]
        rows = slice(height - rows.stop, height - rows.start)
        image = image.isel({y: rows, x: columns}).isel({y: slice(None, None, -1)})
    else:
        image = image.isel({y: rows, x: columns})
    try:
        return np.asarray(image.values)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise SourceError(
            f"{layer.path.name}: cannot be read, truncated or damaged ({reason}); copy it again"
        ) from error
