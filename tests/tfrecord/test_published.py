from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from terradelta.errors import InputError, SourceError
from terradelta.tfrecord import (
    PreprocessedRecord,
    encode_example,
    parse_example,
    read_many,
    read_preprocessed,
    read_raw,
    read_records,
    write_preprocessed,
    write_raw,
    write_records,
)


@pytest.mark.parametrize("compression", ["gzip", "zlib", "none"])
@pytest.mark.parametrize("change", [True, False])
def test_raw_records_go_round(tmp_path, make_record, equal, compression, change):
    records = [make_record(seed, change=change) for seed in range(3)]
    file = tmp_path / "a.1.tfrecord.GZIP"
    write_raw(file, records, compression)
    assert [equal(*pair) for pair in zip(records, read_raw(file), strict=True)] == [True] * 3
    assert records[0].location == (62.5, 25.25)


def test_names_are_not_cut_at_the_first_dot(tmp_path, equal):
    rng = np.random.default_rng(0)
    records = [
        PreprocessedRecord(
            input_image_stack=rng.random((4, 4, 9), np.float32),
            target_image=rng.random((4, 4, 2), np.float32),
            forestmask=np.zeros((4, 4), np.float32), latent_metadata=rng.random(45),
        )
        for _ in range(2)
    ]  # fmt: skip
    for number, one in enumerate(records):
        write_preprocessed(tmp_path / f"a.{number}.tfrecord.GZIP", [one])
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["a.0.tfrecord.GZIP", "a.1.tfrecord.GZIP"]
    assert all(equal(one, two) for one, two in zip(records, read_many(files, read_preprocessed), strict=True))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("dem_rast", np.zeros((8, 8)), r"record 1: dem_rast: is float64 \[8, 8\], expected float32"),
        ("dem_rast", np.zeros((4, 4), np.float32), r"expected float32 \[8, 8\]"),
        ("input_image_temperatures", np.zeros(5), r"\[5\], expected float64 \[4\]"),
        ("image_location", None, "image_location: is NoneType"),
        ("input_image_mission_ids", (1, 2, 3, 4), "no list of text"),
        ("target_image_temperature", "warm", "target_image_temperature"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, make_record, name, value, told):
    record = dataclasses.replace(make_record(), **{name: value})
    with pytest.raises(InputError, match=told):
        write_raw(tmp_path / "x", [record])
    assert not (tmp_path / "x").exists()


def broken(tmp_path, make_record, **changes):
    write_raw(tmp_path / "sound", [make_record()])
    payload = bytes(next(read_records(tmp_path / "sound")).payload)
    features = {name: one for name, one in parse_example(payload).items() if changes.get(name, 0) is not None}
    features |= {name: value for name, value in changes.items() if value is not None}
    write_records(tmp_path / "x", [payload, encode_example(features)])
    return tmp_path / "x"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"forestmask": None}, "record 2 at byte .* has no forestmask"),
        ({"forestmask": b"abc"}, "record 2 .*forestmask: "),
        ({"forestmask": 3}, "forestmask: holds 1 int values, expected one of bytes"),
        ({"target_image_temperature": [1.0, 2.0]}, "target_image_temperature: holds 2 float"),
        ({"image_location": b"\xff"}, "image_location: text is no UTF-8"),
        ({"num_simulated_changes": 1.5}, "num_simulated_changes: holds 1 float"),
    ],
)
def test_wrong_features_are_named(tmp_path, make_record, changes, told):
    with pytest.raises(SourceError, match=told):
        list(read_raw(broken(tmp_path, make_record, **changes)))


def test_no_example_and_no_place(tmp_path, make_record):
    write_records(tmp_path / "x", [b"\xff\xff"])
    with pytest.raises(SourceError, match=r"record 1 at byte 0 is no tf.train.Example"):
        list(read_raw(tmp_path / "x"))
    for text in ("POINT (25 162)", "POINT (95 5)", "62.5 25.25", "POINT (nan nan)"):
        if text != "POINT (25 162)":
            with pytest.raises(SourceError, match="image_location"):
                _ = make_record(image_location=text).location


def test_many_files_come_in_the_order_of_their_names(tmp_path, make_record):
    for number in (3, 1, 2, 0):
        write_raw(tmp_path / f"{number}", [make_record(image_location=f"{number}{part}") for part in "abc"])
    files = [tmp_path / str(number) for number in (2, 0, 3, 1)]
    for workers in (1, 3, 9):
        found = [one.image_location for one in read_many(files, read_raw, workers=workers)]
        assert found == [f"{number}{part}" for number in range(4) for part in "abc"]


def test_many_files_stop_in_order_and_leave_no_thread(tmp_path, make_record):
    for name in "abc":
        write_raw(tmp_path / name, [make_record()])
    (tmp_path / "b").write_bytes(b"not a record at all")
    before = threading.active_count()
    found = []
    with pytest.raises(SourceError, match="b is no TFRecord"):
        found.extend(read_many([tmp_path / name for name in "abc"], read_raw))
    early = read_many([tmp_path / "a"] * 5, read_raw)
    next(early)
    early.close()
    assert threading.active_count() == before
    with pytest.raises(InputError, match="workers=0"):
        next(read_many([], read_raw, workers=0))


def test_preprocessed_oracle(shared):
    folder = shared / "reference" / "sar"
    check = np.load(folder / "preprocessed_check.npz")
    records = list(read_preprocessed(folder / "preprocessed.tfrecord.GZIP"))
    assert np.array_equal([one.latent_metadata for one in records], check["latent_metadata"])
    model = np.load(folder / "model_input.npz")
    for at in (0, 1):
        for name in ("input_image_stack", "target_image", "forestmask"):
            assert np.array_equal(getattr(records[at], name), model[name][at])


def test_raw_oracle_behind_the_preprocessed_one(shared):
    folder = shared / "reference" / "sar"
    raws = list(read_raw(folder / "raw.tfrecord.GZIP"))
    done = list(read_preprocessed(folder / "preprocessed.tfrecord.GZIP"))
    assert len(raws) == len(done) == 6
    for raw, ready in zip(raws, done, strict=True):
        assert raw.target_image.shape == (2, 512, 512) and raw.simulated_change_mask is None
        assert np.array_equal(raw.forestmask, ready.forestmask)
        order = np.argsort(raw.target_image[0], axis=None)
        assert (np.diff(ready.target_image[..., 0].ravel()[order]) >= 0).all()


def test_change_oracle_goes_round(shared, tmp_path, equal):
    file = shared / "reference" / "sar" / "simulated_change_with_prediction.tfrecord.GZIP"
    first = [next(read_raw(file))]
    mask = first[0].simulated_change_mask
    assert len(np.unique(mask[mask > 0])) <= first[0].num_simulated_changes <= 3
    assert first[0].img_superpixel_map.min() == 1
    write_raw(tmp_path / "x", first, "none")
    assert equal(first[0], next(read_raw(tmp_path / "x")))
