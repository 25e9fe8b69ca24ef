"""What makes a day: against slow loops over every stamp, day and cell."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources import read_weather

DIMS = ("valid_time", "latitude", "longitude")
LATITUDES = 46 - 0.25 * np.arange(4)
LONGITUDES = 2.5 + 0.25 * np.arange(5)
ECMWF = {"units": "m", "long_name": "Total precipitation", "GRIB_paramId": 228}


def grid_at(longitude: float, latitude: float, edge: float = 0.3) -> GeoBox:
    step = edge / 10
    return GeoBox((20, 20), Affine(step, 0, longitude - edge, 0, -step, latitude + edge), "EPSG:4326")


def hours_of(start: str, count: int, freq: str = "h") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=count, freq=freq)


def rain(count: int, seed: int = 0, cells: tuple[int, int] = (4, 5)) -> np.ndarray:
    """Amounts of every hour in m: mostly dry, with showers."""
    rng = np.random.default_rng(seed)
    return rng.gamma(0.7, 1e-3, (count, *cells)) * (rng.random((count, *cells)) < 0.4)


def dataset(times: Any, **variables: Any) -> xr.Dataset:
    coords = {"valid_time": times, "latitude": LATITUDES, "longitude": LONGITUDES}
    return xr.Dataset({k: (DIMS, *v) for k, v in variables.items()}, coords=coords)


def slow_sum(times: pd.DatetimeIndex, values: np.ndarray) -> dict[str, np.ndarray]:
    """Amounts of the hours that end after 00 UTC and until 00 UTC of the next day, whole days only."""
    days: dict[str, list[np.ndarray]] = {}
    for time, value in zip(times, values, strict=True):
        day = str((time - pd.Timedelta(seconds=1)).date())
        days.setdefault(day, []).append(value)
    return {day: sum(parts) * 1000 for day, parts in days.items() if len(parts) == 24}


def since_midnight(times: pd.DatetimeIndex, hourly: np.ndarray) -> np.ndarray:
    """Amounts since 00 UTC; that of 00 UTC is the whole day before."""
    total, out = np.zeros(hourly.shape[1:]), []
    for time, value in zip(times, hourly, strict=True):
        total = value if time.hour == 1 else total + value
        out.append(total)
    return np.stack(out)


def assert_days(weather: xr.DataArray, expected: dict[str, np.ndarray]) -> None:
    assert [str(day)[:10] for day in weather.day.values] == sorted(expected)
    for day, values in expected.items():
        assert np.allclose(weather.sel(day=day), values, atol=1e-4), day


def test_hourly_amounts_of_ecmwf_belong_to_the_hour_before(tmp_path: Path, caplog):
    times, values = hours_of("2020-02-28", 24 * 4), rain(24 * 4)
    dataset(times, tp=(values, ECMWF)).to_netcdf(tmp_path / "era5.nc")
    with caplog.at_level(logging.WARNING):
        weather = read_weather(tmp_path / "era5.nc")
    assert_days(weather.precipitation, slow_sum(times, values))
    assert [str(day)[:10] for day in weather.day.values] == ["2020-02-28", "2020-02-29", "2020-03-01"]
    assert "2 days are not whole and left out, the first 2020-02-27 with 1 of 24 values" in caplog.text


@pytest.mark.parametrize("labelled", [True, False])
def test_amounts_since_midnight_are_found_by_their_values(tmp_path: Path, labelled: bool):
    times, hourly = hours_of("2021-12-30T01", 24 * 5), rain(24 * 5)
    attributes = ECMWF if labelled else {"units": "m"}
    file = tmp_path / "land.nc"
    dataset(times, tp=(since_midnight(times, hourly), attributes)).to_netcdf(file)
    expected = slow_sum(times, hourly)
    assert_days(read_weather(file).precipitation, expected)
    assert_days(read_weather(file, accumulated="day").precipitation, expected)
    place = read_weather(file, near=grid_at(2.75, 45.5), grid=False).precipitation
    assert_days(place, {day: value[2, 1] for day, value in expected.items()})


def test_every_sixth_hour_is_enough_since_midnight_but_no_day_of_hourly_amounts(tmp_path: Path):
    times, hourly = hours_of("2021-06-01T01", 24 * 12), rain(24 * 12, seed=3)
    every = times.hour % 6 == 0
    land, hour = tmp_path / "land.nc", tmp_path / "hour.nc"
    dataset(times[every], tp=(since_midnight(times, hourly)[every], ECMWF)).to_netcdf(land)
    dataset(times[every], tp=(hourly[every], ECMWF)).to_netcdf(hour)
    assert_days(read_weather(land).precipitation, slow_sum(times, hourly))
    with pytest.raises(SourceError, match=r"hour\.nc: tp: amounts of one hour every 6 hours make no day"):
        read_weather(hour)
    told = read_weather(hour, sidecar={"accumulated": "step"})
    assert float(told.precipitation[0, 0, 0]) == pytest.approx(hourly[every][:4, 0, 0].sum() * 1000, abs=1e-4)


def test_midnight_alone_is_the_day_before_if_it_is_said(tmp_path: Path):
    times, hourly = hours_of("2021-06-01T01", 24 * 3), rain(24 * 3)
    at = times.hour == 0
    file = tmp_path / "land.nc"
    dataset(times[at], tp=(since_midnight(times, hourly)[at], ECMWF)).to_netcdf(file)
    assert_days(read_weather(file, accumulated="day").precipitation, slow_sum(times, hourly))
    assert str(read_weather(file).day.values[0])[:10] == "2021-06-02"


def test_too_few_days_to_tell_are_refused(tmp_path: Path):
    times = hours_of("2021-06-01T01", 24)
    values = np.zeros((24, 4, 5))
    values[-3:] = np.array([1e-3, 2e-3, 3e-3])[:, None, None]
    file = tmp_path / "one.nc"
    dataset(times, tp=(values, ECMWF)).to_netcdf(file)
    with pytest.raises(SourceError, match=r"too few days .* 'accumulated: step'"):
        read_weather(file)
    assert float(read_weather(file, accumulated="step").precipitation[0, 0, 0]) == pytest.approx(6)
    assert float(read_weather(file, accumulated="day").precipitation[0, 0, 0]) == pytest.approx(3)
    values[-2:] = 0
    dataset(times, tp=(values, ECMWF)).to_netcdf(tmp_path / "dry.nc")
    assert float(read_weather(tmp_path / "dry.nc").precipitation[0, 0, 0]) == pytest.approx(1)


def test_rates_are_averaged_over_the_hours_before(tmp_path: Path):
    times, values = hours_of("2020-01-01T01", 48), rain(48)
    attributes = {"units": "kg m**-2 s**-1", "long_name": "Time-mean total precipitation rate"}
    dataset(times, avg_tprate=(values * 1000 / 3600, attributes)).to_netcdf(tmp_path / "rate.nc")
    assert_days(read_weather(tmp_path / "rate.nc").precipitation, slow_sum(times, values))


def test_days_that_are_not_whole_or_missing_are_left_out(tmp_path: Path):
    times = hours_of("2020-01-01", 24 * 6)
    keep = (times.day != 3) & ~((times.day == 5) & (times.hour < 7))
    rng = np.random.default_rng(1)
    values = 270 + 20 * rng.random((times.size, 4, 5))
    values[2, 0, 0] = np.nan
    file = tmp_path / "t.nc"
    dataset(times[keep], t2m=(values[keep], {"units": "K"})).to_netcdf(file)
    weather = read_weather(file).temperature
    assert [int(str(day)[8:10]) for day in weather.day.values] == [1, 2, 4, 6]
    assert np.isnan(weather.values[0, 0, 0])
    for number, day in enumerate([1, 2, 4, 6]):
        expected = np.mean([v for t, v in zip(times, values, strict=True) if t.day == day], axis=0) - 273.15
        assert np.allclose(weather[number], expected, atol=1e-4, equal_nan=True)
    dataset(times[1:9], t2m=(values[1:9], {"units": "K"})).to_netcdf(tmp_path / "part.nc")
    with pytest.raises(SourceError, match=r"part\.nc: t2m: no whole day .*2020-01-01 has 8 of 24 values"):
        read_weather(tmp_path / "part.nc")


def test_monthly_files_are_joined_over_midnight_and_cut_to_the_period(tmp_path: Path):
    times = hours_of("2020-01-01", 24 * 91)
    values, warm = rain(times.size), 280 + np.random.default_rng(2).random((times.size, 4, 5))
    for month in (1, 2, 3):
        of = times.month == month
        dataset(times[of], tp=(values[of], ECMWF), t2m=(warm[of], {"units": "K"})).to_netcdf(
            tmp_path / f"era5_2020_{month:02d}.nc"
        )
    (tmp_path / "read-me.txt").write_text("x")
    weather = read_weather(tmp_path)
    assert_days(weather.precipitation.dropna("day"), slow_sum(times, values))
    assert weather.temperature.notnull().all()
    part = read_weather(tmp_path, period=("2020-01-30", "2020-02-02T10:00"))
    assert [str(day)[5:10] for day in part.day.values] == ["01-30", "01-31", "02-01", "02-02"]
    assert part.identical(weather.sel(day=slice("2020-01-30", "2020-02-02")))
    files = sorted(tmp_path.glob("*.nc"))
    assert read_weather(files[::-1], period=("2020-01-30", "2020-02-03")).identical(part)
    with pytest.raises(SourceError, match="is empty"):
        read_weather(files, period=("2020-02-01", "2020-02-01"))
    with pytest.raises(SourceError, match="no whole day in the period"):
        read_weather(files, period=("2021-02-01", "2021-03-01"))


def test_versions_of_one_time_fill_each_other(tmp_path: Path):
    times = hours_of("2020-01-01", 48)
    values = 270 + np.random.default_rng(0).random((48, 4, 5))
    final, early = values.copy(), values + 1
    final[30:] = np.nan
    early[:30] = np.nan
    both = xr.Dataset(
        {"t2m": (("valid_time", "expver", *DIMS[1:]), np.stack([final, early], axis=1), {"units": "K"})},
        coords={"valid_time": times, "expver": [1, 5], "latitude": LATITUDES, "longitude": LONGITUDES},
    ).assign_coords(number=0)
    both.to_netcdf(tmp_path / "mix.nc")
    expected = np.where(np.isnan(final), early, final)[24:].mean(axis=0) - 273.15
    assert np.allclose(read_weather(tmp_path / "mix.nc").temperature[1], expected, atol=1e-4)
    dataset(times[:30], t2m=(final[:30], {"units": "K"})).to_netcdf(tmp_path / "a.nc")
    dataset(times[20:], t2m=(early[20:] + 5, {"units": "K"})).to_netcdf(tmp_path / "b.nc")
    dataset(times[20:], t2m=(early[20:], {"units": "K"})).to_netcdf(tmp_path / "c.nc")
    weather = read_weather([tmp_path / "a.nc", tmp_path / "c.nc", tmp_path / "b.nc"])
    assert np.allclose(weather.temperature[1], expected, atol=1e-4)


def test_forecasts_and_their_steps_become_valid_times(tmp_path: Path):
    """As cfgrib writes ERA5-Land: days × steps of 1 to 24 hours."""
    hourly = rain(72)
    times = hours_of("2020-01-01T01", 72)
    counted = since_midnight(times, hourly).reshape(3, 24, 4, 5)
    days, steps = hours_of("2020-01-01", 3, "D"), np.arange(1, 25)
    data = xr.Dataset(
        {"tp": (("time", "step", "latitude", "longitude"), counted, {"units": "m"})},
        coords={"time": days, "step": ("step", steps.astype(float), {"units": "hours"}),
                "latitude": LATITUDES, "longitude": LONGITUDES},
    )  # fmt: skip
    data.to_netcdf(tmp_path / "steps.nc")
    assert_days(read_weather(tmp_path / "steps.nc").precipitation, slow_sum(times, hourly))
    data["valid_time"] = (("time", "step"), times.values.reshape(3, 24))
    data.set_coords("valid_time").drop_vars("step").to_netcdf(tmp_path / "valid.nc")
    assert_days(read_weather(tmp_path / "valid.nc").precipitation, slow_sum(times, hourly))


def test_bounds_tell_that_stamps_are_ends(tmp_path: Path):
    times, values = hours_of("2020-01-01T03", 16, "3h"), rain(16)
    data = dataset(times, pr=(values * 1000, {"units": "mm"}))
    data["valid_time"].attrs["bounds"] = "bnds"
    data["bnds"] = (("valid_time", "two"), np.stack([times - pd.Timedelta("3h"), times], axis=1))
    data.to_netcdf(tmp_path / "b.nc")
    weather = read_weather(tmp_path / "b.nc", accumulated="step")
    assert np.allclose(weather.precipitation, values.reshape(2, 8, 4, 5).sum(axis=1) * 1000, atol=1e-4)


def test_leap_days_count_and_other_calendars_are_refused_by_name(tmp_path: Path):
    times = hours_of("2020-02-28", 3, "D")
    dataset(times, t2m=(np.full((3, 4, 5), 280.0), {"units": "K"})).to_netcdf(tmp_path / "leap.nc")
    assert str(read_weather(tmp_path / "leap.nc").day.values[1])[:10] == "2020-02-29"
    attributes = {"units": "days since 2020-01-01", "calendar": "noleap"}
    for name in ("noleap.nc", "noleap.zarr"):
        data = xr.Dataset(
            {"tas": (("time",), [280.0, 281.0], {"units": "K"})},
            coords={"time": ("time", [0, 1], attributes)},
        )
        _ = data.to_netcdf(tmp_path / name) if name.endswith("nc") else data.to_zarr(tmp_path / name)
        with pytest.raises(SourceError, match=f"{name}: its calendar 'noleap'"):
            read_weather(tmp_path / name)


def test_months_and_ensembles_are_refused(tmp_path: Path):
    dataset(hours_of("2020-01-01", 5, "MS"), t2m=(np.full((5, 4, 5), 280.0), {"units": "K"})).to_netcdf(
        tmp_path / "monthly.nc"
    )
    with pytest.raises(SourceError, match=r"30\.5 days apart"):
        read_weather(tmp_path / "monthly.nc")
    xr.Dataset(
        {"t2m": (("number", "valid_time"), np.full((3, 2), 280.0), {"units": "K"})},
        coords={"number": [0, 1, 2], "valid_time": hours_of("2020-01-01", 2, "D")},
    ).to_netcdf(tmp_path / "members.nc")
    with pytest.raises(SourceError, match="3 members"):
        read_weather(tmp_path / "members.nc")


def test_water_in_the_snow_is_no_depth_without_its_density(tmp_path: Path, caplog):
    times = hours_of("2020-01-01", 48)
    rng = np.random.default_rng(4)
    water, density = 0.2 * rng.random((48, 4, 5)), 100 + 300 * rng.random((48, 4, 5))
    water[:, 0, 0] = 0
    density[:, 0, 0] = np.nan
    parts = {
        "sd": (water, {"units": "m of water equivalent", "long_name": "Snow depth"}),
        "rsn": (density, {"units": "kg m**-3"}),
        "t2m": (np.full(water.shape, 270.0), {"units": "K"}),
    }
    file = tmp_path / "s.nc"
    dataset(times, **parts).to_netcdf(file)
    depth = read_weather(file).snow_depth
    for day in (0, 1):
        for row in range(4):
            for column in range(5):
                hours = range(24 * day, 24 * day + 24)
                cm = [100 * 1000 * water[h, row, column] / density[h, row, column] for h in hours]
                expected = 0 if (row, column) == (0, 0) else sum(cm) / 24
                assert float(depth[day, row, column]) == pytest.approx(expected, rel=1e-4)
    dataset(times, sd=parts["sd"], t2m=parts["t2m"]).to_netcdf(tmp_path / "no.nc")
    with caplog.at_level(logging.WARNING):
        assert list(read_weather(tmp_path / "no.nc").data_vars) == ["temperature"]
    assert "no.nc: sd is the water in the snow" in caplog.text
    dataset(times, snow_depth=parts["sd"]).to_netcdf(tmp_path / "only.nc")
    with pytest.raises(SourceError, match="water in the snow, no depth"):
        read_weather(tmp_path / "only.nc")
    dataset(times, snow_depth=parts["sd"]).to_netcdf(tmp_path / "two.nc")
    dataset(times, rsn=parts["rsn"]).to_netcdf(tmp_path / "three.nc")
    both = read_weather([tmp_path / "two.nc", tmp_path / "three.nc"]).snow_depth
    assert np.allclose(both, depth, equal_nan=True)


def test_amounts_of_one_source_and_rates_of_another_fill_each_other(tmp_path: Path):
    (tmp_path / "a.csv").write_text("day,prcp (mm)\n2020-01-01,1\n2020-01-02,\n")
    (tmp_path / "b.csv").write_text("day,prcp (mm/day)\n2020-01-02,2\n2020-01-03,3\n")
    weather = read_weather([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert weather.precipitation.values.tolist() == [1, 2, 3]
    (tmp_path / "c.csv").write_text("day,prcp (mm)\n2020-01-02,2\n2020-01-02,3\n")
    with pytest.raises(SourceError, match=r"2020-01-02.* twice"):
        read_weather(tmp_path / "c.csv")


def test_long_series_are_read_in_blocks(tmp_path: Path, monkeypatch):
    from terradelta.sources.weather import days

    times, values = hours_of("2020-01-01", 24 * 20), rain(24 * 20)
    dataset(times, tp=(values, ECMWF)).to_netcdf(tmp_path / "era5.nc")
    whole = read_weather(tmp_path / "era5.nc")
    monkeypatch.setattr(days, "_AT_ONCE", 8 * 20 * 60)
    assert read_weather(tmp_path / "era5.nc").identical(whole)
    monkeypatch.setattr(days, "_AT_ONCE", 1)
    assert read_weather(tmp_path / "era5.nc").identical(whole)
