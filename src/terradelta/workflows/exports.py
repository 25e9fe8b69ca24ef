"""Results in other formats, wired."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from terradelta.errors import InputError
from terradelta.products import export
from terradelta.workflows.config import ExportSettings

if TYPE_CHECKING:
    from terradelta.expected.samples.sample import Sample
    from terradelta.tfrecord import RawRecord

__all__ = ["export_results", "export_samples"]

_LOG = logging.getLogger(__name__)
_PUBLISHED_PREVIOUS, _PUBLISHED_SIZE = 4, 512


def export_results(settings: ExportSettings) -> Path:
    """Export as told.

    Raises
    ------
    InputError, StorageError
        From `export` or `export_samples`.
    """
    if settings.tfrecord:
        return _export_tfrecord(settings)
    west_south_east_north = tuple(settings.bounds) or None
    return export(
        settings.source,
        settings.target,
        format=settings.format,
        layers=settings.layers or None,
        bbox=west_south_east_north,  # type: ignore[arg-type]
        bbox_crs=settings.bounds_crs,
    )


def _export_tfrecord(settings: ExportSettings) -> Path:
    from terradelta.expected.samples.files import SampleFile

    if settings.target.is_dir():
        raise InputError(f"{settings.target} is a folder; name a file, for example x.tfrecord.GZIP")
    return export_samples(SampleFile(settings.source), settings.target, settings.compression)


def export_samples(samples: Iterable[Sample], target: Path, compression: str = "gzip") -> Path:
    """Write samples as raw records of the published data set.

    Parameters
    ----------
    samples : iterable of Sample
        With four previous images and the bands VV and VH; taken one at a time.
    target : Path
        TFRecord file to write or to replace.
    compression : {"gzip", "zlib", "none"}
        Of the file.

    Returns
    -------
    Path
        The file. Whatever the published code will not like in it (gaps, another size) is told as a note.

    Raises
    ------
    InputError
        There is no sample, or one has other bands or another number of previous images.
    StorageError
        The file cannot be written.
    """
    from terradelta.tfrecord import write_raw

    remarks: dict[str, int] = {}
    count = write_raw(target, _records(samples, remarks), compression)  # type: ignore[arg-type]
    for remark, times in remarks.items():
        _LOG.warning("%s: %d of %d samples %s", target, times, count, remark)
    return target


def _records(samples: Iterable[Sample], remarks: dict[str, int]) -> Iterator[RawRecord]:
    from terradelta.expected.samples.sample import record_of_sample

    nothing = True
    for sample in samples:
        nothing = False
        if len(sample.images) != _PUBLISHED_PREVIOUS:
            raise InputError(
                f"sample {sample.name} has {len(sample.images)} previous images; the published format "
                f"holds {_PUBLISHED_PREVIOUS}: make samples with 4"
            )
        record = record_of_sample(sample)
        for remark in _remarks(record):
            remarks[remark] = remarks.get(remark, 0) + 1
        yield record
    if nothing:
        raise InputError("there is no sample to export; give a file with samples")


def _is_float64(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64


def _remarks(record: RawRecord) -> Iterator[str]:
    """Tell what the published code, which knows no gaps, takes badly."""
    if record.target_image.shape[1:] != (_PUBLISHED_SIZE, _PUBLISHED_SIZE):
        yield f"are not of {_PUBLISHED_SIZE} x {_PUBLISHED_SIZE} pixels, which the published network needs"
    images = (record.input_image_stack, record.target_image, record.dem_rast, record.forestmask)
    if not all(np.isfinite(image).all() for image in images):
        yield "have pixels without data, which the published code does not know"
    numbers = [*vars(record).values()]
    conditions = [one for one in numbers if isinstance(one, float) or _is_float64(one)]
    texts = (record.target_image_mission_id, *record.input_image_mission_ids)
    if not all(np.isfinite(one).all() for one in conditions) or "" in texts:
        yield "lack conditions (NaN in the file), which the published code does not know"
