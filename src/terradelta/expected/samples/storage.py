"""How samples lie in a training file: names, types and compression of the arrays, and digests."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from zarr.codecs import BloscCodec, BloscShuffle

from terradelta.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from terradelta.expected.samples.sample import Sample

__all__ = [
    "COLUMNS",
    "FORMAT",
    "NOTES",
    "PICTURES",
    "STEPS",
    "VERSION",
    "Precision",
    "codec",
    "image_in",
    "image_out",
    "pictures_of",
    "row_of",
    "sample_digest",
]

Precision = Literal["int16", "float32"]
"""Type of stored images: steps of 1/256 dB in half the room, or bit by bit as they are."""

FORMAT = "terradelta samples"
VERSION = 1

STEPS = 256
"""Steps of one decibel in images of type int16; what is rounded off is below 0.002 dB."""

PICTURES = ("images", "change_mask", "changed", "prediction", "superpixels")
"""Arrays of pixels besides ``ground`` (elevation and forest), one chunk per sample."""

NOTES = ("takes", "truth")
"""What is kept as JSON, one text per sample, where at least one sample has it; empty = unknown."""

COLUMNS = ("temperature", "snow_depth", "heading", "incidence", "precipitation", "age")
"""Conditions kept as numbers."""

_MISSING = np.iinfo(np.int16).min


def codec() -> BloscCodec:
    """Give the compression of pixels: the fastest to read of those that save room (see docs/samples.md)."""
    return BloscCodec(cname="lz4", clevel=5, shuffle=BloscShuffle.shuffle)


def image_out(decibel: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    """Bring images (dB, NaN = no data) to the stored type; beyond ±127 dB they are cut."""
    if precision == "float32":
        return np.asarray(decibel, np.float32)
    steps = np.clip(np.rint(decibel * np.float32(STEPS)), _MISSING + 1, -_MISSING - 1)
    return np.where(np.isnan(steps), _MISSING, steps).astype(np.int16)


def image_in(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Undo `image_out`."""
    if stored.dtype != np.int16:
        return np.asarray(stored, np.float32)
    decibel = stored * np.float32(1 / STEPS)
    decibel[stored == _MISSING] = np.nan
    return decibel


def pictures_of(sample: Sample, precision: Precision) -> dict[str, NDArray[Any]]:
    """Give the pixels of a sample as they are stored, by the name of the array.

    Raises
    ------
    InputError
        Infinite values; it names the sample.
    """
    images = np.concatenate([sample.images, sample.target[None]])
    if np.isinf(images).any():
        raise InputError(
            f"sample {sample.name} holds {int(np.isinf(images).sum())} infinite values; "
            "mark pixels without data as NaN (terradelta.sar.to_db does)"
        )
    pictures = {"images": image_out(images, precision)}
    if sample.dem is not None or sample.forest is not None:
        nothing = np.full(sample.target.shape[-2:], np.nan, np.float32)
        layers = [nothing if layer is None else layer for layer in (sample.dem, sample.forest)]
        pictures["ground"] = np.stack(layers).astype(np.float32)
    if sample.change_mask is not None:
        pictures["change_mask"] = sample.change_mask.astype(np.int32)
    if sample.superpixels is not None:
        pictures["superpixels"] = sample.superpixels.astype(np.int64)
    for name in ("changed", "prediction"):
        image = getattr(sample, name)
        if image is not None:
            pictures[name] = image_out(image, precision)
    return pictures


def row_of(sample: Sample, digest: str) -> dict[str, Any]:
    """Give what is known about a sample besides its pixels, as JSON can keep it."""
    conditions = sample.conditions
    unknown = np.iinfo(np.int64).min
    time = unknown if sample.time is None else int(sample.time.astype("datetime64[ns]").astype(np.int64))
    return {
        "name": sample.name,
        "digest": digest,
        "time": time,
        "location": list(sample.location or (np.nan, np.nan)),
        "has_ground": [sample.dem is not None, sample.forest is not None],
        "platform": list(conditions.platform),
        **{name: getattr(conditions, name).tolist() for name in COLUMNS},
        **{name: text for name, text in _notes(sample).items() if text},
    }


def _notes(sample: Sample) -> dict[str, str]:
    values = {name: getattr(sample, name) for name in NOTES}
    return {name: "" if value is None else json.dumps(value) for name, value in values.items()}


def sample_digest(sample: Sample, pictures: dict[str, NDArray[Any]]) -> str:
    """Sum up a sample as it is stored."""
    summary = hashlib.sha256(repr((sample.name, sample.bands, str(sample.time), sample.location)).encode())
    summary.update(repr(sample.conditions.platform).encode())
    for name in COLUMNS:
        summary.update(np.ascontiguousarray(getattr(sample.conditions, name), "<f8").tobytes())
    for name, text in _notes(sample).items():
        summary.update(f"{name} {text}".encode() if text else b"")
    for name in sorted(pictures):
        values = np.ascontiguousarray(pictures[name])
        summary.update(f"{name} {values.dtype} {values.shape}".encode())
        summary.update(values.data)
    return summary.hexdigest()
