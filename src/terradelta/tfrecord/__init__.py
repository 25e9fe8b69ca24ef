"""TFRecord files without TensorFlow: framing, protocol buffers, and the published data set of method A."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terradelta.tfrecord.framing import Record, read_records, write_records
    from terradelta.tfrecord.many import read_many
    from terradelta.tfrecord.published import (
        PreprocessedRecord,
        RawRecord,
        read_preprocessed,
        read_raw,
        write_preprocessed,
        write_raw,
    )
    from terradelta.tfrecord.wire import Feature, encode_example, parse_example
    from terradelta.tfrecord.wire_tensors import decode_tensor, encode_tensor

_HOME = {
    "Feature": "wire",
    "PreprocessedRecord": "published",
    "RawRecord": "published",
    "Record": "framing",
    "decode_tensor": "wire_tensors",
    "encode_example": "wire",
    "encode_tensor": "wire_tensors",
    "parse_example": "wire",
    "read_many": "many",
    "read_preprocessed": "published",
    "read_raw": "published",
    "read_records": "framing",
    "write_preprocessed": "published",
    "write_raw": "published",
    "write_records": "framing",
}

__all__ = [
    "Feature",
    "PreprocessedRecord",
    "RawRecord",
    "Record",
    "decode_tensor",
    "encode_example",
    "encode_tensor",
    "parse_example",
    "read_many",
    "read_preprocessed",
    "read_raw",
    "read_records",
    "write_preprocessed",
    "write_raw",
    "write_records",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
