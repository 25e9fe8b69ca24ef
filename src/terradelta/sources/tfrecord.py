"""Records of the published data set into a cube: one record is one place with five acquisitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import CRSError

from terradelta.cube import (
    SarAcquisition,
    append_all,
    create_cube,
    write_static,
    write_weather,
)
from terradelta.cube.acquisitions import as_time
from terradelta.errors import InputError, SourceError
from terradelta.sources.layers import Decoding
from terradelta.sources.problems import OnError
from terradelta.sources.reading import decode
from terradelta.sources.report import FillReport
from terradelta.sources.units import check_plausible
from terradelta.tfrecord import RawRecord, read_raw
from terradelta.types import PathType

__all__ = ["SIDE", "choose_record", "grid_of", "holds_records", "import_record", "weather_of"]

SIDE = 3000.0
"""Side of the square that a sample shows, in metres."""

_BANDS = ("VV", "VH")
_UTM_LATITUDE = 84.0


def holds_records(path: PathType) -> bool:
    """Tell by its name whether a file holds TFRecords.

    Examples
    --------
    >>> holds_records("train.1.tfrecord.GZIP"), holds_records("dem.tif")
    (True, False)
    """
    path = Path(path)
    return ".tfrecord" in path.name.lower() and not path.is_dir()


def import_record(
    cube: PathType,
    source: PathType,
    *,
    record: int | None = None,
    crs: str | None = None,
    on_error: OnError = "stop",
    progress: Callable[[int, int, str], None] | None = None,
) -> FillReport:
    """Bring one raw record into a cube, which is made if it is not there.

    Decibel become linear power. Elevation and forest become the static layers ``dem`` and ``forest``. The
    weather of the acquisitions' days becomes the group ``weather``, see `weather_of`. Simulated change and
    predictions in the record are left out.

    Parameters
    ----------
    cube : path
        The cube; if it is there, it must lie on the record's grid.
    source : path
        TFRecord file of raw samples.
    record : int, optional
        Which record, from 1; may be left out if there is only one.
    crs : str, optional
        CRS of the cube, metres; by default the UTM zone of the place.
    on_error : {"stop", "skip"}
        What to do with damaged records in front of the one that is wanted.
    progress : callable, optional
        Called with (done, total, what).

    Returns
    -------
    FillReport
        What came of it; the same call again changes nothing.

    Raises
    ------
    SourceError
        The file or the record cannot be read, it is not raw, its place, a time or a value cannot be, or
        there are several records and none is chosen.
    ConflictError
        The cube lies elsewhere or holds other data.
    """
    chosen = choose_record(source, record, on_error)
    grid = grid_of(chosen, crs)
    where = str(source)
    images = list(_acquisitions(chosen, where))
    weather, notes = weather_of(chosen, where)
    if chosen.simulated_change_image is not None or chosen.target_image_prediction is not None:
        notes.append(f"{where}: simulated change and prediction of the record are left out of the cube")
    create_cube(cube, grid)
    if progress:
        progress(0, 1, "record")
    outcomes = append_all(cube, images)
    write_static(cube, "dem", chosen.dem_rast, units="m", description=f"from {Path(source).name}")
    write_static(cube, "forest", _forest(chosen), units="1", description=f"from {Path(source).name}")
    write_weather(cube, weather)
    if progress:
        progress(1, 1, "done")
    return FillReport(
        Path(cube),
        added=outcomes.count("added"),
        skipped=outcomes.count("skipped"),
        warnings=tuple(notes),
        static=("dem", "forest"),
        weather_days=int(weather.sizes["day"]),
    )


def choose_record(path: PathType, number: int | None, on_error: OnError = "stop") -> RawRecord:
    """Read the record that is meant.

    Parameters
    ----------
    path : path
        TFRecord file of raw samples.
    number : int or None
        From 1; damaged records that are skipped do not count. None: the only one.
    on_error : {"stop", "skip"}
        What to do with damaged records.

    Raises
    ------
    SourceError
        There is no such record, or there are several and none is chosen.
    """
    if number is not None and number < 1:
        raise SourceError(f"record {number} cannot be; the first is 1")
    found, count = None, 0
    for one in read_raw(path, damaged="refuse" if on_error == "stop" else "skip"):
        count += 1
        if number == count:
            return one
        if number is None and count > 1:
            raise SourceError(
                f"{path} holds more than one record, each another place; choose one, from 1 on: --record 1"
            )
        found = one
    if found is None:
        raise SourceError(f"{path} holds no record that can be read; give another file")
    if number is not None:
        raise SourceError(f"{path} holds {count} records; there is no record {number}")
    return found


def grid_of(record: RawRecord, crs: str | None = None) -> GeoBox:
    """Grid of a record: 3 × 3 km around its point, as many pixels as its images have.

    Parameters
    ----------
    record : RawRecord
        Its point is the middle of its images.
    crs : str, optional
        Metric CRS; by default the UTM zone of the place (WGS 84). The published data set of Finland was made
        in EPSG:3067.

    Raises
    ------
    SourceError
        The point is no place, too near a pole for UTM, or the CRS is unknown or not in metres.
    """
    latitude, longitude = record.location
    if crs is None:
        if abs(latitude) > _UTM_LATITUDE:
            raise SourceError(f"{record.image_location} lies beyond the UTM zones; give a CRS (--crs)")
        zone = min(int((longitude + 180) // 6) + 1, 60)
        crs = f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
    try:
        transformer = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    except CRSError as error:
        raise SourceError(f"{crs!r} is no CRS; give one such as EPSG:32635") from error
    target = transformer.target_crs
    if target is None or any(axis.unit_name != "metre" for axis in target.axis_info):
        raise SourceError(f"{crs} is not in metres; give a metric CRS such as EPSG:32635")
    east, north = (round(value, 3) for value in transformer.transform(longitude, latitude))
    rows, columns = record.dem_rast.shape
    place = Affine(SIDE / columns, 0, east - SIDE / 2, 0, -SIDE / rows, north + SIDE / 2)
    return GeoBox((rows, columns), place, crs)


def _forest(record: RawRecord) -> NDArray[Any]:
    """Forest as bytes where it is only 0 and 1, else as it is."""
    values = record.forestmask
    return values.astype(np.uint8) if np.isin(values, (0, 1)).all() else values


def _acquisitions(record: RawRecord, where: str) -> Iterator[SarAcquisition]:
    rows = _rows(record, where)
    stack = np.concatenate([record.input_image_stack, record.target_image])
    for at, row in enumerate(rows):
        decibel = stack[2 * at : 2 * at + 2]
        values = np.where(np.isfinite(decibel), decibel, np.float32(np.nan))
        yield SarAcquisition(
            bands=_BANDS, backscatter=decode(values, Decoding(unit="dB"), where), relative_orbit=0, **row
        )


def _rows(record: RawRecord, where: str) -> list[dict[str, Any]]:
    """Gather what is known about each acquisition, the target last."""
    headings = [*record.input_image_platform_headings, record.target_image_platform_heading]
    angles = [*record.input_image_incidence_angles, record.target_image_incidence_angle]
    platforms = [*record.input_image_mission_ids, record.target_image_mission_id]
    takes = [*record.input_image_data_take_ids, record.target_image_data_take_id]
    return [
        {
            "time": time,
            "heading": float(heading),
            "orbit_direction": _direction(float(heading)),
            "incidence_angle": float(angle),
            "platform": platform,
            "source_id": "_".join(part for part in (platform, take) if part),
        }
        for time, heading, angle, platform, take in zip(
            _times(record, where), headings, angles, platforms, takes, strict=True
        )
    ]


def _times(record: RawRecord, where: str) -> list[np.datetime64]:
    texts = (*record.input_image_start_times, record.target_image_start_time)
    try:
        return [as_time(text) for text in texts]
    except InputError as error:
        raise SourceError(f"{where}: a start time is unreadable: {error}") from error


def _direction(heading: float) -> str:
    """Descending passes head south: more than 90° away from north."""
    if not np.isfinite(heading):
        return ""
    return "descending" if abs((heading + 180) % 360 - 180) > 90 else "ascending"


def weather_of(record: RawRecord, where: str = "") -> tuple[xr.Dataset, list[str]]:
    """Give the daily weather that a record tells of.

    A record tells temperature and snow depth of each acquisition's day, and precipitation of it and the three
    days before. Where two acquisitions tell different values of one day, the one nearer to that day counts
    (its own day before the day after), of two that are as near the later one.

    Parameters
    ----------
    record : RawRecord
        The record.
    where : str
        Name of the file, for messages.

    Returns
    -------
    tuple of xarray.Dataset and list of str
        ``temperature`` (°C), ``snow_depth`` (cm) and ``precipitation`` (mm/day) by day, NaN where unknown;
        and a line for each quantity whose values disagree.

    Raises
    ------
    SourceError
        A time is unreadable, or a value is no weather on Earth.
    """
    days = [time.astype("datetime64[D]") for time in _times(record, where)]
    rain = np.vstack([record.input_image_precipitations, record.target_image_precipitations])
    tables = {
        "temperature": [*record.input_image_temperatures, record.target_image_temperature],
        "snow_depth": [*record.input_image_snow_depths, record.target_image_snow_depth],
        "precipitation": rain,
    }
    values: dict[str, dict[np.datetime64, float]] = {}
    notes = []
    for name, table in tables.items():
        values[name], differing = _by_day(days, np.asarray(table, float).reshape(len(days), -1))
        if differing:
            shown = ", ".join(map(str, differing[:3])) + (", ..." if len(differing) > 3 else "")
            notes.append(
                f"{where}: acquisitions tell different {name} of {shown}; the nearest acquisition counts"
            )
    every = sorted({day for known in values.values() for day in known})
    columns = {}
    for name, known in values.items():
        column = np.array([known.get(day, np.nan) for day in every])
        check_plausible(name, column, where)
        columns[name] = ("day", column)
    return xr.Dataset(columns, {"day": np.array(every, "datetime64[ns]")}), notes


def _by_day(
    days: list[np.datetime64], table: NDArray[np.float64]
) -> tuple[dict[np.datetime64, float], list[np.datetime64]]:
    """Value of each day, and the days told differently; `table` is (acquisition, days before)."""
    found: dict[np.datetime64, float] = {}
    differing: set[np.datetime64] = set()
    for before in range(table.shape[1]):
        nearer = set(found)
        for day, value in zip(days, table[:, before], strict=True):
            told = day - before
            if not np.isfinite(value):
                continue
            if told in found and np.float32(found[told]) != np.float32(value):
                differing.add(told)
            if told not in nearer:
                found[told] = float(value)
    return found, sorted(differing)
