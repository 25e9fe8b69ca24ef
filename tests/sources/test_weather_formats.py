"""GRIB, Zarr, GeoTIFF and the grids of products, and what a place needs of them."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError, UnavailableError
from terradelta.sources import build_cube, read_weather

_SPEC = importlib.util.spec_from_file_location("grib_writer", Path(__file__).with_name("grib_writer.py"))
assert _SPEC is not None and _SPEC.loader is not None
grib = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(grib)

LATITUDES = 46 - 0.25 * np.arange(5)
LONGITUDES = 2.5 + 0.25 * np.arange(6)
UTM = GeoBox((20, 30), Affine(30, 0, 500_000, 0, -30, 5_000_000), "EPSG:32631")


def place(longitude: float, latitude: float, edge: float = 0.1) -> GeoBox:
    step = edge / 10
    return GeoBox((20, 20), Affine(step, 0, longitude - edge, 0, -step, latitude + edge), "EPSG:4326")


def write_era5_land(path: Path, days: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hours of 2T, and TP since 00 UTC, of days from 2020-01-01 on; a cell over the sea."""
    rng = np.random.default_rng(0)
    warm = 270 + 20 * rng.random((24 * days, 5, 6))
    hourly = rng.gamma(0.7, 1e-3, (days, 24, 5, 6)) * (rng.random((days, 24, 5, 6)) < 0.5)
    counted = hourly.cumsum(axis=1)
    warm[:, 0, 0] = counted[:, :, 0, 0] = np.nan
    with path.open("wb") as file:
        for day in range(days):
            for hour in range(24):
                start = f"2020-01-{day + 1:02d}T"
                field = warm[24 * day + hour]
                file.write(grib.message(field, LATITUDES, LONGITUDES, 167, f"{start}{hour:02d}"))
                rain = counted[day, hour]
                file.write(grib.message(rain, LATITUDES, LONGITUDES, 228, f"{start}00", hours=(0, hour + 1)))
    return warm, hourly, counted


def test_grib_1_of_era5_land(tmp_path: Path):
    file = tmp_path / "land.grib"
    warm, hourly, _ = write_era5_land(file)
    weather = read_weather(file)
    assert [str(day)[:10] for day in weather.day.values] == ["2020-01-01", "2020-01-02", "2020-01-03"]
    assert np.allclose(weather.y, LATITUDES)
    assert np.allclose(weather.x, LONGITUDES)
    assert weather.odc.crs.epsg == 4326
    for day in range(3):
        mean = sum(warm[24 * day + hour] for hour in range(24)) / 24 - 273.15
        total = sum(hourly[day, hour] for hour in range(24)) * 1000
        total[0, 0] = np.nan
        assert np.allclose(weather.temperature[day], mean, atol=1e-3, equal_nan=True)
        assert np.allclose(weather.precipitation[day], total, atol=1e-3, equal_nan=True)
    one = read_weather(file, near=UTM, grid=False, period=("2020-01-02", "2020-01-03"))
    part = read_weather(file, near=UTM)
    assert one.temperature.dims == ("day",)
    assert (one.sizes["day"], part.sizes["y"], part.sizes["x"]) == (1, 2, 3)


def test_grib_in_turns_in_folders_and_in_cubes(tmp_path: Path, monkeypatch, write_tif, speckle):
    from terradelta.sources.weather import rasters

    (tmp_path / "in").mkdir()
    write_era5_land(tmp_path / "in" / "land.grib")
    whole = read_weather(tmp_path / "in")
    monkeypatch.setattr(rasters, "_AT_ONCE", 8 * 5 * 6 * 7)
    assert read_weather(tmp_path / "in").identical(whole)
    write_tif(tmp_path / "in" / "a_20200101_VV.tif", speckle())
    assert build_cube(tmp_path / "in", tmp_path / "c.zarr").weather_days == 3
    (tmp_path / "bad.grib").write_bytes((tmp_path / "in" / "land.grib").read_bytes()[:40])
    with pytest.raises(SourceError, match=r"bad\.grib: cannot be read"):
        read_weather(tmp_path / "bad.grib")


