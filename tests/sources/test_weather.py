from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.cube import open_cube
from terradelta.errors import SourceError
from terradelta.sources import build_cube, import_into, read_weather, scan
from terradelta.sources.units import conversion

UTM = GeoBox((20, 30), Affine(30, 0, 500_000, 0, -30, 5_000_000), "EPSG:32631")


@pytest.mark.parametrize(
    ("quantity", "unit", "value", "expected"),
    [
        ("temperature", "K", 273.15, 0),
        ("temperature", "degrees_C", 4, 4),
        ("temperature", "°C", 4, 4),
        ("precipitation", "kg m-2 s-1", 1 / 86400, 1),
        ("precipitation", "kg m**-2 s**-1", 1 / 86400, 1),
        ("precipitation", "m", 0.002, 2),
        ("precipitation", "mm d-1", 2, 2),
        ("precipitation", "mm/day", 2, 2),
        ("precipitation", "mm day-1", 2, 2),
        ("precipitation", "kg/m2", 2, 2),
        ("precipitation", "mm h-1", 1, 24),
        ("snow_depth", "m", 0.3, 30),
        ("snow_depth", "mm", 30, 3),
    ],
)
def test_units(quantity: str, unit: str, value: float, expected: float):
    factor, summand, _ = conversion(quantity, unit, "here")
    assert value * factor + summand == pytest.approx(expected)


def hourly(path: Path) -> Path:
    """Two days of hourly ERA5 on a longitude-latitude grid, rows from north to south."""
    hours = pd.date_range("2020-01-01", periods=48, freq="h")
    shape = (48, 5, 6)
    rng = np.random.default_rng(0)
    dims = ("valid_time", "latitude", "longitude")
    xr.Dataset(
        {
            "t2m": (dims, 270 + rng.random(shape), {"units": "K"}),
            "tp": (dims, 1e-4 * rng.random(shape), {"units": "m"}),
            "sde": (dims, rng.random(shape), {"units": "m"}),
            "sd": (dims, rng.random(shape), {"units": "m of water equivalent"}),
        },
        coords={
            "valid_time": hours,
            "latitude": 46 - 0.25 * np.arange(5),
            "longitude": 2.5 + 0.25 * np.arange(6),
        },
    ).to_netcdf(path)
    return path


def test_hourly_fields_become_days(tmp_path: Path):
    file = hourly(tmp_path / "era5.nc")
    raw = xr.open_dataset(file)
    weather = read_weather(file)
    assert set(weather.data_vars) == {"temperature", "precipitation", "snow_depth"}
    assert weather.temperature.dims == ("day", "y", "x")
    day = slice(24, 48)
    assert np.allclose(weather.temperature[1], raw.t2m[day].mean("valid_time") - 273.15, atol=1e-4)
    assert np.allclose(weather.precipitation[1], raw.tp[day].sum("valid_time") * 1000, atol=1e-5)
    assert np.allclose(weather.snow_depth[1], raw.sde[day].mean("valid_time") * 100, atol=1e-4)
    assert weather.odc.crs.epsg == 4326


def test_fields_are_cut_to_the_cube_and_stored(tmp_path: Path, write_tif, speckle):
    write_tif(tmp_path / "in" / "a_20200101_VV.tif", speckle())
    hourly(tmp_path / "in" / "era5.nc")
    report = build_cube(tmp_path / "in", tmp_path / "c.zarr")
    assert report.weather_days == 2
    weather = open_cube(tmp_path / "c.zarr")["weather"]
    assert weather.sizes["y"] <= 3
    assert weather.sizes["x"] <= 3
    assert float(abs(weather.y - 45.15).min()) < 0.25
    far = UTM.to_crs("EPSG:4326")
    far = GeoBox(far.shape, Affine.translation(90, 0) @ far.affine, "EPSG:4326")
    with pytest.raises(SourceError, match="does not reach"):
        read_weather(tmp_path / "in" / "era5.nc", near=far)


