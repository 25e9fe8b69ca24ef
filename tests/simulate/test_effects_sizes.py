"""Two acquisitions that differ in one condition differ by the size of its effect, cover by cover."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from terradelta.sar import refined_lee
from terradelta.simulate import COVERS, ORBITS, Cover, Effects, Orbit, Scenario, place, speckle
from terradelta.simulate.covers import cover_index
from terradelta.simulate.edges import edges_db, shadow_length
from terradelta.simulate.landscape import Landscape
from terradelta.simulate.orbits import Pass, heading, look_azimuth
from terradelta.simulate.radar import Radar
from terradelta.simulate.terrain import Terrain
from terradelta.simulate.weather import Weather, soil_moisture
from terradelta.types import Size

SIZE, STRIPE = Size(40, 144), 24
SUMMER, WINTER = np.datetime64("2020-07-20T05:50:00", "ns"), np.datetime64("2020-01-12T05:50:00", "ns")
UP, DOWN = Orbit(88, "ascending", 38.0), Orbit(37, "descending", 38.0)
OPEN = (Cover.GRASS, Cover.FIELD, Cover.BARE)
LATITUDE = 50.6


def stripes(order: tuple[Cover, ...] = tuple(each.cover for each in COVERS)) -> Landscape:
    """Lay the covers side by side from west to east; northern trees deciduous, southern ones coniferous."""
    cover = np.tile(np.repeat([int(each) for each in order], STRIPE), (SIZE.y, 1)).astype(np.uint8)
    north = np.arange(SIZE.y)[:, None] < SIZE.y // 2
    ones = np.ones(SIZE, np.float32)
    deciduous = ((cover == Cover.FOREST) & north).astype(np.float32)
    index = cover_index(cover).astype(np.uint8)
    return Landscape(cover, index, index.astype(np.int32), deciduous, ones, 0 * ones)


def weather(temperature: float = 10.0, snow_depth: float = 0.0, moisture: float = 20.0) -> Weather:
    day = np.arange(np.datetime64("2020-01-01"), np.datetime64("2021-01-01"))
    values = (np.full(day.size, value, np.float32) for value in (temperature, 0.0, snow_depth, moisture))
    return Weather(day, *values)


def decibel(
    effect: str | None,
    sky: Weather | None = None,
    *,
    orbit: Orbit = UP,
    platform: str = "S1A",
    time: np.datetime64 = SUMMER,
    land: Landscape | None = None,
    dem: np.ndarray | None = None,
    **settings: object,
) -> np.ndarray:
    """Make one acquisition of the stripes with one effect on: (band, y, x) in dB."""
    scenario = Scenario(size=SIZE, effects=Effects.only(*filter(None, [effect])), **settings)
    flat = np.zeros(SIZE, np.float32)
    terrain = Terrain(flat if dem is None else dem, flat)
    radar = Radar(3, scenario, terrain, land or stripes(), sky or weather(), LATITUDE)
    return 10 * np.log10(radar.images((Pass(time, orbit, platform),), ()))[0]


def by_cover(difference: np.ndarray) -> dict[Cover, np.ndarray]:
    """Average over each stripe, without its border columns: cover -> (VV, VH)."""
    land = stripes()
    return {each.cover: difference[:, land.cover == each.cover].mean(1) for each in COVERS}


def test_incidence_slope_by_cover() -> None:
    # Ulaby, Moore & Fung 1982: sigma0 ~ cos(t)**N with N near 1 for a volume such as forest and near 2 for
    # rough ground: -0.06 N dB per degree around 38 degrees; gamma0 is flatter by one power of the cosine
    near, far = Orbit(1, "descending", 34.4), Orbit(2, "descending", 43.2)
    step = by_cover(decibel("incidence", orbit=far) - decibel("incidence", orbit=near))
    gamma = {cover: size / (43.2 - 34.4) for cover, size in step.items()}
    area = 10 * np.log10(np.cos(np.deg2rad(43.2)) / np.cos(np.deg2rad(34.4))) / (43.2 - 34.4)
    sigma = {cover: slope + area for cover, slope in gamma.items()}
    assert area == pytest.approx(-0.061, abs=0.002)
    assert sigma[Cover.FOREST] == pytest.approx([-0.08, -0.07], abs=0.01)
    assert sigma[Cover.FIELD] == pytest.approx([-0.13, -0.10], abs=0.01)
    assert sigma[Cover.GRASS] == pytest.approx([-0.13, -0.10], abs=0.01)
    assert sigma[Cover.BARE] == pytest.approx([-0.16, -0.12], abs=0.01)
    assert sigma[Cover.WATER][0] < -0.4
    assert (np.abs(gamma[Cover.FOREST]) < 0.35 * np.abs(gamma[Cover.FIELD])).all()


@pytest.mark.parametrize(("flattening", "share"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_look_direction_on_slopes(flattening: float, share: float) -> None:
    # Ulander 1996, Small 2011: at 38 degrees +1.7 dB on a slope of 10 degrees that faces the radar, -1.5 dB
    # on one that turns away; the radar looks 13 degrees off east, hence 3 % less slope
    rise = np.tan(np.deg2rad(10.0)) * 20.0
    dem = np.tile(np.arange(SIZE.x, dtype=np.float32) * np.float32(rise), (SIZE.y, 1))
    up, down = (decibel("terrain", orbit=each, dem=dem, flattening=flattening) for each in (UP, DOWN))
    for size in by_cover(up - down).values():
        assert size == pytest.approx([3.2 * share] * 2, abs=0.15)


BORDERS = (Cover.FIELD, Cover.FOREST, Cover.GRASS, Cover.URBAN, Cover.FOREST, Cover.URBAN)


def edges_of(orbit: Orbit) -> np.ndarray:
    """Give what the edges add to one row of the stripes: (band, x)."""
    land = stripes(BORDERS)
    added = decibel("edges", orbit=orbit, land=land) - decibel(None, orbit=orbit, land=land)
    return added[:, SIZE.y // 2]


def test_look_direction_on_edges() -> None:
    # geometry: 20 m trees throw a shadow of 20 tan(38) = 15.6 m, 0.78 pixels, -6 dB; the front shows twice
    # its power. Only the forest beside field and grass has edges, the one between towns has none
    west, east = STRIPE, 2 * STRIPE - 1
    for orbit, front, behind in ((UP, west, east + 1), (DOWN, east, west - 1)):
        line = edges_of(orbit)
        assert line[:, front] == pytest.approx([2.5, 2.5], abs=0.15)
        assert line[:, behind] == pytest.approx([-3.8, -3.8], abs=0.25)
        assert set(np.flatnonzero(np.abs(line).max(0) > 1e-5)) == {front, behind}


def test_edges_grow_with_the_incidence() -> None:
    steep, flat = (edges_of(Orbit(1, "ascending", angle)) for angle in (31.2, 43.2))
    west, east = STRIPE, 2 * STRIPE - 1
    assert (flat - steep)[:, west] == pytest.approx([0.8, 0.8], abs=0.1)
    assert (flat - steep)[:, east + 1] == pytest.approx([-2.4, -2.4], abs=0.3)


@pytest.mark.parametrize("angle", [31.2, 38.6, 43.2])
def test_shadow_is_as_long_as_the_trees_are_high_times_the_tangent(angle: float) -> None:
    row = np.repeat([30, 10, 30], 40)[None]
    power = 10 ** (edges_db(row, np.full(row.shape, angle), 90.0, 2.0)[0] / 10)
    expected = 20.0 * np.tan(np.deg2rad(angle))
    assert shadow_length(angle) == pytest.approx(expected)
    assert (1 - power[80:]).sum() * 2.0 / 0.75 == pytest.approx(expected, rel=1e-4)
    # the front returns what is missing behind it
    assert (power[40:80] - 1).sum() * 2.0 == pytest.approx(expected, rel=1e-4)


def marched(cover: np.ndarray, length: float, azimuth: float, target: int, what: int) -> np.ndarray:
    """Walk from 81 points of each pixel of a class towards the radar; give the share that meets a target."""
    angle, met = np.deg2rad(azimuth), np.zeros((*cover.shape, 9, 9), bool)
    y, x, down, right = np.indices(met.shape)
    for away in np.linspace(0, length, 30):
        i = np.rint(y + (down - 4) / 9 + away * np.cos(angle)).astype(int)
        j = np.rint(x + (right - 4) / 9 - away * np.sin(angle)).astype(int)
        met |= cover[i.clip(0, cover.shape[0] - 1), j.clip(0, cover.shape[1] - 1)] == target
    return np.where(cover == what, met.mean((2, 3)), 0.0)


@pytest.mark.parametrize("azimuth", [77.0, 283.0, 180.0])
def test_edges_are_near_to_marching_along_the_beam(azimuth: float) -> None:
    rough = np.random.default_rng(1).random((3, 4)) < 0.5
    cover = np.where(np.kron(rough, np.ones((5, 5), bool)), 10, 40)
    length = 20.0 * np.tan(np.deg2rad(43.2)) / 20.0
    shadow, front = marched(cover, length, azimuth, 10, 40), marched(cover, length, azimuth, 40, 10)
    expected = 10 * np.log10((1 + front) * (1 - 0.75 * shadow))
    got = edges_db(cover, np.full(cover.shape, 43.2), azimuth, 20.0)
    assert np.abs(got - expected).mean() < 0.1
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.98


def test_soil_moisture_after_rain_by_cover() -> None:
    # El Hajj et al. 2019: 0.12 dB per vol.% in both bands under low vegetation, none under dense; bare ground
    # 0.20 and 0.15, forest a third of a field: choices
    water = np.zeros(8)
    dry = soil_moisture(np.full(8, 200.0), water)
    water[6] = 20.0
    rise = float((soil_moisture(np.full(8, 200.0), water) - dry)[7])
    assert 10 < rise < 20
    after, before = (
        decibel("moisture", weather(moisture=10.0 + rise)),
        decibel("moisture", weather(moisture=10.0)),
    )
    size = {cover: value / rise for cover, value in by_cover(after - before).items()}
    assert size[Cover.FIELD] == pytest.approx([0.12, 0.12], abs=0.005)
    assert size[Cover.GRASS] == pytest.approx([0.12, 0.10], abs=0.005)
    assert size[Cover.BARE] == pytest.approx([0.20, 0.15], abs=0.005)
    assert size[Cover.FOREST] == pytest.approx([0.04, 0.04], abs=0.005)
    assert size[Cover.WATER] == pytest.approx([0.0, 0.0], abs=1e-4)


def test_frost_by_cover() -> None:
    # Baghdadi et al. 2018: at least 2 dB between frozen and unfrozen fields, steepest from 0 to -5 degrees
    mild = decibel("frost", weather(temperature=4.0))
    hard = by_cover(decibel("frost", weather(temperature=-8.0)) - mild)
    assert hard[Cover.FIELD] == pytest.approx([-3.0, -2.5], abs=0.01)
    assert all((hard[cover] <= -2.0).all() for cover in OPEN)
    assert (hard[Cover.FOREST] > hard[Cover.FIELD]).all()
    light = by_cover(decibel("frost", weather(temperature=-1.0)) - mild)
    assert light[Cover.FIELD] == pytest.approx(hard[Cover.FIELD] / 5, abs=0.01)
    assert hard[Cover.WATER] == pytest.approx([0.0, 0.0], abs=1e-4)


def test_wet_snow_by_cover() -> None:
    # Nagler & Rott 2000: wet snow lies 3 dB or more below the reference image; Nagler et al. 2016: 2 dB
    bare = decibel("snow", weather(temperature=3.0))
    melting = by_cover(decibel("snow", weather(temperature=3.0, snow_depth=20.0)) - bare)
    for cover in OPEN:
        assert melting[cover] == pytest.approx([-4.0, -4.0], abs=0.01)
    assert melting[Cover.FOREST] == pytest.approx([-1.0, -1.2], abs=0.01)
    frozen = by_cover(decibel("snow", weather(temperature=-6.0, snow_depth=20.0)) - bare)
    assert np.abs(list(frozen.values())).max() < 1e-4


def test_satellites_bias() -> None:
    # Schmidt et al. 2020: in the order of 0.3 dB between the two satellites
    for size in by_cover(decibel("satellite", platform="S1B") - decibel("satellite")).values():
        assert size == pytest.approx([0.3, 0.3], abs=0.001)


def test_foliage_by_season() -> None:
    # Rüetschi et al. 2018, Dostálová et al. 2018: about 1 dB in VH, opposite in the two kinds of forest
    change = decibel("foliage", time=SUMMER) - decibel("foliage", time=WINTER)
    forest = stripes().cover == Cover.FOREST
    north = (np.arange(SIZE.y) < SIZE.y // 2)[:, None]
    assert change[:, forest & north].mean(1) == pytest.approx([-0.5, -1.0], abs=0.02)
    assert change[:, forest & ~north].mean(1) == pytest.approx([0.3, 0.6], abs=0.02)
    assert np.abs(change[:, ~forest]).max() < 1e-4


def test_crops_by_season() -> None:
    # Veloso et al. 2017: cereals dip by some 4 dB in VV in spring, maize rises by some 4 dB in VH in summer
    land = stripes((Cover.FIELD,) * len(COVERS))
    land.parcel[...] = np.arange(land.parcel.size).reshape(land.parcel.shape)
    spring = decibel("crops", time=np.datetime64("2020-05-15", "ns"), land=land)
    summer = decibel("crops", time=np.datetime64("2020-08-08", "ns"), land=land)
    winter = decibel("crops", time=WINTER, land=land)
    assert (spring - winter)[0].min() == pytest.approx(-4.0, abs=0.1)
    assert (summer - winter)[1].max() == pytest.approx(4.0, abs=0.1)


def test_speckle_changes_the_grain_and_not_the_mean() -> None:
    # Goodman 1976: power of mean 1 and variance 1 / looks, another grain in each acquisition
    other = SUMMER + np.timedelta64(12, "D")
    first, second = (10 ** (decibel("speckle", time=time) / 10) for time in (SUMMER, other))
    still = 10 ** (decibel(None) / 10)
    land = stripes()
    for each in COVERS:
        here = land.cover == each.cover
        for image in (first, second):
            grain = (image / still)[:, here]
            assert grain.mean() == pytest.approx(1.0, abs=0.03)
            assert 1 / grain.var() == pytest.approx(8.5, rel=0.2)
    assert abs(np.corrcoef((first / still).ravel(), (second / still).ravel())[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("resolution", "looks", "gain"), [(0.0, 8.5, (10, 20)), (0.0, 4.4, (10, 20)), (20.0, 4.4, (4, 10))]
)
def test_refined_lee_adds_looks_and_keeps_the_mean(
    resolution: float, looks: float, gain: tuple[int, int]
) -> None:
    # Lee 1981: one half of a 7 x 7 window holds 28 pixels, so 28 times the looks at most on even ground;
    # fewer because the half is chosen by the grain itself, and where neighbours are alike
    grain = speckle(np.random.default_rng(0), (300, 300), looks, resolution=resolution, spacing=10.0)
    smooth = refined_lee(grain, looks)
    before, after = grain.mean() ** 2 / grain.var(), smooth.mean() ** 2 / smooth.var()
    assert before == pytest.approx(looks, rel=0.05)
    assert gain[0] < after / before < gain[1] < 28
    assert 10 * np.log10(smooth.mean() / grain.mean()) == pytest.approx(0.0, abs=0.06)


def test_refined_lee_keeps_the_level_of_each_cover() -> None:
    raw, smooth = (10 ** (decibel("speckle", smoothing=each) / 10) for each in ("none", "refined_lee"))
    before, after = by_cover(raw), by_cover(smooth)
    for each in COVERS:
        assert 10 * np.log10(after[each.cover] / before[each.cover]) == pytest.approx([0.0, 0.0], abs=0.1)


# switches

ALL = Effects.only(*Effects.names())
SMALL = {"size": 48, "years": 0.4, "orbits": ORBITS[:2], "changes": 1, "optical_days": 0, "seed": 6}


def images(effects: Effects, **settings: object) -> xr.DataTree:
    return place(**SMALL, effects=effects, **settings)


@pytest.fixture(scope="module")
def whole() -> xr.DataTree:
    return images(ALL)


def touched(tree: xr.DataTree, name: str) -> np.ndarray:
    """Say which pixels of which pass an effect may change: (time, band, y, x)."""
    cover, sar = tree["static"]["land_cover"].values, tree["sar"].to_dataset()
    shape = sar["backscatter"].shape
    weather_of = tree["weather"].to_dataset().sel(day=sar["time"].dt.floor("D"))
    cold = (weather_of["temperature"].values < 0)[:, None, None, None]
    white = ((weather_of["temperature"] > -0.5) & (weather_of["snow_depth"] > 0)).values[:, None, None, None]
    second = (sar["platform"].values == "S1B")[:, None, None, None]
    where = {
        "frost": cold & (cover != Cover.WATER),
        "snow": white & (cover != Cover.WATER),
        "foliage": cover == Cover.FOREST,
        "crops": cover == Cover.FIELD,
        "wind": cover == Cover.WATER,
        "points": cover == Cover.URBAN,
        "satellite": second,
        "moisture": cover != Cover.WATER,
        "edges": np.isin(cover, [int(each) for each in (Cover.FOREST, Cover.WATER, *OPEN)]),
    }
    return np.broadcast_to(where[name], shape)


@pytest.mark.parametrize(
    "name", ["frost", "snow", "foliage", "crops", "wind", "points", "satellite", "moisture", "edges"]
)
def test_switching_off_leaves_every_other_pixel_bit_equal(whole: xr.DataTree, name: str) -> None:
    here = touched(whole, name)
    with_it, without = (tree["sar"]["backscatter"].values for tree in (whole, images(ALL.without(name))))
    np.testing.assert_array_equal(with_it[~here], without[~here])
    assert (with_it[here] != without[here]).any()
    assert not here.all()


@pytest.mark.parametrize("name", [name for name in Effects.names() if name != "noise"])
def test_switching_off_takes_away_what_the_effect_alone_adds(name: str) -> None:
    quiet = ALL.without("noise")
    pairs = ((quiet, quiet.without(name)), (Effects.only(name), Effects.only()))
    removed, alone = (
        np.subtract(*(10 * np.log10(images(one)["sar"]["backscatter"].values) for one in pair))
        for pair in pairs
    )
    np.testing.assert_allclose(removed, alone, atol=2e-3)


def test_noise_adds_the_floor_and_no_more() -> None:
    smooth = ALL.without("speckle")
    added = np.subtract(
        *(images(each)["sar"]["backscatter"].values for each in (smooth, smooth.without("noise")))
    )
    np.testing.assert_allclose(added, 10**-2.6, rtol=1e-3)


def test_edges_are_off_by_default() -> None:
    assert not Effects().edges
    plain, without = images(Effects()), images(ALL.without("edges"))
    np.testing.assert_array_equal(plain["sar"]["backscatter"], without["sar"]["backscatter"])


def test_edges_change_sides_with_the_orbit_direction() -> None:
    seen = 10 * np.log10(
        images(Effects.only("edges"))["sar"]["backscatter"].values
        / images(Effects.only())["sar"]["backscatter"].values
    )
    tree = images(Effects.only("edges"))
    up = tree["sar"]["orbit_direction"].values == "ascending"
    forest = tree["static"]["forest"].values == 1
    rising, falling = seen[up][0, 0], seen[~up][0, 0]
    assert ((rising > 1) & (falling > 1)).sum() < 0.2 * (rising > 1).sum()
    assert (rising[~forest] <= 1e-5).all()
    assert (rising[forest] >= -1e-5).all()
    assert look_azimuth(heading(LATITUDE, "ascending")) == pytest.approx(77, abs=1)
