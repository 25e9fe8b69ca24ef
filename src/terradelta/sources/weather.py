"""Daily weather from NetCDF or CSV: temperature, precipitation, snow depth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import assign_crs

from terradelta.errors import SourceError
from terradelta.sources.netcdf import axis_name, find_crs, open_raw
from terradelta.sources.sidecar import FileSettings, SidecarLike, load_sidecar
from terradelta.sources.units import QUANTITIES, UNITS, check_plausible, conversion
from terradelta.types import PathType

__all__ = ["holds_weather", "read_weather"]

NAMES = {
    "temperature": (
        "temperature",
        "t2m",
        "2m_temperature",
        "tas",
        "temperature_mean",
        "temperature_air_2m_mean_24h",
        "tavg",
        "t_mean",
        "temp",
    ),
    "precipitation": (
        "precipitation",
        "tp",
        "total_precipitation",
        "pr",
        "precipitation_flux",
        "prcp",
        "rain",
        "precip",
    ),
    "snow_depth": ("snow_depth", "snd", "sde", "snow_thickness_mean_24h", "snow_thickness", "snwd"),
}
DAY_NAMES = ("day", "date", "time", "timestamp", "datetime", "valid_time")
_FARTHEST = 1.0


def _names_in(available: list[str], settings: FileSettings) -> dict[str, str]:
    """Quantity to the name that a file gives it: the settings', else a known one."""
    found = {}
    lowered = {re.split(r"\s*[\[(]", name)[0].strip().lower(): name for name in available}
    for quantity in QUANTITIES:
        told = settings.columns.get(quantity)
        name = (
            told if told in available else next((lowered[n] for n in NAMES[quantity] if n in lowered), None)
        )
        if told is not None and told not in available:
            raise SourceError(f"weather has no column {told!r} for {quantity}; it has {', '.join(available)}")
        if name is not None:
            found[quantity] = name
    return found


def holds_weather(path: Path, settings: FileSettings) -> bool:
    """Tell from variables or column names whether a file holds weather; never raises for other content."""
    if path.suffix.lower() == ".csv":
        try:
            with path.open(encoding="utf-8-sig") as lines:
                columns = [name.strip() for name in lines.readline().strip().split(",")]
        except (OSError, UnicodeDecodeError):
            return False
        return settings.sensor == "weather" or bool(_names_in(columns, settings))
    dataset = open_raw(path)
    timed = [str(name) for name, variable in dataset.data_vars.items() if axis_name(variable.dims, "time")]
    return settings.sensor == "weather" or bool(_names_in(timed, settings))


def read_weather(
    path: PathType, *, near: GeoBox | None = None, location: str | None = None, sidecar: SidecarLike = None
) -> xr.Dataset:
    r"""Read daily weather in the cube's units, whatever the file's.

    Values of a day are averaged (states, rates) or added up (amounts such as hourly ``tp`` in m). Names of
    ERA5, ERA5-Land, AgERA5 and CMIP are known; water equivalents of snow are no depth and are not taken.

    Parameters
    ----------
    path : path
        NetCDF, or CSV with a column of days and a heading such as ``temperature [K]``.
    near : GeoBox, optional
        Grid of the cube: gridded weather is cut to it, and of several places the nearest is taken.
    location : str, optional
        Name of the place in a file with several.
    sidecar : path, mapping or Sidecar, optional
        `terradelta.yaml`: ``columns``, ``units``, ``location``; by default the one beside the file.

    Returns
    -------
    xarray.Dataset
        ``temperature`` (°C), ``precipitation`` (mm/day), ``snow_depth`` (cm), as far as there, float32 with
        dims (day), or (day, y, x) on the weather's own grid.

    Raises
    ------
    SourceError
        No weather in the file, an unknown unit or none, implausible values, or several places to choose from.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "w.csv"
    >>> _ = file.write_text("date,temperature [K],precipitation [mm]\n2020-01-01,273.15,1.5\n")
    >>> weather = read_weather(file)
    >>> float(weather.temperature[0]), float(weather.precipitation[0])
    (0.0, 1.5)
    """
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"{path} does not exist; check the path of the weather")
    settings = load_sidecar(sidecar, path.parent).for_file(path.name)
    raw, names, units = (
        _from_csv(path, settings) if path.suffix.lower() == ".csv" else _from_netcdf(path, settings)
    )
    crs = str(raw.attrs.get("crs", ""))
    raw = _one_place(path, raw, near, location or settings.location)
    result = {}
    for quantity, name in names.items():
        where = f"{path.name}: {name}"
        factor, summand, added = conversion(quantity, settings.units.get(quantity, units[quantity]), where)
        daily = _daily(raw[name] * factor + summand, added).astype(np.float32)
        check_plausible(quantity, daily.values, where)
        if quantity != "temperature":
            daily = daily.clip(min=0)
        result[quantity] = daily.drop_attrs().assign_attrs(units=UNITS[quantity])
    dataset = xr.Dataset(result).sortby("day")
    return _cut(dataset, near, crs, path.name) if "y" in dataset.dims else dataset


