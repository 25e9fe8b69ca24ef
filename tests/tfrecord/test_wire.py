from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from terradelta.errors import InputError, SourceError
from terradelta.tfrecord import decode_tensor, encode_example, encode_tensor, parse_example
from terradelta.tfrecord.wire import encode_field, encode_varint

NUMBERS = ["f4", "f8", "i4", "u1", "i2", "i1", "i8", "?", "u2", "f2", "u4", "u8"]
ARRAYS = hnp.arrays(
    st.sampled_from(NUMBERS), hnp.array_shapes(max_dims=3, min_side=0, max_side=4, min_dims=0)
)
VALUES = st.one_of(
    st.binary(max_size=9),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4),
    st.lists(st.binary(max_size=5), min_size=1, max_size=4),
)


@given(ARRAYS)
@settings(max_examples=60, deadline=None)
def test_arrays_go_round(array):
    again = decode_tensor(encode_tensor(array), dtype=array.dtype, shape=array.shape)
    assert again.dtype == array.dtype and again.shape == array.shape and again.tobytes() == array.tobytes()
    assert again.flags.writeable and again.flags.aligned


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=4))
@settings(max_examples=60, deadline=None)
def test_examples_go_round(values):
    found = parse_example(encode_example(values))
    assert set(found) == set(values)
    for name, value in values.items():
        own = value if isinstance(value, list) else [value]
        got = (
            [bytes(one) for one in found[name].values] if found[name].kind == "bytes" else found[name].values
        )
        assert list(got) == own


@given(st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(data):
    for read in (parse_example, decode_tensor):
        with contextlib.suppress(SourceError):
            read(data)


def test_any_damage_is_read_or_refused():
    sound = encode_example({"a": encode_tensor(np.arange(3.0)), "b": 7, "c": [1.5, 2.5]})
    tensor = encode_tensor(np.array(["S1A", "S1B"]))
    for data, read in ((sound, parse_example), (tensor, decode_tensor)):
        for at in range(len(data)):
            for new in (0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 4):
                with contextlib.suppress(SourceError):
                    read(data[:at] + bytes([new]) + data[at + 1 :])
            with contextlib.suppress(SourceError):
                read(data[:at])


def tensor(code, sizes, *fields):
    shape = b"".join(encode_field(2, b"\x08", encode_varint(one)) for one in sizes)
    return b"\x08" + encode_varint(code) + encode_field(2, shape) + b"".join(fields)


def packed(number, *values):
    return encode_field(number, b"".join(encode_varint(one) for one in values))


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (tensor(1, [3], encode_field(5, np.float32([1, 2]).tobytes())), np.float32([1, 2, 2])),
        (tensor(1, [2], b"\x2d" + np.float32(4).tobytes()), np.float32([4, 4])),
        (tensor(2, [2], encode_field(6, np.float64([1, 2]).tobytes())), np.array([1.0, 2.0])),
        (tensor(3, [2, 2], packed(7, 1, -2)), np.int32([[1, -2], [-2, -2]])),
        (tensor(9, [2], packed(10, -1, 5)), np.int64([-1, 5])),
        (tensor(10, [2], packed(11, 1, 0)), np.array([True, False])),
        (tensor(19, [1], packed(13, 0x3C00)), np.float16([1])),
        (tensor(23, [1], packed(17, -1)), np.uint64([2**64 - 1])),
        (tensor(1, [2]), np.float32([0, 0])),
        (tensor(7, [2], encode_field(8, b"a")), np.array([b"a", b"a"], object)),
        (tensor(3, [], packed(7, 9)), np.int32(9)),
    ],
)
def test_listed_values_fill_the_rest(data, wanted):
    found = decode_tensor(data)
    assert found.dtype == wanted.dtype and np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (tensor(1, [3], encode_field(4, bytes(8))), "3 float32 holds 8 bytes"),
        (tensor(3, [1], packed(7, 1, 2)), "1 values holds 2"),
        (tensor(4, [1], packed(7, 300)), "out of its range"),
        (tensor(1, [2**40]), "cannot be"),
        (tensor(1, [2**20, 2**20]), "larger than"),
        (tensor(1, [2**28]), "holds 0"),
        (tensor(8, [1]), "type number 8"),
        (b"\x08\x01\x12\x02\x18\x01", "no known shape"),
        (b"\x0b", "unknown form"),
        (b"\xff" * 12, "more than 10"),
    ],
)
def test_wrong_tensors_are_named(data, told):
    with pytest.raises(SourceError, match=told):
        decode_tensor(data)


def test_what_cannot_be_written():
    with pytest.raises(InputError, match="complex"):
        encode_tensor(np.array([1j]))
    with pytest.raises(InputError, match="'a'"):
        encode_example({"a": {}})


def test_unpacked_and_repeated_lists_are_joined():
    single = encode_field(3, b"\x08\x05\x08\x06", encode_field(1, b"\x07"))
    data = encode_field(1, encode_field(1, encode_field(1, b"n"), encode_field(2, single)))
    assert parse_example(data)["n"].values.tolist() == [5, 6, 7]
