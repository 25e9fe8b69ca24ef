"""Samples as the networks take them: prepared, normalised, masked, one after the other or in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from terradelta.errors import InputError
from terradelta.expected.conditions import kept_features
from terradelta.expected.inputs import Batch, Inputs
from terradelta.expected.preparation import Preparation, prepare
from terradelta.expected.samples.files import SampleFile
from terradelta.expected.samples.planned import PlannedSamples
from terradelta.expected.samples.records import RecordSamples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from terradelta.expected.samples.sample import Sample
    from terradelta.expected.statistics import Statistics
    from terradelta.types import BoolArray, FloatArray

__all__ = ["Change", "RandomOrder", "SampleDataset", "batch_of", "collate", "samples_from"]

Change = Literal["none", "stored"]
"""Which target is fed: as it was observed, or with the simulated changes that are stored with it."""


class SampleDataset(Dataset[Batch]):
    """Samples, each as a batch of one.

    Parameters
    ----------
    source : SampleFile, (cube, plan), (cube, plan, part), list of TFRecord files, or sequence of Sample
        Where they come from. Zarr training files are the fastest.
    statistics : Statistics
        Normalisation.
    preparation : Preparation or None
        What is done to the images first; None = nothing.
    without : sequence of str
        Conditions to leave out, by `conditions.GROUPS`: their values are 0 and not known.
    weather : bool
        False leaves out temperature, snow depth and precipitation as well.
    augment : bool
        Mirror samples at random, and turn square ones. Radar looks sideways: a mirrored image is one that no
        satellite takes, so leave this off unless there are very few samples.
    crop : int
        Pixels on a side of the square cut out at a random place, after the preparation; 0: all.
    remember : int
        Bytes of prepared samples to keep in memory: despeckling and the scene's state cost more than a
        training step of a small network. In each worker process.
    change : "none" or "stored"
        Which target.

    Raises
    ------
    InputError
        A source of another kind, an unknown condition, or no samples at all.

    Examples
    --------
    >>> from terradelta.expected.samples.plans import plan_samples
    >>> from terradelta.expected.statistics import Statistics
    >>> from terradelta.simulate import place
    >>> cube = place(seed=0, size=48, years=0.4, changes=0)
    >>> data = SampleDataset((cube, plan_samples(cube, count=2, size=32)), Statistics(-14.0, 20.0))
    >>> tuple(data[0].inputs.images.shape), tuple(collate([data[0], data[1]]).target.shape)
    ((1, 4, 2, 32, 32), (2, 2, 32, 32))
    """

    def __init__(
        self,
        source: Any,
        statistics: Statistics,
        preparation: Preparation | None = None,
        *,
        without: Sequence[str] = (),
        weather: bool = True,
        augment: bool = False,
        crop: int = 0,
        remember: int = 0,
        change: Change = "none",
    ) -> None:
        self.samples = samples_from(source)
        if not len(self.samples):
            raise InputError("there are no samples to feed; draw some with plan_samples, or name other files")
        self.statistics, self.preparation = statistics, preparation or Preparation()
        self.kept = kept_features(without=without, weather=weather)
        self.augment, self.crop, self.change = augment, crop, change
        self._room, self._remembered = remember, dict[int, Batch]()

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        """Give one sample as a batch of one."""
        batch = self._remembered.get(index) or self._prepared(index)
        if self.crop:
            batch = _cropped(batch, self.crop)
        return _mirrored(batch) if self.augment else batch

    def _prepared(self, index: int) -> Batch:
        batch = batch_of(
            self.samples[index], self.statistics, self.preparation, kept=self.kept, change=self.change
        )
        tensors = (*batch.inputs, batch.target, batch.valid, batch.forest)
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        if size <= self._room:
            self._room -= size
            self._remembered[index] = batch
        return batch


def samples_from(source: Any) -> Sequence[Sample]:
    """Open samples of any kind.

    Parameters
    ----------
    source : object
        As `SampleDataset` takes it.

    Returns
    -------
    sequence of Sample
        Read when asked for.

    Raises
    ------
    InputError
        Something else.
    """
    if isinstance(source, tuple) and len(source) in (2, 3) and hasattr(source[1], "places"):
        return PlannedSamples(*source)
    if isinstance(source, list | tuple) and source and all(_is_file(part) for part in source):
        return RecordSamples(source)
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return source
    if _is_file(source) and str(source).rstrip("/").endswith(".zarr"):
        return SampleFile(source)
    raise InputError(
        f"{type(source).__name__} is no source of samples; give a SampleFile, (cube, plan), "
        "or a list of TFRecord files"
    )


def _is_file(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "__fspath__")


def batch_of(
    sample: Sample,
    statistics: Statistics,
    preparation: Preparation | None = None,
    *,
    kept: BoolArray | None = None,
    change: Change = "none",
) -> Batch:
    """Prepare, normalise and mask one sample.

    Parameters
    ----------
    sample : Sample
        dB, NaN = no data.
    statistics : Statistics
        Normalisation.
    preparation : Preparation or None
        What is done to the images first; None = nothing.
    kept : array (feature,) of bool or None
        Conditions to keep, from `conditions.kept_features`; None keeps all.
    change : "none" or "stored"
        Which target.

    Returns
    -------
    Batch
        Of one sample; 0 where there is no data.

    Raises
    ------
    InputError
        Values that are infinite, or a change that is not stored; it names the sample.
    """
    seen = _target(sample, change)
    _require_finite(sample, images=sample.images, target=seen, dem=sample.dem)
    prepared = prepare(sample.images, seen, preparation or Preparation())
    _require_finite(sample, images=prepared.images, target=prepared.target)
    images, valid = _masked(statistics.images(np.asarray(prepared.images, np.float32)))
    target, target_valid = _masked(statistics.images(np.asarray(prepared.target, np.float32)))
    state = prepared.state(statistics.half_width)
    values, known = statistics.features(sample.conditions)
    if kept is not None:
        known = known & kept
    values = np.where(known, values, np.float32(0))
    static = _static(sample, statistics)
    _require_finite(sample, state=state, conditions=values)
    inputs = Inputs(*(_one(part) for part in (images, valid, static, state, values, known)))
    return Batch(inputs, _one(target), _one(target_valid), _one(_forest(sample)), (sample.name,))


def _target(sample: Sample, change: Change) -> NDArray[np.float32]:
    if change == "none":
        return sample.target
    if change != "stored":
        raise InputError(f"change is {change!r}; expected 'none' or 'stored'")
    if sample.changed is None:
        raise InputError(
            f"sample {sample.name} has no simulated change; simulate changes first, or give change='none'"
        )
    return sample.changed


def _masked(values: FloatArray) -> tuple[NDArray[np.float32], BoolArray]:
    """Put 0 where any band has no data; bands are the third axis from the end."""
    missing: BoolArray = np.asarray(np.isnan(values).any(axis=-3))
    if not missing.any():
        return np.asarray(values, np.float32), ~missing
    kept = np.where(missing[..., None, :, :], np.float32(0), values)
    return np.asarray(kept, np.float32), ~missing


def _static(sample: Sample, statistics: Statistics) -> NDArray[np.float32]:
    shape = (1, *sample.target.shape[-2:])
    if sample.dem is None:
        return np.zeros(shape, np.float32)
    elevation = statistics.dem(np.asarray(sample.dem, np.float32))[None]
    return np.where(np.isnan(elevation), np.float32(0), elevation)


def _forest(sample: Sample) -> NDArray[np.float32]:
    if sample.forest is None:
        return np.full(sample.target.shape[-2:], np.nan, np.float32)
    return np.asarray(sample.forest, np.float32)


def _require_finite(sample: Sample, **parts: FloatArray | None) -> None:
    """Refuse infinite values (NaN is no data); after masking there is no NaN left either."""
    for name, values in parts.items():
        if values is not None and np.isinf(values).any():
            number = int(np.isinf(values).sum())
            raise InputError(
                f"sample {sample.name}: {name} holds {number} infinite values; "
                "mark pixels without data as NaN (10 log10 of 0 is minus infinity: use terradelta.sar.to_db)"
            )


def _one(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))[None]


def _mirrored(batch: Batch) -> Batch:
    """Mirror at random, and swap rows and columns of square samples."""
    axes = [axis for axis in (-1, -2) if bool(torch.rand(()) < 0.5)]
    square = batch.target.shape[-1] == batch.target.shape[-2]
    swapped = square and bool(torch.rand(()) < 0.5)

    def turn(tensor: Tensor) -> Tensor:
        tensor = tensor.flip(axes) if axes else tensor
        return tensor.transpose(-1, -2) if swapped else tensor

    return _each_image(batch, turn)


def _cropped(batch: Batch, edge: int) -> Batch:
    """Cut a square at a random place."""
    starts = [int(torch.randint(max(length - edge, 0) + 1, ())) for length in batch.target.shape[-2:]]
    rows, columns = (slice(start, start + edge) for start in starts)
    return _each_image(batch, lambda tensor: tensor[..., rows, columns])


def _each_image(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    images, valid, static, state, conditions, known = batch.inputs
    inputs = Inputs(change(images), change(valid), change(static), change(state), conditions, known)
    return Batch(inputs, change(batch.target), change(batch.valid), change(batch.forest), batch.names)


def collate(batches: Sequence[Batch]) -> Batch:
    """Put samples together to one batch.

    Parameters
    ----------
    batches : sequence of Batch
        From a `SampleDataset`.

    Returns
    -------
    Batch
        All of them, in order.

    Raises
    ------
    InputError
        Samples of different sizes or numbers of images; it names two of them.
    """
    for batch in batches[1:]:
        for first, other in zip(batches[0].inputs, batch.inputs, strict=True):
            if first.shape[1:] != other.shape[1:]:
                raise InputError(
                    f"samples {batches[0].names[0]} and {batch.names[0]} differ in shape: "
                    f"{tuple(first.shape[1:])} and {tuple(other.shape[1:])}; "
                    "feed samples of one plan together, or batches of 1"
                )
    parts = zip(*(batch.inputs for batch in batches), strict=True)
    return Batch(
        Inputs(*(torch.cat(list(part)) for part in parts)),
        torch.cat([batch.target for batch in batches]),
        torch.cat([batch.valid for batch in batches]),
        torch.cat([batch.forest for batch in batches]),
        tuple(name for batch in batches for name in batch.names),
    )


class RandomOrder(Sampler[int]):
    """A new random order in every epoch, the same for the same seed and epoch.

    Records of TFRecord files are kept together by file (files in random order), as they can only be read in
    a row; convert them with `sample_files.write_samples` to have them mixed.

    Parameters
    ----------
    dataset : SampleDataset
        What is fed.
    seed : int
        Seed of all orders.

    Examples
    --------
    >>> order = RandomOrder([10, 20, 30, 40], seed=1)
    >>> sorted(order) == [0, 1, 2, 3], list(order) == list(order)
    (True, True)
    """

    def __init__(self, dataset: Any, seed: int = 0) -> None:
        self._number = len(dataset)
        samples = getattr(dataset, "samples", dataset)
        self._groups = samples.spans() if isinstance(samples, RecordSamples) else None
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; a resumed training goes on with the order it would have had."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Count the samples."""
        return self._number

    def __iter__(self) -> Iterator[int]:
        """Give the places of the samples."""
        stream = np.random.default_rng([self.seed, self.epoch])
        if self._groups is None:
            return iter(stream.permutation(self._number).tolist())
        files = stream.permutation(len(self._groups))
        return iter([place for file in files for place in self._groups[file]])
