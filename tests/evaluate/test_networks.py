"""Networks in the experiments: they learn from what came before, and are scored like the other methods."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("lightning")

from terradelta.errors import InputError, SourceError
from terradelta.evaluate import opera, weather
from terradelta.evaluate.calibration import beyond, draw_calibration, gaussian_share
from terradelta.evaluate.opera import lessons
from terradelta.evaluate.opera.patches import Patch
from terradelta.evaluate.opera.table import markdown
from terradelta.evaluate.teaching import Lesson, teach
from terradelta.evaluate.weather import lessons as weather_lessons
from terradelta.evaluate.weather.protocol import load_tracks
from terradelta.expected.preparation import Preparation
from terradelta.learning.options import TrainingOptions
from terradelta.sar import to_linear

OPTIONS = TrainingOptions(epochs=1, batch=4, learning_rate=1e-3, pictures_every=0)
TINY = Lesson(
    "tiny", "conditioned", {"width": 4, "embedding": 8}, most=5, crop=16, samples=8, options=OPTIONS
)
DATES = 9
DAYS = tuple(f"2024-01-{1 + 3 * number:02d}" for number in range(DATES))


def patch(name="T137-000001-IW2", seed=0, size=32):
    rng = np.random.default_rng(seed)
    ground = np.linspace(-14, -8, size)[:, None] * np.ones(size)
    series = np.stack([ground, ground - 6]) + rng.normal(0, 0.5, (DATES, 2, size, size))
    return Patch(name, DAYS, ("VV", "VH"), to_linear(series).astype(np.float32))


def test_samples_hold_nothing_of_the_time_to_be_judged():
    one = patch()
    samples = lessons.lesson_samples([one], 6, TINY, 40, seed=3)
    seen = {image.tobytes() for image in one.smooth[:6]}
    later = {image.tobytes() for image in one.smooth[6:]}
    for sample in samples:
        images = {image.tobytes() for image in [*sample.images, sample.target] if np.isfinite(image).any()}
        assert images <= seen and not images & later
        assert sample.target.tobytes() not in {image.tobytes() for image in sample.images}
    numbers = {int(np.isfinite(sample.images).all(axis=(1, 2, 3)).sum()) for sample in samples}
    assert numbers == {3, 4, 5}
    again = lessons.lesson_samples([one], 6, TINY, 40, seed=3)
    assert all(np.array_equal(a.target, b.target) for a, b in zip(samples, again, strict=True))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    samples = lessons.lesson_samples([patch(), patch(seed=1)], 6, TINY, 10, seed=0)
    folder = tmp_path_factory.mktemp("runs") / "tiny-0"
    return teach(samples[2:], samples[:2], TINY, 0, folder), folder, samples


def test_a_change_is_scored_above_its_surroundings(tiny):
    network, _, _ = tiny
    one = patch(seed=5)
    target = one.smooth[8].copy()
    target[:, 10:20, 10:20] -= 6
    target[:, 0, 0] = np.nan
    score = network.strength(target, one.smooth[:8])
    assert score.shape == (32, 32) and np.isnan(score[0, 0]) and np.isfinite(score[1:]).all()
    assert score[12:18, 12:18].min() > 3 * np.nanmedian(score)
    assert network.despeckled


def test_a_network_is_trained_once(tiny):
    network, folder, samples = tiny
    again = teach(samples[2:], samples[:2], TINY, 0, folder)
    weights = (one.model.network.state_dict() for one in (network, again))
    assert all((a == b).all() for a, b in zip(*(each.values() for each in weights), strict=True))
    assert again.model.preparation == TINY.preparation
    assert (folder / "model" / "config.json").read_text().count('"tv"') == 1
    with pytest.raises(InputError, match="other settings"):
        teach(samples[2:], samples[:2], replace(TINY, crop=8), 0, folder)


def test_a_network_of_fixed_size_sees_small_patches_mirrored(tmp_path):
    lesson = Lesson(
        "published", "unet", {"preset": "tiny", "size": 64}, preparation=Preparation(despeckle="tv"),
        fewest=4, most=4, edge=64, crop=0, samples=4, options=OPTIONS,
    )  # fmt: skip
    one = patch(size=40)
    samples = lessons.lesson_samples([one], 6, lesson, 5, seed=0)
    assert samples[0].target.shape == (2, 64, 64)
    np.testing.assert_array_equal(samples[0].target[:, :, 40:], samples[0].target[:, :, 39:15:-1])
    network = teach(samples[1:], samples[:1], lesson, 0, tmp_path / "run")
    assert network.strength(one.smooth[8], one.smooth[:8]).shape == (40, 40)


def test_trainings_of_one_network_share_a_row_with_their_spread():
    figures = {
        key: opera.MethodFigures(
            "net" if key != "robust" else "robust", "network" if key != "robust" else "robust",
            auc={"p": {"d": value}}, found={"p": {"d": value}}, rain={"p": 1 - value}, large={"d": value},
        )
        for key, value in {"robust": 0.95, "net-0": 0.9, "net-1": 0.8}.items()
    }  # fmt: skip
    report = opera.OperaReport(0, opera.Protocol(), opera.experiment.RobustParameters(), figures)
    rows = [line for line in markdown(report).splitlines() if line.startswith("| net")]
    assert rows == [
        "| net | 0.8500 ± 0.0707 | 0.850 ± 0.071 | 85.0 ± 7.1 % | 15.0 ± 7.1 % | 0.8500 ± 0.0707 |"
    ]


def test_an_unknown_network_is_refused(tmp_path, shared):
    data = shared / "data/opera_rtc_s1_t137"
    with pytest.raises(InputError, match="no network is called 'transformer' here; there are conditioned"):
        opera.run(data, tmp_path, networks=["transformer"])
    with pytest.raises(InputError, match="no network is called 'x'"):
        weather.run(shared / "data/worldcereal_s1_s2_agera5", tmp_path, networks=["x"])


def test_calibration_of_a_normal_distribution_is_its_own():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 100_000))
    values[0, :10] = np.nan
    shares = beyond(values)
    for level, share in shares.items():
        assert share == pytest.approx(gaussian_share(level), abs=0.002)
    assert np.isnan(beyond([])[1.0])
    assert draw_calibration({"one": shares}, "t").startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def tracks(shared):
    return load_tracks(shared / "data/worldcereal_s1_s2_agera5", weather.WeatherProtocol())


def test_tracks_come_with_the_weather_of_their_days(tracks):
    assert [(track.orbit, len(track.days)) for track in tracks] == [(59, 79), (161, 80)]
    snow = [(track, track.days.index("2017-12-11")) for track in tracks if "2017-12-11" in track.days]
    for track, place in snow:
        assert track.conditions.precipitation[place, 0] == pytest.approx(25, abs=3)
        assert -1 < track.conditions.temperature[place] < 3


def test_no_event_and_no_later_image_is_learnt_from(tracks):
    protocol, lesson = weather.WeatherProtocol(), weather_lessons.LESSONS["conditioned"]
    forbidden = {
        track.smooth[place].tobytes()
        for track in tracks
        for place, day in enumerate(track.days)
        if day >= protocol.split or day in protocol.event_days
    }
    samples = list(weather_lessons.samples_of(tracks, protocol, lesson))
    assert len(samples) > 90
    for sample in samples:
        assert not forbidden & {image.tobytes() for image in [*sample.images, sample.target]}
        assert sample.conditions.age[-1] == 0 and (sample.conditions.age[:-1] > 0).all()
        assert np.isfinite(sample.conditions.temperature).all()


@pytest.mark.slow
def test_the_weather_experiment_from_end_to_end(tmp_path, shared, monkeypatch):
    short = replace(
        weather_lessons.LESSONS["conditioned"], numbers={"width": 4, "embedding": 8}, options=OPTIONS
    )
    monkeypatch.setitem(weather_lessons.LESSONS, "conditioned", short)
    protocol = weather.WeatherProtocol(split="2018-11-20")
    data = shared / "data/worldcereal_s1_s2_agera5"
    text = weather.run(data, tmp_path, networks=["conditioned"], seeds=2, protocol=protocol)
    row = next(line for line in text.splitlines() if line.startswith("| conditioned network with weather |"))
    assert row.count("±") == 4
    document = json.loads((tmp_path / "weather.json").read_text())
    assert set(document["methods"]) >= {"robust", "median-raw", "conditioned-0", "conditioned-1"}
    shares = document["calibration"]["conditioned network with weather"]
    assert 0 <= shares["4.0"] <= shares["1.0"] <= 1
    assert (tmp_path / "calibration.png").stat().st_size > 5000
    with pytest.raises(SourceError, match="holds no S1_"):
        weather.run(tmp_path, tmp_path / "out")
