import logging
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from terradelta.cube import SarAcquisition, append, create_cube, geobox_of, write_cube
from terradelta.errors import ConflictError, InputError
from terradelta.expected.samples.cube_images import CubeImages
from terradelta.expected.samples.plans import PlannedSamples, SamplePlan, plan_samples, read_sample
from terradelta.sar import to_db
from terradelta.simulate import place

SIZE = 24


@pytest.fixture(scope="module")
def tree():
    return place(seed=3, size=(60, 80), years=0.5, changes=0, optical_days=0)


@pytest.fixture(scope="module")
def disk(tree, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cube") / "place.zarr"
    write_cube(tree, path)
    return path


def middle(tree: xr.DataTree) -> np.datetime64:
    times = tree["sar"].time.values
    return times[len(times) // 2]


def bare(images: int = 8, **parts) -> xr.DataTree:
    """A cube in memory without layers and weather."""
    times = np.datetime64("2020-01-01", "ns") + np.arange(images) * np.timedelta64(6, "D")
    source = (
        place(seed=0, size=48, years=0.3, changes=0, optical_days=0)["sar"]
        .to_dataset()
        .isel(time=slice(0, images))
    )
    return xr.DataTree.from_dict({"sar": source.assign_coords(time=times, **parts)})


def test_sample_equals_the_cube_pixel_by_pixel(tree, disk):
    plan = plan_samples(tree, count=4, size=SIZE, seed=1)
    for cube in (tree, disk):
        for chosen in plan.places:
            sample = read_sample(cube, chosen)
            times = [np.datetime64(image.time, "ns") for image in chosen.images]
            rows = slice(chosen.grid.y, chosen.grid.y + SIZE), slice(chosen.grid.x, chosen.grid.x + SIZE)
            linear = tree["sar"]["backscatter"].sel(time=times).values[..., *rows]
            np.testing.assert_array_equal(sample.images, to_db(linear[:-1]))
            np.testing.assert_array_equal(sample.target, to_db(linear[-1]))
            np.testing.assert_array_equal(sample.dem, tree["static"]["dem"].values[rows])
            np.testing.assert_array_equal(sample.forest, tree["static"]["forest"].values[rows])


def test_previous_images_are_the_last_ones_before_the_target(tree):
    times = tree["sar"].time.values
    for chosen in plan_samples(tree, count=10, size=SIZE, previous=3).places:
        moments = np.array([np.datetime64(image.time, "ns") for image in chosen.images])
        at = int(np.flatnonzero(times == moments[-1])[0])
        np.testing.assert_array_equal(moments, times[at - 3 : at + 1])


def test_conditions_of_the_day_and_the_three_before(tree):
    sample = read_sample(tree, plan_samples(tree, count=1, size=SIZE).places[0])
    weather, days = tree["weather"], sample.times.astype("datetime64[D]").astype("datetime64[ns]")
    for image, day in enumerate(days):
        assert sample.conditions.temperature[image] == weather.temperature.sel(day=day)
        assert sample.conditions.snow_depth[image] == weather.snow_depth.sel(day=day)
        for back in range(4):
            rain = weather.precipitation.sel(day=day - np.timedelta64(back, "D"))
            assert sample.conditions.precipitation[image, back] == rain
    seen = tree["sar"].sel(time=sample.times)
    assert sample.conditions.platform == tuple(seen.platform.values)
    np.testing.assert_allclose(sample.conditions.incidence, seen.incidence_angle.values)
    np.testing.assert_allclose(
        sample.conditions.age, (sample.times[-1] - sample.times) / np.timedelta64(1, "D")
    )
    assert (np.abs(sample.conditions.heading) <= 180).all()


def test_weather_of_the_nearest_cell():
    tree = bare()
    days = tree["sar"].time.values.astype("datetime64[D]").astype("datetime64[ns]")
    x, y = tree["sar"].x.values, tree["sar"].y.values
    cells = np.arange(4.0).reshape(1, 2, 2) + 10 * np.arange(len(days))[:, None, None]
    grid = {"day": days, "y": [y[10], y[40]], "x": [x[10], x[40]]}
    tree["weather"] = xr.Dataset({"temperature": (("day", "y", "x"), cells)}, coords=grid)
    cube = CubeImages(tree)
    for chosen in plan_samples(cube, count=8, size=8, seed=2).places:
        cell = 2 * (chosen.grid.y + 4 > 25) + (chosen.grid.x + 4 > 25)
        numbers = cube.find(chosen.images)
        assert read_sample(cube, chosen).conditions.temperature.tolist() == [10 * n + cell for n in numbers]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 99),
    cuts=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)),
    in_time=st.booleans(),
    shares=st.sampled_from([None, {"validation": 0.4}, {"train": 0.4, "validation": 0.3, "test": 0.3}]),
    same_orbit=st.booleans(),
    guard=st.integers(0, 4),
)
def test_no_part_shares_an_image_or_a_pixel(tree_images, seed, cuts, in_time, shares, same_orbit, guard):
    times = tree_images.times
    low, high = (times[int(cut * len(times))] for cut in sorted(cuts))
    assume(low < high)
    try:
        plan = plan_samples(
            tree_images, count=6, seed=seed, size=16, previous=2, same_orbit=same_orbit, guard=guard,
            split_time=(low, high) if in_time else None, areas=shares,
        )  # fmt: skip
    except InputError as error:
        assume("too few" not in str(error))
        raise
    parts = {part: plan.of(part) for part in ("train", "validation", "test") if plan.of(part)}
    used = {part: {image.time for one in places for image in one.images} for part, places in parts.items()}
    pixels = {part: covered(places) for part, places in parts.items()}
    for one in parts:
        for other in set(parts) - {one}:
            assert not (used[one] & used[other]) or not (pixels[one] & pixels[other]).any()
            if in_time and "test" in (one, other):
                assert not used[one] & used[other]
    if in_time:
        for part, (start, stop) in {
            "train": (None, low),
            "validation": (low, high),
            "test": (high, None),
        }.items():
            for time in used.get(part, ()):
                assert start is None or np.datetime64(time) >= start
                assert stop is None or np.datetime64(time) < stop
    if same_orbit:
        assert all(len({image.orbit for image in one.images}) == 1 for one in plan.places)


