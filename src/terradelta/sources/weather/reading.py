"""Daily weather in the cube's units from files, folders and stores."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import assign_crs

from terradelta.errors import SourceError
from terradelta.sources.sidecar import FileSettings, SidecarLike, load_sidecar
from terradelta.sources.units import QUANTITIES, UNITS
from terradelta.sources.weather.days import Accumulated, Days, Span, daily
from terradelta.sources.weather.fields import Field, depth_of_snow, join
from terradelta.sources.weather.opening import WeatherPath, find_fields, holds_weather, weather_files
from terradelta.sources.weather.placing import Cells, choose_cells
from terradelta.sources.weather.stores import is_url

__all__ = ["read_weather"]

_LOG = logging.getLogger(__name__)


def read_weather(
    path: WeatherPath,
    *,
    near: GeoBox | None = None,
    location: str | None = None,
    sidecar: SidecarLike = None,
    period: tuple[np.datetime64 | str, np.datetime64 | str] | None = None,
    grid: bool = True,
    accumulated: Accumulated | None = None,
) -> xr.Dataset:
    r"""Read daily weather in the cube's units, whatever the files'.

    Values of a day are averaged (states, rates) or added up (amounts such as hourly ``tp`` in m). Names of
    ERA5, ERA5-Land, AgERA5, the Finnish Meteorological Institute and CMIP are known. Water equivalents of
    snow are no depth; with the snow's density they become one. Only the cells and days that are asked for
    are read, some at a time.

    Parameters
    ----------
    path : path, address, or sequence of them
        NetCDF, GRIB, GeoTIFF, CSV with a column of days and a heading such as ``temperature [K]``, a folder
        of such files, or a Zarr store in a folder or at a public address.
    near : GeoBox, optional
        Grid of the cube: gridded weather is cut to it, and of several places the nearest is taken.
    location : str, optional
        Name of the place in a file with several.
    sidecar : path, mapping or Sidecar, optional
        `terradelta.yaml`: ``columns``, ``units``, ``location``, ``accumulated``; by default the one beside
        the file.
    period : (start, end), optional
        First day and the first one after the last, UTC; all days by default.
    grid : bool
        Gridded weather stays on its own grid; else its value at the middle of `near` is taken, bilinear.
    accumulated : {"step", "day"}, optional
        What amounts within a day are: those since the stamp before, or since 00 UTC (ERA5-Land). By default
        it is seen from the values.

    Returns
    -------
    xarray.Dataset
        ``temperature`` (°C), ``precipitation`` (mm/day), ``snow_depth`` (cm), as far as there, float32 with
        dims (day), or (day, y, x) on the weather's own grid. Days that are not whole are missing.

    Raises
    ------
    SourceError
        No weather, an unknown unit or none, implausible values, several places to choose from, a grid that
        does not reach `near`, another calendar, or a damaged file.
    UnavailableError
        A server that does not answer.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "w.csv"
    >>> _ = file.write_text("date,temperature [K],precipitation [mm]\n2020-01-01,273.15,1.5\n")
    >>> weather = read_weather(file)
    >>> float(weather.temperature[0]), float(weather.precipitation[0])
    (0.0, 1.5)
    """
    span = None if period is None else _span(*period)
    fields, told = _gathered(path, sidecar, near, location)
    result: dict[str, xr.DataArray] = {}
    grids: list[Field] = []
    for quantity, parts in fields.items():
        for field in _in_span(parts, span):
            cells = choose_cells(field, near, grid)
            array = _array(quantity, daily(field, quantity, cells, span, accumulated or told), cells)
            grids += [field] if cells.y is not None else []
            _check_grids(grids)
            result[quantity] = result[quantity].combine_first(array) if quantity in result else array
    dataset = xr.merge([array.rename(name) for name, array in result.items()], join="outer")
    return assign_crs(dataset, grids[0].crs) if grids and grids[0].crs else dataset


def _in_span(parts: Sequence[Field], span: Span | None) -> Sequence[Field]:
    """Fields that have something in the period; the first if none has."""
    if span is None:
        return parts
    return [part for part in parts if ((part.times >= span[0]) & (part.times <= span[1])).any()] or parts[:1]


def _check_grids(grids: Sequence[Field]) -> None:
    if grids and not grids[0].same_cells(grids[-1]):
        raise SourceError(
            f"{grids[0].where} and {grids[-1].where} lie on different grids; take the value at the place "
            "(grid=False), or files of one product and area"
        )


def _span(start: np.datetime64 | str, end: np.datetime64 | str) -> Span:
    """First day and the first one after the last; a day that the period only touches belongs to it."""
    first, last = (np.datetime64(moment).astype("datetime64[ns]") for moment in (start, end))
    if not first < last:
        raise SourceError(f"the period from {start} to {end} is empty; give its start and its end")
    day = np.timedelta64(1, "D")
    after = (last - np.timedelta64(1, "ns")).astype("datetime64[D]") + day
    return first.astype("datetime64[D]").astype("datetime64[ns]"), after.astype("datetime64[ns]")


def _gathered(
    path: WeatherPath, sidecar: SidecarLike, near: GeoBox | None, location: str | None
) -> tuple[dict[str, list[Field]], Accumulated | None]:
    """Fields of all files, joined by quantity, and what the settings say about amounts."""
    parts: dict[str, list[Field]] = {}
    told: Accumulated | None = None
    files = weather_files(path)
    for file, named in files:
        settings = _settings(file, sidecar)
        if not named and (settings.ignore or not holds_weather(Path(file), settings)):
            continue
        told = told or settings.accumulated
        for quantity, field in find_fields(file, settings, near, location).items():
            parts.setdefault(quantity, []).append(field)
    if not parts:
        raise SourceError(f"none of {len(files)} files holds weather; say 'columns' in terradelta.yaml")
    return _quantities({quantity: join(fields) for quantity, fields in parts.items()}), told


def _settings(file: str | Path, sidecar: SidecarLike) -> FileSettings:
    folder = None if is_url(file) else Path(file).parent
    return load_sidecar(sidecar, folder).for_file(Path(str(file)).name)


def _quantities(found: Mapping[str, list[Field]]) -> dict[str, list[Field]]:
    """Give the three quantities; snow depth from water and density where it is not given itself."""
    fields = {quantity: found[quantity] for quantity in QUANTITIES if quantity in found}
    waters, densities = found.get("snow_water", []), found.get("snow_density", [])
    if "snow_depth" in fields or not waters:
        pass
    elif densities:
        pairs = zip(waters, densities, strict=False)
        fields["snow_depth"] = [depth_of_snow(water, density) for water, density in pairs]
    elif fields:
        _LOG.warning("%s is the water in the snow, no depth, and left out", waters[0].where)
    else:
        raise SourceError(
            f"{waters[0].where} is the water in the snow, no depth; add its density (rsn), or take the depth "
            "(sde of ERA5-Land)"
        )
    if not fields:
        raise SourceError(f"{densities[0].where} is the density of snow, which alone is no weather")
    return fields


def _array(quantity: str, days: Days, cells: Cells) -> xr.DataArray:
    attributes = {"units": UNITS[quantity]}
    if cells.y is None:
        return xr.DataArray(days.values[:, 0, 0], {"day": days.days}, ("day",), attrs=attributes)
    coordinates = {"day": days.days, "y": cells.y, "x": cells.x}
    return xr.DataArray(days.values, coordinates, ("day", "y", "x"), attrs=attributes)
