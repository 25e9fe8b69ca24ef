from __future__ import annotations

import math

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import terradelta as td
from terradelta.errors import CubeError, InputError
from terradelta.expected.differences.baselines import conventional
from terradelta.expected.differences.difference import difference
from terradelta.expected.differences.kinds import KINDS, compare, length, scale_together, standardise
from terradelta.expected.preparation import Preparation, prepare
from terradelta.sar import despeckle_tv, to_db

_DB = st.floats(-30, 5, width=32)
_IMAGE = hnp.arrays(np.float32, (2, 3, 4), elements=st.one_of(_DB, st.just(np.nan)))


@given(_IMAGE, _IMAGE)
@settings(max_examples=40, deadline=None)
def test_kinds_equal_a_loop_over_pixels(new: np.ndarray, old: np.ndarray) -> None:
    plain = {kind: compare(new, old, kind) for kind in KINDS[:3]}
    lengths = length(plain["subtraction"])
    for y in range(3):
        for x in range(4):
            steps = [float(new[b, y, x]) - float(old[b, y, x]) for b in range(2)]
            for band, step in enumerate(steps):
                expected = (step, 10 ** (step / 10), step * math.log(10) / 10)
                found = [float(plain[kind][band, y, x]) for kind in KINDS[:3]]
                np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
            np.testing.assert_allclose(lengths[y, x], math.hypot(*steps), rtol=1e-5, atol=1e-6)


def test_published_ratios_scale_all_images_together() -> None:
    rng = np.random.default_rng(0)
    images = [rng.uniform(-25, 0, (2, 5, 6)).astype(np.float32) for _ in range(3)]
    scaled = scale_together(*images)
    low, high = min(one.min() for one in images), max(one.max() for one in images)
    for one, found in zip(images, scaled, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, (one - low) / (high - low) + 0.01, rtol=1e-6)
    assert min(one.min() for one in scaled) == pytest.approx(0.01)
    assert max(one.max() for one in scaled) == pytest.approx(1.01)
    ratio = compare(images[0], images[1], "scaled-ratio", low, high)
    np.testing.assert_array_equal(ratio, scaled[0] / scaled[1])
    np.testing.assert_array_equal(compare(images[0], images[1], "scaled-log-ratio", low, high), np.log(ratio))


def test_length_of_a_ratio_counts_from_one() -> None:
    same = np.full((2, 1, 1), -12.0, np.float32)
    for kind in KINDS[:3]:
        assert length(compare(same, same, kind), kind).item() == 0
    wide = np.stack([same[0], same[0] + 5])
    assert length(compare(wide, wide, "scaled-ratio"), "scaled-ratio").item() == 0


def test_standardised_needs_a_positive_sigma() -> None:
    found = standardise(np.array([2.0, 2.0, np.nan]), np.array([4.0, -1.0, 1.0]))
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan])


@pytest.fixture(scope="module")
def place() -> xr.DataTree:
    tree = td.simulate.place(seed=3, size=48, years=0.3)
    values = tree["sar"]["backscatter"].values
    values[-1, 0, :4, :5] = np.nan
    values[-1, 1, 10, 10] = 0.0
    return tree


@pytest.fixture(scope="module")
def lazy(place: xr.DataTree) -> xr.Dataset:
    return place["sar"].to_dataset().chunk({"time": 5, "y": 20, "x": 17})


def _orbit(place: xr.DataTree, number: int) -> list[int]:
    orbits = place["sar"]["relative_orbit"].values
    return [n for n in range(len(orbits) - 1) if orbits[n] == orbits[-1]][-number:]


