"""The published data set of the expected image: raw and preprocessed samples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import SourceError
from terradelta.tfrecord.fields import decode_fields, encode_fields
from terradelta.tfrecord.framing import Damaged, read_records, write_records
from terradelta.tfrecord.layout import PREPROCESSED, RAW
from terradelta.tfrecord.streams import Compression
from terradelta.types import PathType

__all__ = [
    "PreprocessedRecord",
    "RawRecord",
    "parse_point",
    "read_preprocessed",
    "read_raw",
    "write_preprocessed",
    "write_raw",
]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_POINT = re.compile(rf"\s*POINT\s*\(\s*{_NUMBER}\s+{_NUMBER}\s*\)\s*", re.IGNORECASE)


@dataclass(frozen=True, eq=False, kw_only=True)
class RawRecord:
    """One raw sample: four images before the target, the target, and the conditions of all five.

    Images are dB, CHANNEL FIRST, bands VV and VH; `y` and `x` are 512 in the published data.

    Attributes
    ----------
    image_location : str
        ``POINT (lat lon)``, latitude first.
    dem_rast, forestmask : array (y, x) of float32
        Elevation, m; 1 = forest, 0 = other.
    input_image_stack : array (8, y, x) of float32
        Four images, oldest first, two bands each, dB.
    target_image : array (2, y, x) of float32
        dB.
    input_image_temperatures, input_image_snow_depths : array (4,) of float64
        °C; cm.
    input_image_platform_headings, input_image_incidence_angles : array (4,) of float64
        Degrees; headings in -180..180.
    input_image_precipitations : array (4, 4) of float64
        mm; image, then day (the day itself first, then the days before).
    input_image_mission_ids, input_image_start_times, input_image_data_take_ids : tuple of 4 str
        ``S1A``; ISO time, UTC; text.
    target_image_temperature, target_image_snow_depth : float
        °C; cm; float32 in the file, as the two that follow.
    target_image_platform_heading, target_image_incidence_angle : float
        Degrees.
    target_image_precipitations : array (4,) of float64
        mm.
    target_image_mission_id, target_image_start_time, target_image_data_take_id : str
        As of the inputs.
    simulated_change_mask : array (y, x) of int32, optional
        0, or the number of the change.
    num_simulated_changes : int, optional
        How many changes were simulated; later ones may cover earlier ones.
    img_superpixel_map : array (y, x) of int64, optional
        Number of the superpixel.
    img_superpixel_sets : str, optional
        JSON: number of a superpixel as text to its pixels [x, y].
    simulated_change_image, target_image_prediction : array (y, x, 2) of float32, optional
        dB, CHANNEL LAST.
    """

    image_location: str
    dem_rast: Float32
    forestmask: Float32
    input_image_stack: Float32
    target_image: Float32
    input_image_temperatures: Float64
    input_image_snow_depths: Float64
    input_image_platform_headings: Float64
    input_image_incidence_angles: Float64
    input_image_precipitations: Float64
    input_image_mission_ids: tuple[str, ...]
    input_image_start_times: tuple[str, ...]
    input_image_data_take_ids: tuple[str, ...]
    target_image_temperature: float
    target_image_snow_depth: float
    target_image_platform_heading: float
    target_image_incidence_angle: float
    target_image_precipitations: Float64
    target_image_mission_id: str
    target_image_start_time: str
    target_image_data_take_id: str
    simulated_change_mask: NDArray[np.int32] | None = None
    num_simulated_changes: int | None = None
    img_superpixel_map: NDArray[np.int64] | None = None
    img_superpixel_sets: str | None = None
    simulated_change_image: Float32 | None = None
    target_image_prediction: Float32 | None = None

    @property
    def location(self) -> tuple[float, float]:
        """Latitude and longitude in degrees, from `image_location`."""
        return parse_point(self.image_location)


@dataclass(frozen=True, eq=False, kw_only=True)
class PreprocessedRecord:
    """One sample as the published network takes it: normalised, CHANNEL LAST.

    Attributes
    ----------
    input_image_stack : array (y, x, 9) of float32
        Four images of two bands, oldest first, then elevation.
    target_image : array (y, x, 2) of float32
        Normalised.
    forestmask : array (y, x) of float32
        1 = forest, 0 = other.
    latent_metadata : array (45,) of float64
        Condition vector.
    """

    input_image_stack: Float32
    target_image: Float32
    forestmask: Float32
    latent_metadata: Float64


def parse_point(text: str) -> tuple[float, float]:
    """Read ``POINT (lat lon)``.

    Parameters
    ----------
    text : str
        Latitude first, degrees.

    Returns
    -------
    tuple of float
        Latitude and longitude.

    Raises
    ------
    SourceError
        It is something else, no place on Earth, or ``POINT EMPTY``, an unknown place.

    Examples
    --------
    >>> parse_point("POINT (62.571359 25.661839)")
    (62.571359, 25.661839)
    """
    if text.strip().upper() == "POINT EMPTY":
        raise SourceError("image_location is 'POINT EMPTY': the place of the record is unknown")
    found = _POINT.fullmatch(text)
    if not found:
        raise SourceError(f"image_location {text!r} is no 'POINT (lat lon)'")
    latitude, longitude = float(found[1]), float(found[2])
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise SourceError(f"image_location {text!r} is no place on Earth; latitude comes first")
    return latitude, longitude


def read_raw(path: PathType, *, damaged: Damaged = "refuse") -> Iterator[RawRecord]:
    """Read raw samples one after the other, with simulated change where it is there.

    Parameters
    ----------
    path : path-like
        TFRecord file; see `terradelta.tfrecord.read_records`.
    damaged : {"refuse", "skip"}
        What to do with records whose bytes are damaged. A sound record of something else is always refused.

    Yields
    ------
    RawRecord
        Arrays with their own memory, exactly the stored numbers.

    Raises
    ------
    SourceError
        The file cannot be read, a record is damaged, or a feature is missing or of another type or shape; the
        message names file, record and feature.

    Examples
    --------
    >>> next(read_raw("nothing-here"))
    Traceback (most recent call last):
    terradelta.errors.SourceError: nothing-here cannot be opened (No such file or directory); ...
    """
    for record in read_records(path, damaged=damaged, reuse=True):
        yield RawRecord(**decode_fields(record, RAW, path))


def read_preprocessed(path: PathType, *, damaged: Damaged = "refuse") -> Iterator[PreprocessedRecord]:
    """Read preprocessed samples one after the other.

    Parameters
    ----------
    path, damaged
        As in `read_raw`.

    Yields
    ------
    PreprocessedRecord
        Arrays with their own memory, exactly the stored numbers.

    Raises
    ------
    SourceError
        As in `read_raw`.
    """
    for record in read_records(path, damaged=damaged, reuse=True):
        yield PreprocessedRecord(**decode_fields(record, PREPROCESSED, path))


def write_raw(path: PathType, records: Iterable[RawRecord], compression: Compression = "gzip") -> int:
    """Write raw samples so that the published code reads them.

    Parameters
    ----------
    path : path-like
        File to write or to replace.
    records : iterable of RawRecord
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
        A value has another type or shape; the message names record and feature.
    StorageError
        The file cannot be written.
    """
    return _write(path, records, RAW, compression)


def write_preprocessed(
    path: PathType, records: Iterable[PreprocessedRecord], compression: Compression = "gzip"
) -> int:
    """Write preprocessed samples; parameters, result and errors as of `write_raw`."""
    return _write(path, records, PREPROCESSED, compression)


def _write(path: PathType, records: Iterable[Any], layout: Any, compression: Compression) -> int:
    payloads = (encode_fields(one, layout, number, path) for number, one in enumerate(records, 1))
    return write_records(path, payloads, compression)
