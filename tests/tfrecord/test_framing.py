from __future__ import annotations

import gzip
import logging
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terradelta.errors import InputError, SourceError, StorageError
from terradelta.tfrecord import framing, read_records, streams, write_records

PAYLOADS = [b"first", b"", b"third one"]
FRAME = 16


def contents(path, **options):
    return [bytes(record.payload) for record in read_records(path, **options)]


def slow_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(payloads):
    """Written out, with a checksum bit by bit."""
    out = b""
    for one in payloads:
        length = struct.pack("<Q", len(one))
        out += length + struct.pack("<I", slow_crc(length)) + one + struct.pack("<I", slow_crc(one))
    return out


@given(st.lists(st.binary(max_size=40), max_size=4), st.sampled_from(["gzip", "zlib", "none"]))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_the_format_and_is_read_back(tmp_path, payloads, compression):
    file = tmp_path / "a.b.tfrecord.GZIP"
    assert write_records(file, payloads, compression) == len(payloads)
    undo = {"gzip": gzip.decompress, "zlib": zlib.decompress, "none": bytes}[compression]
    assert undo(file.read_bytes()) == framed(payloads)
    assert contents(file) == contents(file, reuse=True) == payloads
    assert [one.name for one in tmp_path.iterdir()] == ["a.b.tfrecord.GZIP"]


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, bytes])
@pytest.mark.parametrize("fast", [True, False])
def test_foreign_files_are_read_with_and_without_isal(tmp_path, monkeypatch, pack, fast):
    if not fast:
        monkeypatch.setattr(streams, "_fast", lambda: None)
    file = tmp_path / "x"
    big = [np.random.default_rng(0).bytes(3_000_000), b"a" * 2_500_000, b""]
    file.write_bytes(pack(b"".join(framed([]) + _frame(one) for one in big)))
    assert contents(file) == big
    write_records(tmp_path / "y", big, "zlib")
    assert contents(tmp_path / "y") == big


def _frame(one):
    length = struct.pack("<Q", len(one))
    return b"".join(
        (length, struct.pack("<I", framing.masked_crc(length)), one,
         struct.pack("<I", framing.masked_crc(one)))
    )  # fmt: skip


def test_offsets_are_those_of_the_uncompressed_file(tmp_path):
    write_records(tmp_path / "x", PAYLOADS)
    found = [(one.number, one.offset) for one in read_records(tmp_path / "x")]
    assert found == [(1, 0), (2, 5 + FRAME), (3, 5 + 2 * FRAME)]


def test_every_truncation_is_told_or_ends_between_records(tmp_path):
    whole, file = framed(PAYLOADS), tmp_path / "x"
    ends = {0: 0, 21: 1, 37: 2, len(whole): 3}
    for size in range(len(whole) + 1):
        file.write_bytes(whole[:size])
        if size in ends:
            assert contents(file) == PAYLOADS[: ends[size]]
            continue
        with pytest.raises(SourceError, match=r"x.*(record [123] at byte (0|21|37)\b|no TFRecord)"):
            contents(file)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_every_cut_of_a_compressed_file_is_told(tmp_path, pack):
    whole, file = pack(framed(PAYLOADS)), tmp_path / "x"
    for size in range(1, len(whole)):
        file.write_bytes(whole[:size])
        with pytest.raises(SourceError, match="x"):
            contents(file)


def test_every_flipped_byte_is_told(tmp_path):
    whole, file = framed(PAYLOADS), tmp_path / "x"
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(SourceError, match="x"):
            contents(file)


@pytest.mark.parametrize(
    ("at", "kept", "told"),
    [
        (21 + 3, PAYLOADS[:1], "record 2 at byte 21: its length is damaged"),
        (21 + 9, PAYLOADS[:1], "nothing more of this file"),
        (12 + 2, PAYLOADS[1:], "record 1 at byte 0: its data are damaged.*left out"),
        (12 + 6, PAYLOADS[1:], "record 1 at byte 0: its data are damaged"),
        (37 + 14, PAYLOADS[:2], "record 3 at byte 37: its data"),
    ],
)
def test_damage_is_skipped_alone_where_it_can_be(tmp_path, caplog, monkeypatch, at, kept, told):
    monkeypatch.setattr(logging.getLogger("terradelta"), "propagate", True)
    whole, file = bytearray(framed(PAYLOADS)), tmp_path / "x"
    whole[at] ^= 1
    file.write_bytes(whole)
    with caplog.at_level(logging.WARNING, "terradelta"):
        assert contents(file, damaged="skip") == kept
    import re

    assert re.search(told, caplog.text), caplog.text


def test_a_gigantic_length_is_refused(tmp_path):
    length = struct.pack("<Q", 2**60)
    (tmp_path / "x").write_bytes(length + struct.pack("<I", slow_crc(length)))
    with pytest.raises(SourceError, match=f"{2**60} bytes are more"):
        contents(tmp_path / "x")


def test_what_is_no_tfrecord(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert contents(tmp_path / "empty") == []
    for content in (b"hello, this is some text", b"x", b"\x1f\x8b\x08", b"PK\x03\x04" + bytes(30)):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(SourceError, match="x"):
            contents(tmp_path / "x")
    with pytest.raises(SourceError, match="cannot be opened"):
        contents(tmp_path / "nothing")
    with pytest.raises(SourceError, match="cannot be opened"):
        contents(tmp_path)


def test_words(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="damaged='maybe'"):
        contents(tmp_path / "x", damaged="maybe")
    with pytest.raises(InputError, match="compression='bz2'"):
        write_records(tmp_path / "x", [], "bz2")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write"):
        write_records(tmp_path / "file" / "x", [b""])
    monkeypatch.setitem(__import__("sys").modules, "google_crc32c", None)
    with pytest.raises(InputError, match=r"terradelta\[tfrecord\]"):
        contents(tmp_path / "file")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_records(tmp_path / "x", [b"old"])

    def broken():
        yield b"new"
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write_records(tmp_path / "x", broken())
    assert contents(tmp_path / "x") == [b"old"]
    assert len(list(tmp_path.iterdir())) == 1
