"""Daily weather beside the images: one value per day, or a coarse grid of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from terradelta.cube.files import storage_errors
from terradelta.cube.layers import replacing
from terradelta.cube.locking import WAIT, exclusive
from terradelta.cube.store import read_header
from terradelta.errors import ConflictError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from terradelta.types import PathType

__all__ = ["WEATHER_UNITS", "write_weather"]

WEATHER_UNITS = {"temperature": "degree_Celsius", "precipitation": "mm/day", "snow_depth": "cm"}
"""Known variables and their units."""

_KELVIN = 150.0


def write_weather(
    path: PathType, dataset: xr.Dataset, *, overwrite: bool = False, timeout: float = WAIT
) -> None:
    """Add daily weather to a cube; days that are there already must agree.

    Parameters
    ----------
    path : path
        The cube.
    dataset : xarray.Dataset
        ``temperature`` (°C), ``precipitation`` (mm/day), ``snow_depth`` (cm), one or more of them, with dims
        (day) or (day, y, x) on a coarse grid of its own; ``day`` is a coordinate of dates, UTC.
    overwrite : bool
        Replace all weather of the cube instead of adding days.
    timeout : float
        Seconds to wait while another process writes to the same cube.

    Raises
    ------
    ConflictError
        If a day is there with other values and `overwrite` is false.
    InputError
        If variables, dims or values do not fit (for instance kelvin in place of °C).
    LockedError, StorageError
        If another process holds the cube, or the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> from odc.geo.geobox import GeoBox
    >>> from terradelta.cube import create_cube, open_cube
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> create_cube(folder, GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10))
    >>> days = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    >>> write_weather(folder, xr.Dataset({"temperature": ("day", [3.0, 4.5])}, coords={"day": days}))
    >>> open_cube(folder)["weather"].temperature.values.tolist()
    [3.0, 4.5]
    """
    header = read_header(path)
    new = _checked(dataset.load())
    with storage_errors(header.path), exclusive(header.path, timeout):
        target = header.path / "weather"
        with replacing(header.path, target) as draft:
            if (target / "zarr.json").exists() and not overwrite:
                old = _read(target)
                new = _merged(old, new)
                if new.identical(old):
                    return
            new.to_zarr(str(draft), mode="w", consolidated=False, zarr_format=3)


def _read(folder: Path) -> xr.Dataset:
    with xr.open_dataset(str(folder), engine="zarr", consolidated=False, decode_coords="all") as stored:
        return _plain(stored.load())


def _plain(dataset: xr.Dataset) -> xr.Dataset:
    dataset = dataset.drop_encoding()
    if "spatial_ref" in dataset.coords:
        for name in dataset.data_vars:
            if "y" in dataset[name].dims:
                dataset[name].attrs["grid_mapping"] = "spatial_ref"
    return dataset


def _checked(dataset: xr.Dataset) -> xr.Dataset:
    if not set(WEATHER_UNITS) & set(map(str, dataset.data_vars)):
        raise InputError(
            f"the weather has the variables {', '.join(map(str, dataset.data_vars)) or '(none)'}; "
            f"expected one or more of {', '.join(WEATHER_UNITS)}"
        )
    if "day" not in dataset.coords or not np.issubdtype(dataset["day"].dtype, np.datetime64):
        raise InputError("the weather has no coordinate day of dates; give one date per value")
    for name, array in dataset.data_vars.items():
        if array.dims not in (("day",), ("day", "y", "x")):
            raise InputError(f"weather {name} has dims {array.dims}; expected (day) or (day, y, x)")
    dataset = dataset.assign_coords(day=dataset["day"].astype("datetime64[D]").astype("datetime64[ns]"))
    if not dataset.indexes["day"].is_unique:
        raise InputError("the weather has a day twice; give one value per day")
    _check_ranges(dataset)
    result = _plain(dataset.sortby("day").copy())
    for name, unit in WEATHER_UNITS.items():
        if name in result:
            result[name].attrs.setdefault("units", unit)
    return result


def _check_ranges(dataset: xr.Dataset) -> None:
    middle = float(dataset["temperature"].median()) if "temperature" in dataset else 0.0
    if middle > _KELVIN:
        raise InputError(f"temperature has the median {middle:.4g}, which looks like kelvin; subtract 273.15")
    for name in ("precipitation", "snow_depth"):
        if name in dataset and float(dataset[name].min()) < 0:
            raise InputError(f"{name} holds {float(dataset[name].min()):.4g}; expected 0 or more")


def _merged(old: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    if set(old.data_vars) != set(new.data_vars) or not _same_grid(old, new):
        raise ConflictError(
            f"the cube has the weather {', '.join(map(str, old.data_vars))} on another grid or with other "
            "variables; give overwrite=True to replace it"
        )
    common = np.intersect1d(old["day"].values, new["day"].values)
    for name in old.data_vars:
        before, after = old[name].sel(day=common).values, new[name].sel(day=common).values
        differs = (before != after) & ~(np.isnan(before) & np.isnan(after))
        if differs.any():
            place = tuple(int(axis[0]) for axis in np.nonzero(differs))
            day = np.datetime_as_string(common[place[0]], "D")
            raise ConflictError(
                f"weather {name} of {day} is {before[place]:.6g} in the cube and {after[place]:.6g} now; "
                "give overwrite=True to replace all weather"
            )
    extra = new.sel(day=np.setdiff1d(new["day"].values, common))
    if not extra.sizes["day"]:
        return old
    return xr.concat([old, extra], dim="day", data_vars="minimal", coords="minimal").sortby("day")


def _same_grid(old: xr.Dataset, new: xr.Dataset) -> bool:
    names = ("y", "x")
    return all(
        (name in old.coords) == (name in new.coords)
        and (name not in old.coords or np.array_equal(old[name].values, new[name].values))
        for name in names
    )
