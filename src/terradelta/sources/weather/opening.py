"""What is given as weather: files, folders of files, stores; and which of them hold any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources import geotiff, netcdf
from terradelta.sources.netcdf import open_raw
from terradelta.sources.sidecar import FileSettings
from terradelta.sources.weather.datasets import fields_of_dataset, timed_variables
from terradelta.sources.weather.fields import Field
from terradelta.sources.weather.names import names_in
from terradelta.sources.weather.rasters import GRIB_ENDINGS, fields_of_raster, is_grib, raster_names
from terradelta.sources.weather.stores import Store, is_url, is_zarr
from terradelta.sources.weather.tables import column_names, fields_of_table
from terradelta.types import PathType

__all__ = ["ENDINGS", "WeatherPath", "find_fields", "holds_weather", "weather_files"]

ENDINGS = (".csv", *GRIB_ENDINGS)
"""Files that can hold nothing but weather."""

WeatherPath: TypeAlias = "PathType | Sequence[PathType]"


def weather_files(path: WeatherPath) -> list[tuple[str | Path, bool]]:
    """Files and stores that are given, in order, and whether each was named itself.

    Raises
    ------
    SourceError
        Something is not there, or a folder holds nothing of use.
    """
    if isinstance(path, Sequence) and not isinstance(path, str):
        return [file for one in path for file in weather_files(one)]
    if is_url(str(path)):
        if "?" in str(path):
            raise SourceError("the address of the weather has a query; only public stores are read")
        return [(str(path), True)]
    place = Path(path)
    if place.is_file() or is_zarr(place):
        return [(place, True)]
    if not place.is_dir():
        raise SourceError(f"{place} does not exist; check the path of the weather")
    endings = (*ENDINGS, *netcdf.ENDINGS, *geotiff.ENDINGS)
    files = [file for file in sorted(place.iterdir()) if file.suffix.lower() in endings or is_zarr(file)]
    if not files:
        raise SourceError(f"{place} has no file with a known ending ({', '.join(endings)}); check the path")
    return [(file, False) for file in files]


def holds_weather(path: Path, settings: FileSettings) -> bool:
    """Tell from names of variables, columns or bands whether a file holds weather; other content is fine.

    Raises
    ------
    SourceError
        It cannot be read.
    """
    if settings.sensor == "weather":
        return True
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return bool(names_in(column_names(path), settings))
    if is_grib(path) or suffix in geotiff.ENDINGS:
        return bool(names_in(raster_names(path), settings, path.stem))
    dataset = Store(path).open() if is_zarr(path) else open_raw(path)
    return bool(names_in(timed_variables(dataset), settings))


def find_fields(
    path: str | Path, settings: FileSettings, near: GeoBox | None, location: str | None
) -> dict[str, Field]:
    """Find the weather of one file or store by its kind.

    Raises
    ------
    SourceError
        It holds none, or cannot be understood.
    """
    suffix = Path(str(path)).suffix.lower()
    if is_zarr(path):
        return fields_of_dataset(Store(path), settings, near, location)
    file = Path(path)
    if suffix == ".csv":
        return fields_of_table(file, settings)
    if is_grib(file) or suffix in geotiff.ENDINGS:
        return fields_of_raster(file, settings)
    return fields_of_dataset(Store(file), settings, near, location)
