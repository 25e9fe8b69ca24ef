"""Linear classifiers on differences, trained on some images and tested on others."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from terradelta.evaluate.curves import balanced_pixels, split_images
from terradelta.evaluate.images.differences import CHANGES, Change, changed_image, features
from terradelta.expected.classifiers import LinearSVC
from terradelta.expected.differences.kinds import Kind
from terradelta.expected.samples.sample import Sample
from terradelta.types import BoolArray, FloatArray

__all__ = ["SVC_KINDS", "Draws", "SvcResult", "SvcTally"]

SVC_KINDS: tuple[Kind, ...] = ("subtraction", "scaled-ratio", "scaled-log-ratio")
"""Features of the published classifiers."""

Key: TypeAlias = tuple[Kind, Change, str]


@dataclass(frozen=True)
class SvcResult:
    """One trained classifier.

    Attributes
    ----------
    kind, change, way : str
        Features, change, and ``"prediction"`` or ``"previous"``.
    classifier : LinearSVC
        With the report on the images that were held out.
    trained, tested : int
        Pixels.
    """

    kind: Kind
    change: Change
    way: str
    classifier: LinearSVC
    trained: int
    tested: int

    @property
    def accuracy(self) -> float:
        """Share of the pixels held out that are told right."""
        return float(self.classifier.report["accuracy"])


class Draws:
    """Which images are trained on, and which pixels of each are used.

    Keeps the places of the changed pixels of each sample (and its mask of valid pixels, packed, where not all
    are), as the draws go through the images in an order of their own.

    Parameters
    ----------
    seed : int
        The images are split by Python's generator of this seed, which then draws the pixels of all training
        images and of all test images, as the published code does.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept: list[tuple[tuple[int, int], NDArray[np.uint32], NDArray[np.uint8] | None]] = []
        self.test: tuple[int, ...] = ()
        self.train: tuple[int, ...] = ()

    def add(self, truth: BoolArray, valid: BoolArray) -> None:
        """Keep what is needed of the next sample."""
        packed = None if valid.all() else np.packbits(valid)
        self._kept.append((truth.shape, np.flatnonzero(truth).astype(np.uint32), packed))

    def draw(self) -> dict[int, NDArray[np.intp]]:
        """Split the images and draw their pixels: number of the sample to flat places."""
        stream = random.Random(self._seed)
        train, test = split_images(len(self._kept), stream)
        self.train, self.test = tuple(train), tuple(test)
        return {number: self._of(number, stream) for number in (*train, *test)}

    def _of(self, number: int, stream: random.Random) -> NDArray[np.intp]:
        shape, places, packed = self._kept[number]
        size = shape[0] * shape[1]
        truth = np.zeros(size, bool)
        truth[places] = True
        valid = np.ones(size, bool) if packed is None else np.unpackbits(packed, count=size).astype(bool)
        return balanced_pixels(truth.reshape(shape), stream, valid.reshape(shape))


@dataclass
class SvcTally:
    """Collects features sample by sample, then trains.

    Attributes
    ----------
    draws : Draws
        Of all samples.
    places : dict
        From `Draws.draw`.
    kinds : tuple of str
        Features, a classifier each.
    """

    draws: Draws
    places: dict[int, NDArray[np.intp]]
    kinds: tuple[Kind, ...] = SVC_KINDS
    rows: dict[Key, dict[int, NDArray[np.float32]]] = field(default_factory=dict)

    def add(
        self,
        number: int,
        sample: Sample,
        prediction: FloatArray | None,
        changes: tuple[Change, ...] = CHANGES,
    ) -> None:
        """Take the drawn pixels of a sample."""
        places = self.places[number]
        for change in changes if places.size else ():
            image = changed_image(sample, change)
            for kind in self.kinds:
                for way, bands in features(sample, image, prediction, kind).items():
                    flat = bands.reshape(len(bands), -1)[:, places].T
                    self.rows.setdefault((kind, change, way), {})[number] = np.ascontiguousarray(flat)

    def results(self, advance: Callable[[int], None]) -> Iterator[SvcResult]:
        """Train and test every classifier that has pixels on both sides."""
        for (kind, change, way), rows in self.rows.items():
            train, test = (_joined(rows, side) for side in (self.draws.train, self.draws.test))
            if train is not None and test is not None:
                fitted = LinearSVC.fit(*train, kind=kind)
                report: dict[str, Any] = fitted.score(*test)
                classifier = LinearSVC(**{**fitted.__dict__, "report": report})
                yield SvcResult(kind, change, way, classifier, len(train[1]), len(test[1]))
            advance(1)


def _joined(
    rows: dict[int, NDArray[np.float32]], numbers: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
    """Put the pixels of some images together, in their order: changed and unchanged take turns."""
    found = [rows[number] for number in numbers if number in rows]
    if not found:
        return None
    together = np.concatenate(found)
    return together, np.tile(np.array([1, 0], np.uint8), len(together) // 2)