def test_snow_in_grib_needs_its_density(tmp_path: Path):
    shape = (5, 6)
    water, density = np.full(shape, 0.05) + 1e-3 * np.arange(30).reshape(shape), np.full(shape, 250.0)
    density += np.arange(30).reshape(shape)

    def of(parameter: int, values: np.ndarray) -> bytes:
        times = [f"2020-01-01T{hour:02d}" for hour in range(24)]
        return b"".join(grib.message(values, LATITUDES, LONGITUDES, parameter, time) for time in times)

    (tmp_path / "s.grib").write_bytes(of(141, water))
    with pytest.raises(SourceError, match="water in the snow, no depth"):
        read_weather(tmp_path / "s.grib")
    (tmp_path / "s.grib").write_bytes(of(141, water) + of(33, density))
    assert np.allclose(read_weather(tmp_path / "s.grib").snow_depth[0], 1e5 * water / density, rtol=1e-4)


def test_grib_2_keeps_kelvin_and_other_heights_are_left_alone(tmp_path: Path):
    values = (np.arange(30).reshape(5, 6) + 270).astype(np.float32)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=3, height=5, width=6, dtype="float32", crs="EPSG:4326",
        transform=Affine(0.25, 0, 2.375, 0, -0.25, 46.125),
    ) as file:  # fmt: skip
        file.write(np.stack([values, values + 50, values / 100]))
    options = {}
    height = "0 0 2 255 255 0 0 1 0 103 0 {} 255 -127 -2147483647"
    rain = "1 52 2 255 255 0 0 1 0 1 0 0 255 -127 -2147483647"
    for band, template in enumerate([height.format(2), height.format(100), rain], start=1):
        options[f"BAND_{band}_IDS"] = (
            "CENTER=98(ECMWF) SUBCENTER=0 MASTER_TABLE=4 LOCAL_TABLE=0 SIGNF_REF_TIME=1 "
            "REF_TIME=2020-01-01T12:00:00Z PROD_STATUS=0 TYPE=1"
        )
        options |= {f"BAND_{band}_DISCIPLINE": "0", f"BAND_{band}_PDS_PDTN": "0"}
        options[f"BAND_{band}_PDS_TEMPLATE_ASSEMBLED_VALUES"] = template
    rasterio.shutil.copy(
        tmp_path / "a.tif",
        tmp_path / "a.grb2",
        driver="GRIB",
        DATA_ENCODING="IEEE_FLOATING_POINT",
        INPUT_UNIT="K",
        **options,
    )
    weather = read_weather(tmp_path / "a.grb2")
    assert np.allclose(weather.temperature[0], values - 273.15, atol=1e-3)


# Zarr