@pytest.mark.parametrize("choice", ["mean", "median"])
def test_baselines_equal_the_plain_formula(place: xr.DataTree, choice: str) -> None:
    seen = conventional(place, "last", choice=choice, previous=6)
    series = to_db(place["sar"]["backscatter"].values)
    before = series[_orbit(place, 6)]
    np.testing.assert_allclose(seen["expected"], getattr(np, choice)(before, axis=0), rtol=1e-5)
    sigma = np.maximum(before.std(axis=0, ddof=1), 0.1)
    np.testing.assert_allclose(seen["sigma"], sigma, rtol=1e-4)
    diff = td.difference(place, seen)
    plain = series[-1] - getattr(np, choice)(before, axis=0)
    np.testing.assert_allclose(diff["difference"], plain, atol=1e-4)
    np.testing.assert_allclose(diff["length"], np.sqrt((plain**2).sum(axis=0)), atol=1e-4)
    np.testing.assert_allclose(diff["strength"], np.sqrt(((plain / sigma) ** 2).sum(axis=0)), rtol=1e-3)
    assert np.isnan(diff["length"].values[:4, :5]).all() and np.isnan(diff["length"].values[10, 10])
    assert np.isfinite(diff["length"].values).sum() == 48 * 48 - 21


def test_choices_take_one_image(place: xr.DataTree) -> None:
    radar = place["sar"]
    series, way = to_db(radar["backscatter"].values), radar["orbit_direction"].values
    latest = conventional(place, "last", choice="latest")
    np.testing.assert_array_equal(latest["expected"], series[-2])
    assert latest.attrs["previous"] == [str(radar["time"].values[-2])[:19]] and "sigma" not in latest
    alike = max(n for n in range(len(way) - 1) if way[n] == way[-1])
    found = conventional(place, "last", choice="same-direction", previous=12)
    np.testing.assert_array_equal(found["expected"], series[alike])
    same = conventional(place, "last", same_orbit=True)
    np.testing.assert_array_equal(same["expected"], series[_orbit(place, 1)[0]])


def test_directions_stand_in_for_unknown_headings(place: xr.DataTree) -> None:
    radar = place["sar"].to_dataset()
    blind = radar.assign_coords(heading=("time", np.full(radar.sizes["time"], np.nan)))
    for choice in ("nearest-geometry", "same-direction"):
        full, part = (conventional(one, "last", choice=choice, previous=9) for one in (radar, blind))
        assert full.attrs["previous"] == part.attrs["previous"]
    nothing = blind.assign_coords(orbit_direction=("time", np.full(radar.sizes["time"], "")))
    with pytest.raises(InputError, match="heading of image 0 is unknown"):
        conventional(nothing, "last")


@pytest.mark.parametrize(
    ("choice", "preparation"),
    [
        ("nearest-geometry", Preparation()),
        ("mean", Preparation(state="median")),
        ("median", Preparation(despeckle="tv", state="scene")),
    ],
)
def test_lazy_equals_whole_and_reads_nothing_before(
    place: xr.DataTree, lazy: xr.Dataset, choice: str, preparation: Preparation
) -> None:
    whole = conventional(place, "last", choice=choice, preparation=preparation)
    seen = conventional(lazy, "last", choice=choice, preparation=preparation)
    diff, other = difference(lazy, seen), difference(place, whole)
    for name in diff:
        assert isinstance(diff[name].data, da.Array), name
        assert isinstance(other[name].data, np.ndarray), name
        assert diff[name].dims == other[name].dims and diff[name].dtype == np.float32
        np.testing.assert_allclose(
            diff[name], other[name], atol=2e-2 if preparation.state == "scene" else 1e-5
        )
    assert int(diff["spatial_ref"]) == int(place["sar"]["spatial_ref"])
    assert diff["time"].values == place["sar"]["time"].values[-1]


def test_preparation_is_that_of_prepare(place: xr.DataTree) -> None:
    preparation = Preparation(despeckle="tv", state="median")
    seen = conventional(place, "last", choice="mean", previous=5, preparation=preparation)
    series = to_db(place["sar"]["backscatter"].values)[[*_orbit(place, 5), -1]]
    ready = prepare(series[:-1], series[-1], preparation)
    expected = ready.images.mean(axis=0) + ready.offset
    np.testing.assert_allclose(seen["expected"], expected, atol=1e-4)
    diff = difference(place, seen)["difference"]
    np.testing.assert_allclose(diff, ready.target - ready.images.mean(axis=0), atol=1e-4)