def covered(places):
    mask = np.zeros((60, 80), bool)
    for one in places:
        mask[one.grid.y : one.grid.y + 16, one.grid.x : one.grid.x + 16] = True
    return mask


@pytest.fixture(scope="module")
def tree_images(tree):
    return CubeImages(tree)


def test_same_seed_same_plan_and_all_places_differ(tree):
    plans = [plan_samples(tree, count=30, size=SIZE, seed=seed) for seed in (5, 5, 6)]
    assert plans[0] == plans[1]
    assert plans[0].places != plans[2].places
    assert len(set(plans[0].places)) == 30


def test_saved_and_loaded(tree, tmp_path):
    plan = plan_samples(tree, count=5, size=SIZE, spacing=17.0, split_time=middle(tree))
    plan.save(tmp_path / "plan.json")
    again = SamplePlan.load(tmp_path / "plan.json")
    assert again == plan
    assert again.digest == plan.digest
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(InputError, match=r"plan.json cannot be read as a plan"):
        SamplePlan.load(tmp_path / "plan.json")


def test_another_cube_is_refused_and_a_grown_one_is_not(tree, disk, tmp_path):
    plan = plan_samples(tree, count=3, size=SIZE)
    assert len(PlannedSamples(disk, plan, "train")) == 3
    other = place(seed=4, size=(60, 80), years=0.5, changes=0, optical_days=0)
    with pytest.raises(ConflictError, match=r"drawn from the cube simulated-3, and simulated-4 differs"):
        PlannedSamples(other, plan)
    path = tmp_path / "grown.zarr"
    write_cube(tree, path)
    late = SarAcquisition(time="2031-01-01", bands=("VV", "VH"), backscatter=np.ones((2, 60, 80)))
    append(path, late)
    assert len(PlannedSamples(path, plan)) == 3


