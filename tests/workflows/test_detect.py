from __future__ import annotations

import logging

import numpy as np
import pytest
import xarray as xr

from terradelta import detect
from terradelta.errors import ConfigError, CubeError, InputError

QUICK = {"history": 6, "fewest": 3, "tv_iterations": 15, "degree": 1, "fit_iterations": 4}
CHANGED_FROM, LAST = 9, 15
METHODS = ("robust", "logratio", "omnibus")


def day(image: int) -> int:
    return int((np.datetime64("2023-01-01") + 12 * image).astype(int))


def iso(image: int) -> str:
    return str(np.datetime64(day(image), "D"))


def equal(one: xr.Dataset, other: xr.Dataset) -> None:
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=str(name))


@pytest.fixture(scope="module")
def period(memory):
    return {method: detect(memory, method=method, robust=QUICK) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_a_period_gives_the_change_and_its_date(period, changed, method):
    found = period[method]["combined"]
    share = {"robust": 0.85, "logratio": 0.7, "omnibus": 0.95}[method]
    assert (found["change"].values[changed] == 1).mean() > share
    if method != "omnibus":  # which takes rain for change
        assert (found["change"].values[~changed] == 1).mean() < 0.06
    dates = found["date"].values[changed & (found["change"].values == 1)]
    assert np.median(dates) == day(CHANGED_FROM)
    assert (found["date"].values[found["change"].values == 0] == -1).all()
    assert (found["count"].values >= found["change"].values).all()
    if method != "omnibus":
        seen = changed & (found["change"].values == 1)
        assert np.median(found["difference"].values[:, seen], axis=1) == pytest.approx([-6, -6], abs=1)


@pytest.mark.parametrize(
    ("method", "unit"),
    [("robust", "standard deviations"), ("logratio", "dB"), ("omnibus", "-log10 of the p-value")],
)
def test_results_lie_on_the_cubes_grid_and_name_their_unit(period, geobox, method, unit):
    for found in period[method].values():
        assert found.odc.geobox == geobox
        assert found["score"].attrs["units"] == unit
        assert found["change"].dtype == np.uint8
    assert sorted(period[method]) == ["combined", "orbit-037-descending"]


def test_of_one_orbit_the_combined_result_is_the_very_same(period):
    both = period["robust"]
    equal(both["orbit-037-descending"], both["combined"])
    assert both["combined"]["score"].data is both["orbit-037-descending"]["score"].data


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("time", "share"), [(iso(8), 0.0), (iso(CHANGED_FROM), 0.85)])
def test_one_date(memory, changed, method, time, share):
    found = detect(memory, method=method, time=time, robust=QUICK)["combined"]
    detected = found["change"].values[changed] == 1
    assert detected.mean() > share if share else detected.mean() < 0.15
    assert set(np.unique(found["date"].values)) <= {-1, int(np.datetime64(time).astype(int))}


def test_one_date_of_the_robust_method_tells_what_was_expected(memory):
    found = detect(memory, time=iso(LAST), robust=QUICK)
    single = found["orbit-037-descending"]
    seen = memory["sar"]["backscatter"].values[-1]
    assert {"expected", "sigma"} <= set(single.data_vars)
    assert not {"expected", "sigma"} & set(found["combined"].data_vars)
    assert np.abs(np.median(single["expected"].values - 10 * np.log10(seen))) < 0.5
    assert single["sigma"].values.min() >= 0.6


def test_last_is_the_date_of_the_last_image(memory):
    last, named = (detect(memory, time=time, robust=QUICK)["combined"] for time in ("last", iso(LAST)))
    equal(last, named)


def test_a_period_without_the_change_finds_none(memory, changed):
    found = detect(memory, start=iso(4), end=iso(8), robust=QUICK)["combined"]
    assert (found["change"].values == 1).mean() < 0.01


def test_a_cube_on_disk_gives_the_same_as_in_memory(cube, period):
    equal(period["robust"]["combined"], detect(cube, robust=QUICK)["combined"])


@pytest.mark.parametrize("method", ["robust", "omnibus"])
def test_orbits_are_never_mixed(make_cube, method):
    other = {"gain": -9.0, "hour": 17}
    both = detect(make_cube((37, {}), (88, other)), method=method, robust=QUICK)
    alone = {
        **detect(make_cube((37, {})), method=method, robust=QUICK),
        **detect(make_cube((88, other)), method=method, robust=QUICK),
    }
    orbits = ["orbit-037-descending", "orbit-088-ascending"]
    assert sorted(both) == ["combined", *orbits]
    for orbit in orbits:
        equal(alone[orbit], both[orbit])
    largest = np.maximum(*(both[orbit]["score"].values for orbit in orbits))
    np.testing.assert_array_equal(both["combined"]["score"].values, largest)


