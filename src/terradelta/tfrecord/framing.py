"""Records of a TFRecord file: length, its checksum, payload, its checksum."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from terradelta.errors import InputError, SourceError
from terradelta.tfrecord.streams import Compression, Stream, compressed_writer, open_stream, replaced
from terradelta.types import PathType

__all__ = ["MAX_RECORD", "Damaged", "Record", "check_damaged", "masked_crc", "read_records", "write_records"]

Damaged = Literal["refuse", "skip"]
MAX_RECORD = 2**31 - 1
"""Largest record in bytes: what a protocol buffer may hold."""

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_PIECE = 2**20
_LOG = logging.getLogger(__name__)


class Record(NamedTuple):
    """One record of a file.

    Attributes
    ----------
    offset : int
        Byte of the uncompressed file at which it starts.
    payload : memoryview
        What it holds, bytes.
    number : int
        Its place in the file; the first is 1. Damaged records count.
    """

    offset: int
    payload: memoryview
    number: int


def masked_crc(data: Any) -> int:
    """Give the CRC-32C of some bytes as TFRecord files hold it: rotated by 15 bits, plus a constant.

    Parameters
    ----------
    data : bytes-like
        The bytes.

    Raises
    ------
    InputError
        The package that computes it is missing.

    Examples
    --------
    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    return _masked(_extend()(0, _plain(data)))


def _plain(data: Any) -> Any:
    """View of bytes that google-crc32c takes: it refuses a memoryview."""
    return bytes(data) if isinstance(data, bytes) or not len(data) else np.frombuffer(data, np.uint8)


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _extend() -> Callable[[int, Any], int]:
    try:
        import google_crc32c
    except ImportError:
        raise InputError(
            "TFRecord files need google-crc32c for their checksums; install it: pip install "
            "'terradelta[tfrecord]'"
        ) from None
    extend: Callable[[int, Any], int] = google_crc32c.extend
    return extend


def check_damaged(damaged: str) -> None:
    """Refuse an unknown way to treat damaged records.

    Raises
    ------
    InputError
        It is neither "refuse" nor "skip".
    """
    if damaged not in ("refuse", "skip"):
        raise InputError(f"damaged={damaged!r} is unknown; take 'refuse' or 'skip'")


def read_records(path: PathType, *, damaged: Damaged = "refuse", reuse: bool = False) -> Iterator[Record]:
    """Read the records of a file one after the other; both checksums of each are checked.

    Parameters
    ----------
    path : path-like
        TFRecord file, compressed with gzip or zlib or not at all, which its first bytes tell. An empty
        file has no record.
    damaged : {"refuse", "skip"}
        What to do with a damaged record: raise, or log a warning and go on. A record whose payload is damaged
        is left out alone; behind a damaged length or a cut nothing of the file can be found any more.
    reuse : bool
        Let the next payload take the place of the last one, which must not be used any more: faster.

    Yields
    ------
    Record
        Memory is needed for one record at a time (besides what the caller keeps).

    Raises
    ------
    SourceError
        The file cannot be opened or is no TFRecord file; with "refuse", a record is damaged or cut. The
        message names the file, the record and its byte in the uncompressed file.
    InputError
        The package for the checksums is missing.

    Examples
    --------
    >>> import tempfile
    >>> file = tempfile.mkdtemp() + "/two.tfrecord"
    >>> write_records(file, [b"first", b"second"], "zlib")
    2
    >>> [(one.number, one.offset, bytes(one.payload)) for one in read_records(file)]
    [(1, 0, b'first'), (2, 21, b'second')]
    """
    check_damaged(damaged)
    extend = _extend()
    try:
        with open_stream(path, _starts_plain) as stream:
            yield from _records(stream, Path(path), damaged, _Payloads(extend, reuse))
    except _EndError as error:
        if damaged == "refuse":
            raise SourceError(f"{error}; copy the file again, or skip damaged records") from error
        _LOG.warning("%s: nothing more of this file can be read", error)


class _EndError(Exception):
    """Nothing more can be read."""


def _starts_plain(head: bytes) -> bool:
    """Whether a file starts with the length of a record and the right checksum of it."""
    if len(head) < _HEADER.size:
        return False
    return bool(_HEADER.unpack(head)[1] == masked_crc(head[:8]))


