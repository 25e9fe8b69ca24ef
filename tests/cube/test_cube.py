from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from terradelta.cube import (
    SarAcquisition,
    append,
    append_all,
    check_cube,
    create_cube,
    geobox_of,
    open_cube,
    write_cube,
    write_static,
)
from terradelta.errors import ConflictError, CubeError, InputError

GRIDS = {
    "UTM": GeoBox((30, 40), Affine(10.0, 0.0, 681_230.0, 0.0, -10.0, 5_615_410.0), "EPSG:32631"),
    "degrees": GeoBox((24, 36), Affine(1 / 12_000, 0.0, 5.1, 0.0, -1 / 12_000, 50.7), "EPSG:4326"),
    "own CRS": GeoBox(
        (5, 7), Affine(0.3, 0.0, -7.1, 0.0, -0.7, 3.3), "+proj=laea +lat_0=47.3 +lon_0=11 +ellps=GRS80"
    ),
    "south up": GeoBox((5, 7), Affine(20.0, 0.0, 5e5, 0.0, 20.0, 5e6), "EPSG:32719"),
    "one pixel": GeoBox((1, 1), Affine(10.0, 0.0, 5e5, 0.0, -10.0, 5e6), "EPSG:32631"),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_grid_survives_every_round_trip(tmp_path: Path, grid: GeoBox) -> None:
    path, copy, plain = tmp_path / "a.zarr", tmp_path / "b.zarr", tmp_path / "c.zarr"
    create_cube(path, grid)
    assert geobox_of(open_cube(path)) == grid
    image = np.ones((2, *grid.shape), np.float32)
    append(path, SarAcquisition(time="2020-01-01", bands=("VV", "VH"), backscatter=image))
    write_static(path, "dem", image[0])
    tree = open_cube(path)
    for group in ("sar", "static"):
        assert tree[group].ds.odc.geobox == grid
        assert geobox_of(tree[group].to_dataset()) == grid
    assert tree["sar"].ds["backscatter"].odc.geobox == grid
    write_cube(tree, copy)
    assert geobox_of(open_cube(copy)) == grid
    tree["sar"].to_dataset().to_zarr(plain, consolidated=False, zarr_format=3)
    again = xr.open_zarr(plain, consolidated=False, decode_coords="all")
    assert again["backscatter"].odc.geobox == grid


@pytest.mark.filterwarnings("error:.*:FutureWarning", "error::UserWarning")
def test_plain_xarray_reads_it_without_a_warning(cube: Path, sar: Any) -> None:
    append(cube, sar("2020-01-02"))
    tree = xr.open_datatree(cube, engine="zarr", consolidated=False, decode_coords="all")
    assert tree["sar"].ds["time"].values[0] == np.datetime64("2020-01-02")
    assert set(tree["sar"].coords) >= {"orbit_direction", "relative_orbit", "platform", "spatial_ref"}
    assert tree["sar"].ds["backscatter"].odc.crs == "EPSG:32631"


@pytest.mark.filterwarnings("error::UserWarning", "error::FutureWarning", "error::RuntimeWarning")
def test_what_was_appended_comes_back_sorted_by_time(cube: Path, sar: Any, optical: Any) -> None:
    days = ["2020-01-13", "2020-01-01", "2020-01-25", "2020-01-07"]
    images = {day: sar(day, seed) for seed, day in enumerate(days)}
    for image in images.values():
        assert append(cube, image) == "added"
    assert append(cube, optical("2020-01-05")) == "added"
    data = open_cube(cube)["sar"].ds
    assert [str(day)[:10] for day in data.time.values] == sorted(days)
    assert list(data.band.values) == ["VV", "VH"]
    for day, image in images.items():
        one = data.sel(time=day)
        np.testing.assert_array_equal(one.backscatter.values, image.backscatter)
        assert one.backscatter.dtype == np.float32
        assert one.source_id.item() == image.source_id
        assert (one.platform.item(), one.relative_orbit.item()) == ("S1A", 37)
        assert one.orbit_direction.item() == "ascending"
        assert one.incidence_angle.item() == pytest.approx(39.2)
    seen = open_cube(cube)["optical"].ds
    expected = optical("2020-01-05")
    np.testing.assert_array_equal(seen.reflectance[0].values, expected.reflectance)
    np.testing.assert_array_equal(seen.clear[0].values, expected.clear)
    assert seen.clear.dtype == bool
    assert bool(seen.offset_applied[0])
    assert seen.valid_share[0].item() == pytest.approx(expected.clear.mean())


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_size_order_and_holes(tmp_path_factory: Any, data: st.DataObject) -> None:
    y, x = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    path = tmp_path_factory.mktemp("any") / "cube.zarr"
    create_cube(path, GeoBox((y, x), Affine(10.0, 0.0, 5e5, 0.0, -10.0, 5e6), "EPSG:32631"))
    days = data.draw(st.lists(st.integers(0, 999), min_size=1, max_size=4, unique=True))
    random = np.random.default_rng(data.draw(st.integers(0, 9)))
    stack = random.random((len(days), 2, y, x), np.float32)
    stack[random.random(stack.shape) < data.draw(st.sampled_from([0.0, 0.3]))] = np.nan
    stack[:, :, 0, 0] = 1.0
    for day, image in zip(days, stack, strict=True):
        moment = np.datetime64("2020-01-01", "ns") + np.timedelta64(day, "h")
        append(path, SarAcquisition(time=moment, bands=("VH", "VV"), backscatter=image))
    got = open_cube(path)["sar"].ds
    np.testing.assert_array_equal(got.backscatter.values, stack[np.argsort(days)])
    shares = np.isfinite(stack).all(axis=1).mean(axis=(1, 2))[np.argsort(days)]
    np.testing.assert_allclose(got.valid_share.values, shares, rtol=1e-6)
    assert check_cube(path) == []


def test_every_way_of_slicing_equals_numpy(cube: Path, sar: Any) -> None:
    days = ["2020-01-13", "2020-01-01", "2020-01-25", "2020-01-07", "2020-01-08"]
    for seed, day in enumerate(days):
        append(cube, sar(day, seed))
    whole = open_cube(cube)["sar"].ds["backscatter"].values
    cuts: list[dict[str, Any]] = [
        {"time": 3}, {"time": [4, 0, 2]}, {"time": slice(None, None, -1)}, {"time": slice(1, 5, 2)},
        {"y": slice(None, None, -1)}, {"y": [3, 1, 20], "x": slice(2, 30, 3)}, {"band": 1, "x": -1},
        {"time": slice(0, 0)}, {"time": 2, "band": [1, 0], "y": slice(5, 9)}, {"y": [1, 2], "x": [5, 3]},
    ]  # fmt: skip
    for chunks in ("auto", {"time": 2, "y": 7, "x": 11}, {"time": -1}):
        lazy = open_cube(cube, chunks=chunks)["sar"].ds["backscatter"]
        for cut in cuts:
            expected = xr.DataArray(whole, dims=lazy.dims).isel(cut).values
            np.testing.assert_array_equal(lazy.isel(cut).values, expected)
    np.testing.assert_array_equal(lazy.data[1, None, :, 3:5].compute(), whole[1, None, :, 3:5])
    with pytest.raises(InputError, match="rows"):
        open_cube(cube, chunks={"rows": 3})


def test_opening_reads_no_pixels_and_a_tile_reads_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zarr.storage._local as local_store

    path, size = tmp_path / "cube.zarr", 700
    create_cube(path, GeoBox((size, size), Affine(10.0, 0.0, 5e5, 0.0, -10.0, 5e6), "EPSG:32631"))
    for day in ("2020-01-01", "2020-01-07"):
        image = np.random.default_rng(0).random((1, size, size), np.float32)
        append(path, SarAcquisition(time=day, bands=("VV",), backscatter=image))
    read: list[int] = []
    get = local_store._get

    def counted(file: Path, prototype: Any, byte_range: Any) -> Any:
        result = get(file, prototype, byte_range)
        if "backscatter/c" in file.as_posix():
            read.append(len(result))
        return result

    monkeypatch.setattr(local_store, "_get", counted)
    pixels = open_cube(path)["sar"].ds["backscatter"]
    assert read == []
    pixels.isel(time=0, y=slice(0, 9), x=slice(300, 310)).compute()
    assert 0 < sum(read) < 0.25 * size * size * 4


def test_memory_stays_bounded_for_lazy_images(tmp_path: Path) -> None:
    import tracemalloc

    size = 3072
    create_cube(tmp_path / "c", GeoBox((size, size), Affine(10.0, 0.0, 5e5, 0.0, -10.0, 5e6), "EPSG:32631"))
    image = da.ones((2, size, size), chunks=(2, 1024, 1024), dtype=np.float32)
    tracemalloc.start()
    append(tmp_path / "c", SarAcquisition(time="2020-01-01", bands=("VV", "VH"), backscatter=image))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * image.nbytes


def test_lazy_and_eager_give_the_same_cube(tmp_path: Path, geobox: GeoBox, sar: Any) -> None:
    eager = sar("2020-01-01")
    lazy = sar("2020-01-01", backscatter=da.from_array(eager.backscatter, chunks=(1, 7, 9)))
    create_cube(tmp_path / "a", geobox)
    append(tmp_path / "a", eager)
    assert append(tmp_path / "a", lazy) == "skipped"


def test_same_again_is_skipped_and_other_is_refused_with_both_values(cube: Path, sar: Any) -> None:
    first = sar("2020-01-01T05:30:12", 1)
    assert append(cube, first) == "added"
    assert append(cube, sar("2020-01-01T05:30:12", 1, source_id="elsewhere.tif")) == "skipped"
    changed = first.backscatter.copy()
    changed[1, 20, 5:7] = 0.5
    with pytest.raises(ConflictError) as caught:
        append(cube, sar("2020-01-01T05:30:12", backscatter=changed, source_id="new.tif"))
    message = str(caught.value)
    wanted = [
        "2020-01-01T05:30:12Z S1A orbit 37",
        "VH at 2 of 1200 pixels",
        "row 20, column 5",
        f"stored {first.backscatter[1, 20, 5]:.6g}, new 0.5",
        "'product-1'",
        "'new.tif'",
    ]
    for part in wanted:
        assert part in message
    with pytest.raises(ConflictError, match=r"incidence_angle 39.2.*new is 41"):
        append(cube, sar("2020-01-01T05:30:12", 1, incidence_angle=41.0))
    assert open_cube(cube)["sar"].sizes["time"] == 1


def test_of_many_the_good_ones_before_a_bad_one_stay(cube: Path, sar: Any, optical: Any) -> None:
    many = [sar("2020-01-01"), optical("2020-01-02"), sar("2020-01-01"), sar("2020-01-07", 1)]
    bad = sar("2020-01-13", backscatter=-np.ones((2, 30, 40)))
    assert append_all(cube, many[:3]) == ["added", "added", "skipped"]
    with pytest.raises(InputError, match="decibel"):
        append_all(cube, [*many, bad, sar("2020-01-19")])
    assert [str(time)[:10] for time in open_cube(cube)["sar"].time.values] == ["2020-01-01", "2020-01-07"]
    assert append_all(cube, [*many, sar("2020-01-13", 2)])[3:] == ["skipped", "added"]
    assert check_cube(cube) == []


def test_an_unreadable_source_is_not_taken_for_a_full_disk(cube: Path, sar: Any, tmp_path: Path) -> None:
    source = str(tmp_path / "scene.tif")

    def failing(block: Any) -> Any:
        raise PermissionError(13, "Permission denied", source)

    lazy = da.from_array(sar("2020-01-01").backscatter).map_blocks(failing, dtype=np.float32)
    with pytest.raises(PermissionError, match=r"scene\.tif"):
        append(cube, sar("2020-01-01", backscatter=lazy))
    assert list(open_cube(cube).children) == []


def test_one_moment_from_several_orbits_and_satellites(cube: Path, sar: Any) -> None:
    for changes in ({"relative_orbit": 88}, {"platform": "S1B"}, {}):
        assert append(cube, sar("2020-01-01", **changes)) == "added"
    assert open_cube(cube)["sar"].sizes["time"] == 3


def test_bands_in_another_order_are_put_in_the_cubes_order(cube: Path, sar: Any) -> None:
    append(cube, sar("2020-01-01", 0))
    image = sar("2020-01-07", 1)
    append(cube, sar("2020-01-07", bands=("VH", "VV"), backscatter=image.backscatter[::-1]))
    np.testing.assert_array_equal(open_cube(cube)["sar"].ds.backscatter[1].values, image.backscatter)


def test_what_does_not_fit_is_refused_and_leaves_the_cube_alone(cube: Path, sar: Any, optical: Any) -> None:
    decibel = 10 * np.log10(sar("2020-01-01").backscatter)
    with pytest.raises(InputError, match=r"holds -\d.*decibel.*to_linear"):
        append(cube, sar("2020-01-01", backscatter=decibel))
    assert "sar" not in open_cube(cube).children
    assert not (cube / "sar").exists()
    append(cube, sar("2020-01-01"))
    with pytest.raises(InputError, match="10 x 40 pixels, the cube 30 x 40"):
        append(cube, sar("2020-01-02", backscatter=np.ones((2, 10, 40), np.float32)))
    with pytest.raises(InputError, match="bands VV, HH, the cube VV, VH"):
        append(cube, sar("2020-01-02", bands=("VV", "HH")))
    with pytest.raises(InputError, match="no valid pixel"):
        append(cube, sar("2020-01-02", backscatter=np.full((2, 30, 40), np.nan)))
    with pytest.raises(InputError, match="infinite"):
        append(cube, sar("2020-01-02", backscatter=np.full((2, 30, 40), np.inf)))
    with pytest.raises(InputError, match=r"median 4000.*digital numbers"):
        append(cube, optical("2020-01-02", reflectance=np.full((2, 30, 40), 4000.0)))
    assert list(open_cube(cube).children) == ["sar"]
    assert open_cube(cube)["sar"].sizes["time"] == 1
    assert check_cube(cube) == []


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"time": "soon"}, "'soon' is no time"),
        ({"time": np.datetime64("NaT")}, "no time"),
        ({"bands": ("VV",)}, "2 bands but 1 names"),
        ({"bands": ("VV", "VV")}, "each once"),
        ({"backscatter": np.zeros((4, 5))}, r"shape \(4, 5\)"),
        ({"backscatter": np.zeros((2, 4, 5), complex)}, "complex"),
        ({"orbit_direction": "up"}, "'up'"),
        ({"relative_orbit": -3}, "-3"),
    ],
)
def test_acquisition_refuses(changes: dict[str, Any], match: str) -> None:
    known = {"time": "2020-01-01", "bands": ("VV", "VH"), "backscatter": np.zeros((2, 4, 5))}
    with pytest.raises(InputError, match=match):
        SarAcquisition(**{**known, **changes})


