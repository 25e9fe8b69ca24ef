"""Each effect against its published size, alone and inside a whole place."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from terradelta.errors import InputError
from terradelta.simulate import COVERS, ORBITS, Cover, Effects, ground, place, plants
from terradelta.simulate.weather import soil_moisture

SMALL = {"size": 64, "years": 1.0, "orbits": ORBITS[:2], "changes": 0, "optical_days": 0, "seed": 5}


def decibel(tree: xr.DataTree) -> np.ndarray:
    return 10 * np.log10(tree["sar"]["backscatter"].values)


def position(cover: Cover) -> int:
    return [each.cover for each in COVERS].index(cover)


@pytest.fixture(scope="module")
def still() -> xr.DataTree:
    return place(**SMALL, effects=Effects.only())


def difference(still: xr.DataTree, *names: str) -> np.ndarray:
    return decibel(place(**SMALL, effects=Effects.only(*names))) - decibel(still)


def test_without_effects_every_pass_is_the_same(still: xr.DataTree) -> None:
    images = still["sar"]["backscatter"].values
    assert (images == images[0]).all()


@pytest.mark.parametrize("name", Effects.names())
def test_every_effect_shows_when_on_and_only_then(still: xr.DataTree, name: str) -> None:
    assert np.abs(difference(still, name)).max() > 0.05


def test_incidence_darkens_the_flat_orbit(still: xr.DataTree) -> None:
    seen = difference(still, "incidence")
    angle = still["sar"]["incidence_angle"].values
    cover = still["static"]["land_cover"].values
    for each in COVERS[:5]:
        slope = (seen[angle > 40].mean(0) - seen[angle < 40].mean(0))[:, cover == each.cover].mean(1) / (
            43.2 - 38.6
        )
        # d/dt of 10 (N - 1) log10 cos t between the two angles
        np.testing.assert_allclose(
            slope, -0.0758 * np.tan(np.deg2rad(40.9)) * (np.array(each.exponent) - 1), rtol=0.02
        )


def test_terrain_has_the_geometry_of_the_projected_area() -> None:
    # independent: unit vectors of facet normal, sensor and image plane
    angle = np.deg2rad(37.0)
    for slope in (-0.3, -0.1, 0.05, 0.4):
        normal = np.array([-slope, 1.0]) / np.hypot(slope, 1)
        sensor, plane = np.array([-np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
        ratio = (normal @ sensor) / (normal @ plane) * np.tan(angle)
        got = ground.terrain_db(np.array([slope]), 37.0)[0]
        assert got == pytest.approx(10 * np.log10(ratio), abs=1e-9)


def test_terrain_changes_sides_with_the_orbit_direction(still: xr.DataTree) -> None:
    seen = difference(still, "terrain")[:, 0]
    up = still["sar"]["orbit_direction"].values == "ascending"
    land = still["static"]["land_cover"].values != Cover.WATER
    east = np.gradient(still["static"]["dem"].values, 20.0)[1][land]
    assert np.corrcoef(seen[up].mean(0)[land], east)[0, 1] > 0.8
    assert np.corrcoef(seen[~up].mean(0)[land], east)[0, 1] < -0.8


def test_flattening_removes_terrain_wholly_at_one() -> None:
    flat = place(**SMALL, effects=Effects.only("terrain"), flattening=1.0)
    np.testing.assert_array_equal(decibel(flat), decibel(place(**SMALL, effects=Effects.only())))


@pytest.mark.parametrize(
    ("cover", "band", "size"), [("BARE", 0, 0.20), ("FIELD", 1, 0.12), ("FOREST", 0, 0.04)]
)
def test_moisture_per_volume_per_cent(cover: str, band: int, size: float) -> None:
    rise = ground.moisture_db(30.0) - ground.moisture_db(20.0)
    assert rise[band, position(Cover[cover])] == pytest.approx(10 * size, rel=1e-5)


def test_rain_brightens_fields_more_than_forest(still: xr.DataTree) -> None:
    seen = difference(still, "moisture")
    cover = still["static"]["land_cover"].values
    field = seen[:, 0, cover == Cover.FIELD].mean(1)
    forest = seen[:, 0, cover == Cover.FOREST].mean(1)
    assert np.ptp(field) == pytest.approx(3 * np.ptp(forest), rel=0.1)
    assert 1.5 < np.ptp(field) < 5.0
    assert np.abs(seen[:, :, cover == Cover.WATER]).max() < 1e-4


def test_soil_dries_between_rains_and_faster_in_summer() -> None:
    water = np.zeros(10)
    water[0] = 25.0
    winter, summer = soil_moisture(np.full(10, 20.0), water), soil_moisture(np.full(10, 202.0), water)
    assert (np.diff(winter) < 0).all()
    assert summer[-1] < winter[-1]


def test_frost_and_wet_snow_sizes(still: xr.DataTree) -> None:
    field, forest = position(Cover.FIELD), position(Cover.FOREST)
    assert (ground.frost_db(-5.0)[:, field] <= -2.0).all()
    assert ground.frost_db(-20.0)[0, field] == ground.frost_db(-5.0)[0, field]
    assert (ground.wet_snow_db(3.0, 20.0)[:, field] <= -3.0).all()
    assert (ground.wet_snow_db(3.0, 20.0)[:, forest] >= -1.5).all()
    assert not ground.wet_snow_db(3.0, 0.0).any()
    winter = difference(still, "frost", "snow")[:, 0].mean((1, 2))
    day = still["sar"]["time"].dt.dayofyear.values
    assert winter[(day > 130) & (day < 270)].min() == pytest.approx(0, abs=1e-4)
    assert winter.min() < -1.0


def test_foliage_of_the_two_forests_moves_oppositely() -> None:
    one = np.ones((1, 1))
    leaves = plants.foliage_db(200, one, one) - plants.foliage_db(10, one, one)
    needles = plants.foliage_db(200, 0 * one, one) - plants.foliage_db(10, 0 * one, one)
    assert leaves[1, 0, 0] == pytest.approx(-1.0, abs=0.05)
    assert needles[1, 0, 0] == pytest.approx(0.6, abs=0.05)
    assert leaves[0, 0, 0] == pytest.approx(leaves[1, 0, 0] / 2)


def test_crops_have_their_season(still: xr.DataTree) -> None:
    seen = difference(still, "crops")
    cover = still["static"]["land_cover"].values
    day = still["sar"]["time"].dt.dayofyear.values
    field = seen[:, :, cover == Cover.FIELD]
    assert field[(day > 125) & (day < 145), 0].min() == pytest.approx(-4.0, abs=0.3)
    assert field[(day > 210) & (day < 230), 1].max() == pytest.approx(4.0, abs=0.3)
    assert np.abs(field[day < 30]).max() < 0.1
    assert np.abs(seen[:, :, cover != Cover.FIELD]).max() < 1e-5


def test_satellites_differ_by_three_tenths(still: xr.DataTree) -> None:
    seen = difference(still, "satellite")
    second = still["sar"]["platform"].values == "S1B"
    assert 0 < second.mean() < 0.5
    np.testing.assert_allclose(seen[second], 0.3, atol=1e-4)
    np.testing.assert_allclose(seen[~second], 0.0, atol=1e-4)


def test_gain_is_one_number_per_pass_and_band(still: xr.DataTree) -> None:
    seen = difference(still, "gain")
    assert np.ptp(seen, axis=(2, 3)).max() < 1e-4
    assert seen.mean((2, 3)).std() == pytest.approx(0.15, rel=0.25)


def test_wind_moves_water_only(still: xr.DataTree) -> None:
    seen = difference(still, "wind")
    water = still["static"]["land_cover"].values == Cover.WATER
    assert np.abs(seen[:, :, ~water]).max() < 1e-4
    assert seen[:, 0, water].mean(1).std() == pytest.approx(1.8, rel=0.3)


def test_bright_points_stand_in_towns_and_depend_on_direction(still: xr.DataTree) -> None:
    seen = difference(still, "points")[:, 0]
    town = still["static"]["land_cover"].values == Cover.URBAN
    up = still["sar"]["orbit_direction"].values == "ascending"
    bright = seen > 1
    assert not bright[:, ~town].any()
    assert bright[:, town].mean() == pytest.approx(0.1, abs=0.03)
    assert seen[bright].min() >= 5.99
    assert seen.max() <= 16.01
    assert (bright[up][0] & bright[~up][0]).sum() < 0.4 * bright[0].sum()


def test_noise_floor_lifts_dark_water_only(still: xr.DataTree) -> None:
    seen = difference(still, "noise")
    cover = still["static"]["land_cover"].values
    assert seen[:, 1, cover == Cover.WATER].mean() == pytest.approx(10 * np.log10(1 + 10**0.1), abs=0.1)
    assert seen[:, 0, cover == Cover.FOREST].mean() < 0.1


@given(st.floats(29, 46), st.floats(-0.9, 0.9))
def test_terrain_grows_with_the_slope_and_stays_in_bounds(angle: float, slope: float) -> None:
    low, high = ground.terrain_db(np.array([slope, slope + 0.01]), angle)
    assert -10 <= low <= high <= 8


def test_effects_by_name() -> None:
    assert Effects().without("noise") == Effects(noise=False)
    assert Effects.only(*Effects.names()) == Effects().including("edges")
    with pytest.raises(InputError, match=r"'spekle'; choose from incidence, terrain"):
        Effects.only("spekle")
