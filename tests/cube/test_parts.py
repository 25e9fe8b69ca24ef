from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr.storage._local as local_store
from odc.geo.geobox import GeoBox

from terradelta.cube import (
    append,
    check_cube,
    create_cube,
    open_cube,
    summary,
    write_cube,
    write_static,
    write_weather,
)
from terradelta.cube.grid import grid_coords
from terradelta.cube.tracks import timeline
from terradelta.errors import ConflictError, InputError, StorageError


def weather(first: str, days: int, value: float = 3.0) -> xr.Dataset:
    dates = np.datetime64(first, "ns") + np.arange(days) * np.timedelta64(1, "D")
    return xr.Dataset(
        {
            "temperature": ("day", np.full(days, value) + dates.astype("datetime64[D]").astype(int) % 5),
            "precipitation": ("day", np.full(days, np.nan)),
        },
        coords={"day": dates},
    )


def test_static_layers_keep_type_values_and_words(cube: Path, geobox: GeoBox) -> None:
    dem = np.random.default_rng(0).normal(200, 9, geobox.shape).astype(np.float32)
    dem[0] = np.nan
    forest = dem > 200
    cover = np.arange(forest.size, dtype=np.uint8).reshape(forest.shape)
    write_static(cube, "dem", da.from_array(dem, chunks=7), units="m", description="height")
    write_static(cube, "forest", forest)
    write_static(cube, "land_cover", cover)
    ground = open_cube(cube)["static"].ds
    for name, values in {"dem": dem, "forest": forest, "land_cover": cover}.items():
        np.testing.assert_array_equal(ground[name].values, values)
        assert ground[name].dtype == values.dtype
    assert ground["dem"].attrs == {"units": "m", "long_name": "height"}
    assert ground.odc.geobox == geobox


def test_static_layer_again(cube: Path, geobox: GeoBox) -> None:
    dem = np.ones(geobox.shape, np.float32)
    write_static(cube, "dem", dem)
    write_static(cube, "dem", dem)
    dem[3, 4] = 2
    with pytest.raises(ConflictError, match=r"static/dem.*1 of 1200 pixels differ.*overwrite"):
        write_static(cube, "dem", dem)
    write_static(cube, "dem", dem, overwrite=True)
    assert float(open_cube(cube)["static"].ds.dem[3, 4]) == 2


@pytest.mark.parametrize(
    ("name", "values", "match"),
    [
        ("x", np.zeros((30, 40)), "'x' cannot name"),
        ("a/b", np.zeros((30, 40)), "'a/b' cannot name"),
        ("dem", np.zeros((30, 41)), r"\(30, 41\), the cube \(30, 40\)"),
        ("dem", np.zeros((30, 40), "U3"), "<U3"),
    ],
)
def test_static_refuses(cube: Path, name: str, values: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        write_static(cube, name, values)
    assert list(open_cube(cube).children) == []


def test_exchange_caught_in_the_middle_is_put_back(cube: Path, geobox: GeoBox) -> None:
    write_static(cube, "dem", np.ones(geobox.shape, np.float32))
    (cube / ".partial").mkdir()
    (cube / "static/dem").rename(cube / ".partial/static-dem.old")
    write_static(cube, "forest", np.ones(geobox.shape, bool))
    assert float(open_cube(cube)["static"].ds.dem.sum()) == 1200
    assert not (cube / ".partial").exists()


def test_weather_grows_by_days_and_refuses_other_values(cube: Path) -> None:
    write_weather(cube, weather("2020-01-03", 4))
    write_weather(cube, weather("2020-01-01", 4))
    expected = weather("2020-01-01", 6)
    got = open_cube(cube)["weather"].ds
    np.testing.assert_array_equal(got.day.values, expected.day.values)
    np.testing.assert_array_equal(got.temperature.values, expected.temperature.values)
    assert got.temperature.attrs["units"] == "degree_Celsius"
    with pytest.raises(ConflictError, match=r"temperature of 2020-01-02 is .* now; .*overwrite"):
        write_weather(cube, weather("2020-01-02", 2, value=9.0))
    write_weather(cube, weather("2020-01-02", 2, value=9.0), overwrite=True)
    assert open_cube(cube)["weather"].sizes["day"] == 2


def test_weather_on_its_own_coarse_grid(cube: Path, geobox: GeoBox) -> None:
    coarse = geobox.zoom_out(10)
    days = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    snow = xr.Dataset(
        {"snow_depth": (("day", "y", "x"), np.ones((2, *coarse.shape)))},
        coords={"day": days, **grid_coords(coarse)},
    )
    write_weather(cube, snow)
    write_static(cube, "dem", np.zeros(geobox.shape))
    tree = open_cube(cube)
    assert tree["weather"].ds["snow_depth"].odc.geobox == coarse
    assert tree["static"].ds.odc.geobox == geobox


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.rename(temperature="temprature", precipitation="rain"), "temprature, rain; expected"),
        (lambda d: d.assign(temperature=d.temperature + 273.15), "kelvin"),
        (lambda d: d.assign(precipitation=d.precipitation.fillna(-1)), "holds -1"),
        (lambda d: d.drop_vars("day"), "no coordinate day"),
        (lambda d: d.expand_dims("station"), "station"),
        (lambda d: xr.concat([d, d], "day"), "a day twice"),
    ],
)
def test_weather_refuses(cube: Path, change: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        write_weather(cube, change(weather("2020-01-01", 3)))


def test_a_tree_from_memory_comes_back_equal(tmp_path: Path, geobox: GeoBox) -> None:
    random = np.random.default_rng(0)
    coords = grid_coords(geobox)
    times = np.array(["2020-01-01", "2020-01-13", "2020-01-07"], "datetime64[ns]")
    sar = xr.Dataset(
        {"backscatter": (("time", "band", "y", "x"), random.random((3, 2, *geobox.shape), np.float32))},
        coords={
            "time": times, "band": ["VV", "VH"], **coords, "relative_orbit": ("time", [37, 37, 161]),
            "orbit_direction": ("time", ["ascending", "ascending", "descending"]),
            "platform": ("time", ["S1A", "S1B", "S1A"]), "incidence_angle": ("time", [39.0, 39.5, 33.0]),
        },
    )  # fmt: skip
    date = xr.DataArray(random.integers(-1, 99, geobox.shape).astype(np.int32), dims=("y", "x"))
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"name": "seed 0"}),
            "sar": sar,
            "truth": xr.Dataset({"date": date.assign_attrs(units="days since 1970-01-01")}, coords=coords),
            "weather": weather("2020-01-01", 5),
        }
    )
    for _ in range(2):
        write_cube(tree, tmp_path / "a.zarr")
    got = open_cube(tmp_path / "a.zarr")
    assert set(got.children) == {"sar", "truth", "weather"}
    assert got.attrs["name"] == "seed 0"
    own = ["heading", "source_id", "valid_share", "radiometry", "estimated"]
    xr.testing.assert_equal(
        got["sar"].to_dataset()[["backscatter"]].drop_vars(own).load(),
        sar.sortby("time").assign_coords(
            relative_orbit=sar.relative_orbit, incidence_angle=sar.incidence_angle
        ),
    )
    np.testing.assert_array_equal(got["truth"].ds.date.values, date.values)
    assert got["truth"].ds.date.attrs["units"] == "days since 1970-01-01"
    assert check_cube(tmp_path / "a.zarr") == []
    with pytest.raises(InputError, match="no group extra"):
        write_cube(xr.DataTree.from_dict({"extra": sar}), tmp_path / "b.zarr")


