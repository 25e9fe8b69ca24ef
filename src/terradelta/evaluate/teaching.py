"""Networks that experiments train, and how these score a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from terradelta.expected.conditions import PRECIPITATION_DAYS, Conditions, kept_features
from terradelta.expected.model import ExpectedImage
from terradelta.expected.networks.losses import LossConfig
from terradelta.expected.preparation import Preparation
from terradelta.expected.robust import change_strength
from terradelta.expected.samples.feeding import batch_of
from terradelta.expected.samples.sample import Sample
from terradelta.expected.training.fit import FitConfig
from terradelta.learning.options import TrainingOptions
from terradelta.types import FloatArray

__all__ = ["Lesson", "Taught", "teach"]

_REMEMBERED = 2**31


@dataclass(frozen=True)
class Lesson:
    """How one kind of network is trained.

    Attributes
    ----------
    label : str
        What the table calls it.
    network : str
        Of `terradelta.expected.networks.registry.NETWORKS`.
    numbers : mapping
        Of its configuration.
    preparation : Preparation
        Steps before it.
    fewest, most : int
        Previous images of a training sample, drawn between the two.
    edge : int
        Pixels on a side that the network is given; smaller patches are mirrored at their rim.
    crop : int
        Pixels on a side of what it is trained on; 0: all.
    samples : int
        For training.
    weather : bool
        Whether it is told the weather.
    without : tuple of str
        Conditions that it is not told.
    augment : bool
        Whether samples are mirrored at random; only for images of one orbit, as radar looks sideways.
    options : TrainingOptions
        Numbers of the training.
    """

    label: str
    network: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    preparation: Preparation = field(default_factory=lambda: Preparation(despeckle="tv", state="scene"))
    fewest: int = 3
    most: int = 10
    edge: int = 0
    crop: int = 64
    samples: int = 240
    weather: bool = True
    without: tuple[str, ...] = ()
    augment: bool = True
    options: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            epochs=16, batch=8, learning_rate=2e-3, schedule="cosine", warmup=60, clip=1.0,
            weight_decay=1e-4, pictures_every=0,
        )
    )  # fmt: skip

    def sample(
        self,
        name: str,
        target: FloatArray,
        history: FloatArray,
        conditions: Conditions | None = None,
        bands: tuple[str, ...] = ("VV", "VH"),
    ) -> Sample:
        """Make a sample of `most` previous images; those that are not there are missing (NaN)."""
        history = history[-self.most :]
        missing = np.full((self.most - len(history), *target.shape), np.nan, np.float32)
        images = np.concatenate([missing, history.astype(np.float32)])
        told = _unknown(len(images) + 1) if conditions is None else _last(conditions, len(images) + 1)
        return Sample(
            name=name,
            images=_grown(images, self.edge),
            target=_grown(target.astype(np.float32), self.edge),
            conditions=told,
            bands=bands,
        )


def _unknown(number: int) -> Conditions:
    nothing = np.full(number, np.nan)
    return Conditions(
        temperature=nothing, snow_depth=nothing, heading=nothing, incidence=nothing,
        precipitation=np.full((number, PRECIPITATION_DAYS), np.nan), platform=("",) * number, age=nothing,
    )  # fmt: skip


def _last(conditions: Conditions, number: int) -> Conditions:
    """Take the last ones, after unknown ones if there are too few."""
    own = {one.name: getattr(conditions, one.name)[-number:] for one in fields(conditions)}
    missing = _unknown(number - len(own["platform"]))
    parts = {name: (getattr(missing, name), values) for name, values in own.items()}
    joined = {name: np.concatenate(both) for name, both in parts.items() if name != "platform"}
    return Conditions(**joined, platform=(*parts["platform"][0], *parts["platform"][1]))


def _grown(images: FloatArray, edge: int) -> FloatArray:
    """Mirror images at their far rims up to an edge."""
    rows, columns = (max(edge - length, 0) for length in images.shape[-2:])
    wide = [(0, 0)] * (images.ndim - 2) + [(0, rows), (0, columns)]
    return np.pad(images, wide, mode="symmetric")


@dataclass(frozen=True)
class Taught:
    """A trained network as a method of the experiment.

    Attributes
    ----------
    lesson : Lesson
        How it was trained.
    model : ExpectedImage
        The network.
    """

    lesson: Lesson
    model: ExpectedImage

    @property
    def despeckled(self) -> bool:
        """Whether it compares despeckled images."""
        return self.model.preparation.despeckle != "none"

    def strength(
        self, target: FloatArray, history: FloatArray, conditions: Conditions | None = None
    ) -> FloatArray:
        """Score one target.

        Parameters
        ----------
        target : ndarray
            (band, y, x), dB, despeckled if the network compares despeckled images.
        history : ndarray
            (time, band, y, x), dB, likewise.
        conditions : Conditions, optional
            Of the history and the target.

        Returns
        -------
        ndarray
            (y, x): length over the bands of the difference, regularised as in the robust method if the
            images are despeckled; in standard deviations if the network tells them, else in dB.
        """
        standardised = self.standardised(target, history, conditions)
        numbers = self.model.preparation.robust
        weight = numbers.regularisation if self.despeckled else 0.0
        return change_strength(standardised, regularisation=weight, iterations=numbers.tv_iterations)

    def standardised(
        self, target: FloatArray, history: FloatArray, conditions: Conditions | None = None
    ) -> FloatArray:
        """Give the difference to the expected image, (band, y, x); see `strength`."""
        preparation = replace(self.model.preparation, despeckle="none")
        sample = self.lesson.sample("target", target, history, conditions)
        batch = batch_of(sample, self.model.statistics, preparation, kept=kept_features(**self.model.told))
        expected = self.model.expect(batch.inputs)
        difference = (batch.target - expected.mean) * self.model.half_width
        if expected.sigma is not None:
            difference = (batch.target - expected.mean) / expected.sigma
        known = np.where(batch.valid[:, None].numpy(), difference.numpy(), np.nan)[0]
        rows, columns = (slice(length) for length in target.shape[-2:])
        return np.asarray(known[..., rows, columns], np.float32)


def teach(
    train: Sequence[Sample],
    check: Sequence[Sample],
    lesson: Lesson,
    seed: int,
    run: Path,
    progress: Any = None,
) -> Taught:
    """Train a network, or read it if it was trained already.

    Parameters
    ----------
    train, check : sequence of Sample
        To learn from and to choose the best epoch by; despeckled already if the lesson compares despeckled
        images, as each image serves many samples.
    lesson : Lesson
        What and how.
    seed : int
        Of weights and order.
    run : Path
        Run folder.
    progress : callable, optional
        Takes a label and a number of steps.

    Returns
    -------
    Taught
        Ready to score.

    Raises
    ------
    ConflictError
        The folder holds a network that was trained otherwise.
    """
    config = FitConfig(
        network=lesson.network,
        network_config=lesson.numbers,
        loss=LossConfig(kind="gaussian" if lesson.network == "conditioned" else "mse"),
        preparation=replace(lesson.preparation, despeckle="none"),
        options=replace(lesson.options, seed=seed),
        weather=lesson.weather,
        without=lesson.without,
        augment=lesson.augment,
        crop=lesson.crop,
        remember=_REMEMBERED,
    )
    model = ExpectedImage.fit(train, config, run=run, validation=check, progress=progress)
    model.preparation = lesson.preparation
    model.save_pretrained(run / "model")
    return Taught(lesson, model)
