"""Batches in an order that depends on the seed and the epoch only, wherever training was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from terradelta.errors import InputError
from terradelta.learning.options import TrainingOptions

__all__ = ["Batches", "Order", "Seeded", "make_loader", "stream"]


class Order(Protocol):
    """An order of samples for each epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""

    def __iter__(self) -> Iterator[int]: ...


def stream(*numbers: int) -> int:
    """Turn numbers into one seed, so that near ones give streams that have nothing in common.

    Examples
    --------
    >>> stream(0, 1) == stream(0, 1), stream(0, 1) == stream(1, 0)
    (True, False)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Batches(Sampler[list[int]]):
    """Which samples make up each batch of this process.

    With several processes the batches of all of them together are those that one process with so many times
    more samples per batch would see.

    Parameters
    ----------
    count : int
        Samples there are.
    batch : int
        Samples per batch.
    seed : int
        Of the order.
    shuffle : bool
        Whether the order changes from epoch to epoch; otherwise as they lie.
    order : Order, optional
        Which order, in place of any at random.

    Attributes
    ----------
    epoch : int
        Which one comes next.
    first : tuple of int
        Epoch, and batches of it that were seen already and are left out.

    Examples
    --------
    >>> batches = Batches(5, 2, seed=0, shuffle=False)
    >>> list(batches)
    [[0, 1], [2, 3], [4]]
    >>> batches.first = (0, 2)
    >>> list(batches), len(batches)
    ([[4]], 3)
    """

    def __init__(
        self, count: int, batch: int, *, seed: int, shuffle: bool, order: Order | None = None
    ) -> None:
        self._count, self._batch, self._seed, self._shuffle = count, batch, seed, shuffle
        self._given = order
        self.epoch = 0
        self.first = (0, 0)

    def __iter__(self) -> Iterator[list[int]]:
        rank, world = _place()
        order = self._order()
        order = np.concatenate([order, np.resize(order, -len(order) % world)])
        own, key = order[rank::world], self.epoch * self._count
        skipped = self.first[1] if self.epoch == self.first[0] else 0
        for start in range(skipped * self._batch, len(own), self._batch):
            yield [key + int(index) for index in own[start : start + self._batch]]

    def _order(self) -> np.ndarray[Any, np.dtype[np.intp]]:
        if not self._shuffle:
            return np.arange(self._count)
        if self._given is not None:
            self._given.set_epoch(self.epoch)
            return np.fromiter(self._given, np.intp, self._count)
        return np.random.default_rng(stream(self._seed, self.epoch)).permutation(self._count)

    def __len__(self) -> int:
        return -(-self._count // (self._batch * _place()[1]))


def _place() -> tuple[int, int]:
    """Give the number of this process and how many there are."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class Seeded(Dataset[Any]):
    """Samples by ``epoch * number + index``, read under a random state of their own.

    What a data set draws at random (its augmentation) thus depends on the seed, the epoch and the sample
    only: not on the number of workers, nor on where training was stopped.

    Parameters
    ----------
    inner : Dataset
        The samples. If it has an attribute ``seed``, that is set before each of them is read.
    seed : int
        Of the training.
    """

    def __init__(self, inner: Dataset[Any], seed: int) -> None:
        self.inner, self._seed = inner, seed

    def __len__(self) -> int:
        return len(self.inner)  # type: ignore[arg-type]

    def __getitem__(self, key: int) -> Any:
        epoch, index = divmod(key, len(self))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(self._seed, epoch, index))
            return self.inner[index]


def make_loader(
    dataset: Dataset[Any],
    collate: Callable[[list[Any]], Any],
    options: TrainingOptions,
    *,
    training: bool,
    order: Order | None = None,
) -> DataLoader[Any]:
    """Make the loader that `terradelta.learning.fit` takes.

    Parameters
    ----------
    dataset : Dataset
        The samples.
    collate : callable
        Joins samples into a batch.
    options : TrainingOptions
        Size of a batch, workers and seed.
    training : bool
        Whether to shuffle.
    order : Order, optional
        How to shuffle, in place of any order at random.

    Raises
    ------
    InputError
        There is no sample.
    """
    count = len(dataset)  # type: ignore[arg-type]
    if count == 0:
        raise InputError(f"there is no sample for {'training' if training else 'validation'}; draw some")
    batches = Batches(count, options.batch, seed=options.seed, shuffle=training, order=order)
    return DataLoader(
        Seeded(dataset, options.seed),
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
