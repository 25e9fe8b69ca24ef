"""Thresholds on differences: curves over all pixels and over pixels in balance."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from terradelta.evaluate.curves import Roc, RocStream, balanced_pixels
from terradelta.evaluate.images.differences import (
    CHANGES,
    Change,
    Expectations,
    changed_image,
    scores,
    valid_pixels,
)
from terradelta.expected.classifiers.streaming import EXACT
from terradelta.expected.samples.sample import Sample

__all__ = ["Curves", "ThresholdTally"]


@dataclass
class Curves:
    """Curves of one way of expecting, for one change.

    Attributes
    ----------
    everywhere : RocStream
        Over all pixels.
    balanced : RocStream
        One unchanged pixel per changed one.
    samples : int
        How many counted.
    """

    everywhere: RocStream
    balanced: RocStream
    samples: int = 0

    def roc(self) -> Roc:
        """Give the curve over all pixels."""
        return self.everywhere.curve()


@dataclass
class ThresholdTally:
    """Collects curves sample by sample.

    Attributes
    ----------
    seed : int
        Of the balanced draws, which are the same for each change.
    exact : int
        See `RocStream`.
    curves : dict
        Change to way of expecting to its curves.
    """

    seed: int = 0
    exact: int = EXACT
    curves: dict[Change, dict[str, Curves]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._streams = {change: random.Random(self.seed) for change in CHANGES}

    def add(self, sample: Sample, expected: Expectations, changes: tuple[Change, ...]) -> None:
        """Judge one sample."""
        truth = np.asarray(sample.change_mask) > 0
        for change in changes:
            maps = scores(changed_image(sample, change), expected)
            valid = valid_pixels(maps)
            use: slice | np.ndarray = slice(None) if valid.all() else np.flatnonzero(valid)
            places = balanced_pixels(truth, self._streams[change], valid)
            drawn = np.arange(places.size) % 2 == 0
            for name, score in maps.items():
                one = self._of(change, name)
                flat = score.ravel()
                one.everywhere.add(flat[use], truth.ravel()[use])
                one.balanced.add(flat[places], drawn)
                one.samples += 1

    def _of(self, change: Change, name: str) -> Curves:
        ways = self.curves.setdefault(change, {})
        if name not in ways:
            ways[name] = Curves(RocStream(exact=self.exact), RocStream(exact=self.exact))
        return ways[name]
