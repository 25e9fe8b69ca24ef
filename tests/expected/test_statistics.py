import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terradelta.errors import InputError
from terradelta.expected.conditions import FEATURES, Conditions
from terradelta.expected.statistics import Statistics, StatisticsBuilder, statistics_of

_SPEC = importlib.util.spec_from_file_location("sample_maker", Path(__file__).with_name("sample_maker.py"))
maker: Any = importlib.util.module_from_spec(_SPEC)  # type: ignore[arg-type]
_SPEC.loader.exec_module(maker)  # type: ignore[union-attr]

FINE = Statistics(-14.0, 20.25, 260.0, 75.0, 48.0)


def test_condition_vector_equals_the_published_one_bit_by_bit(shared):
    folder = shared / "reference/sar"
    check = np.load(folder / "preprocessed_check.npz")
    statistics = Statistics.from_json(folder / "stats.json")
    for record, expected in enumerate(check["latent_metadata"]):

        def take(name, record=record):
            return np.append(
                check[f"raw_input_image_{name}s"][record], check[f"raw_target_image_{name}"][record]
            )

        names = [*check["raw_input_image_mission_ids"][record], check["raw_target_image_mission_id"][record]]
        conditions = Conditions(
            take("temperature"), take("snow_depth"), take("platform_heading"), take("incidence_angle"),
            np.vstack([take_rain[record] for take_rain in
                       (check["raw_input_image_precipitations"], check["raw_target_image_precipitations"])]),
            tuple(name.decode() for name in names), np.zeros(5),
        )  # fmt: skip
        found = statistics.condition_vector(conditions)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found[36:41], expected[36:41])  # float32, widened
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("case", ["usual", "max_between_-1_and_1", "max_below_-1", "positive_min", "unit"])
def test_clip_as_published(shared, case):
    stored = np.load(shared / "reference/sar/normalise_clip.npz")
    numbers = json.loads((shared / "reference/sar/normalise_clip.json").read_text())[case]
    statistics = Statistics(numbers["mean"], numbers["var"], clip="as_published")
    found = statistics.images(stored["values_db"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, stored[f"out_{case}"], rtol=0, atol=5e-7)
    ours = statistics.images(stored["values_db"], clip="unit")
    np.testing.assert_allclose(ours, np.clip(stored[f"unclipped_{case}"], -1, 1), rtol=0, atol=5e-7)


def test_decibel_of_normalised_equals_the_published(shared):
    stored = np.load(shared / "reference/sar/preprocessed_check.npz")
    found = Statistics.from_json(shared / "reference/sar/stats.json").decibel(stored["denorm_in_f32"])
    np.testing.assert_allclose(found, stored["denorm_out_numpy"], rtol=2e-7, atol=4e-6)


def test_gathered_statistics_equal_numpy():
    samples = [maker.sample_of(seed) for seed in range(5)]
    samples[2].images[0, :, :4] = np.nan
    pixels = np.concatenate([np.r_[one.images.ravel(), one.target.ravel()] for one in samples])
    found = statistics_of(samples)
    assert found.image_mean == pytest.approx(np.nanmean(pixels.astype(float)), rel=1e-12)
    assert found.image_var == pytest.approx(np.nanvar(pixels.astype(float)), rel=1e-12)
    assert found.dem_max == max(float(one.dem.max()) for one in samples)
    assert found.snow_depth_max == max(one.conditions.snow_depth.max() for one in samples)
    assert found.precipitation_max == max(one.conditions.precipitation.max() for one in samples)


@given(st.lists(st.lists(st.floats(-50, 20), max_size=6), min_size=1, max_size=5), st.floats(0, 1e4))
def test_merged_builders_equal_one(parts, shift):
    whole, merged = StatisticsBuilder(), StatisticsBuilder()
    for part in parts:
        values = np.array(part, float) + shift
        whole.add_images(values)
        single = StatisticsBuilder()
        single.add_images(values)
        merged.merge(single)
    pixels = np.concatenate([np.array(part, float) for part in parts]) + shift
    assert merged.count == whole.count == len(pixels)
    if len(pixels):
        for builder in (whole, merged):
            assert builder.mean == pytest.approx(pixels.mean(), abs=1e-8)
            assert builder.squares == pytest.approx(((pixels - pixels.mean()) ** 2).sum(), abs=1e-5)


def test_file_is_that_of_the_published_data(tmp_path, shared):
    published = shared / "reference/sar/stats.json"
    Statistics.from_json(published).to_json(tmp_path / "stats.json")
    assert json.loads((tmp_path / "stats.json").read_text()) == json.loads(published.read_text())
    ours = replace(FINE, clip="as_published")
    ours.to_json(tmp_path / "ours.json")
    assert Statistics.from_json(tmp_path / "ours.json") == ours


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((-14.0, 0.0), "no variance, all are -14 dB"),
        ((np.nan, 2.0), "image_mean is nan"),
        ((-14.0, 2.0, -1.0), "dem_max is -1"),
    ],
)
def test_numbers_that_cannot_be_are_refused(numbers, message):
    with pytest.raises(InputError, match=message):
        Statistics(*numbers)


def test_missing_key_and_missing_file_are_named(tmp_path):
    file = tmp_path / "stats.json"
    file.write_text('{"sar_images": {"mean": -14}}')
    with pytest.raises(InputError, match=r"stats.json: sar_images.var is None"):
        Statistics.from_json(file)
    with pytest.raises(InputError, match="statistics_of"):
        Statistics.from_json(tmp_path / "nothing.json")
    with pytest.raises(InputError, match="no pixel with data"):
        StatisticsBuilder().result()


def test_features_are_normalised_and_unknown_ones_are_zero():
    conditions = Conditions(
        [15, np.nan],
        [37.5, 0],
        [-166, -14],
        [46, 29],
        [[48, 0, 0, 24], [np.nan, 0, 0, 0]],
        ("S1B", ""),
        [12, 0],
    )
    values, known = FINE.features(conditions)
    row = dict(zip(FEATURES, values[0], strict=True))
    assert row["temperature"] == 0.5
    assert row["snow_depth"] == 0.5
    assert row["incidence"] == 1
    assert row["precipitation_3"] == 0.5
    assert row["heading"] == np.float32(-166 / 360)
    assert row["age"] == np.float32(0.12)
    assert [row[name] for name in ("S1A", "S1B", "S1C", "S1D")] == [0, 1, 0, 0]
    unknown = [name for name, there in zip(FEATURES, known[1], strict=True) if not there]
    assert unknown == ["temperature", "precipitation_0", "S1A", "S1B", "S1C", "S1D"]
    assert not values[1][~known[1]].any()


def test_tensors_are_taken_too():
    import torch

    decibel = torch.tensor([-14.0, -5.0])
    assert FINE.images(decibel).tolist() == [0.0, 0.5]
    assert torch.equal(FINE.decibel(FINE.images(decibel)), decibel)
