"""Weather in GRIB (editions 1 and 2) and GeoTIFF: one band per quantity and time, read by GDAL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.windows import Window

from terradelta.errors import SourceError
from terradelta.sources.sidecar import FileSettings
from terradelta.sources.times import Time, parse_time, times_in
from terradelta.sources.weather.fields import Field, Index, by_runs, converted
from terradelta.sources.weather.names import USUAL_UNITS, names_in, nothing_in

__all__ = ["GRIB_ENDINGS", "fields_of_raster", "is_grib", "raster_names"]

GRIB_ENDINGS = (".grib", ".grb", ".grib1", ".grb1", ".grib2", ".grb2")
_AT_ONCE = 128 * 2**20
"""Bytes of whole fields that GDAL may hold: it unpacks a field to read one cell, and keeps it while open."""
_NEAR_GROUND = re.compile(r"^(2-HTGL|0-SFC|0-HTGL)")


class _Band(NamedTuple):
    """What a raster says about one of its bands."""

    number: int
    name: str
    unit: str
    time: Time | None


def is_grib(path: Path) -> bool:
    """Tell GRIB files by their endings."""
    return path.suffix.lower() in GRIB_ENDINGS


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a raster with the units that its bands are stored in: GDAL would make °C of K and not say it."""
    driver = "GRIB" if is_grib(path) else None
    try:
        with rasterio.Env(GRIB_NORMALIZE_UNITS="NO"), rasterio.open(path, driver=driver) as source:
            yield source
    except RasterioError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:160]
        raise SourceError(
            f"{path.name}: cannot be read, truncated or damaged ({reason}); copy or download it again"
        ) from error


def raster_names(path: Path) -> list[str]:
    """Names of the bands, each once."""
    with _opened(path) as source:
        return list(dict.fromkeys(band.name for band in _bands(path, source)))


def _bands(path: Path, source: Any) -> list[_Band]:
    read = _grib_band if is_grib(path) else _tiff_band
    bands = [read(path, source, number) for number in source.indexes]
    return [band for band in bands if band.name]


def _grib_band(path: Path, source: Any, number: int) -> _Band:
    """Element, unit and valid time; other heights than that of a thermometer have no name."""
    tags = source.tags(number)
    near = _NEAR_GROUND.match(tags.get("GRIB_SHORT_NAME", "")) is not None
    seconds = re.search(r"-?\d+", tags.get("GRIB_VALID_TIME", ""))
    return _Band(
        number,
        tags.get("GRIB_ELEMENT", "").lower() if near else "",
        tags.get("GRIB_UNIT", "").strip("[]"),
        np.datetime64(int(seconds[0]), "s").astype("datetime64[ns]") if seconds else None,
    )


def _tiff_band(path: Path, source: Any, number: int) -> _Band:
    """Dates by the bands' descriptions, else by the file's name; a year of bands are its days."""
    label = source.descriptions[number - 1] or ""
    unit = source.units[number - 1] or source.tags(number).get("units", source.tags().get("units", ""))
    dates = [parse_time(label), *times_in(label), *(times_in(path.stem) if source.count == 1 else [])]
    time = next((date for date in dates if date is not None), None) or _day_of_year(path, source, number)
    return _Band(number, path.stem, unit, time)


def _day_of_year(path: Path, source: Any, number: int) -> Time | None:
    year = re.search(r"(?<!\d)((?:19|20)\d{2})(?!\d)", path.stem)
    if year is None:
        return None
    first, last = date(int(year[1]), 1, 1), date(int(year[1]) + 1, 1, 1)
    if source.count != (last - first).days:
        return None
    return np.datetime64(first + timedelta(days=number - 1), "ns")


def fields_of_raster(path: Path, settings: FileSettings) -> dict[str, Field]:
    """Find the weather of a GRIB file or GeoTIFF.

    Raises
    ------
    SourceError
        No weather, a band without a time, an unknown unit, or a rotated grid.
    """
    with _opened(path) as source:
        bands = _bands(path, source)
        lattice = _lattice(path, source, settings)
    available = list(dict.fromkeys(band.name for band in bands))
    names = names_in(available, settings, path.stem)
    if not names:
        raise nothing_in(path.name, available)
    return {
        quantity: _field(path, settings, quantity, [band for band in bands if band.name == name], lattice)
        for quantity, name in names.items()
    }


def _lattice(path: Path, source: Any, settings: FileSettings) -> dict[str, Any]:
    """Middles of the cells; the sphere of GRIB files counts as WGS 84."""
    affine = source.transform
    if affine.b or affine.d or affine.is_identity:
        raise SourceError(f"{path.name}: its grid is rotated or not georeferenced; warp it first")
    y = affine.f + affine.e * (np.arange(source.height) + 0.5)
    x = affine.c + affine.a * (np.arange(source.width) + 0.5)
    crs = settings.crs or (source.crs.to_wkt() if source.crs else "")
    if crs:
        parsed = CRS(crs)
        epsg = parsed.to_epsg()
        crs = "EPSG:4326" if parsed.is_geographic else (f"EPSG:{epsg}" if epsg else crs)
    return {"y": y, "x": x, "crs": crs}


def _field(
    path: Path, settings: FileSettings, quantity: str, bands: list[_Band], lattice: dict[str, Any]
) -> Field:
    where = f"{path.name}: {bands[0].name}"
    stamps = np.array([band.time for band in bands], "datetime64[ns]")
    if np.isnat(stamps).any():
        raise SourceError(f"{where}: band {bands[0].number} has no time; write dates into the descriptions")
    times, first = np.unique(stamps, return_index=True)
    numbers = np.array([band.number for band in bands])[first]
    usual = USUAL_UNITS.get(re.split(r"[_.-]", path.stem)[0].lower(), "")
    unit = settings.units.get(quantity) or bands[0].unit or usual
    load, added = converted(quantity, unit, where, partial(_load, path, numbers))
    ends = is_grib(path) and quantity == "precipitation"
    hourly = ends and added and bands[0].name == "tp"
    return Field(where=where, times=times, load=load, added=added, ends=ends, hourly=hourly, **lattice)


def _load(
    path: Path, numbers: NDArray[np.int64], times: Index, rows: Index, columns: Index
) -> NDArray[np.float64]:
    """Read (time, y, x) in turns, so that few whole fields are in memory at once."""
    wanted, parts, start = numbers[times], [], 0
    while start < wanted.size:
        with _opened(path) as source:
            turn = max(1, _AT_ONCE // (8 * source.height * source.width))
            bands = [int(number) for number in wanted[start : start + turn]]
            parts.append(by_runs(partial(_window, source, bands), rows, columns))
        start += turn
    return np.concatenate(parts)


def _window(source: Any, bands: list[int], rows: slice, columns: slice) -> NDArray[np.float64]:
    window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    values = source.read(bands, window=window, masked=True).astype(np.float64)
    scale, offset = (
        np.array([getattr(source, name)[band - 1] for band in bands])[:, None, None]
        for name in ("scales", "offsets")
    )
    return np.asarray(values.filled(np.nan) * scale + offset)