def _from_csv(path: Path, settings: FileSettings) -> tuple[xr.Dataset, dict[str, str], dict[str, str]]:
    """Table with one row per day."""
    import pandas as pd

    try:
        table = pd.read_csv(path, comment="#", skipinitialspace=True, encoding="utf-8-sig")
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{path.name}: cannot be read as CSV ({error}); use commas and one heading line"
        ) from error
    columns = [str(name) for name in table.columns]
    day = settings.columns.get("day") or next((name for name in columns if name.lower() in DAY_NAMES), None)
    names = _found(path, columns, settings)
    if day not in columns:
        raise SourceError(
            f"{path.name}: no column of days ({', '.join(DAY_NAMES)}); say 'columns: {{day: ...}}'"
        )
    try:
        days = pd.to_datetime(table[day], utc=True).dt.tz_localize(None).to_numpy("datetime64[ns]")
        values = {name: ("day", table[name].to_numpy(float)) for name in names.values()}
    except (ValueError, TypeError) as error:
        raise SourceError(
            f"{path.name}: a day or number cannot be understood ({error}); correct that line"
        ) from error
    units = {
        quantity: next(iter(re.findall(r"[\[(]\s*([^\])]+?)\s*[\])]", name)), "")
        for quantity, name in names.items()
    }
    return xr.Dataset(values, coords={"day": days}), names, units


def _from_netcdf(path: Path, settings: FileSettings) -> tuple[xr.Dataset, dict[str, str], dict[str, str]]:
    """Variables with a time, masked and scaled by their attributes."""
    stored = open_raw(path)
    timed = [str(name) for name, variable in stored.data_vars.items() if axis_name(variable.dims, "time")]
    names = _found(path, timed, settings)
    decoded = xr.decode_cf(stored[list(names.values())], decode_times=False, decode_coords=False).load()
    variable = decoded[next(iter(names.values()))]
    axes = {axis: axis_name(variable.dims, axis) for axis in ("time", "y", "x")}
    for name in (axes["time"], axes["y"], axes["x"]):
        if name is not None and name not in decoded.coords:
            raise SourceError(f"{path.name}: dimension {name} has no coordinate; write it into the file")
    if decoded[axes["time"]].dtype.kind != "M":
        raise SourceError(f"{path.name}: its times cannot be understood; give them CF units (days since ...)")
    crs = find_crs(stored, stored[str(variable.name)], axes["y"]) if axes["y"] else None
    wanted = {"day": axes["time"], "y": axes["y"], "x": axes["x"]}
    renamed = decoded.rename({old: new for new, old in wanted.items() if old is not None and old != new})
    units = {quantity: str(decoded[name].attrs.get("units", "")) for quantity, name in names.items()}
    renamed = renamed.drop_vars([name for name in ("spatial_ref", "crs") if name in renamed.coords])
    return renamed.assign_attrs(crs=crs or ""), names, units


def _found(path: Path, available: list[str], settings: FileSettings) -> dict[str, str]:
    names = _names_in(available, settings)
    if not names:
        raise SourceError(
            f"{path.name}: no temperature, precipitation or snow depth among "
            f"{', '.join(available) or 'nothing'}; say 'columns: {{temperature: ...}}' in terradelta.yaml"
        )
    return names


def _one_place(path: Path, raw: xr.Dataset, near: GeoBox | None, location: str | None) -> xr.Dataset:
    """Of a list of places the named or the nearest one; a grid of one cell is no grid."""
    extra = [dim for dim in raw.dims if dim not in ("day", "y", "x")]
    for dim in extra:
        if raw.sizes[dim] == 1:
            raw = raw.isel({dim: 0}, drop=True)
        else:
            raw = raw.isel({dim: _place_index(path, raw, str(dim), near, location)}, drop=True)
    if raw.sizes.get("y", 0) == 1 and raw.sizes.get("x", 0) == 1:
        raw = raw.isel(y=0, x=0, drop=True)
    return raw.drop_vars([name for name in raw.coords if name not in ("day", "y", "x")])


def _place_index(path: Path, raw: xr.Dataset, dim: str, near: GeoBox | None, location: str | None) -> int:
    names = [str(name) for name in raw[dim].values]
    if location is not None:
        if location in names:
            return names.index(location)
        raise SourceError(f"{path.name}: no place {location!r}; it has {', '.join(names)}")
    latitude, longitude = (
        next((raw[n] for n in pair if n in raw.coords), None)
        for pair in (("lat", "latitude"), ("lon", "longitude"))
    )
    if near is not None and latitude is not None and longitude is not None:
        box = near.geographic_extent.boundingbox
        distance = np.hypot(
            latitude.values - (box.bottom + box.top) / 2,
            (longitude.values - (box.left + box.right) / 2) * np.cos(np.radians(box.bottom)),
        )
        if distance.min() <= _FARTHEST:
            return int(distance.argmin())
    raise SourceError(
        f"{path.name}: holds {len(names)} places ({', '.join(names)}); choose one with 'location'"
    )


def _daily(values: xr.DataArray, added: bool) -> xr.DataArray:
    """One value per day, UTC; a day with a gap among its amounts keeps no sum."""
    days = values["day"].values.astype("datetime64[D]").astype("datetime64[ns]")
    values = values.assign_coords(day=days)
    if np.unique(days).size < days.size:
        grouped = values.groupby("day")
        values = grouped.sum(skipna=False) if added else grouped.mean()
    order = [dim for dim in ("day", "y", "x") if dim in values.dims]
    return values.transpose(*order)


def _cut(dataset: xr.Dataset, near: GeoBox | None, crs: str, name: str) -> xr.Dataset:
    """Gridded weather around the cube, with a cell to spare, and its CRS."""
    if not crs:
        return dataset
    if near is not None:
        box = near.footprint(crs).boundingbox
        for axis, low, high in (("y", box.bottom, box.top), ("x", box.left, box.right)):
            values: Any = dataset[axis].values
            step = abs(values[1] - values[0]) if values.size > 1 else np.inf
            dataset = dataset.isel({axis: np.flatnonzero((values >= low - step) & (values <= high + step))})
        if 0 in dataset.sizes.values():
            raise SourceError(f"{name}: its grid does not reach the cube; take weather of this place")
    return assign_crs(dataset, crs)
