"""Experiments of urban monitoring: what goes in, what is scored, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin

from terradelta.errors import ConfigError, InputError, SourceError
from terradelta.evaluate.sites import SITE
from terradelta.evaluate.urban import oscd, simulated, worldcereal
from terradelta.evaluate.urban.baselines import BASELINES, baselines, difference_length
from terradelta.evaluate.urban.curves import curve
from terradelta.evaluate.urban.networks import Peaks, Watch, load_networks, watch
from terradelta.optical import beta_sums, endisi
from terradelta.simulate import urban_place
from terradelta.urban import Stack
from terradelta.windows.times import complete, time_windows
from terradelta.workflows.config import EvaluateSettings, load_settings
from terradelta.workflows.evaluate import run_evaluate

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
COARSE = {"B01": 6, "B09": 6, "B10": 6, "B05": 2, "B06": 2, "B07": 2, "B8A": 2, "B11": 2, "B12": 2}
SIZE = (24, 36)


def write(path: Path, values: np.ndarray, step: float = 10.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype}
    transform = from_origin(0, 1000, step, step)
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32631", transform=transform, **profile) as file:
        file.write(values, 1)


def make_city(folder: Path, seed: int = 0) -> None:
    """Write a city in which a square of soil becomes a roof."""
    rng = np.random.default_rng(seed)
    labels = np.ones(SIZE, np.uint8)
    labels[6:18, 6:18] = 2
    for number in (1, 2):
        for place, band in enumerate(BANDS):
            factor = COARSE.get(band, 1)
            level = np.full(SIZE, 1000 + 100 * place)
            if number == 2:
                level = np.where(labels == 2, 2500 - 50 * place, level)
            noise = rng.integers(-20, 20, SIZE)
            write(
                folder / f"imgs_{number}" / f"T31_{band}.tif",
                (level + noise)[::factor, ::factor].astype(np.uint16),
                10.0 * factor,
            )
    write(folder / "cm" / f"{folder.name}-cm.tif", labels)
    (folder / "dates.txt").write_text("date_1: 20160101\ndate_2: 20170101\n")


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    for number, name in enumerate(("here", "there")):
        make_city(tmp_path / "data" / name, number)
    return tmp_path / "data"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch):
    """Let the networks say what a function says, without running any."""

    def use(module: object, say):
        monkeypatch.setattr(module, "load_networks", lambda weights: ["net"])
        monkeypatch.setattr(module, "watch", lambda cube, nets, how: say(cube))

    return use


def peaks_of(score: np.ndarray, day: np.ndarray | None = None) -> Peaks:
    times = np.array(["2018-01-01", "2018-03-01"], "datetime64[ns]")
    counts = {"start": times, "end": times + np.timedelta64(180, "D"), "time": times, "count": [40, 44]}
    windows = xr.DataArray(
        np.stack([score / 2, score]),
        dims=("window", "y", "x"),
        coords={name: ("window", values) for name, values in counts.items()},
    )
    return Peaks(score, np.zeros(score.shape, np.int64) if day is None else day, windows)


@pytest.fixture(scope="module")
def town() -> xr.DataTree:
    return urban_place(1, size=64, years=1.2, changes=5)


# scores and baselines


def test_a_curve_is_what_counting_pairs_gives() -> None:
    rng = np.random.default_rng(0)
    changed, score = rng.random(60) < 0.3, rng.random(60).round(1)
    pairs = [(a > b) + 0.5 * (a == b) for a in score[changed] for b in score[~changed]]
    assert curve(changed, score).auc == pytest.approx(np.mean(pairs))
    steps = [(score >= level) for level in np.unique(score)[::-1]]
    recall = [0.0, *((changed & step).sum() / changed.sum() for step in steps)]
    precision = [(changed & step).sum() / step.sum() for step in steps]
    assert curve(changed, score).precision == pytest.approx(np.dot(np.diff(recall), precision))
    score[changed] = np.nan
    with pytest.raises(InputError, match="both"):
        curve(changed, score)


def test_baseline_of_endisi_has_its_own_beta_for_each_image() -> None:
    first, second = np.random.default_rng(1).uniform(0.02, 0.5, (2, 13, 5, 6))
    first[3, 4, 5] = np.nan
    second[11:, 0, 0] = 0
    found = baselines(first, second)["endisi"]
    before, after = (endisi(image, beta_sums(image).beta, 0.25) for image in (first, second))
    before[4, 5] = np.nan
    np.testing.assert_array_equal(found, np.abs(after - before))
    assert np.isfinite(found[0, 0]) and after[0, 0] == 0


def test_standardised_differences_do_not_see_haze() -> None:
    first = np.random.default_rng(2).random((13, 8, 9))
    hazy = 0.8 * first + 0.1
    assert difference_length(first, hazy).min() > 0
    assert difference_length(first, hazy, standardise=True).max() < 1e-9
    assert list(baselines(first, hazy)) == list(BASELINES)


# pairs of images


def test_a_city_is_read_on_one_grid(cities: Path) -> None:
    pair = oscd.load_pair(cities / "here")
    assert pair.first.shape == pair.second.shape == (13, *SIZE)
    assert pair.dates == ("20160101", "20170101")
    assert pair.changed.sum() == 144 and pair.changed[6:18, 6:18].all()
    with rasterio.open(cities / "here" / "imgs_1" / "T31_B04.tif") as file:
        np.testing.assert_array_equal(pair.first[3], (file.read(1) / np.float32(10_000)).astype(np.float32))
    for place, band in enumerate(pair.first):
        assert abs(band - (1000 + 100 * place) / 10_000).max() < 0.003
    with rasterio.open(cities / "here" / "imgs_2" / "T31_B11.tif") as file:
        coarse = file.read(1)[5, 5] / 10_000
    assert pair.second[11][10:12, 10:12].mean() == pytest.approx(coarse, abs=0.005)


def test_no_data_is_left_out(cities: Path) -> None:
    path = cities / "here" / "imgs_1" / "T31_B03.tif"
    with rasterio.open(path) as file:
        values = file.read(1)
    values[0, :5] = 0
    write(path, values)
    pair = oscd.load_pair(cities / "here")
    assert np.isnan(pair.first[:, 0, :5]).all() and np.isfinite(pair.first[:, 1:]).all()
    assert not oscd.held_cube(pair)["optical"]["clear"].values[0, 0, :5].any()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda city: (city / "imgs_1" / "T31_B07.tif").unlink(), r"0 files \*_B07.tif"),
        (lambda city: (city / "cm" / "here-cm.tif").unlink(), "0 files"),
        (lambda city: (city / "imgs_2" / "T31_B01.tif").write_bytes(b"no image"), "cannot be read"),
        (lambda city: write(city / "cm" / "here-cm.tif", np.zeros(SIZE, np.uint8)), "1 = no change"),
        (lambda city: write(city / "cm" / "here-cm.tif", np.ones((5, 5), np.uint8)), "differ"),
    ],
)
def test_a_spoilt_city_is_named_in_one_line(cities: Path, spoil, message: str) -> None:
    spoil(cities / "here")
    with pytest.raises(SourceError, match=message) as caught:
        oscd.load_pair(cities / "here")
    assert "\n" not in str(caught.value)


def test_networks_see_one_image_until_the_switch_and_the_other_from_then_on(cities: Path) -> None:
    pair, held = oscd.load_pair(cities / "here"), oscd.Held()
    stack = Stack.of(oscd.held_cube(pair, held), "s1s2")
    part = slice(0, SIZE[0]), slice(0, SIZE[1])
    switch = np.datetime64(held.start) + np.timedelta64(held.switch, "D")
    frames = [frame.copy() for frame in stack.frames(*part)]
    for frame, time in zip(frames[1:], stack.times[1:], strict=True):
        np.testing.assert_array_equal(frame[4:], pair.second if time >= switch else pair.first)
        for channel, decibel in enumerate((*held.decibel, *held.decibel)):
            np.testing.assert_allclose(10 * np.log10(frame[channel]), decibel, atol=1e-4)
    era = stack.era
    windows = time_windows(stack.times, length=era.window, stride=9, fewest=era.fewest, most=era.most)
    whole = [window for window in windows if complete(window, stack.times)]
    assert len(whole) == 5 and {len(window) for window in whole} == {37, 38}
    assert stack.times[whole[0].slice][-1] < switch and stack.times[whole[2].slice][0] < switch


def test_speckle_is_as_told(cities: Path) -> None:
    pair = oscd.load_pair(cities / "here")
    radar = oscd.held_cube(pair, oscd.Held(looks=4.0))["sar"]["backscatter"].values
    assert (radar.mean() / radar.std(axis=(0, 2, 3)).mean()) > 1
    vertical = radar[:, 0] / 10 ** (-0.8)
    assert vertical.mean() == pytest.approx(1, abs=0.01)
    assert 1 / vertical.var() == pytest.approx(4, rel=0.05)


def test_a_perfect_network_gets_a_perfect_row(cities: Path, tmp_path: Path, told) -> None:
    def say(cube: xr.DataTree) -> Peaks:
        images = cube["optical"]["reflectance"].values
        return peaks_of(np.where(abs(images[1] - images[0])[1] > 0.05, 0.9, 0.1))

    told(oscd, say)
    text = oscd.run(cities, tmp_path / "out", ["net.hdf5"])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert [row[0] for row in rows[2:]] == ["here", "there", "all"]
    assert {row[2] for row in rows[2:]} == {"1.000 (1.000)"}
    assert {len(row) for row in rows} == {len(rows[0])}
    assert rows[4][-2:] == ["100.0%", "0.0%"]
    figures = json.loads((tmp_path / "out" / "oscd.json").read_text())
    assert figures["cities"][2]["share"] == pytest.approx(144 / (SIZE[0] * SIZE[1]))
    assert figures["held"]["decibel"] == [-8.0, -15.0]
    assert (tmp_path / "out" / "oscd.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "oscd.md").read_text() == text + "\n"
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_pooled_figures_are_those_of_all_pixels_together() -> None:
    rng = np.random.default_rng(3)
    parts = []
    for shape in ((6, 7), (8, 5)):
        changed = rng.random(shape) < 0.4
        parts.append((changed, {key: rng.random(shape) for key in ("network", *BASELINES)}))
    changed, scores = oscd._pooled(parts)
    assert changed.size == 82
    together = oscd.judge("all", changed, scores)
    flat = np.concatenate([part[1]["endisi"].ravel() for part in parts])
    assert together.plain["endisi"] == curve(changed, flat)
    scores["spectral"][changed] = np.nan
    with pytest.raises(InputError):
        oscd.judge("none left", changed, scores)


def test_published_weights_on_a_part_of_a_real_city(shared: Path) -> None:
    pair = oscd.load_pair(shared / "data" / "oscd_s2_urban_change" / "rennes")
    assert pair.first.shape == (13, 339, 563) and pair.changed.sum() == 4932
    part = pair.crop(slice(196, 228), slice(306, 338))
    assert 0.1 < part.changed.mean() < 0.9
    nets = load_networks([shared / "reference" / "ercnn" / "weights_s1s2.hdf5"])
    peaks = oscd.watch_pair(part, nets, Watch(stride=9), oscd.Held(days=276, switch=138))
    assert peaks.windows.sizes["window"] >= 2 and (peaks.windows["count"] >= 35).all()
    assert np.isfinite(peaks.score).all() and peaks.score.min() > 0 and peaks.score.max() < 1
    assert peaks.score.std() > 0.001
    np.testing.assert_array_equal(peaks.score, peaks.windows.max("window"))


# real series


def test_stand_ins_fill_what_is_missing_and_nothing_else() -> None:
    rng = np.random.default_rng(4)
    bands = [band for band in BANDS if band not in ("B01", "B09", "B10")]
    images = rng.random((2, 10, 3, 4)).astype(np.float32)
    images[0, :, 0, 0] = np.nan
    sar = xr.Dataset(
        {"backscatter": (("time", "band", "y", "x"), rng.random((3, 2, 3, 4)))},
        coords={
            "relative_orbit": ("time", [161, 59, 161]),
            "orbit_direction": ("time", np.array(["ascending"] * 3, object)),
        },
    )
    optical = xr.Dataset(
        {
            "reflectance": (("time", "band", "y", "x"), images),
            "clear": (("time", "y", "x"), np.isfinite(images[:, 0])),
        },
        coords={"band": np.array(bands, object)},
    )
    found = worldcereal.stand_in(xr.DataTree.from_dict({"sar": sar, "optical": optical}))
    assert found["sar"]["orbit_direction"].values.tolist() == ["ascending", "descending", "ascending"]
    full = found["optical"]["reflectance"]
    assert full.dims == ("time", "band", "y", "x") and full["band"].values.tolist() == list(BANDS)
    for band in bands:
        np.testing.assert_array_equal(full.sel(band=band), optical["reflectance"].sel(band=band))
    np.testing.assert_array_equal(full.sel(band="B01"), full.sel(band="B02"))
    np.testing.assert_array_equal(full.sel(band="B09"), full.sel(band="B8A"))
    cirrus = full.sel(band="B10").values
    assert np.isnan(cirrus[0, 0, 0]) and np.nanmax(cirrus) == np.nanmin(cirrus) == np.float32(0.0015)
    assert sar["orbit_direction"].values.tolist() == ["ascending"] * 3


@pytest.mark.slow
def test_the_chain_runs_on_a_real_series(shared: Path) -> None:
    folder = shared / "data" / "worldcereal_s1_s2_agera5" / SITE
    cube = worldcereal.stand_in(worldcereal.load_site(folder))
    assert cube["sar"]["backscatter"].shape == (159, 2, 64, 64)
    cube = cube.isel(y=slice(0, 24), x=slice(0, 24))
    nets = load_networks([shared / "reference" / "ercnn" / "weights_s1s2.hdf5"])
    peaks = watch(cube, nets, Watch(stride=40))
    figures = worldcereal.describe(cube, peaks)
    assert figures.radar == 159 and 60 < figures.optical <= 118
    assert 35 <= figures.fewest <= figures.most <= 92
    assert figures.first == "2017-08-01" and figures.last <= "2018-11-29"
    assert 170 < figures.days[0] <= figures.days[1] <= 182
    assert 0 < figures.quantiles["0.5"] < figures.quantiles["1"] < 1


def test_a_series_makes_a_table_and_a_picture(town: xr.DataTree, tmp_path: Path, told, monkeypatch) -> None:
    told(worldcereal, lambda cube: peaks_of(np.full((64, 64), 0.25)))
    monkeypatch.setattr(worldcereal, "load_site", lambda folder: town)
    for name in ("S1_a.nc", "S2_a.nc"):
        (tmp_path / name).touch()
    text = worldcereal.run(tmp_path, tmp_path / "out", ["net"])
    assert "| largest value, quantile 0.99 | 0.250 |" in text and "| 40 to 44 |" in text
    assert (tmp_path / "out" / "worldcereal.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "out" / "worldcereal.json").read_text())["above"] == 0


# simulated towns


def test_a_network_that_knows_is_scored_as_one(town: xr.DataTree) -> None:
    truth = town["truth"].to_dataset()
    kind = truth["kind"].values
    urban = np.isin(kind, (2, 6))
    day = truth["date"].values.astype(np.int64) + 10
    peaks = peaks_of(np.where(urban, 0.8, 0.2), day)
    found = simulated.judge("known", truth, peaks, {key: np.where(urban, 0.0, 1.0) for key in BASELINES})
    assert found.network.auc == found.built == found.torn == 1
    assert found.plain["endisi"].auc == 0
    assert (found.found, found.false, found.other) == (1, 0, 0)
    assert (found.days, found.near) == (10, 1)
    late = simulated.judge("late", truth, peaks_of(peaks.score, day + 100), baselines(*images(town)))
    assert (late.days, late.near) == (110, 0)
    shy = simulated.judge("shy", truth, peaks_of(peaks.score / 2, day), baselines(*images(town)))
    assert np.isnan(shy.days) and shy.network.auc == 1
    mean = simulated._mean([found, late, shy])
    assert mean.days == 60 and mean.network.auc == 1 and mean.near == 0.5


def images(town: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
    return simulated.first_and_last(town["optical"].to_dataset())


def test_first_and_last_images_know_no_clouds(town: xr.DataTree) -> None:
    optical = town["optical"].to_dataset()
    first, last = images(town)
    early = optical["time"].values < optical["time"].values[0] + np.timedelta64(182, "D")
    at = (5, 30, 30)
    values = optical["reflectance"].values[early][:, at[0], at[1], at[2]]
    assert first[at] == pytest.approx(values[optical["clear"].values[early][:, 30, 30]].mean(), rel=1e-5)
    assert np.nanmax(last[1]) < 0.4


def test_towns_make_a_table_a_picture_and_figures(tmp_path: Path, told) -> None:
    def say(cube: xr.DataTree) -> Peaks:
        return peaks_of(np.random.default_rng(0).random(cube["truth"]["kind"].shape))

    told(simulated, say)
    text = simulated.run(tmp_path / "out", ["net"], seed=3, places=2, size=64, years=0.8, changes=2)
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:]] == ["seed 3", "seed 4", "mean"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "urban-simulated.md",
        "urban-simulated.json",
        "urban-simulated.png",
    }
    figures = json.loads((tmp_path / "out" / "urban-simulated.json").read_text())
    assert 0.4 < figures["towns"][2]["network"]["auc"] < 0.6
    with pytest.raises(InputError, match="places is 0"):
        simulated.run(tmp_path / "out", ["net"], places=0)


# settings and errors


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"experiment": "oscd", "weights": "a.hdf5"}, "oscd needs real data"),
        ({}, "opera needs real data"),
        ({"experiment": "oscd", "data": "there"}, "oscd runs networks"),
        ({"experiment": "urban-simulated"}, "at least one file"),
        ({"experiment": "urban-simulated", "data": "x", "weights": "a"}, "its own data"),
        ({"data": "x", "weights": "a"}, "opera trains its own networks"),
        ({"experiment": "oscd", "data": "x", "weights": "a,a"}, "twice"),
        ({"experiment": "rome", "data": "x"}, "rome"),
        ({"experiment": "oscd", "data": "x", "weights": "a", "stride": 0}, "stride"),
    ],
)
def test_settings_that_make_no_experiment_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(EvaluateSettings, None, values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("experiment", ["oscd", "worldcereal"])
def test_data_that_are_not_there_are_named(experiment: str, tmp_path: Path) -> None:
    settings = EvaluateSettings(
        experiment=experiment, data=tmp_path / "gone", out=tmp_path / "out", weights=["a.hdf5"]
    )
    with pytest.raises(SourceError, match="gone"):
        run_evaluate(settings)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_there_are_named(cities: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.hdf5"
    settings = EvaluateSettings(experiment="oscd", data=cities, out=tmp_path / "out", weights=[gone])
    with pytest.raises(InputError, match=r"gone\.hdf5"):
        run_evaluate(settings)
    with pytest.raises(InputError, match="--weights"):
        load_networks([])
    assert not (tmp_path / "out").exists()


def test_the_verb_runs_the_experiment_it_is_told(cities: Path, tmp_path: Path, told) -> None:
    strides = []

    def say(cube: xr.DataTree) -> Peaks:
        return peaks_of(np.random.default_rng(0).random(SIZE))

    told(oscd, say)
    original = oscd.watch
    oscd.watch = lambda cube, nets, how: strides.append(how) or original(cube, nets, how)
    settings = {"experiment": "oscd", "data": cities, "weights": ["net"], "out": tmp_path / "out"}
    run_evaluate(EvaluateSettings(**settings))
    text = run_evaluate(EvaluateSettings(**settings, stride=4, device="cpu", precision="bfloat16"))
    assert "| all |" in text
    assert strides[0] == Watch(9) and strides[-1] == Watch(4, "cpu", "bfloat16")


def test_docs_list_every_setting() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
    for key, field in EvaluateSettings.model_fields.items():
        row = f"| `{key}` | {field.description} |"
        assert row in page, f"write into docs/experiments.md:\n{row}"
