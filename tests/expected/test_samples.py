import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.expected.samples.sample import record_of_sample, sample_of_record
from terradelta.expected.statistics import Statistics
from terradelta.tfrecord.published import parse_point, read_preprocessed, read_raw

_SPEC = importlib.util.spec_from_file_location("sample_maker", Path(__file__).with_name("sample_maker.py"))
maker: Any = importlib.util.module_from_spec(_SPEC)  # type: ignore[arg-type]
_SPEC.loader.exec_module(maker)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def published(shared):
    return [sample_of_record(record) for record in read_raw(shared / "reference/sar/raw.tfrecord.GZIP")]


def test_records_become_preprocessed_records(shared, published):
    folder = shared / "reference/sar"
    statistics = Statistics.from_json(folder / "stats.json")
    stored = list(read_preprocessed(folder / "preprocessed.tfrecord.GZIP"))
    assert len(stored) == len(published) == 6
    for sample, record in zip(published, stored, strict=True):
        images = statistics.images(sample.images, clip="as_published").reshape(8, 512, 512)
        stack = np.moveaxis(np.concatenate([images, statistics.dem(sample.dem)[None]]), 0, -1)
        np.testing.assert_allclose(stack, record.input_image_stack, rtol=0, atol=5e-7)
        target = np.moveaxis(statistics.images(sample.target, clip="as_published"), 0, -1)
        np.testing.assert_allclose(target, record.target_image, rtol=0, atol=5e-7)
        np.testing.assert_array_equal(sample.forest, record.forestmask)
        vector = statistics.condition_vector(sample.conditions)
        np.testing.assert_allclose(vector, record.latent_metadata, rtol=0, atol=1e-12)


def test_time_and_place_of_records(published):
    sample = published[0]
    assert sample.location == (61.719023, 24.794112)
    assert sample.times[0] == np.datetime64("2020-10-05T05:24:09.693301", "ns")
    assert (np.diff(sample.conditions.age) < 0).all()
    assert sample.conditions.age[-1] == 0


def test_there_and_back(published):
    for sample in (published[1], maker.sample_of(3)):
        again = sample_of_record(record_of_sample(sample), name=sample.name)
        maker.equal(again, sample)


def test_simulated_changes_are_turned_band_first():
    changed = np.arange(2 * 16 * 16, dtype=np.float32).reshape(2, 16, 16)
    mask = np.zeros((16, 16), np.int32)
    mask[2:4] = 3
    sample = maker.sample_of(changed=changed, prediction=changed + 1, change_mask=mask)
    record = record_of_sample(sample)
    assert record.simulated_change_image.shape == (16, 16, 2)
    assert record.num_simulated_changes == 1
    maker.equal(sample_of_record(record, name=sample.name), sample)


def test_unknown_time_place_and_layers_survive():
    unknown = maker.sample_of(time=None, location=None, dem=None, forest=None)
    record = record_of_sample(unknown)
    with pytest.raises(InputError, match="'POINT EMPTY': the place of the record is unknown"):
        parse_point(record.image_location)
    again = sample_of_record(record)
    assert again.time is None
    assert again.location is None
    assert np.isnan(again.dem).all()


def test_other_bands_are_refused_by_name():
    with pytest.raises(InputError, match="sample 0 has the bands HH, HV; the published"):
        record_of_sample(maker.sample_of(bands=("HH", "HV")))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"dem": np.zeros((3, 3), np.float32)}, r"dem has shape \(3, 3\)"),
        ({"target": np.zeros((1, 16, 16), np.float32)}, "images .* and target"),
        ({"bands": ("VV",)}, "2 bands named VV"),
        ({"conditions": maker.conditions_of(3, np.random.default_rng(0))}, "with 3 conditions"),
    ],
)
def test_parts_that_do_not_fit_are_named(parts, message):
    with pytest.raises(InputError, match=f"sample 0: .*{message}"):
        maker.sample_of(**parts)