def test_csv_with_units_in_its_heading_or_in_the_settings(tmp_path: Path, write_tif, speckle):
    file = tmp_path / "station.csv"
    file.write_text("date,tavg,prcp (mm),remark\n2020-01-02,1.5,0,x\n2020-01-01,2.5,,y\n")
    with pytest.raises(SourceError, match=r"station\.csv: tavg has no unit.*units: \{temperature"):
        read_weather(file)
    weather = read_weather(file, sidecar={"units": {"temperature": "degC"}})
    assert weather.temperature.values.tolist() == [2.5, 1.5]
    assert np.isnan(weather.precipitation.values[0])
    other = tmp_path / "other.csv"
    other.write_text("tag;x\n1;2\n")
    with pytest.raises(SourceError, match=r"other\.csv: no temperature"):
        read_weather(other)
    file.write_text("date,temperature [degC]\n2020-01-01,1\nyesterday,2\n")
    with pytest.raises(SourceError, match=r"station\.csv: a day or number"):
        read_weather(file)


def test_csv_with_days_as_whole_numbers_and_empty_lines(tmp_path: Path):
    file = tmp_path / "station.csv"
    file.write_text("date,temperature [degC]\n20200101,1\n20200102,2\n,\n")
    weather = read_weather(file)
    assert weather.day.values.astype("datetime64[D]").astype(str).tolist() == ["2020-01-01", "2020-01-02"]
    assert weather.temperature.values.tolist() == [1, 2]
    for line in ("2020001,1", "1577836800,1", "2020,1", ",1"):
        file.write_text(f"date,temperature [degC]\n{line}\n")
        with pytest.raises(SourceError, match=r"station\.csv: a day or number cannot be understood"):
            read_weather(file)


def test_the_wrong_unit_is_found_by_implausible_values(tmp_path: Path):
    file = tmp_path / "w.csv"
    file.write_text("day,temperature [degC]\n2020-01-01,280\n")
    with pytest.raises(SourceError, match="280"):
        read_weather(file)
    file.write_text("day,temperature [furlong]\n2020-01-01,280\n")
    with pytest.raises(SourceError, match="furlong"):
        read_weather(file)


def test_tables_of_something_else_are_left_alone(tmp_path: Path, write_tif, speckle):
    write_tif(tmp_path / "a_20200101_VV.tif", speckle())
    (tmp_path / "acquisitions.csv").write_text("burst_id,satellite\nx,S1A\n")
    plan = scan(tmp_path)
    assert plan.weather == ()
    assert not any("acquisitions" in line for line in plan.warnings)


def test_era5_points(shared: Path):
    file = shared / "data/era5_daily_points/daily_surface_cancities_1990-1993.nc"
    with pytest.raises(SourceError, match=r"5 places .*Halifax"):
        read_weather(file)
    with pytest.raises(SourceError, match="no place 'Paris'"):
        read_weather(file, location="Paris")
    raw = xr.open_dataset(file).sel(location="Halifax")
    weather = read_weather(file, location="Halifax")
    assert np.allclose(weather.temperature, raw.tas - 273.15, atol=1e-3)
    assert np.allclose(weather.precipitation, raw.pr * 86400, atol=1e-3)
    assert np.allclose(weather.snow_depth, raw.snd * 100, atol=1e-3)
    halifax = GeoBox((9, 9), Affine(0.001, 0, -63.6, 0, -0.001, 44.65), "EPSG:4326")
    assert read_weather(file, near=halifax).identical(weather)


def test_agera5_of_one_cell(shared: Path):
    folder = shared / "data/worldcereal_s1_s2_agera5/00002806639B424A"
    file = next(folder.glob("AgERA5*.nc"))
    raw = xr.open_dataset(file)
    weather = read_weather(file)
    assert weather.temperature.dims == ("day",)
    assert np.allclose(weather.temperature, raw.temperature_mean[:, 0, 0] - 273.15, atol=1e-3)
    assert np.allclose(weather.precipitation, raw.precipitation_flux[:, 0, 0], atol=1e-4)
    wet_snow = weather.sel(day="2017-12-11")
    assert float(wet_snow.precipitation) == pytest.approx(25, abs=2)
    assert float(wet_snow.temperature) == pytest.approx(1, abs=1)


def test_weather_alone_can_be_imported_into_a_cube(tmp_path: Path, write_tif, speckle):
    write_tif(tmp_path / "in" / "a_20200101_VV.tif", speckle())
    build_cube(tmp_path / "in", tmp_path / "c.zarr")
    file = tmp_path / "w.csv"
    file.write_text("day,temperature [K]\n2020-01-01,273.15\n")
    assert import_into(tmp_path / "c.zarr", file).weather_days == 1
    assert open_cube(tmp_path / "c.zarr")["weather"].temperature.values.tolist() == [0.0]
    with pytest.raises(SourceError, match="weather only"):
        scan(file)
