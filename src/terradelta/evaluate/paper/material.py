"""The samples of the experiment: simulated, drawn from a cube, or of the published files."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from terradelta.cube.reading import open_cube
from terradelta.errors import InputError
from terradelta.evaluate.images.experiment import Progress, open_samples
from terradelta.evaluate.paper.protocol import SPLIT, PaperProtocol, scenario
from terradelta.expected.samples.changing import ChangedSamples, change_samples, sample_grid
from terradelta.expected.samples.cube_images import CubeImages
from terradelta.expected.samples.files import SampleFile
from terradelta.expected.samples.places import Part
from terradelta.expected.samples.plans import PlannedSamples, SamplePlan, plan_samples
from terradelta.expected.samples.sample import Sample
from terradelta.expected.samples.writing import write_samples
from terradelta.expected.training.data import Chosen
from terradelta.land import OPEN, Areas, LayerLand
from terradelta.types import PathType

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["PUBLISHED_SPLIT", "Material", "gather"]

_LOG = logging.getLogger(__name__)
_PARTS: tuple[Part, ...] = ("train", "validation", "test")
_SHARES = (0.6, 0.7)
_VALIDATION_SHARE = 10
_OPEN_LAND = tuple(name for name in OPEN if name != "lake")

PUBLISHED_SPLIT = np.datetime64("2021-06-20", "ns")
"""The published samples for training lie before, those for the test from then on."""


@dataclass(frozen=True)
class Material:
    """What is learnt from and judged by.

    Attributes
    ----------
    name : str
        What the tables call it.
    train, validation : sequence of Sample
        Empty if there is nothing to learn from.
    tests : tuple of sequence of Sample
        The same samples with other simulated changes, one for each seed.
    stored : bool
        Whether the changes were in the data, the same for each seed.
    """

    name: str
    train: Sequence[Sample]
    validation: Sequence[Sample]
    tests: tuple[Sequence[Sample], ...]
    stored: bool = False


def gather(
    data: PathType | None, protocol: PaperProtocol, folder: Path, progress: Progress, *, workers: int = 1
) -> Material:
    """Make or open the samples.

    Parameters
    ----------
    data : path or None
        None: simulated places. A cube. TFRecord files of the published data set or a file of samples.
    protocol : PaperProtocol
        How many.
    folder : Path
        For the samples that are made; those of an earlier run with the same numbers are used again.
    progress : callable
        Takes a label and a number of steps.
    workers : int
        Places that are simulated at a time, a process each.

    Returns
    -------
    Material

    Raises
    ------
    InputError
        The data cannot be used.
    """
    if data is None:
        make = partial(_simulated, protocol, workers, progress)
        return _kept("simulated places", make, protocol, folder)
    place = Path(data)
    if (place / "sar").is_dir():
        return _kept(place.name, partial(_of_cube, place, protocol, progress), protocol, folder)
    return _of_samples(open_samples(place), place.name, protocol)


def _kept(
    name: str, make: Callable[[], list[list[Sample]]], protocol: PaperProtocol, folder: Path
) -> Material:
    """Write the samples to files, unless they are there."""
    files = [folder / f"{part}.zarr" for part in _PARTS[:2]]
    files += [folder / f"test-{seed}.zarr" for seed in range(protocol.seeds)]
    if not all(file.is_dir() for file in files):
        parts = make()
        for file, samples in zip(files, parts, strict=True):
            write_samples(file, samples, overwrite=True)
    train, validation, *tests = (SampleFile(file) for file in files)
    return Material(name, train, validation, tuple(tests))


def _simulated(protocol: PaperProtocol, workers: int, progress: Progress) -> list[list[Sample]]:
    """Simulate places, some at a time, and draw from each its share."""
    found: list[list[Sample]] = [[] for _ in range(2 + protocol.seeds)]
    context = multiprocessing.get_context("spawn")
    with (
        progress("simulated places", protocol.places) as advance,
        ProcessPoolExecutor(min(workers, protocol.places), mp_context=context) as pool,
    ):
        for drawn in pool.map(partial(_simulated_place, protocol), range(protocol.places)):
            for samples, more in zip(found, drawn, strict=True):
                samples += more
            advance(1)
    return found


def _simulated_place(protocol: PaperProtocol, number: int) -> list[list[Sample]]:
    """Simulate one place and draw from it, in a process of its own."""
    from terradelta.simulate import place

    tree = place(seed=number, scenario=scenario(number, protocol.place_size))
    return _drawn(tree, _share(protocol, number), protocol, number, SPLIT)


def _share(protocol: PaperProtocol, number: int) -> dict[Part, int]:
    """Divide the samples among the places; the first ones get one more where it does not come out even."""
    counts = {part: getattr(protocol, part) for part in _PARTS}
    return {
        part: count // protocol.places + (number < count % protocol.places) for part, count in counts.items()
    }


def _of_cube(place: Path, protocol: PaperProtocol, progress: Progress) -> list[list[Sample]]:
    """Draw from a cube: the first 60 % of its images to learn from, the last 30 % to be judged by."""
    tree = open_cube(place)
    times = np.sort(CubeImages(place).times)
    split = tuple(str(times[int(share * len(times))]) for share in _SHARES)
    with progress("samples", 1) as advance:
        counts: dict[Part, int] = {part: getattr(protocol, part) for part in _PARTS}
        drawn = _drawn(tree, counts, protocol, 0, split, path=place)
        advance(1)
    return drawn


def _drawn(
    tree: xr.DataTree,
    counts: dict[Part, int],
    protocol: PaperProtocol,
    seed: int,
    split: tuple[str, ...],
    path: Path | None = None,
) -> list[list[Sample]]:
    """Draw the parts from one cube; the last one once for each seed, with changes."""
    images = CubeImages(tree if path is None else path)
    wanted = {part: count for part, count in counts.items() if count}
    plan = plan_samples(images, count=wanted, seed=seed, size=protocol.size, split_time=split)
    samples = {part: list(PlannedSamples(images, plan, part)) for part in _PARTS}
    tests = [_changed(samples["test"], tree, images, plan, protocol, one) for one in range(protocol.seeds)]
    return [samples["train"], samples["validation"], *tests]


def _changed(
    samples: Sequence[Sample],
    tree: xr.DataTree,
    images: CubeImages,
    plan: SamplePlan,
    protocol: PaperProtocol,
    seed: int,
) -> list[Sample]:
    """Let forest turn into what the nearest open areas look like in the same image."""
    grids = [sample_grid(images, place) for place in plan.of("test")]
    land = _OpenLand(tree)
    made = change_samples(samples, protocol.recipe(), seed=seed, land=land, areas=protocol.areas, grids=grids)
    return list(made)


class _OpenLand(LayerLand):
    """Open areas without lakes: in a small place one lake outweighs all fields, and water is 13 dB darker."""

    def nearest(self, x: float, y: float, count: int, classes: Sequence[str] = _OPEN_LAND) -> Areas:
        """Give the nearest open areas that are land."""
        return super().nearest(x, y, count, [name for name in classes if name in _OPEN_LAND])


def _of_samples(samples: Sequence[Sample], name: str, protocol: PaperProtocol) -> Material:
    """Part samples in time as published; their own changes, or simulated ones."""
    times = [sample.time for sample in _walked(samples)]
    late = np.array([time is not None and time >= PUBLISHED_SPLIT for time in times])
    early = np.flatnonzero(~late)
    if not late.any():
        raise InputError(
            f"{name} holds no sample from {str(PUBLISHED_SPLIT)[:10]} on, where the published test begins; "
            "add files of later dates"
        )
    check = early[::_VALIDATION_SHARE] if early.size >= _VALIDATION_SHARE else early[:0]
    train = np.setdiff1d(early, check) if check.size else early[:0]
    test = Chosen([samples], np.flatnonzero(late))
    stored = test[0].changed is not None
    if not train.size:
        _LOG.warning("%s: too few samples before %s to train on", name, str(PUBLISHED_SPLIT)[:10])
    recipe = replace(protocol.recipe(), superpixels="connected")
    tests = [test if stored else ChangedSamples(test, recipe, seed=seed) for seed in range(protocol.seeds)]
    return Material(name, Chosen([samples], train), Chosen([samples], check), tuple(tests), stored)


def _walked(samples: Sequence[Sample]) -> Iterator[Sample]:
    for number in range(len(samples)):
        yield samples[number]
