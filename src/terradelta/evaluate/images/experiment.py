"""Runs the experiment on images with simulated change, one sample in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np

from terradelta.errors import InputError
from terradelta.evaluate.images.differences import CHANGES, Change, Expect, expectations
from terradelta.evaluate.images.report import ImagesReport, markdown
from terradelta.evaluate.images.svc import SVC_KINDS, Draws, SvcTally
from terradelta.evaluate.images.threshold import ThresholdTally
from terradelta.evaluate.urban.writing import as_json, write_files
from terradelta.expected.differences.choice import why_unfair
from terradelta.expected.differences.kinds import Kind
from terradelta.expected.samples.sample import Sample
from terradelta.types import BoolArray, PathType

__all__ = ["open_samples", "run"]

Advance: TypeAlias = Callable[[int], None]
Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Advance]]


def run(
    data: PathType | Sequence[Sample],
    out: PathType,
    *,
    seed: int = 0,
    expect: Expect | None = None,
    fair: bool = True,
    kinds: tuple[Kind, ...] = SVC_KINDS,
    progress: Progress | None = None,
) -> ImagesReport:
    """Judge differences by thresholds and classifiers, and write figures, table and picture.

    Parameters
    ----------
    data : path or sequence of Sample
        TFRecord file or a folder of them, or a file of samples (``.zarr``), with simulated change.
    out : path
        Folder for ``images.json``, ``images.md`` and ``images.png``; each replaced in one step.
    seed : int
        Of the split into images to train and to test on, and of the balanced pixels.
    expect : callable, optional
        A network (``ExpectedImage.expected_db``); the predictions of the data if left out.
    fair : bool
        Judge thresholds only on samples with a previous image of the target's direction and the nearest one
        within a degree of incidence, as published. Classifiers use all samples.
    kinds : tuple of str
        Features of the classifiers; none: no classifiers.
    progress : callable, optional
        Takes a label and a number of steps, gives a context manager that gives a function to advance.

    Returns
    -------
    ImagesReport
        All figures.

    Raises
    ------
    InputError
        If there are no samples, they show no change, or none is fair.
    StorageError
        If the output cannot be written.
    """
    samples = open_samples(data) if isinstance(data, str | PathLike) else data
    changes = _changes(samples)
    tally, draws, left_out = ThresholdTally(seed), Draws(seed), {}
    started = progress or _silent
    with started("thresholds", len(samples)) as advance:
        for sample in samples:
            expected = expectations(sample, expect)
            seen = sample.conditions
            why = why_unfair(seen.incidence, seen.heading) if fair else None
            if why is None:
                tally.add(sample, expected, changes)
            else:
                left_out[sample.name] = why
            draws.add(_truth(sample), _valid(sample, expected))
            advance(1)
    if not tally.curves:
        raise InputError(
            f"none of the {len(samples)} samples can be compared: {next(iter(left_out.values()))}"
        )
    rocs = {change: {name: one.roc() for name, one in ways.items()} for change, ways in tally.curves.items()}
    svc = _classify(samples, draws, changes, kinds, expect, started) if len(samples) > 1 and kinds else None
    results = () if svc is None else tuple(svc.results(lambda _: None))
    report = ImagesReport(seed, len(samples), left_out, tally.curves, rocs, results, draws.test)
    _write(report, out)
    return report


def open_samples(path: PathType) -> Sequence[Sample]:
    """Open samples of either kind.

    Parameters
    ----------
    path : path
        See `run`.

    Returns
    -------
    sequence of Sample
        Read one by one.

    Raises
    ------
    InputError
        If there are none.
    """
    from terradelta.expected.samples.files import SampleFile
    from terradelta.expected.samples.records import RecordSamples

    place = Path(path)
    if (place / "zarr.json").exists() or place.suffix == ".zarr":
        samples: Sequence[Sample] = SampleFile(place)
    elif place.is_dir():
        samples = RecordSamples(sorted(file for file in place.iterdir() if ".tfrecord" in file.name))
    else:
        samples = RecordSamples([place])
    if not len(samples):
        raise InputError(f"{place} holds no samples; give TFRecord files or a .zarr of samples")
    return samples


@contextmanager
def _silent(label: str, steps: int) -> Iterator[Advance]:
    yield lambda _: None


def _changes(samples: Sequence[Sample]) -> tuple[Change, ...]:
    """Tell which changes the data allow, by the first sample."""
    first = samples[0]
    if first.change_mask is None:
        raise InputError(f"sample {first.name} has no simulated change; give samples made with changes")
    return CHANGES if first.changed is not None else ("shift",)


def _truth(sample: Sample) -> BoolArray:
    if sample.change_mask is None:
        raise InputError(f"sample {sample.name} has no simulated change, though others have; leave it out")
    return np.asarray(sample.change_mask > 0)


def _valid(sample: Sample, expected: dict[str, np.ndarray]) -> BoolArray:
    """Tell where the classifiers have data: target, expected image and the nearest previous one."""
    images = [sample.target, expected["nearest-geometry"]]
    images += [expected["prediction"]] if "prediction" in expected else []
    images += [sample.changed] if sample.changed is not None else []
    return np.asarray(np.logical_and.reduce([np.isfinite(one).all(axis=0) for one in images]))


def _classify(
    samples: Sequence[Sample],
    draws: Draws,
    changes: tuple[Change, ...],
    kinds: tuple[Kind, ...],
    expect: Expect | None,
    started: Progress,
) -> SvcTally:
    tally = SvcTally(draws, draws.draw(), kinds)
    with started("classifiers", len(samples)) as advance:
        for number, sample in enumerate(samples):
            prediction = sample.prediction if expect is None else expect(sample)[0]
            tally.add(number, sample, prediction, changes)
            advance(1)
    return tally


def _write(report: ImagesReport, out: PathType) -> None:
    from terradelta.evaluate.images.picture import draw

    files = {
        "images.json": as_json(report.as_dict()),
        "images.png": draw(report),
        "images.md": markdown(report).encode(),
    }
    write_files(out, files)
