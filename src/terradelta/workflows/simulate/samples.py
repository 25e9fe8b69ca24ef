"""Samples with changes in their targets, from and to Zarr or TFRecord."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from terradelta.cube import open_cube
from terradelta.cube.files import read_json
from terradelta.errors import InputError
from terradelta.expected.samples.change_log import ChangeLog
from terradelta.expected.samples.changing import ChangedSamples
from terradelta.expected.samples.files import SampleFile, write_samples
from terradelta.expected.samples.records import RecordSamples
from terradelta.expected.samples.storage import FORMAT
from terradelta.workflows.exports import export_samples
from terradelta.workflows.progress import Advance, Progress, no_progress
from terradelta.workflows.simulate.recipes import choose_land, recipe_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from terradelta.expected.samples.sample import Sample
    from terradelta.workflows.config.simulate import SimulateChangeSettings

__all__ = ["ChangedFile", "change_sample_files", "holds_samples"]

_SUFFIXES = {".gz": "gzip", ".gzip": "gzip", ".zlib": "zlib", ".zz": "zlib", ".tfrecord": "none"}


class ChangedFile(NamedTuple):
    """Samples as they were written.

    Attributes
    ----------
    samples : int
        How many are in the file.
    log : ChangeLog
        The changes in it.
    shown : Sample or None
        The first one with a change that this run made.
    """

    samples: int
    log: ChangeLog
    shown: Sample | None


class _Told(ChangeLog):
    """Tells how far the work is, and keeps the first sample with a change."""

    def __init__(self) -> None:
        super().__init__()
        self.advance: Advance | None = None
        self.shown: Sample | None = None

    def take(self, sample: Sample, origin: str, why: str) -> None:
        super().take(sample, origin, why)
        if self.advance is not None:
            self.advance(1)
        if self.shown is None and sample.truth:
            self.shown = sample


def holds_samples(path: Path) -> bool:
    """Tell whether a folder is a finished file of samples."""
    return bool((read_json(path / "zarr.json") or {}).get("attributes", {}).get("format") == FORMAT)


def change_sample_files(settings: SimulateChangeSettings, progress: Progress = no_progress) -> ChangedFile:
    """Put changes into samples; a run to a Zarr file that was cut off goes on with the same settings.

    Parameters
    ----------
    settings : SimulateChangeSettings
        Both files, and what changes.
    progress : callable
        See `show_progress`.

    Returns
    -------
    ChangedFile

    Raises
    ------
    InputError, ConflictError, StorageError
        As of `ChangedSamples`, `write_samples` and `export_samples`.
    """
    _check_out(settings)
    log = _Told()
    samples = ChangedSamples(
        _samples(settings.source),
        recipe_of(settings, cube=False),
        seed=settings.seed,
        areas=settings.areas,
        log=log,
        **_land(settings),
    )
    with progress("changing samples", len(samples)) as advance:
        log.advance = advance
        count = _write(settings, samples)
    log.tell()
    return ChangedFile(count, _whole(settings.out) if settings.out.suffix == ".zarr" else log, log.shown)


def _check_out(settings: SimulateChangeSettings) -> None:
    out = settings.out
    if settings.source.resolve() == out.resolve():
        raise InputError(f"{out} is the file to read itself; name another one to write")
    if out.suffix == ".zarr":
        return
    if out.suffix.lower() not in _SUFFIXES:
        ends = f"ends in {out.suffix}" if out.suffix else "has no suffix"
        raise InputError(f"{out} {ends}; name a file such as x.zarr, x.tfrecord or x.tfrecord.GZIP")
    if out.is_dir():
        raise InputError(f"{out} is a folder; name a file such as x.zarr or x.tfrecord.GZIP")
    if out.exists() and not settings.overwrite:
        raise InputError(f"{out} is there; choose another path or give --overwrite")


def _whole(file: Path) -> ChangeLog:
    """Count the changes of a whole file, whichever run wrote them."""
    log = ChangeLog()
    for truth in SampleFile(file).truths:
        log.add(truth or ())
    return log


def _samples(source: Path) -> Sequence[Sample]:
    return SampleFile(source) if holds_samples(source) else RecordSamples([source])


def _land(settings: SimulateChangeSettings) -> dict[str, Any]:
    tree = None if settings.radar is None else open_cube(settings.radar)
    chosen = choose_land(settings, settings.radar, tree)
    return {"land": chosen.source, "land_name": chosen.name}


def _write(settings: SimulateChangeSettings, samples: ChangedSamples) -> int:
    out = settings.out
    if out.suffix == ".zarr":
        return write_samples(out, samples, precision=settings.precision, overwrite=settings.overwrite)
    export_samples(iter(samples), out, _SUFFIXES[out.suffix.lower()])
    return len(samples)
