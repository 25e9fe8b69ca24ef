"""Weather in NetCDF and Zarr: only the cells and times that are asked for are read."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources.netcdf import axis_name, find_crs
from terradelta.sources.sidecar import FileSettings
from terradelta.sources.units import is_water
from terradelta.sources.weather.fields import Field, Index, Times, as_slice, by_runs, converted
from terradelta.sources.weather.names import USUAL_UNITS, names_in, nothing_in
from terradelta.sources.weather.placing import middle_of
from terradelta.sources.weather.stores import Store

__all__ = ["fields_of_dataset", "timed_variables"]

_FARTHEST = 1.0
_MEMBERS = ("number", "realization", "member", "ensemble")
_FINLAND = "EPSG:3067"


def timed_variables(dataset: xr.Dataset) -> list[str]:
    """Names of the variables that have a time."""
    return [str(name) for name, variable in dataset.data_vars.items() if _time_dims(variable)]


def _time_dims(variable: xr.DataArray) -> list[str]:
    """Dimensions of time: one, or that of the forecasts and that of their steps."""
    dims = [axis_name(variable.dims, "time"), next((str(d) for d in variable.dims if d == "step"), None)]
    return [dim for dim in dims if dim is not None]


def fields_of_dataset(
    store: Store, settings: FileSettings, near: GeoBox | None, location: str | None
) -> dict[str, Field]:
    """Find the weather of a file or store.

    Raises
    ------
    SourceError
        No weather, times or units that cannot be understood, an ensemble, or several places to choose from.
    """
    stored = store.read(store.open)
    timed = timed_variables(stored)
    names = names_in(timed, settings, store.stem)
    if not names:
        raise nothing_in(store.name, timed)
    return {
        _kind(quantity, stored[name]): store.read(
            partial(_field, store, stored, quantity, name, settings, near, location)
        )
        for quantity, name in names.items()
    }


def _kind(quantity: str, variable: xr.DataArray) -> str:
    """Water equivalents are called snow depth by some files."""
    water = quantity == "snow_depth" and is_water(str(variable.attrs.get("units", "")))
    return "snow_water" if water else quantity


def _field(
    store: Store, stored: xr.Dataset, quantity: str, name: str, settings: FileSettings,
    near: GeoBox | None, location: str | None,
) -> Field:  # fmt: skip
    where = f"{store.name}: {name}"
    quantity = _kind(quantity, stored[name])
    variable = xr.decode_cf(stored[[name]], decode_times=False, decode_coords=False)[name]
    dims = _time_dims(variable)
    variable = _one_place(where, stored, variable, near, location or settings.location)
    times, order = _stamps(store.name, stored, variable, dims)
    y, x = (axis_name(variable.dims, axis) for axis in ("y", "x"))
    lattice = _lattice(store.name, stored, variable, (y, x), settings) if y and x else {}
    raw = partial(_load, store, variable, tuple(dims), order, (y, x))
    attributes = variable.attrs
    own = str(attributes.get("units", "")) or USUAL_UNITS.get(name.lower(), "")
    load, added = converted(quantity, settings.units.get(quantity, own), where, raw)
    ecmwf = _of_ecmwf(attributes)
    ends = quantity == "precipitation" and (ecmwf or _stamped_at_ends(stored, dims[0]))
    return Field(
        where=where, times=times, load=load, added=added, ends=ends, hourly=ecmwf and added, **lattice
    )


def _of_ecmwf(attributes: dict[str, Any]) -> bool:
    """Whether an amount or mean comes from ECMWF, who stamp it at the end of its hour."""
    name = str(attributes.get("long_name", "")).lower()
    return "GRIB_paramId" in attributes or name.endswith(("total precipitation", "total precipitation rate"))


def _stamped_at_ends(stored: xr.Dataset, dim: str) -> bool:
    """Whether the bounds of the times say that these are their ends."""
    if dim not in stored.coords:
        return False
    name = stored[dim].attrs.get("bounds", stored[dim].encoding.get("bounds"))
    if name not in stored.variables:
        return False
    bounds = np.asarray(stored[name][0].values)
    return bool(bounds.size == 2 and bounds[1] == stored[dim].values[0] and bounds[0] != bounds[1])


def _stamps(
    name: str, stored: xr.Dataset, variable: xr.DataArray, dims: list[str]
) -> tuple[Times, NDArray[np.intp]]:
    """Give the times that the values are valid at, rising, and where each lies in its dimensions."""
    sizes = [variable.sizes[dim] for dim in dims]
    valid = stored.variables.get("valid_time")
    if valid is not None and set(valid.dims) == set(dims):
        stamps = valid.transpose(*dims).values
    elif dims == ["step"]:
        raise SourceError(f"{name}: its steps have no valid_time; write it into the file")
    else:
        if dims[0] not in stored.coords:
            raise SourceError(f"{name}: dimension {dims[0]} has no coordinate; write it into the file")
        stamps = stored[dims[0]].values
        if len(dims) == 2:
            stamps = stamps[:, None] + _steps(name, stored)
    if stamps.dtype.kind != "M":
        calendar = stored.variables[dims[0]].encoding.get("calendar", "standard")
        raise SourceError(
            f"{name}: its times (calendar {calendar!r}) cannot be understood; give them CF units "
            "(days since ...) and the standard calendar"
        )
    times, order = np.unique(stamps.astype("datetime64[ns]").reshape(np.prod(sizes)), return_index=True)
    return times, order


def _steps(name: str, stored: xr.Dataset) -> Any:
    """Lengths of forecasts."""
    steps = stored.variables.get("step")
    unit = "" if steps is None else str(steps.attrs.get("units", ""))
    if steps is not None and steps.dtype.kind == "m":
        return steps.values
    factor = {"hours": 3600, "hour": 3600, "h": 3600, "minutes": 60, "seconds": 1, "days": 86400}.get(unit)
    if steps is None or factor is None:
        raise SourceError(f"{name}: the unit of its steps ({unit or 'none'}) is no time; say hours")
    return np.rint(steps.values * (factor * 1e9)).astype("timedelta64[ns]")


def _lattice(
    name: str, stored: xr.Dataset, variable: xr.DataArray, axes: tuple[str, str], settings: FileSettings
) -> dict[str, Any]:
    """Middles of the cells, and their CRS."""
    for axis in axes:
        if axis not in stored.coords:
            raise SourceError(f"{name}: dimension {axis} has no coordinate; write it into the file")
    y, x = (np.asarray(stored[axis].values, np.float64) for axis in axes)
    crs = settings.crs or find_crs(stored, stored[str(variable.name)], axes[0]) or ""
    if crs == "EPSG:4326" and max(np.abs(y).max(), np.abs(x).max() / 4) > 90.5:
        crs = ""
    if not crs and 6.4e6 < y.min() < y.max() < 8e6 and 0 < x.min() < x.max() < 9e5:
        crs = _FINLAND if str(variable.name).lower() in USUAL_UNITS else ""
    return {"y": y, "x": x, "crs": crs}


def _load(
    store: Store, variable: xr.DataArray, dims: tuple[str, ...], order: NDArray[np.intp],
    axes: tuple[str | None, str | None], times: Index, rows: Index, columns: Index,
) -> NDArray[np.float64]:  # fmt: skip
    """Read (time, y, x); of several versions (`expver`) the first with data counts."""
    stacked = _at_times(variable, dims, order[times])
    wanted = [dim for dim in ("time_", *axes) if dim is not None]

    def window(span: slice, run: slice) -> NDArray[Any]:
        part = stacked if axes[0] is None else stacked.isel({axes[0]: span, axes[1]: run})
        values = _merged(part).transpose(*wanted).values
        return values.reshape(times.size, *(values.shape[1:] if axes[0] else (1, 1)))

    return store.read(partial(by_runs, window, rows, columns))


def _at_times(variable: xr.DataArray, dims: tuple[str, ...], places: NDArray[np.intp]) -> xr.DataArray:
    variable = variable.drop_vars(list(variable.coords))
    if len(dims) == 1:
        return variable.isel({dims[0]: as_slice(places)}).rename({dims[0]: "time_"})
    shape = tuple(variable.sizes[dim] for dim in dims)
    index = np.unravel_index(places, shape)
    return variable.isel({dim: xr.Variable("time_", i) for dim, i in zip(dims, index, strict=True)})


def _merged(values: xr.DataArray) -> xr.DataArray:
    if "expver" not in values.dims:
        return values
    merged = values.isel(expver=0)
    for index in range(1, values.sizes["expver"]):
        merged = merged.fillna(values.isel(expver=index))
    return merged


def _one_place(
    where: str, stored: xr.Dataset, variable: xr.DataArray, near: GeoBox | None, location: str | None
) -> xr.DataArray:
    """Of a list of places the named or the nearest one."""
    axes = {axis_name(variable.dims, axis) for axis in ("y", "x")} | set(_time_dims(variable)) | {"expver"}
    for dim in [str(dim) for dim in variable.dims if dim not in axes]:
        if variable.sizes[dim] > 1 and dim.lower() in _MEMBERS:
            raise SourceError(
                f"{where} has {variable.sizes[dim]} members in {dim!r}; give the mean or one of them"
            )
        index = 0 if variable.sizes[dim] == 1 else _place_index(where, stored, dim, near, location)
        variable = variable.isel({dim: index}, drop=True)
    return variable


def _place_index(where: str, stored: xr.Dataset, dim: str, near: GeoBox | None, location: str | None) -> int:
    names = [str(name) for name in stored[dim].values]
    if location is not None:
        if location in names:
            return names.index(location)
        raise SourceError(f"{where}: no place {location!r}; it has {', '.join(names)}")
    latitude, longitude = (
        next((stored[n].values for n in pair if n in stored.variables and stored[n].dims == (dim,)), None)
        for pair in (("lat", "latitude"), ("lon", "longitude"))
    )
    if near is not None and latitude is not None and longitude is not None:
        x, y = middle_of(near)
        east = (longitude - x + 180) % 360 - 180
        distance = np.hypot(latitude - y, east * np.cos(np.radians(y)))
        if distance.min() <= _FARTHEST:
            return int(distance.argmin())
    raise SourceError(f"{where}: holds {len(names)} places ({', '.join(names)}); choose one with 'location'")