def test_times_are_utc() -> None:
    zone = timezone(timedelta(hours=2))
    image = SarAcquisition(
        time=datetime(2020, 6, 1, 1, 30, tzinfo=zone), bands=("VV",), backscatter=np.zeros((1, 2, 2))
    )
    assert image.time == np.datetime64("2020-05-31T23:30")
    assert math.isnan(image.heading)


def test_create_again(cube: Path, geobox: GeoBox) -> None:
    create_cube(cube, geobox, name="Liège")
    with pytest.raises(ConflictError, match=r"30 x 40 pixels of 10 in EPSG:32631.*not 30 x 39"):
        create_cube(cube, geobox[:, 1:])
    with pytest.raises(ConflictError, match="'Liège', not 'Namur'"):
        create_cube(cube, geobox, name="Namur")


def test_create_refuses(tmp_path: Path, geobox: GeoBox) -> None:
    with pytest.raises(InputError, match="CRS"):
        create_cube(tmp_path / "a", GeoBox((2, 2), Affine.identity(), None))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(InputError, match="no cube"):
        create_cube(tmp_path / "other", geobox)


def test_what_is_no_cube_is_named(tmp_path: Path, cube: Path) -> None:
    with pytest.raises(CubeError, match="does not exist"):
        open_cube(tmp_path / "nowhere.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CubeError, match="no terradelta cube"):
        open_cube(tmp_path / "empty")
    file = cube / "zarr.json"
    document = json.loads(file.read_text())
    document["attributes"]["terradelta_schema"] = 7
    file.write_text(json.dumps(document))
    with pytest.raises(CubeError, match="schema 7, this terradelta reads up to 1: upgrade terradelta"):
        open_cube(cube)
    file.write_text("{")
    with pytest.raises(CubeError, match="no terradelta cube"):
        open_cube(cube)


def test_check_finds_damage(cube: Path, sar: Any) -> None:
    for seed, day in enumerate(("2020-01-01", "2020-01-07")):
        append(cube, sar(day, seed))
    shard = next(f for f in (cube / "sar/backscatter/c/1").rglob("*") if f.is_file())
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    assert [line.split(" cannot")[0] for line in check_cube(cube)] == ["sar 2020-01-07T00:00:00Z"]
    assert check_cube(cube, pixels=False) == []
    shard.write_bytes((cube / "sar/backscatter/c/0/0/0/0").read_bytes())
    assert check_cube(cube) == ["sar 2020-01-07T00:00:00Z has other pixels than were written"]
    (cube / "sar/backscatter/zarr.json").unlink()
    assert "backscatter is missing or damaged" in check_cube(cube)[0]
    with pytest.raises(CubeError, match="backscatter is missing or damaged"):
        open_cube(cube)
