"""From the bytes of a record to named values of fixed types and shapes, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from terradelta.errors import InputError, SourceError
from terradelta.tfrecord.framing import Record
from terradelta.tfrecord.layout import Layout, Spec
from terradelta.tfrecord.wire import Feature, encode_example, parse_example
from terradelta.tfrecord.wire_tensors import decode_tensor, encode_tensor
from terradelta.types import PathType

__all__ = ["decode_fields", "encode_fields"]

_LISTS = {"tensor": "bytes", "text": "bytes", "float": "float", "int": "int"}


def decode_fields(record: Record, layout: Layout, path: PathType) -> dict[str, Any]:
    """Read the features of one record.

    Parameters
    ----------
    record : Record
        From `read_records`.
    layout : Layout
        What must be there; other features are left alone.
    path : path-like
        For messages.

    Returns
    -------
    dict of str
        Arrays, tuples of str (text tensors), str, float or int; None for an optional feature that is missing.

    Raises
    ------
    SourceError
        A feature is missing or is something else; the message names file, record and feature.
    """
    where = f"{path}: record {record.number} at byte {record.offset}"
    try:
        features = parse_example(record.payload)
    except SourceError as error:
        raise SourceError(f"{where} is no tf.train.Example ({error}); give another file") from error
    _require(features, layout, where)
    sizes: dict[str, int] = {}
    values: dict[str, Any] = {}
    for spec in layout:
        try:
            feature = features.get(spec.name)
            values[spec.name] = None if feature is None else _value(spec, feature, sizes)
        except SourceError as error:
            raise SourceError(f"{where}: {spec.name}: {error}") from error
    return values


def _require(features: dict[str, Feature], layout: Layout, where: str) -> None:
    missing = [spec.name for spec in layout if not spec.optional and spec.name not in features]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        there = ", ".join(sorted(features)[:4]) or "nothing"
        raise SourceError(
            f"{where} has no {', '.join(missing[:3])}{more} (there: {there} ...); it is of another kind: "
            "raw and preprocessed records are read apart"
        )


def _value(spec: Spec, feature: Feature, sizes: dict[str, int]) -> Any:
    if feature.kind != _LISTS[spec.stored] or len(feature.values) != 1:
        raise SourceError(
            f"holds {len(feature.values)} {feature.kind} values, expected one of {_LISTS[spec.stored]}"
        )
    single = feature.values[0]
    if spec.stored == "tensor":
        return _tensor(spec, single, sizes)
    if spec.stored == "text":
        return _text(single)
    return float(single) if spec.stored == "float" else int(single)


def _tensor(spec: Spec, data: Any, sizes: dict[str, int]) -> Any:
    shape = [one if isinstance(one, int) else sizes.get(one) for one in spec.shape]
    text = spec.dtype == "text"
    array = decode_tensor(data, dtype=np.dtype(object if text else spec.dtype), shape=shape)
    for axis, size in zip(spec.shape, array.shape, strict=True):
        if isinstance(axis, str):
            sizes[axis] = size
    return tuple(_text(one) for one in array) if text else array


def _text(data: Any) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"text is no UTF-8 ({error.reason})") from error


def encode_fields(values: Any, layout: Layout, number: int, path: PathType) -> bytes:
    """Write the features of one record.

    Parameters
    ----------
    values : object
        With an attribute for each feature; None leaves an optional one out.
    layout : Layout
        What is written.
    number : int
        Of the record, for messages.
    path : path-like
        For messages.

    Raises
    ------
    InputError
        A value is missing or of another type or shape.
    """
    sizes: dict[str, int] = {}
    features: dict[str, Any] = {}
    for spec in layout:
        value = getattr(values, spec.name)
        if value is None and spec.optional:
            continue
        try:
            features[spec.name] = _stored(spec, value, sizes)
        except (InputError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{path}: record {number}: {spec.name}: {error}") from error
    return encode_example(features)


def _stored(spec: Spec, value: Any, sizes: dict[str, int]) -> Any:
    if spec.stored == "text":
        if not isinstance(value, str):
            raise InputError(f"is {type(value).__name__}, expected text")
        return value
    if spec.stored == "float":
        return np.float32(value)
    if spec.stored == "int":
        return int(value)
    array = np.asarray(value, object) if spec.dtype == "text" else np.asarray(value)
    _check(spec, array, sizes)
    return encode_tensor(array)


def _check(spec: Spec, array: Any, sizes: dict[str, int]) -> None:
    dtype = np.dtype(object if spec.dtype == "text" else spec.dtype)
    wanted = tuple(_length(axis, array, at, sizes) for at, axis in enumerate(spec.shape))
    if array.dtype != dtype or array.shape != wanted:
        shape = ", ".join(map(str, wanted))
        raise InputError(f"is {array.dtype} {list(array.shape)}, expected {spec.dtype} [{shape}]")
    if dtype.kind == "O" and not _all_text(array):
        raise InputError("is no list of text")


def _length(axis: int | str, array: Any, at: int, sizes: dict[str, int]) -> int:
    if isinstance(axis, int):
        return axis
    return sizes.setdefault(axis, array.shape[at] if at < array.ndim else 0)


def _all_text(values: Iterable[Any]) -> bool:
    return all(isinstance(one, str) for one in values)
