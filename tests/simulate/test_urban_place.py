"""A town for urban monitoring: what it has, and that each new effect is really there."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from terradelta.errors import InputError
from terradelta.simulate import ORBITS, Change, Cover, Effects, place, urban_place
from terradelta.simulate.atmosphere import haze, sun
from terradelta.simulate.optical import OPTICAL_BANDS, _clouds
from terradelta.types import Size

DAY = np.timedelta64(1, "D")
PLAIN = {"size": 48, "years": 1.0, "changes": 0, "orbits": (), "optical_days": 5}


@pytest.fixture(scope="module")
def town() -> xr.DataTree:
    return urban_place(3, size=96, years=1.0, changes=4)


def square(size: int = 48) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[20:30, 20:30] = True
    return mask


def test_a_town_has_what_urban_monitoring_needs(town: xr.DataTree) -> None:
    sar, optical = town["sar"].to_dataset(), town["optical"].to_dataset()
    assert set(sar["orbit_direction"].values) == {"ascending", "descending"}
    assert optical["band"].values.tolist() == list(OPTICAL_BANDS)
    assert (np.diff(optical["time"].values) >= 5 * DAY).all()
    assert np.diff(optical["time"].values).min() == 5 * DAY
    assert town["sar"].to_dataset().odc.geobox.resolution.x == 10
    assert 0.35 < (town["static"]["land_cover"].values == Cover.URBAN).mean() < 0.55
    assert town["truth/changes"]["kind"].values.tolist() == [
        "building",
        "demolition",
        "building",
        "demolition",
    ]


def test_every_half_year_has_enough_observations(town: xr.DataTree) -> None:
    days = np.concatenate([town[group]["time"].values for group in ("sar", "optical")]).astype(
        "datetime64[D]"
    )
    for start in np.arange(days.min(), days.max() - 182 * DAY, 10 * DAY):
        steps = np.unique((days[(days >= start) & (days < start + 182 * DAY)] - start) // (2 * DAY))
        assert 50 < steps.size <= 92


def test_demolition_darkens_the_radar_and_bares_the_ground(town: xr.DataTree) -> None:
    table, truth = town["truth/changes"].to_dataset(inherit=False), town["truth"].to_dataset()
    number = int(table["change"].values[table["kind"].values == "demolition"][0])
    here, date = truth["label"].values == number, table["date"].sel(change=number).values
    assert (town["static"]["land_cover"].values[here] == Cover.URBAN).all()
    for direction in ("ascending", "descending"):
        sar = town["sar"].to_dataset()
        sar = sar.isel(time=sar["orbit_direction"].values == direction)
        level = np.log10(sar["backscatter"].values[:, 0][:, here]).mean(1) * 10
        late = sar["time"].values >= date
        assert level[late].mean() < level[~late].mean() - 4
    optical = town["optical"].to_dataset()
    image = optical["reflectance"].sel(band="B11").where(optical["clear"]).values[:, here]
    late = optical["time"].values >= date
    assert np.nanmean(image[late]) > np.nanmean(image[~late]) + 0.05


def test_buildings_stand_on_bare_soil_first() -> None:
    date, finished = np.datetime64("2020-04-01"), np.datetime64("2020-07-01")
    built = Change("building", square(), date, (5.0, 4.0), finished=finished)
    settings = {**PLAIN, "orbits": ORBITS[:1], "effects": Effects.only()}
    with_it, without = place(0, **{**settings, "changes": (built,)}), place(0, **settings)
    ratio = 10 * np.log10(with_it["sar"]["backscatter"].values / without["sar"]["backscatter"].values)
    times, inside = with_it["sar"]["time"].values, ratio[:, 0, 25, 25]
    np.testing.assert_allclose(inside[times < date], 0, atol=1e-4)
    np.testing.assert_allclose(inside[(times >= date) & (times < finished)], -1.5, atol=1e-3)
    np.testing.assert_allclose(inside[times >= finished], 5, atol=1e-3)
    optical = with_it["optical"].to_dataset()
    swir = optical["reflectance"].sel(band="B12").values[:, 20:30, 20:30].mean((1, 2))
    clear = optical["clear"].values[:, 20:30, 20:30].all((1, 2))
    soil, stands = (
        (optical["time"].values >= date) & (optical["time"].values < finished),
        (optical["time"].values >= finished),
    )
    assert swir[clear & soil].min() > swir[clear & stands].max()
    table = with_it["truth/changes"].to_dataset(inherit=False)
    assert table["finished"].values[0] == finished and table["date"].values[0] == date


def test_shadows_are_dark_masked_and_away_from_the_sun() -> None:
    shaded = place(5, **{**PLAIN, "size": 96, "resolution": 10.0, "shadows": True})["optical"].to_dataset()
    images, clear = shaded["reflectance"].sel(band="B08").values, shaded["clear"].values
    summer = (shaded["time"].dt.month.values > 5) & (shaded["time"].dt.month.values < 9)
    usual = np.nanmedian(np.where(clear, images, np.nan)[summer], axis=0)
    dark = ~clear[summer] & (images[summer] < 0.75 * usual)
    bright = ~clear[summer] & (images[summer] > usual + 0.1)
    assert 0.01 < dark.mean() < 0.5
    assert bright.mean() > 0.01
    lit = clear[summer] & (images[summer] < 0.6 * usual)
    assert lit.mean() < 0.01


def test_haze_brightens_the_blue_of_winter_most_and_spares_the_cirrus_band() -> None:
    settings = {**PLAIN, "years": 1.0}
    hazy = place(1, **{**settings, "haze": 1.0})["optical"]["reflectance"]
    clean = place(1, **settings)["optical"]["reflectance"]
    clear = place(1, **settings)["optical"]["clear"].values.all((1, 2))
    added = (hazy.values - clean.values).mean((2, 3))[clear]
    month = hazy["time"].dt.month.values[clear]
    winter, summer = np.isin(month, (11, 12, 1)), np.isin(month, (5, 6, 7))
    blue, swir, cirrus = (OPTICAL_BANDS.index(band) for band in ("B02", "B12", "B10"))
    assert added[winter, blue].mean() > added[summer, blue].mean() + 0.01
    assert np.abs(added[:, swir]).max() < 0.02
    assert np.abs(added[:, cirrus]).max() == 0
    assert added[:, blue].std() > 0.003


def test_the_sun_of_the_tropics_stands_higher() -> None:
    winter = np.datetime64("2020-12-21")
    assert sun(winter, 10.0)[0] < sun(winter, 50.0)[0]
    rng = [np.random.default_rng(2) for _ in range(2)]
    assert haze(rng[0], 70.0, 1.0)[0][0] > haze(rng[1], 40.0, 1.0)[0][0]


def test_settings_that_are_off_leave_every_value_as_it_was() -> None:
    plain, explicit = (
        place(4, size=48, years=0.3, changes=1, optical_days=10, **more)
        for more in ({}, {"shadows": False, "haze": 0.0, "works_days": 0, "urban": 0.09})
    )
    for group in ("sar", "optical", "static", "truth"):
        xr.testing.assert_identical(
            plain[group].to_dataset(inherit=False), explicit[group].to_dataset(inherit=False)
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"haze": -1}, "haze is -1"),
        ({"urban": 2}, "urban is 2"),
        ({"kinds": ("castle",)}, "castle"),
        ({"works_days": -3}, "works_days is -3"),
    ],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        urban_place(0, **settings)
    with pytest.raises(InputError, match="finished"):
        Change(
            "building", square(), np.datetime64("2020-05-01"), (5, 4), finished=np.datetime64("2020-04-01")
        )


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_the_sky_is_as_cloudy_as_asked(share: float) -> None:
    """Over all passes, those that are left out too, clouds alone; 400 days tell it within a few percent."""
    covers = [
        float((_clouds(np.random.default_rng(day), Size(24, 24), 60.0, share) > 0).mean())
        for day in range(400)
    ]
    assert np.mean(covers) == pytest.approx(share, abs=0.045)


def test_small_changes_leave_room_for_many() -> None:
    tree = urban_place(4, size=128, years=0.2, changes=24, largest_change=5.0, optical_days=0)
    label = tree["truth"]["label"].values
    sizes = np.bincount(label.ravel())[1:]
    assert len(sizes) == 24
    built = np.isin(tree["truth/changes"]["kind"].values, ("building", "demolition"))
    assert sizes[built].max() <= (2 * 1.1 * 5.0 + 2) ** 2


def test_changes_smaller_than_pixels_are_refused() -> None:
    with pytest.raises(InputError, match=r"largest_change is 1\.0; give a radius of 3 pixels or more"):
        urban_place(4, size=64, largest_change=1.0)
