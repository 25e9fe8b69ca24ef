"""GRIB edition 1 messages, assembled byte by byte: GDAL reads them, but cannot write them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def _length(value: int) -> bytes:
    return value.to_bytes(3, "big")


def _signed(value: int, size: int) -> bytes:
    return (abs(value) | ((1 << (8 * size - 1)) if value < 0 else 0)).to_bytes(size, "big")


def _ibm(value: float) -> tuple[bytes, float]:
    """Number of IBM's kind, not above the given one, and what it is worth."""
    if value == 0:
        return bytes(4), 0.0
    exponent = math.floor(math.log(abs(value), 16)) + 1
    mantissa = math.floor(value / 16.0**exponent * 2**24)
    stored = bytes([(0x80 if value < 0 else 0) | (exponent + 64)]) + abs(mantissa).to_bytes(3, "big")
    return stored, mantissa / 2**24 * 16.0**exponent


def message(
    values: Any, latitudes: Any, longitudes: Any, parameter: int, reference: str, *,
    hours: tuple[int, int] = (0, 0), table: int = 128,
) -> bytes:  # fmt: skip
    """One field of ECMWF on a regular grid; NaN = missing; `hours` of an amount from the reference on."""
    flat = np.asarray(values, float).ravel()
    year, month, day, hour = (int(part) for part in reference.replace("T", "-").split("-"))
    missing = np.isnan(flat)
    pds = bytes(
        [table, 98, 255, 255, 192 if missing.any() else 128, parameter, 1, 0, 0, year % 100, month, day]
    )
    pds += bytes([hour, 0, 1, *hours, 4 if hours[1] else 0, 0, 0, 0, year // 100 + 1, 0, 0, 0])
    corners = [_signed(round(axis[end] * 1000), 3) for end in (0, -1) for axis in (latitudes, longitudes)]
    steps = [round(abs(axis[1] - axis[0]) * 1000).to_bytes(2, "big") for axis in (longitudes, latitudes)]
    gds = bytes([0, 255, 0]) + len(longitudes).to_bytes(2, "big") + len(latitudes).to_bytes(2, "big")
    gds += corners[0] + corners[1] + b"\x80" + corners[2] + corners[3] + steps[0] + steps[1]
    gds += bytes([0 if latitudes[0] > latitudes[-1] else 64, 0, 0, 0, 0])
    bms = b""
    if missing.any():
        bits = np.packbits(~missing).tobytes()
        bits += bytes(len(bits) % 2)
        bms = _length(6 + len(bits)) + bytes([8 * len(bits) - flat.size, 0, 0]) + bits
    stored, lowest = _ibm(float(flat[~missing].min()))
    span = float(flat[~missing].max()) - lowest
    scale = math.ceil(math.log2(span / (2**24 - 1))) if span > 0 else 0
    packed = b"".join(_length(round((value - lowest) / 2.0**scale)) for value in flat[~missing])
    odd = (11 + len(packed)) % 2
    bds = bytes([8 * odd]) + _signed(scale, 2) + stored + bytes([24]) + packed + bytes(odd)
    body = _length(len(pds) + 3) + pds + _length(len(gds) + 3) + gds + bms + _length(len(bds) + 3) + bds
    return b"GRIB" + _length(len(body) + 12) + b"\x01" + body + b"7777"