def global_store(path: Path, zarr_format: int) -> xr.Dataset:
    """A coarse Earth as ARCO-ERA5 lays it out: names in full, north first, 0 to 360 degrees east."""
    times = pd.date_range("2020-01-01T01", periods=96, freq="h")
    latitudes, longitudes = np.arange(90, -90.1, -10), np.arange(0, 360, 10.0)
    rng = np.random.default_rng(0)
    shape = (96, latitudes.size, longitudes.size)
    dims = ("time", "latitude", "longitude")
    data = xr.Dataset(
        {
            "2m_temperature": (dims, (260 + 30 * rng.random(shape)).astype("f4"), {"units": "K"}),
            "total_precipitation": (
                dims, (1e-3 * rng.random(shape)).astype("f4"),
                {"units": "m", "long_name": "Total precipitation"},
            ),
            "snow_depth": (dims, rng.random(shape).astype("f4"), {"units": "m of water equivalent"}),
        },
        coords={"time": times, "latitude": latitudes, "longitude": longitudes},
    )  # fmt: skip
    encoding = {name: {"chunks": (24, 5, 6)} for name in data.data_vars}
    data.to_zarr(path, zarr_format=zarr_format, consolidated=True, encoding=encoding)
    return data


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, list[str], list[int]]]:
    """A server of the folder: its address, what it was asked for, and how often it is still busy."""
    asked: list[str] = []
    busy: list[int] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path.split("?")[0])
            if busy and "/2m_temperature/" in self.path:
                self.send_error(busy.pop())
            else:
                super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked, busy
        server.shutdown()


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_gives_what_its_arrays_hold_and_only_that_is_fetched(tmp_path: Path, served, zarr_format: int):
    pytest.importorskip("aiohttp")
    raw = global_store(tmp_path / "era5.zarr", zarr_format)
    near, (address, asked, busy) = place(12, 44), served
    busy += [503, 429]
    weather = read_weather(f"{address}/era5.zarr", near=near, period=("2020-01-02", "2020-01-04"), grid=False)
    chunks = [path for path in asked if path.rstrip("/").split("/")[-1][0].isdigit()]
    assert len({path for path in chunks if "2m_temperature" in path}) == 3 * 2
    assert not any("snow" in path for path in chunks)
    cells = raw.sel(latitude=[50, 40], longitude=[10, 20])
    weights = np.outer([0.4, 0.6], [0.8, 0.2])
    for number, day in enumerate(["2020-01-02", "2020-01-03"]):
        warm = (cells["2m_temperature"].sel(time=day).values * weights).sum(axis=(1, 2)).mean() - 273.15
        stamps = pd.date_range(f"{day}T01", periods=24, freq="h")
        rain = (cells["total_precipitation"].sel(time=stamps).values * weights).sum() * 1000
        assert float(weather.temperature[number]) == pytest.approx(warm, abs=1e-3)
        assert float(weather.precipitation[number]) == pytest.approx(rain, rel=1e-4)
    assert weather.identical(
        read_weather(tmp_path / "era5.zarr", near=near, period=("2020-01-02", "2020-01-04"), grid=False)
    )


def test_servers_that_fail_are_told_without_secrets(tmp_path: Path, served, monkeypatch):
    pytest.importorskip("aiohttp")
    from terradelta.sources.weather import stores

    address, _, busy = served
    with pytest.raises(SourceError, match=r"none\.zarr: is no Zarr store"):
        read_weather(f"{address}/none.zarr", near=UTM)
    with pytest.raises(SourceError, match="has a query") as caught:
        read_weather(f"{address}/none.zarr?token=secret", near=UTM)
    assert "secret" not in str(caught.value)
    global_store(tmp_path / "era5.zarr", 2)
    monkeypatch.setattr(stores, "retried", lambda call: call())
    busy += [503] * 20
    with pytest.raises(UnavailableError, match=r"era5\.zarr: the server answers 503"):
        read_weather(f"{address}/era5.zarr", near=UTM, grid=False)


# places


def lattice(longitudes: np.ndarray, latitudes: np.ndarray, path: Path) -> xr.DataArray:
    values = np.add.outer(latitudes / 10, np.cos(np.radians(longitudes)))[None] + 280 + np.zeros((2, 1, 1))
    data = xr.Dataset(
        {"t2m": (("time", "lat", "lon"), values, {"units": "K"})},
        coords={"time": pd.date_range("2020-01-01", periods=2), "lat": latitudes, "lon": longitudes},
    )
    data.to_netcdf(path)
    return data.t2m