def _records(stream: Stream, path: Path, damaged: Damaged, payloads: _Payloads) -> Iterator[Record]:
    offset, number = 0, 1
    header = memoryview(bytearray(_HEADER.size))
    while True:
        where = f"{path}: record {number} at byte {offset}"
        length = _length(stream, header, where)
        if length is None:
            return
        payload, sound = payloads.read(stream, length, where)
        if sound:
            yield Record(offset, payload, number)
        else:
            line = f"{where}: its data are damaged (CRC-32C)"
            if damaged == "refuse":
                raise SourceError(f"{line}; copy the file again, or skip damaged records")
            _LOG.warning("%s: left out", line)
        offset += length + _HEADER.size + _CHECKSUM.size
        number += 1


def _length(stream: Stream, header: memoryview, where: str) -> int | None:
    """Length of the next record; None at the end."""
    got = _fill(stream, header, where)
    if got == 0:
        return None
    if got < len(header):
        raise _EndError(f"{where}: the file is cut within its length")
    length, checksum = _HEADER.unpack(header)
    if checksum != masked_crc(bytes(header[:8])):
        raise _EndError(f"{where}: its length is damaged (CRC-32C)")
    if length > MAX_RECORD:
        raise _EndError(f"{where}: {length} bytes are more than a record can have ({MAX_RECORD})")
    return int(length)


class _Payloads:
    """Reader of payloads, piece by piece while a piece is in the processor's cache."""

    def __init__(self, extend: Callable[[int, Any], int], reuse: bool) -> None:
        self._extend, self._reuse = extend, reuse
        self._space = np.empty(0, np.uint8)

    def read(self, stream: Stream, length: int, where: str) -> tuple[memoryview, bool]:
        """Give the payload, and whether it has its checksum."""
        whole, crc = self._room(length + _CHECKSUM.size, where), 0
        for start in range(0, length, _PIECE):
            piece = whole[start : min(start + _PIECE, length)]
            if _fill(stream, piece, where) < len(piece):
                raise _EndError(f"{where}: the file is cut within its data")
            crc = self._extend(crc, _plain(piece))
        if _fill(stream, whole[length:], where) < _CHECKSUM.size:
            raise _EndError(f"{where}: the file is cut within its checksum")
        (checksum,) = _CHECKSUM.unpack(whole[length:])
        return whole[:length], checksum == _masked(crc)

    def _room(self, size: int, where: str) -> memoryview:
        if not self._reuse or self._space.size < size:
            try:
                self._space = np.empty(size, np.uint8)
            except MemoryError:
                raise _EndError(f"{where}: no memory for its {size} bytes") from None
        return memoryview(self._space.data).cast("B")[:size]


def _fill(stream: Stream, buffer: memoryview, where: str) -> int:
    try:
        return stream.fill(buffer)
    except SourceError as error:
        raise _EndError(f"{where}: {error}") from error


def write_records(path: PathType, payloads: Iterable[Any], compression: Compression = "gzip") -> int:
    """Write a file of records, in one step: it is there whole or not at all.

    Parameters
    ----------
    path : path-like
        File to write or to replace; its folder is made. The name is taken as it is, with all its dots.
    payloads : iterable of bytes-like
        Taken one at a time.
    compression : {"gzip", "zlib", "none"}
        What TensorFlow calls ``GZIP``, ``ZLIB`` and "".

    Returns
    -------
    int
        Number of records.

    Raises
    ------
    InputError
        Another compression, a payload that is too long, or the package for the checksums is missing.
    StorageError
        The file cannot be written.
    """
    if compression not in ("gzip", "zlib", "none"):
        raise InputError(f"compression={compression!r} is unknown; take 'gzip', 'zlib' or 'none'")
    _extend()
    count = 0
    with replaced(Path(path)) as file, compressed_writer(file, compression) as write:
        for payload in payloads:
            if len(payload) > MAX_RECORD:
                raise InputError(f"record {count + 1} has {len(payload)} bytes, more than {MAX_RECORD}")
            length = struct.pack("<Q", len(payload))
            write(length + _CHECKSUM.pack(masked_crc(length)))
            write(payload)
            write(_CHECKSUM.pack(masked_crc(payload)))
            count += 1
    return count
