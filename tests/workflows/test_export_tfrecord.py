from __future__ import annotations

import logging

import numpy as np
import pytest

from terradelta.errors import ConfigError, InputError
from terradelta.tfrecord import read_raw
from terradelta.workflows.config import ExportSettings, load_settings
from terradelta.workflows.exports import export_samples


def sample(previous=4):
    from terradelta.expected.conditions import Conditions
    from terradelta.expected.samples.sample import Sample

    count = previous + 1
    rng = np.random.default_rng(0)
    conditions = Conditions(
        temperature=np.zeros(count), snow_depth=np.zeros(count), heading=np.full(count, -14.0),
        incidence=np.full(count, 35.0), precipitation=np.zeros((count, 4)), platform=("S1A",) * count,
        age=np.arange(count)[::-1] / 100,
    )  # fmt: skip
    return Sample(
        name="a", images=rng.normal(size=(previous, 2, 8, 8)).astype(np.float32),
        target=np.zeros((2, 8, 8), np.float32), conditions=conditions,
        time=np.datetime64("2021-06-01T05:00", "ns"), location=(62.0, 25.0),
    )  # fmt: skip


@pytest.mark.parametrize("compression", ["gzip", "zlib", "none"])
def test_samples_become_records(tmp_path, caplog, monkeypatch, compression):
    monkeypatch.setattr(logging.getLogger("terradelta"), "propagate", True)
    one = sample()
    with caplog.at_level(logging.WARNING, "terradelta"):
        export_samples([one, one], tmp_path / "a.b.tfrecord", compression)
    found = list(read_raw(tmp_path / "a.b.tfrecord"))
    assert len(found) == 2 and found[1].location == (62.0, 25.0)
    assert np.array_equal(found[1].input_image_stack.reshape(4, 2, 8, 8), one.images)
    assert "2 of 2 samples are not of 512 x 512" in caplog.text
    assert "2 of 2 samples have pixels without data" in caplog.text  # no elevation


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(InputError, match="3 previous images"):
        export_samples([sample(3)], tmp_path / "x")
    with pytest.raises(InputError, match="no sample"):
        export_samples([], tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with pytest.raises(ConfigError, match="leave format"):
        load_settings(
            ExportSettings, given={"source": "a", "target": "b", "tfrecord": True, "format": "zarr"}
        )
