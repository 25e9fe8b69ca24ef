"""A whole place: model, levels, determinism, truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from shapely import from_wkt
from shapely.geometry import box

from terradelta.errors import InputError
from terradelta.simulate import KINDS, ORBITS, Change, Cover, Effects, Orbit, Scenario, changed_at, place
from terradelta.types import Size

SETTINGS = {"size": 160, "years": 1.5, "orbits": ORBITS[:3]}


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return place(seed=11, **SETTINGS)


@pytest.fixture(scope="module")
def quiet() -> xr.DataTree:
    return place(seed=11, **SETTINGS, changes=0)


def test_data_model(tree: xr.DataTree) -> None:
    assert set(tree.children) == {"sar", "optical", "static", "weather", "truth"}
    assert tree.attrs["terradelta_schema"] == 1
    sar = tree["sar"].to_dataset()
    assert sar["backscatter"].dims == ("time", "band", "y", "x")
    assert sar["backscatter"].dtype == np.float32
    assert sar["band"].values.tolist() == ["VV", "VH"]
    assert {
        "orbit_direction",
        "relative_orbit",
        "platform",
        "incidence_angle",
        "heading",
        "source_id",
    } < set(sar.coords)
    assert sar["time"].dtype == "datetime64[ns]"
    assert np.unique(sar["source_id"].values).size == sar.sizes["time"]
    assert (np.diff(sar["time"].values) > np.timedelta64(0)).all()
    assert {"dem", "forest", "land_cover"} == set(tree["static"].data_vars)
    weather = tree["weather"].to_dataset()
    assert {"temperature", "precipitation", "snow_depth"} == set(weather.data_vars)
    assert (np.diff(weather["day"].values) == np.timedelta64(1, "D")).all()
    assert weather["day"].values[0] <= sar["time"].values[0] - np.timedelta64(4, "D")
    assert weather["day"].values[-1] >= sar["time"].values[-1].astype("datetime64[D]")
    optical = tree["optical"].to_dataset()
    assert optical["reflectance"].shape == (*optical["time"].shape, 13, 160, 160)
    assert optical["clear"].dtype == bool


@pytest.mark.parametrize("group", ["sar", "optical", "static", "truth"])
def test_all_rasters_share_one_utm_grid(tree: xr.DataTree, group: str) -> None:
    dataset = tree[group].to_dataset()
    assert isinstance(dataset.odc.geobox, GeoBox)
    assert dataset.odc.geobox == tree["static"].to_dataset().odc.geobox
    assert dataset.odc.geobox.crs.epsg == 32631
    assert dataset.odc.geobox.resolution.x == 20.0
    for variable in dataset.data_vars.values():
        assert variable.encoding["grid_mapping"] == "spatial_ref"


def test_values_are_positive_linear_power(tree: xr.DataTree) -> None:
    images = tree["sar"]["backscatter"].values
    assert np.isfinite(images).all()
    assert images.min() > 0
    assert 0.01 < np.median(images) < 0.3


@pytest.mark.parametrize(
    ("cover", "vertical", "cross"),
    [
        (Cover.FOREST, (-9.0, -7.0), (-15.0, -13.0)),
        (Cover.FIELD, (-13.0, -8.0), (-19.0, -14.0)),
        (Cover.GRASS, (-14.0, -9.0), (-20.0, -15.0)),
        (Cover.URBAN, (-5.0, 1.0), (-11.0, -5.0)),
        (Cover.BARE, (-16.0, -10.0), (-23.0, -16.0)),
        (Cover.WATER, (-26.0, -18.0), (-28.0, -22.0)),
    ],
)
def test_levels_by_cover(
    tree: xr.DataTree, cover: Cover, vertical: tuple[float, float], cross: tuple[float, float]
) -> None:
    here = tree["static"]["land_cover"].values == cover
    level = 10 * np.log10(tree["sar"]["backscatter"].values[:, :, here].mean((0, 2)))
    assert vertical[0] < level[0] < vertical[1]
    assert cross[0] < level[1] < cross[1]


def test_orbits_have_sentinel_1_geometry(tree: xr.DataTree) -> None:
    sar = tree["sar"].to_dataset()
    up = sar["orbit_direction"].values == "ascending"
    assert up.any()
    assert not up.all()
    np.testing.assert_allclose(sar["heading"].values[up], -13, atol=1)
    np.testing.assert_allclose(sar["heading"].values[~up], -167, atol=1)
    assert ((sar["incidence_angle"].values >= 29) & (sar["incidence_angle"].values <= 46)).all()
    for number in np.unique(sar["relative_orbit"].values):
        one = sar.isel(time=sar["relative_orbit"].values == number)
        gaps = np.diff(one["time"].values) / np.timedelta64(1, "D")
        assert np.unique(one["incidence_angle"].values).size == 1
        assert set(gaps) == ({6.0} if number == 88 else {12.0})
        if number == 88:
            assert set(zip(one["platform"].values[:-1], one["platform"].values[1:], strict=True)) == {
                ("S1A", "S1B"),
                ("S1B", "S1A"),
            }


def test_sentinel_1b_falls_silent_in_december_2021() -> None:
    late = place(1, size=32, years=0.4, start="2021-11-15", orbits=ORBITS[:1], changes=0, optical_days=0)[
        "sar"
    ]
    second = late["time"].values[late["platform"].values == "S1B"]
    assert second.size > 0
    assert second.max() < np.datetime64("2021-12-23")
    assert late["time"].values.max() > np.datetime64("2022-03-01")


def test_same_seed_is_bit_equal_and_other_seeds_differ(tree: xr.DataTree) -> None:
    again = place(seed=11, **SETTINGS)
    for group in ("sar", "optical", "static", "weather", "truth", "truth/changes"):
        xr.testing.assert_identical(
            tree[group].to_dataset(inherit=False), again[group].to_dataset(inherit=False)
        )
    other = place(seed=12, **SETTINGS)
    assert (other["static"]["land_cover"].values != tree["static"]["land_cover"].values).mean() > 0.3
    assert not np.array_equal(other["weather"]["precipitation"], tree["weather"]["precipitation"])


def test_changes_touch_nothing_outside_their_outline(tree: xr.DataTree, quiet: xr.DataTree) -> None:
    changed = tree["truth"]["changed"].values == 1
    for group, name in (("sar", "backscatter"), ("optical", "reflectance")):
        with_changes, without = tree[group][name].values, quiet[group][name].values
        assert np.array_equal(with_changes[..., ~changed], without[..., ~changed])
        assert not np.array_equal(with_changes[..., changed], without[..., changed])


def test_each_pass_differs_exactly_where_and_when_the_truth_says(
    tree: xr.DataTree, quiet: xr.DataTree
) -> None:
    truth, sar = tree["truth"].to_dataset(), tree["sar"].to_dataset()
    for i, time in enumerate(sar["time"].values):
        differs = (sar["backscatter"].values[i] != quiet["sar"]["backscatter"].values[i]).any(0)
        np.testing.assert_array_equal(differs, changed_at(truth, time))


def test_strength_of_each_change(tree: xr.DataTree) -> None:
    settings = {**SETTINGS, "effects": Effects.only(), "optical_days": 0}
    with_changes, without = place(seed=11, **settings), place(seed=11, **settings, changes=0)
    ratio = with_changes["sar"]["backscatter"].values / without["sar"]["backscatter"].values
    truth, table = tree["truth"].to_dataset(), tree["truth/changes"].to_dataset(inherit=False)
    for number in table["change"].values:
        row = table.sel(change=number)
        here = truth["label"].values == number
        seen = tree["sar"]["time"].values >= row["date"].values
        if not np.isnat(row["until"].values):
            seen &= tree["sar"]["time"].values < row["until"].values
        decibel = 10 * np.log10(ratio[seen][:, :, here])
        np.testing.assert_allclose(decibel.mean((0, 2)), row["strength"].values, atol=1e-3)
        assert 2 <= abs(truth["strength"].values[here][0]) <= 6
        assert here.sum() * 400 == row["area"].item()


def test_changes_differ_in_kind_size_date_and_sign(tree: xr.DataTree) -> None:
    table, truth = tree["truth/changes"].to_dataset(inherit=False), tree["truth"].to_dataset()
    assert table.sizes["change"] == 6
    assert set(table["kind"].values) >= {"clear_cut", "building", "flood", "fire"}
    assert np.unique(table["date"].values).size == 6
    assert set(np.sign(table["strength"].values[:, 0])) == {-1, 1}
    assert np.isnat(table["until"].values).sum() == 5
    edge = np.ones((160, 160), bool)
    edge[4:-4, 4:-4] = False
    assert not truth["changed"].values[edge].any()
    assert 0.005 < truth["changed"].values.mean() < 0.15
    cover = tree["static"]["land_cover"].values
    for number, kind in enumerate(table["kind"].values, start=1):
        found = set(np.unique(cover[truth["label"].values == number]))
        assert found <= {int(each) for each in KINDS[kind].covers}


def test_outlines_lie_on_the_raster(tree: xr.DataTree) -> None:
    truth, table = tree["truth"].to_dataset(), tree["truth/changes"].to_dataset(inherit=False)
    y, x = truth["y"].values, truth["x"].values
    for number, text in enumerate(table["outline"].values, start=1):
        outline = from_wkt(text)
        assert outline.area == pytest.approx(table["area"].values[number - 1])
        rows, columns = np.nonzero(truth["label"].values == number)
        first = box(x[columns[0]] - 10, y[rows[0]] - 10, x[columns[0]] + 10, y[rows[0]] + 10)
        assert outline.covers(first)


def test_truth_codes(tree: xr.DataTree) -> None:
    truth = tree["truth"].to_dataset()
    changed = truth["changed"].values == 1
    for name, empty in (("date", -1), ("kind", 0), ("label", 0), ("strength", 0)):
        np.testing.assert_array_equal(truth[name].values != empty, changed)
    assert truth["date"].dtype == np.int32
    assert truth["kind"].attrs["flag_meanings"].split()[0] == "none"


def test_switching_speckle_off_leaves_everything_else(tree: xr.DataTree) -> None:
    smooth = place(seed=11, **SETTINGS, effects=Effects().without("speckle"), optical_days=0)
    ratio = tree["sar"]["backscatter"].values / smooth["sar"]["backscatter"].values
    assert ratio.mean() == pytest.approx(1, abs=0.001)
    assert 1 / ratio.var() == pytest.approx(8.5, rel=0.02)


def test_passes_do_not_depend_on_other_orbits_or_the_length(tree: xr.DataTree) -> None:
    one = place(seed=11, **{**SETTINGS, "orbits": ORBITS[1:2], "years": 0.5}, changes=0, optical_days=0)[
        "sar"
    ]
    both = place(seed=11, **{**SETTINGS, "years": 0.5}, changes=0, optical_days=0)["sar"].to_dataset()
    same = both.isel(time=both["relative_orbit"].values == ORBITS[1].number)
    np.testing.assert_array_equal(one["backscatter"].values, same["backscatter"].values)


def test_fields_swing_more_with_the_year_than_forest(tree: xr.DataTree) -> None:
    cover = tree["static"]["land_cover"].values
    cross = 10 * np.log10(tree["sar"]["backscatter"].values[:, 1])
    day = tree["sar"]["time"].dt.dayofyear.values
    summer, winter = (day > 190) & (day < 240), (day < 60) | (day > 340)
    swing = {c: cross[summer][:, cover == c].mean() - cross[winter][:, cover == c].mean() for c in Cover}
    assert swing[Cover.FIELD] > 1.0
    assert abs(swing[Cover.FOREST]) < swing[Cover.FIELD]


def test_weather_is_temperate(tree: xr.DataTree) -> None:
    weather = place(3, size=32, years=8, changes=0, orbits=(), optical_days=0)["weather"].to_dataset()
    month = weather["day"].dt.month.values
    warm = weather["temperature"].values
    assert warm[np.isin(month, (7,))].mean() > warm[np.isin(month, (1,))].mean() + 14
    assert 500 < weather["precipitation"].values.mean() * 365 < 1000
    assert 0.3 < (weather["precipitation"].values > 0).mean() < 0.5
    assert weather["snow_depth"].values[np.isin(month, (7, 8))].max() == 0
    assert weather["snow_depth"].values.max() > 5


def test_smoothing_by_a_function_is_applied_to_each_image() -> None:
    called: list[tuple[tuple[int, ...], float]] = []

    def flat(linear: np.ndarray, looks: float) -> np.ndarray:
        called.append((linear.shape, looks))
        return np.full_like(linear, linear.mean())

    settings = {"size": 32, "years": 0.2, "orbits": ORBITS[:1], "changes": 0, "optical_days": 0}
    images = place(0, **settings, smoothing=flat)["sar"]["backscatter"]
    assert called == [((32, 32), 8.5)] * images.sizes["time"] * 2
    assert np.ptp(images.values, axis=(2, 3)).max() == 0


def test_refined_lee_smooths() -> None:
    pytest.importorskip("terradelta.sar").refined_lee  # noqa: B018
    settings = {"size": 32, "years": 0.2, "orbits": ORBITS[:1], "changes": 0, "optical_days": 0}
    raw = place(0, **settings)["sar"]["backscatter"].values
    lee = place(0, **settings, smoothing="refined_lee")["sar"]["backscatter"].values
    assert np.diff(np.log(lee), axis=-1).std() < 0.7 * np.diff(np.log(raw), axis=-1).std()
    assert lee.mean() == pytest.approx(raw.mean(), rel=0.03)


def test_own_changes() -> None:
    mask = np.zeros((32, 32), bool)
    mask[8:12, 8:12] = True
    felled = Change("clear_cut", mask, np.datetime64("2020-02-01"), (-1.0, -2.5))
    tree = place(0, size=32, years=0.3, changes=(felled,), optical_days=0, orbits=ORBITS[:1])
    np.testing.assert_array_equal(tree["truth"]["changed"].values == 1, mask)
    assert tree["truth"]["strength"].values[9, 9] == np.float32(-2.5)


@pytest.mark.parametrize("seed", range(4))
def test_small_and_oblong_places_work(seed: int) -> None:
    tree = place(seed, size=Size(y=40, x=72), years=0.3, changes=2, optical_days=10)
    assert tree["sar"]["backscatter"].shape[-2:] == (40, 72)
    assert tree["truth/changes"].sizes["change"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loks": 4}, "did you mean 'looks'"),
        ({"looks": 0}, "looks is 0"),
        ({"size": 4}, "at least 16"),
        ({"start": "yesterday"}, "start is 'yesterday'"),
        ({"smoothing": "lee"}, "smoothing is 'lee'"),
        ({"flattening": 2}, "flattening is 2"),
        ({"optical_days": 7}, "optical_days is 7"),
        ({"size": 20, "changes": 6}, "no room for change"),
        (
            {"changes": (Change("fire", np.ones((2, 2), bool), np.datetime64("2020-02-01"), (-3, -3)),)},
            "mask",
        ),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        place(0, **settings)
    assert "\n" not in str(caught.value)


def test_bad_orbits_seeds_and_kinds_are_refused() -> None:
    with pytest.raises(InputError, match="29 to 46"):
        Orbit(1, "ascending", 20.0)
    with pytest.raises(InputError, match="1 to 175"):
        Orbit(0, "ascending", 35.0)
    with pytest.raises(InputError, match="seed is -1"):
        place(-1, Scenario(size=16))
    with pytest.raises(InputError, match="'quake'"):
        Change("quake", np.ones((2, 2), bool), np.datetime64("2020-02-01"), (1, 1))
    with pytest.raises(InputError, match="truth"):
        changed_at(xr.Dataset(), "2020-01-01")


def test_clouds_are_bright_and_the_clear_ground_is_green_in_summer(tree: xr.DataTree) -> None:
    optical = tree["optical"].to_dataset()
    clear, images = optical["clear"].values, optical["reflectance"]
    assert 0.2 < clear.mean() < 0.8
    assert clear.any((1, 2)).all()
    blue = images.sel(band="B02").values
    assert blue[~clear].mean() > 2 * blue[clear].mean()
    red, infrared = images.sel(band="B04").values, images.sel(band="B08").values
    index = (infrared - red) / (infrared + red)
    day = optical["time"].dt.dayofyear.values
    forest = tree["static"]["forest"].values == 1
    summer = ((day > 150) & (day < 270))[:, None, None] & clear & forest
    winter = ((day < 80) | (day > 320))[:, None, None] & clear & forest
    assert index[summer].mean() > index[winter].mean() + 0.15


def test_a_place_can_be_stored_as_a_cube(tmp_path: Path) -> None:
    cube = pytest.importorskip("terradelta.cube")
    tree = place(2, size=48, years=0.3, changes=1)
    cube.write_cube(tree, tmp_path / "place.zarr")
    assert cube.check_cube(tmp_path / "place.zarr") == []
    stored = cube.open_cube(tmp_path / "place.zarr")
    for group, name in (
        ("sar", "backscatter"),
        ("optical", "reflectance"),
        ("truth", "date"),
        ("static", "dem"),
    ):
        np.testing.assert_array_equal(stored[group][name].values, tree[group][name].values)
    assert stored["sar"].to_dataset().odc.geobox == tree["sar"].to_dataset().odc.geobox