@pytest.mark.parametrize("start", [0, -180])
@pytest.mark.parametrize("longitude", [0.1, -0.2, 179.9, -179.95, 90.1])
def test_greenwich_and_the_antimeridian_are_no_edges(tmp_path: Path, start: float, longitude: float):
    file = tmp_path / "g.nc"
    raw = lattice(start + np.arange(0, 360, 0.5), 60 - 0.5 * np.arange(9), file)
    weather = read_weather(file, near=place(longitude, 58.2, 0.3))
    west, east = float(weather.x[0]), float(weather.x[-1])
    assert np.allclose(np.diff(weather.x), 0.5)
    assert west <= longitude - 0.3 <= longitude + 0.3 <= east
    assert west >= longitude - 1.4
    for column, x in enumerate(weather.x.values):
        for row, y in enumerate(weather.y.values):
            expected = float(raw.sel(lat=y, lon=start + (x - start) % 360)[0]) - 273.15
            assert float(weather.temperature[0, row, column]) == pytest.approx(expected, abs=1e-3)
    one = float(read_weather(file, near=place(longitude, 58.2), grid=False).temperature[0])
    low = np.floor(longitude * 2) / 2
    part, below = (longitude - low) / 0.5, 0.4
    corners = [
        [float(raw.sel(lat=y, lon=start + (x - start) % 360)[0]) for x in (low, low + 0.5)]
        for y in (58, 58.5)
    ]  # fmt: skip
    rows = [(1 - part) * pair[0] + part * pair[1] for pair in corners]
    assert one == pytest.approx((1 - below) * rows[0] + below * rows[1] - 273.15, abs=1e-3)


def test_a_cube_in_utm_across_the_antimeridian(tmp_path: Path):
    lattice(np.arange(0, 360, 0.5), -10 - 0.5 * np.arange(30), tmp_path / "g.nc")
    fiji = GeoBox((300, 300), Affine(100, 0, 805_000, 0, -100, 8_130_000), "EPSG:32760")
    weather = read_weather(tmp_path / "g.nc", near=fiji)
    assert np.allclose(np.diff(weather.x), 0.5)
    assert 2 <= weather.sizes["x"] <= 4
    assert weather.odc.crs.epsg == 4326


def test_cells_over_the_sea_take_no_part(tmp_path: Path):
    raw = lattice(np.array([2.0, 3.0]), np.array([41.0, 40.0]), tmp_path / "a.nc")
    values = raw.values.copy()
    values[:, 0, :] = values[:, 1, 0] = np.nan
    raw.copy(data=values).to_dataset().to_netcdf(tmp_path / "sea.nc")
    near = place(2.1, 40.9)
    weather = read_weather(tmp_path / "sea.nc", near=near, grid=False)
    assert np.allclose(weather.temperature, values[:, 1, 1] - 273.15, atol=1e-3)
    with pytest.raises(SourceError, match=r"does not reach the cube \(2 to 3, not 7"):
        read_weather(tmp_path / "sea.nc", near=place(7.5, 40.5), grid=False)
    with pytest.raises(SourceError, match="needs to be told where"):
        read_weather(tmp_path / "sea.nc", grid=False)


def test_products_on_two_grids_come_to_one_place(tmp_path: Path):
    lattice(np.arange(0.0, 5), np.arange(44.0, 49), tmp_path / "a.nc")
    coarse = lattice(np.arange(0.0, 8, 2), np.arange(42.0, 50, 2), tmp_path / "b.nc")
    (coarse / 1000).rename("snd").to_dataset().to_netcdf(tmp_path / "c.nc")
    files = [tmp_path / "a.nc", tmp_path / "c.nc"]
    metres = {"units": {"snow_depth": "m"}}
    with pytest.raises(SourceError, match="different grids"):
        read_weather(files, near=UTM, sidecar=metres)
    weather = read_weather(files, near=UTM, grid=False, sidecar=metres)
    assert set(weather.data_vars) == {"temperature", "snow_depth"}


# the Finnish Meteorological Institute

FINLAND = GeoBox((30, 30), Affine(20, 0, 385_000, 0, -20, 6_672_000), "EPSG:3067")


