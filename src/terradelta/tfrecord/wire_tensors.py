"""Arrays in protocol buffers: `tf.TensorProto` in all the ways that TensorFlow writes numbers and text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError, SourceError
from terradelta.tfrecord.wire import encode_field, encode_varint, fields, numbers

__all__ = ["MAX_TENSOR", "decode_tensor", "encode_tensor"]

MAX_TENSOR = 2**31 - 1
"""Largest tensor in bytes."""

_MAX_FILL = 2**28
"""Bytes that a list of fewer values may be stretched to: a few bytes must not claim all memory."""

_STRING = 7


class _Kind(NamedTuple):
    """How a type is stored when it is not raw bytes: which field, and what its numbers are."""

    dtype: str
    field: int
    item: str


_TYPES = {
    1: _Kind("<f4", 5, "<f4"),
    2: _Kind("<f8", 6, "<f8"),
    3: _Kind("<i4", 7, "varint"),
    4: _Kind("|u1", 7, "varint"),
    5: _Kind("<i2", 7, "varint"),
    6: _Kind("|i1", 7, "varint"),
    _STRING: _Kind("|O", 8, ""),
    9: _Kind("<i8", 10, "varint"),
    10: _Kind("|b1", 11, "varint"),
    17: _Kind("<u2", 7, "varint"),
    19: _Kind("<f2", 13, "varint"),
    22: _Kind("<u4", 16, "varint"),
    23: _Kind("<u8", 17, "varint"),
}
_CODES = {np.dtype(kind.dtype).str: code for code, kind in _TYPES.items()}


def decode_tensor(data: Any, *, dtype: Any = None, shape: Sequence[int | None] | None = None) -> NDArray[Any]:
    """Read a serialized ``tf.TensorProto``.

    Parameters
    ----------
    data : bytes-like
        The message: raw ``tensor_content``, or a list of values of which the last one fills the rest.
    dtype : dtype, optional
        What it must be; object for text.
    shape : sequence of int or None, optional
        What it must be; None for any length of an axis.

    Returns
    -------
    array
        Own memory, writable; text as an object array of bytes.

    Raises
    ------
    SourceError
        The bytes are no tensor, or one of another type or shape; no other error, whatever they are.

    Examples
    --------
    >>> decode_tensor(encode_tensor(np.arange(6, dtype=np.int32).reshape(2, 3)))
    array([[0, 1, 2],
           [3, 4, 5]], dtype=int32)
    >>> decode_tensor(encode_tensor(np.zeros(3)), dtype=np.float32)
    Traceback (most recent call last):
    terradelta.errors.SourceError: it is float64 [3], expected float32
    """
    code, sizes, content, listed = _parts(memoryview(data).cast("B"))
    if code not in _TYPES:
        raise SourceError(f"a tensor of type number {code} is not read; known: {', '.join(map(str, _TYPES))}")
    kind = _TYPES[code]
    found = np.dtype(kind.dtype)
    _check(found, sizes, dtype, shape)
    count = math.prod(sizes)
    if count * max(found.itemsize, 1) > MAX_TENSOR:
        raise SourceError(f"a tensor of {list(sizes)} is larger than {MAX_TENSOR} bytes")
    try:
        return _values(kind, found, count, content, listed).reshape(sizes)
    except MemoryError:
        raise SourceError(f"no memory for a tensor of {list(sizes)}") from None


def _parts(data: memoryview) -> tuple[int, tuple[int, ...], memoryview, list[tuple[int, int, Any]]]:
    """Type, shape, raw content, and everything else."""
    code, content = 0, memoryview(b"")
    sizes: tuple[int, ...] = ()
    listed: list[tuple[int, int, Any]] = []
    for number, form, value in fields(data):
        if number in (1, 2, 4) and (form == 0) != (number == 1):
            raise SourceError(f"a tensor: field {number} has the wrong form")
        if number == 1:
            code = value
        elif number == 2:
            sizes = _shape(value)
        elif number == 4:
            content = value
        else:
            listed.append((number, form, value))
    return code, sizes, content, listed


def _shape(data: memoryview) -> tuple[int, ...]:
    sizes = []
    for number, form, value in fields(data):
        if number == 3 and value:
            raise SourceError("a tensor has no known shape")
        if number == 2:
            if form != 2:
                raise SourceError("a shape holds something else")
            parts = [(one, kind, size) for one, kind, size in fields(value) if one == 1]
            if any(kind != 0 for _, kind, _ in parts):
                raise SourceError("a shape holds something else")
            sizes.append(parts[-1][2] if parts else 0)
    if any(size > MAX_TENSOR for size in sizes) or len(sizes) > 32:
        raise SourceError(f"a tensor of shape {sizes} cannot be")
    return tuple(sizes)


def _check(found: np.dtype[Any], sizes: tuple[int, ...], dtype: Any, shape: Any) -> None:
    fits = shape is None or (
        len(shape) == len(sizes) and all(want in (None, got) for want, got in zip(shape, sizes, strict=True))
    )
    if fits and dtype in (None, found):
        return
    wanted = [_name(np.dtype(dtype))] if dtype is not None else []
    wanted += [str([("any" if one is None else one) for one in shape])] if shape is not None else []
    raise SourceError(f"it is {_name(found)} {list(sizes)}, expected {' '.join(wanted)}")


def _name(dtype: np.dtype[Any]) -> str:
    return "text" if dtype.kind == "O" else dtype.name


def _values(
    kind: _Kind, dtype: np.dtype[Any], count: int, content: memoryview, listed: list[tuple[int, int, Any]]
) -> NDArray[Any]:
    if len(content):
        if dtype.kind == "O" or len(content) != count * dtype.itemsize:
            raise SourceError(f"a tensor of {count} {_name(dtype)} holds {len(content)} bytes")
        native = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="), copy=True)
        return native != 0 if dtype == np.bool_ else native
    own = [(form, value) for number, form, value in listed if number == kind.field]
    values = _text(own) if dtype.kind == "O" else _listed(kind, dtype, own)
    if len(values) > count:
        raise SourceError(f"a tensor of {count} values holds {len(values)}")
    if count > len(values) and count * dtype.itemsize > _MAX_FILL:
        raise SourceError(f"a tensor of {count} values holds {len(values)}")
    blank: Any = b"" if dtype.kind == "O" else 0
    whole = np.full(count, values[-1] if len(values) else blank, dtype.newbyteorder("="))
    whole[: len(values)] = values
    return whole


def _text(own: list[tuple[int, Any]]) -> NDArray[Any]:
    if any(form != 2 for form, _ in own):
        raise SourceError("a tensor of text holds something else")
    values = np.empty(len(own), object)
    values[:] = [bytes(value) for _, value in own]
    return values


def _listed(kind: _Kind, dtype: np.dtype[Any], own: list[tuple[int, Any]]) -> NDArray[Any]:
    parts = [numbers(form, value, kind.item) for form, value in own]
    if kind.item != "varint":
        return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype)
    whole = np.array([one for part in parts for one in part], np.uint64)
    if dtype == np.float16:
        return whole.astype(np.uint16).view(np.float16)
    narrow = whole.view(np.int64) if dtype.kind in "ib" else whole
    result = narrow.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(result.astype(narrow.dtype), narrow):
        raise SourceError(f"a tensor of {dtype.name} holds a value out of its range")
    return result


def encode_tensor(array: Any) -> bytes:
    """Write a ``tf.TensorProto``: numbers as raw ``tensor_content``, text as ``string_val``.

    Parameters
    ----------
    array : array-like
        Numbers, bool, or text (str or bytes).

    Raises
    ------
    InputError
        A type that is not written (complex numbers, dates, objects).

    Examples
    --------
    >>> encode_tensor(np.array(["S1A", "S1B"])).hex(" ", 4)
    '0807 12041202 08024203 53314142 03533142'
    """
    values = np.asarray(array)
    text = values.dtype.kind in "OSU"
    code = _STRING if text else _CODES.get(values.dtype.newbyteorder("<").str)
    if code is None or (text and not all(isinstance(one, str | bytes) for one in values.flat)):
        raise InputError(f"an array of {values.dtype} cannot be written into a tensor; give numbers or text")
    axes = (encode_field(2, b"\x08", encode_varint(size)) for size in values.shape)
    head = b"\x08" + encode_varint(code) + encode_field(2, *axes)
    if text:
        items = (one.encode() if isinstance(one, str) else one for one in values.flat)
        return head + b"".join(encode_field(8, item) for item in items)
    plain = np.ascontiguousarray(values, _TYPES[code].dtype)
    return head + (encode_field(4, plain.data.cast("B")) if plain.size else b"")