def test_summary_of_a_cube(cube: Path, sar: Any, optical: Any) -> None:
    days = ["2020-01-01", "2020-01-07", "2020-01-13", "2020-03-01"]
    for seed, day in enumerate(days):
        append(cube, sar(day, seed))
    append(cube, sar("2020-01-04", 9, relative_orbit=139, orbit_direction="descending", platform="S1B"))
    append(cube, optical("2020-01-02"))
    info = summary(open_cube(cube))
    assert (info.dates, info.sensors, info.orbits) == (6, ("S1A", "S1B", "S2A"), (37, 139))
    assert (info.crs, info.resolution, tuple(info.size)) == ("EPSG:32631", (10.0, 10.0), (30, 40))
    first = next(track for track in info.tracks if track.orbit == 37)
    assert (first.label, len(first.times)) == ("sar orbit 37 ascending", 4)
    assert first.valid_share == pytest.approx(27 / 30)
    assert [(str(gap.start)[:10], gap.days) for gap in first.gaps] == [("2020-01-13", 48.0)]
    assert info.bytes == sum(f.stat().st_size for f in cube.rglob("*") if f.is_file())
    text = info.render()
    for part in (
        "Liège",
        "EPSG:32631",
        "sar orbit 139 descending: 1 dates",
        "48 days from 2020-01-13",
        "90.0%",
    ):
        assert part in text


def test_summary_of_memory_equals_that_of_disk(cube: Path, sar: Any, optical: Any) -> None:
    append(cube, sar("2020-01-01"))
    append(cube, optical("2020-01-01"))
    tree = open_cube(cube)
    bare = xr.DataTree.from_dict(
        {n: tree[n].to_dataset().drop_vars("valid_share") for n in ("sar", "optical")}
    )
    for known, counted in zip(summary(tree).tracks, summary(bare).tracks, strict=True):
        assert known.valid_share == pytest.approx(counted.valid_share)


def test_summary_of_an_empty_cube(cube: Path) -> None:
    info = summary(open_cube(cube))
    assert info.dates == 0
    assert np.isnan(info.valid_share)
    assert "no acquisitions yet" in info.render()


def test_timeline_counts() -> None:
    day = np.datetime64("2020-01-01", "ns")
    times = day + np.arange(8) * np.timedelta64(1, "D")
    assert timeline(times, times[0], times[-1], 8) == "█" * 8
    assert timeline(times[:1], day, day, 5).count("·") == 4


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no room left"), (errno.EACCES, "no permission"), (errno.EROFS, "read-only")],
)
def test_a_disk_that_refuses_leaves_the_cube_readable(
    cube: Path, sar: Any, geobox: GeoBox, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    append(cube, sar("2020-01-01"))
    put = local_store._put
    for allowed in (0, 1, 5, 12):
        left = [allowed]

        def refusing(path: Path, value: Any, exclusive: bool = False, left: list[int] = left) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(number, "refused", str(path))
            return put(path, value, exclusive)

        with monkeypatch.context() as patch:
            patch.setattr(local_store, "_put", refusing)
            with pytest.raises(StorageError, match=f"cannot write .*{words}"):
                append(cube, sar("2020-01-07", 1))
        assert open_cube(cube)["sar"].sizes["time"] == 1
        assert check_cube(cube) == []
        assert not (cube / "sar/backscatter/c/1").exists()
    with monkeypatch.context() as patch:
        patch.setattr(local_store, "_put", refusing)
        with pytest.raises(StorageError, match=words):
            write_static(cube, "dem", np.zeros(geobox.shape))
    assert append(cube, sar("2020-01-07", 1)) == "added"
    assert check_cube(cube) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path, geobox: GeoBox) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file.*choose another path"):
        create_cube(tmp_path / "file" / "cube.zarr", geobox)