def finnish(path: Path, name: str, values: np.ndarray) -> None:
    """As R's raster package writes it: Lon and Lat in metres."""
    data = xr.Dataset(
        {name: (("Time", "Lat", "Lon"), values)},
        coords={
            "Time": pd.date_range("2020-01-01", periods=values.shape[0]),
            "Lat": 6_700_000 - 1000.0 * np.arange(values.shape[1]),
            "Lon": 370_000 + 1000.0 * np.arange(values.shape[2]),
        },
    )
    data.to_netcdf(path)


def test_grids_of_finland_know_their_units_and_crs(tmp_path: Path):
    rng = np.random.default_rng(0)
    values = {name: rng.random((3, 50, 40)) for name in ("Tday", "RRday", "Snow")}
    for name, field in values.items():
        finnish(tmp_path / f"{name.lower()}_2020.nc", name, field)
    weather = read_weather(tmp_path, near=FINLAND)
    assert weather.odc.crs.epsg == 3067
    assert {name: weather[name].attrs["units"] for name in weather.data_vars} == {
        "temperature": "degC", "precipitation": "mm/day", "snow_depth": "cm",
    }  # fmt: skip
    rows, columns = (
        np.round((6_700_000 - weather.y.values) / 1000).astype(int),
        np.round((weather.x.values - 370_000) / 1000).astype(int),
    )
    for name, quantity in zip(values, ("temperature", "precipitation", "snow_depth"), strict=True):
        assert np.allclose(weather[quantity], values[name][:, rows][:, :, columns], atol=1e-6)
    utm = FINLAND.to_crs("EPSG:32635")
    assert np.allclose(
        read_weather(tmp_path, near=utm, grid=False).snow_depth,
        read_weather(tmp_path, near=FINLAND, grid=False).snow_depth, atol=0.02,
    )  # fmt: skip


def test_geotiffs_of_a_year_are_its_days(tmp_path: Path, write_tif):
    values = np.random.default_rng(0).random((366, 4, 5)).astype(np.float32)
    values[3, 0, 0] = -9999
    options = {"left": 380_000, "top": 6_680_000, "step": 10_000, "crs": "EPSG:3067", "nodata": -9999}
    write_tif(tmp_path / "snow_2020.tif", values, **options)
    weather = read_weather(tmp_path / "snow_2020.tif", near=FINLAND, period=("2020-02-29", "2020-03-02"))
    assert [str(day)[:10] for day in weather.day.values] == ["2020-02-29", "2020-03-01"]
    assert np.allclose(weather.snow_depth, values[59:61, :2, :2])
    assert np.isnan(read_weather(tmp_path / "snow_2020.tif").snow_depth[3, 0, 0])
    write_tif(tmp_path / "tday_20200105.tif", values[:1], **options)
    assert str(read_weather(tmp_path / "tday_20200105.tif").day.values[0])[:10] == "2020-01-05"
    write_tif(tmp_path / "tday.tif", values[:2], labels=("2020-01-05", "2020-01-06"), **options)
    assert read_weather(tmp_path / "tday.tif").sizes["day"] == 2
    write_tif(tmp_path / "rrday_x.tif", values[:2], **options)
    with pytest.raises(SourceError, match=r"rrday_x\.tif: .* has no time"):
        read_weather(tmp_path / "rrday_x.tif")


def test_folders_archives_and_strange_files(tmp_path: Path):
    import zipfile

    with pytest.raises(SourceError, match="does not exist"):
        read_weather(tmp_path / "none")
    with pytest.raises(SourceError, match="no file with a known ending"):
        read_weather(tmp_path)
    lattice(np.arange(0.0, 5), np.arange(44.0, 49), tmp_path / "a.nc")
    with zipfile.ZipFile(tmp_path / "cds.nc", "w") as archive:
        archive.write(tmp_path / "a.nc", "data.nc")
    with pytest.raises(SourceError, match=r"cds\.nc: is a ZIP archive; unpack it"):
        read_weather(tmp_path / "cds.nc")