def test_a_despeckled_expectation_meets_a_despeckled_target(place: xr.DataTree, lazy: xr.Dataset) -> None:
    seen = conventional(place, "last", choice="mean", preparation=Preparation(despeckle="tv"))
    told = difference(place, seen)
    for cube in (place, lazy):
        found = difference(cube, seen.drop_vars("target"))
        np.testing.assert_allclose(found["difference"], told["difference"], atol=4e-3)
    target = to_db(place["sar"]["backscatter"].values[-1])
    numbers = Preparation().robust
    smooth = despeckle_tv(target, numbers.tv_weight, iterations=numbers.tv_iterations)
    np.testing.assert_allclose(told["difference"], smooth - seen["expected"], atol=1e-5)


def test_large_scenes_know_their_state_from_tiles() -> None:
    size = 1100
    rng = np.random.default_rng(5)
    series = 10 ** (rng.normal(-12, 0.5, (4, 1, size, size)).astype(np.float32) / 10)
    series[-1] *= 2
    times = np.arange("2020-01-01", "2020-01-05", dtype="datetime64[D]").astype("datetime64[ns]")
    coords = {"time": times, "band": ["VV"]}
    radar = xr.Dataset({"backscatter": (("time", "band", "y", "x"), series)}, coords)
    seen = conventional(radar, "2020-01-04", choice="mean", preparation=Preparation(state="median"))
    assert float(seen["expected"].mean()) == pytest.approx(-12 + 10 * math.log10(2), abs=0.02)
    assert abs(float(difference(radar, seen)["difference"].mean())) < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_lazily(place: xr.DataTree, lazy: xr.Dataset, kind: str) -> None:
    seen = conventional(place, "last", choice="mean")
    found, whole = difference(lazy, seen, kind=kind), difference(place, seen, kind=kind)
    np.testing.assert_allclose(found["difference"], whole["difference"], rtol=1e-5, atol=1e-6)
    target = to_db(place["sar"]["backscatter"].values[-1])
    np.testing.assert_allclose(
        whole["difference"], compare(target, seen["expected"].values, kind), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(whole["length"], length(whole["difference"].values, kind), rtol=1e-5)
    np.testing.assert_array_equal(whole["strength"], difference(place, seen)["strength"])


def test_a_cube_on_disk_and_a_day_in_words(place: xr.DataTree, tmp_path) -> None:
    td.cube.write_cube(place, tmp_path / "a.zarr")
    cube = td.open_cube(tmp_path / "a.zarr")
    day = str(place["sar"]["time"].values[-1])[:10]
    diff = difference(cube, conventional(cube, day, choice="mean"))
    assert isinstance(diff["length"].data, da.Array)
    plain = difference(place, conventional(place, "last", choice="mean"))
    np.testing.assert_allclose(diff["length"], plain["length"], atol=1e-5)
    assert diff.odc.geobox == cube["sar"].to_dataset().odc.geobox


def test_refusals_name_the_value(place: xr.DataTree) -> None:
    seen = conventional(place, "last")
    first = str(place["sar"]["time"].values[0])
    for call, message in (
        (lambda: conventional(place, "1999-01-01"), "no image was taken at 1999-01-01; .*nearest are 2020"),
        (lambda: conventional(place, "2020"), "images were taken at 2020"),
        (lambda: conventional(place, "soon"), "'soon' is no time"),
        (lambda: conventional(place, first), "no image before"),
        (lambda: conventional(place, "last", choice="best"), "'best'; give one of .*median"),
        (lambda: conventional(place, "last", previous=0), "previous is 0"),
        (lambda: difference(place, seen, kind="sum"), "'sum'; give one of subtraction"),
        (lambda: difference(place, xr.Dataset()), "no variable expected"),
        (lambda: difference(place, seen.drop_vars("time")), "does not tell its target"),
        (lambda: difference(place, seen.isel(x=slice(0, 40))), "differ in x"),
        (lambda: difference(place, seen.assign_coords(y=seen["y"] + 30)), "differ in y"),
        (
            lambda: difference(place, seen.assign_coords(band=["HH", "HV"])),
            "band HH, HV, the cube has",
        ),
        (lambda: compare(np.zeros(2), np.zeros(3)), "differ in shape"),
        (lambda: scale_together(np.ones(3)), "all pixels are 1 dB"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    with pytest.raises(CubeError, match="no radar"):
        conventional(xr.Dataset(), "last")
