import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from terradelta.errors import ConflictError, InputError
from terradelta.expected.samples.files import SampleFile, write_samples

_SPEC = importlib.util.spec_from_file_location("sample_maker", Path(__file__).with_name("sample_maker.py"))
maker: Any = importlib.util.module_from_spec(_SPEC)  # type: ignore[arg-type]
_SPEC.loader.exec_module(maker)  # type: ignore[union-attr]


class KilledError(Exception):
    """In place of a signal."""


def until(number, samples):
    for index, sample in enumerate(samples):
        if index == number:
            raise KilledError
        yield sample


@pytest.fixture
def samples():
    holed = maker.sample_of(1)
    holed.images[1, :, 3:5] = np.nan
    return [maker.sample_of(0), holed, maker.sample_of(2, time=None, location=None)]


@pytest.mark.parametrize(("precision", "within"), [("float32", 0.0), ("int16", 1 / 512)])
def test_what_is_written_is_read(tmp_path, samples, precision, within):
    assert write_samples(tmp_path / "a.zarr", samples, precision=precision) == 3
    file = SampleFile(tmp_path / "a.zarr")
    assert (len(file), file.size, file.previous, file.bands) == (3, 16, 4, ("VV", "VH"))
    assert file.names == tuple(sample.name for sample in samples)
    for read, sample in zip(file, samples, strict=True):
        maker.equal(read, sample, within=within)
    maker.equal(file[-1], samples[-1], within=within)
    with pytest.raises(IndexError):
        file[3]


def test_simulated_changes_are_kept(tmp_path):
    parts = {name: np.full((2, 16, 16), -12.5, np.float32) for name in ("changed", "prediction")}
    sample = maker.sample_of(change_mask=np.eye(16, dtype=np.int32), **parts)
    write_samples(tmp_path / "a.zarr", [sample], precision="float32")
    maker.equal(SampleFile(tmp_path / "a.zarr")[0], sample)


@pytest.mark.parametrize("as_sequence", [True, False])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_killed_run_ends_the_same(tmp_path, samples, number, as_sequence):
    write_samples(tmp_path / "whole.zarr", samples)
    with pytest.raises(KilledError):
        write_samples(tmp_path / "cut.zarr", until(number, samples))
    with pytest.raises(InputError, match="no finished file of samples"):
        SampleFile(tmp_path / "cut.zarr")
    journal = tmp_path / ".cut.zarr.partial" / "journal.jsonl"
    with journal.open("a") as stream:
        stream.write('{"name": "torn of')
    assert write_samples(tmp_path / "cut.zarr", samples if as_sequence else iter(samples)) == 3
    assert files(tmp_path / "cut.zarr") == files(tmp_path / "whole.zarr")
    assert SampleFile(tmp_path / "cut.zarr").digest == SampleFile(tmp_path / "whole.zarr").digest
    assert not journal.parent.exists()


def files(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_rest_of_another_run_is_refused(tmp_path, samples):
    with pytest.raises(KilledError):
        write_samples(tmp_path / "a.zarr", until(2, samples))
    with pytest.raises(ConflictError, match=r"number 1 was sample 1, now sample 2"):
        write_samples(tmp_path / "a.zarr", [samples[0], samples[2]])


def test_finished_file_is_kept_unless_it_shall_go(tmp_path, samples):
    write_samples(tmp_path / "a.zarr", samples)
    with pytest.raises(ConflictError, match="give overwrite=True"):
        write_samples(tmp_path / "a.zarr", samples[:1])
    assert write_samples(tmp_path / "a.zarr", samples[:1], overwrite=True) == 1
    assert len(SampleFile(tmp_path / "a.zarr")) == 1


def test_digest_tells_contents(tmp_path, samples):
    digests = set()
    for name, chosen in {"a": samples, "b": samples[::-1], "c": [*samples[:2], maker.sample_of(9)]}.items():
        write_samples(tmp_path / f"{name}.zarr", chosen)
        digests.add(SampleFile(tmp_path / f"{name}.zarr").digest)
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"size": 8}, "sample 5 has .* the first one"),
        ({"previous": 3}, "sample 5 has .* the first one"),
        ({"bands": ("HH", "HV")}, "HH, HV .* the first one"),
        ({"target": np.full((2, 16, 16), -np.inf, np.float32)}, "sample 5 holds 512 infinite values"),
    ],
)
def test_sample_that_does_not_fit_is_named(tmp_path, other, message):
    with pytest.raises(InputError, match=message):
        write_samples(tmp_path / "a.zarr", [maker.sample_of(0), maker.sample_of(5, **other)])


def test_no_samples_and_no_file(tmp_path):
    with pytest.raises(InputError, match="no samples to write"):
        write_samples(tmp_path / "a.zarr", [])
    with pytest.raises(InputError, match="write_samples"):
        SampleFile(tmp_path / "a.zarr")


def test_open_file_goes_to_another_process_closed(tmp_path, samples):
    write_samples(tmp_path / "a.zarr", samples)
    file = SampleFile(tmp_path / "a.zarr")
    file[0]
    text = pickle.dumps(file)
    assert len(text) < 2000
    maker.equal(pickle.loads(text)[1], file[1])
