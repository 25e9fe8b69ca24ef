"""Protocol buffers as far as `tf.train.Example` needs them: bytes into features and back."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError, SourceError

__all__ = ["Feature", "encode_example", "encode_field", "encode_varint", "fields", "numbers", "parse_example"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_KINDS: dict[int, Literal["bytes", "float", "int"]] = {1: "bytes", 2: "float", 3: "int"}
_BITS = 64


class Feature(NamedTuple):
    """One feature of an example.

    Attributes
    ----------
    kind : {"bytes", "float", "int"}
        What it holds.
    values : tuple of bytes-like, or array
        float32 or int64 (n,) for numbers.

    Examples
    --------
    >>> Feature("float", np.array([1.5], np.float32)).kind
    'float'
    """

    kind: Literal["bytes", "float", "int"]
    values: tuple[Any, ...] | NDArray[Any]


def fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Go through the fields of one message.

    Parameters
    ----------
    data : memoryview
        The message, bytes.

    Yields
    ------
    tuple of (int, int, value)
        Number of the field, wire type (0 number, 1 eight bytes, 2 any bytes, 5 four bytes), and its value: an
        int for a number (unsigned, 64 bits), else a memoryview.

    Raises
    ------
    SourceError
        The bytes are no message.

    Examples
    --------
    >>> [(number, bytes(value)) for number, _, value in fields(memoryview(bytes([0x0A, 2, 65, 66])))]
    [(1, b'AB')]
    """
    place, end = 0, len(data)
    while place < end:
        key, place = _varint(data, place)
        number, form = key >> 3, key & 7
        if not number:
            raise SourceError("a field has the number 0")
        if form == VARINT:
            value, place = _varint(data, place)
            yield number, form, value
            continue
        if form == BYTES:
            size, place = _varint(data, place)
        elif form in (FIXED64, FIXED32):
            size = 8 if form == FIXED64 else 4
        else:
            raise SourceError(f"field {number} has the unknown form {form}")
        if size > end - place:
            raise SourceError(f"field {number} of {size} bytes goes beyond the end")
        yield number, form, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Read a number of 1 to 10 bytes, 7 bits each, and where it ends."""
    result = shift = 0
    for at in range(place, min(place + 10, len(data))):
        byte = data[at]
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & (2**_BITS - 1), at + 1
        shift += 7
    raise SourceError("a number is cut or has more than 10 bytes")


def numbers(form: int, value: Any, item: str) -> list[int] | NDArray[Any]:
    r"""Read the numbers of a repeated field, packed or single.

    Parameters
    ----------
    form : int
        Wire type.
    value : int or memoryview
        As `fields` gives it.
    item : {"varint", "<f4", "<f8"}
        What is repeated.

    Raises
    ------
    SourceError
        The field holds something else.

    Examples
    --------
    >>> numbers(0, 7, "varint"), numbers(2, memoryview(b"\x01\x02"), "varint")
    ([7], [1, 2])
    """
    if item != "varint":
        size = np.dtype(item).itemsize
        if form not in (BYTES, FIXED32 if size == 4 else FIXED64) or len(value) % size:
            raise SourceError(f"a list of numbers of {size} bytes holds something else")
        return np.frombuffer(value, item)
    if form == VARINT:
        return [int(value)]
    if form != BYTES:
        raise SourceError("a list of whole numbers holds something else")
    result, place = [], 0
    while place < len(value):
        one, place = _varint(value, place)
        result.append(one)
    return result


def parse_example(data: Any) -> dict[str, Feature]:
    """Read a serialized ``tf.train.Example``.

    Parameters
    ----------
    data : bytes-like
        The message. Bytes features are views into it, not copies.

    Returns
    -------
    dict of str to Feature
        By name; a name that comes twice counts as it came last. Features without a value are left out.

    Raises
    ------
    SourceError
        The bytes are no example; no other error, whatever they are.

    Examples
    --------
    >>> example = encode_example({"name": b"Jyv", "count": 3, "mean": np.float32(0.5)})
    >>> features = parse_example(example)
    >>> features["count"].values.tolist(), features["mean"].values.tolist(), bytes(features["name"].values[0])
    ([3], [0.5], b'Jyv')
    """
    found: dict[str, Feature] = {}
    for features in _messages(memoryview(data).cast("B"), 1, "an example"):
        for entry in _messages(features, 1, "the features"):
            name, feature = _entry(entry)
            if feature is not None:
                found[name] = feature
    return found


def _messages(data: memoryview, wanted: int, what: str) -> Iterator[memoryview]:
    for number, form, value in fields(data):
        if number == wanted:
            if form != BYTES:
                raise SourceError(f"{what}: field {number} is no message")
            yield value


def _entry(data: memoryview) -> tuple[str, Feature | None]:
    """One pair of the map: name and feature."""
    name, feature = "", None
    for number, form, value in fields(data):
        if number not in (1, 2):
            continue
        if form != BYTES:
            raise SourceError(f"a feature: field {number} is no message")
        if number == 1:
            name = _text(value)
        else:
            feature = _feature(value)
    return name, feature


def _text(value: memoryview) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"the name of a feature is no UTF-8 ({error.reason})") from error


def _feature(data: memoryview) -> Feature | None:
    """Read the list that came last; there should be only one."""
    result = None
    for number, form, value in fields(data):
        if number in _KINDS:
            if form != BYTES:
                raise SourceError(f"a list of {_KINDS[number]} is no message")
            result = _LISTS[_KINDS[number]](value)
    return result


def _bytes_list(data: memoryview) -> Feature:
    return Feature("bytes", tuple(_messages(data, 1, "a list of bytes")))


def _float_list(data: memoryview) -> Feature:
    parts = [numbers(form, value, "<f4") for number, form, value in fields(data) if number == 1]
    return Feature("float", np.concatenate(parts or [np.empty(0)]).astype(np.float32))


def _int_list(data: memoryview) -> Feature:
    parts = [numbers(form, value, "varint") for number, form, value in fields(data) if number == 1]
    flat = np.array([one for part in parts for one in part], np.uint64)
    return Feature("int", flat.view(np.int64))


_LISTS: dict[str, Callable[[memoryview], Feature]] = {
    "bytes": _bytes_list,
    "float": _float_list,
    "int": _int_list,
}


def encode_varint(number: int) -> bytes:
    """Write a number of 64 bits; a negative one takes ten bytes.

    Examples
    --------
    >>> encode_varint(300).hex(), len(encode_varint(-1))
    ('ac02', 10)
    """
    rest, out = number & (2**_BITS - 1), bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def encode_field(number: int, *parts: Any) -> bytes:
    r"""Write a field of bytes, or a message.

    Parameters
    ----------
    number : int
        Of the field.
    *parts : bytes-like
        Its content, joined.

    Examples
    --------
    >>> encode_field(1, b"A", b"B")
    b'\n\x02AB'
    """
    size = sum(memoryview(part).nbytes for part in parts)
    return b"".join((encode_varint(number << 3 | BYTES), encode_varint(size), *parts))


def encode_example(values: Mapping[str, Any]) -> bytes:
    r"""Write a ``tf.train.Example``.

    Parameters
    ----------
    values : mapping of str
        By name: bytes or str (as UTF-8), an int, a float (kept as float32), a sequence of one of them, or a
        `Feature`.

    Returns
    -------
    bytes
        The names sorted, so that equal values give equal bytes.

    Raises
    ------
    InputError
        A value is none of these.

    Examples
    --------
    >>> encode_example({"count": 1})
    b'\n\x10\n\x0e\n\x05count\x12\x05\x1a\x03\n\x01\x01'
    """
    entries = []
    for name in sorted(values):
        feature = _as_feature(name, values[name])
        entries.append(encode_field(1, encode_field(1, name.encode()), encode_field(2, _list(feature))))
    return encode_field(1, *entries)


def _as_feature(name: str, value: Any) -> Feature:
    if isinstance(value, Feature):
        return value
    single = isinstance(value, bytes | str | memoryview | bytearray) or not isinstance(
        value, Sequence | np.ndarray
    )
    items = [value] if single else list(value)
    if all(isinstance(one, bytes | str | memoryview | bytearray) for one in items):
        return Feature("bytes", tuple(one.encode() if isinstance(one, str) else one for one in items))
    if all(isinstance(one, int | np.integer) for one in items):
        return Feature("int", np.array([int(one) & (2**_BITS - 1) for one in items], np.uint64))
    if all(isinstance(one, int | float | np.floating) for one in items):
        return Feature("float", np.array(items, np.float32))
    raise InputError(f"feature {name!r} is {type(value).__name__}; give bytes, text or numbers")


def _list(feature: Feature) -> bytes:
    if feature.kind == "bytes":
        return encode_field(1, *(encode_field(1, one) for one in feature.values))
    if feature.kind == "float":
        packed = struct.pack(f"<{len(feature.values)}f", *feature.values)
        return encode_field(2, encode_field(1, packed))
    return encode_field(3, encode_field(1, b"".join(encode_varint(int(one)) for one in feature.values)))