def test_spacing_takes_nearest_neighbours(tree):
    chosen = plan_samples(tree, count=1, size=32, spacing=6.5, seed=2).places[0]
    step = 6.5 / abs(geobox_of(tree).affine.a)
    sample = read_sample(tree, chosen)
    dem = tree["static"]["dem"].values
    for row, column in ((0, 0), (31, 31), (7, 20)):
        at = int(chosen.grid.y + (row + 0.5) * step), int(chosen.grid.x + (column + 0.5) * step)
        assert sample.dem[row, column] == dem[at]


def test_holes_are_masked_and_what_is_too_empty_is_counted(tree, caplog):
    holed = tree.copy(deep=True)
    holed["sar"]["backscatter"].values[:, :, :, 40:] = np.nan
    with caplog.at_level(logging.WARNING):
        plan = plan_samples(holed, count=25, size=SIZE, least_valid=0.5, seed=1)
    assert len(plan) == 25
    assert plan.left_out > 0
    assert f"{plan.left_out} places left out" in caplog.text
    shares = [np.isfinite(sample.target).all(axis=0).mean() for sample in PlannedSamples(holed, plan)]
    assert min(shares) >= 0.5
    assert min(shares) < 1
    assert plan_samples(holed, count=25, size=SIZE, least_valid=0).left_out == 0
    holed["sar"]["backscatter"].values[:] = np.nan
    with pytest.raises(InputError, match="lower least_valid"):
        plan_samples(holed, count=1, size=40)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"60 x 80 pixels, fewer than the 512 x 512 .* smaller size"),
        ({"size": 8, "previous": 500}, "too few for a target with 500 previous ones"),
        ({"size": 8, "split_time": "1999-01-01"}, "part train has 0 images"),
        ({"size": 50, "areas": {"test": 0.5}}, "give it a larger share"),
        ({"size": 8, "orbits": [999]}, "no image is from orbit 999; the cube has"),
        ({"size": 8, "require": ["soil"]}, "require names 'soil'"),
        ({"size": 8, "count": {"test": 3}}, "no such part; give split_time or areas"),
        ({"size": 8, "areas": {"train": 0.8, "test": 0.4}}, "sum up to 1.2"),
        ({"size": 8, "areas": {"all": 0.8}}, "'all' has the share"),
        ({"size": 8, "split_time": ("2021-01-01", "2020-01-01")}, "give the earlier time first"),
        ({"size": 8, "spacing": -1}, "give metres above 0"),
        ({"size": 8, "least_valid": 2}, "give a share of pixels"),
    ],
)
def test_bad_settings_are_named_with_a_cure(tree_images, settings, message):
    with pytest.raises(InputError, match=message):
        plan_samples(tree_images, **{"count": 1, **settings})


def test_what_is_missing_is_unknown_or_refused_by_name():
    tree = bare()
    plan = plan_samples(tree, count=1, size=16)
    sample = read_sample(tree, plan.places[0])
    assert sample.dem is None
    assert sample.forest is None
    assert sample.conditions.missing() == ("temperature", "snow_depth", "precipitation")
    with pytest.raises(InputError, match="no layer forest; add it with"):
        plan_samples(tree, count=1, size=16, require=["forest"])
    with pytest.raises(InputError, match=r"temperature, snow_depth, precipitation unknown .*write_weather"):
        plan_samples(tree, count=1, size=16, require=["weather", "incidence"])


def test_cube_without_images_is_refused(tmp_path, tree):
    create_cube(tmp_path / "empty.zarr", geobox_of(tree))
    with pytest.raises(InputError, match="holds no radar images"):
        plan_samples(tmp_path / "empty.zarr", count=1)


def test_heading_beyond_180_is_wrapped():
    tree = bare(heading=("time", np.full(8, 347.0)))
    assert read_sample(tree, plan_samples(tree, count=1, size=16).places[0]).conditions.heading[0] == -13