def test_chosen_orbits(make_cube, caplog):
    path = make_cube((37, {}), (88, {"hour": 17, "images": 2}))
    assert sorted(detect(path, orbits=[37], robust=QUICK)) == ["combined", "orbit-037-descending"]
    assert not caplog.records
    with pytest.raises(CubeError, match="orbit 5 is not in the cube; it has orbit-037-descending, orbit-088"):
        detect(path, orbits=[37, 5])
    with caplog.at_level(logging.WARNING):
        assert "orbit-088-ascending" not in detect(path, robust=QUICK)
    assert "left out: orbit-088-ascending has 2 images from 2023-01-01 to 2023-01-13" in caplog.text


def test_one_date_in_the_cube(make_cube):
    path = make_cube((37, {"images": 1}))
    with pytest.raises(CubeError, match="has 1 image from 2023-01-01 to 2023-01-01") as error:
        detect(path)
    assert "\n" not in str(error.value)


def test_a_period_with_fewer_targets_than_confirm(memory):
    with pytest.raises(CubeError, match="2 in the period with 4 before it; needed are 3"):
        detect(memory, start=iso(LAST - 1))
    with pytest.raises(CubeError, match="0 in the period"):
        detect(memory, time="2023-01-02")


@pytest.mark.parametrize("method", METHODS)
def test_borders_without_data_stay_so_and_do_not_smear(make_cube, geobox, period, method):
    valid = np.ones(geobox.shape, bool)
    valid[:, :20], valid[70:] = False, False
    found = detect(make_cube((37, {"valid": valid})), method=method, robust=QUICK)["combined"]
    np.testing.assert_array_equal(found["change"].values == 255, ~valid)
    np.testing.assert_array_equal(np.isnan(found["score"].values), ~valid)
    np.testing.assert_array_equal(found["count"].values == 65535, ~valid)
    whole = period[method]["combined"]["change"].values
    assert (found["change"].values[valid] != whole[valid]).mean() < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_an_orbit_without_any_data(memory, method):
    radar = memory["sar"].to_dataset()
    nothing = radar.where(False).assign_coords(
        time=radar["time"] + np.timedelta64(12, "h"),
        relative_orbit=("time", np.full(radar.sizes["time"], 88)),
    )
    nothing = nothing.assign_coords(
        orbit_direction=("time", np.full(nothing.sizes["time"], "ascending", object))
    )
    both = xr.concat([radar, nothing], "time").sortby("time")
    found = detect(xr.DataTree.from_dict({"sar": both}), method=method, robust=QUICK)
    assert (found["orbit-088-ascending"]["change"].values == 255).all()
    equal(found["orbit-037-descending"], found["combined"])


def test_looks_that_cannot_be_estimated(make_cube, geobox):
    points = np.zeros(geobox.shape, bool)
    points[::3, ::3] = True
    path = make_cube((37, {"valid": points}))
    with pytest.raises(InputError, match=r"looks cannot be estimated; set omnibus\.looks"):
        detect(path, method="omnibus")
    assert (
        detect(path, method="omnibus", omnibus={"looks": 9})["combined"]["change"].values[points] < 255
    ).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_single_band(make_cube, changed, method):
    found = detect(make_cube((37, {"bands": ("VH",)})), method=method, robust=QUICK)["combined"]
    assert (found["change"].values[changed] == 1).mean() > 0.6
    if method != "omnibus":
        assert found["difference"]["band"].values.tolist() == ["VH"]


def test_without_radar(memory):
    with pytest.raises(CubeError, match="no radar images"):
        detect(xr.DataTree())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"time": "lats"}, "time is 'lats': no date; write for example 2024-07-06"),
        ({"start": "2024-13-01"}, "start is '2024-13-01': no date"),
        ({"start": "2024-05-01", "end": "2023-05-01"}, "start 2024-05-01 is after end 2023-05-01"),
        ({"robust": {"fewest": 12}}, "fewest is 12 but history holds 10"),
        ({"thresold": 1}, "unknown key 'thresold'; did you mean 'threshold'"),
    ],
)
def test_bad_settings_are_one_clear_line(memory, given, words):
    with pytest.raises(ConfigError, match=words) as error:
        detect(memory, **given)
    assert "\n" not in str(error.value)
