"""Networks that the experiment trains on what came before its targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from terradelta.evaluate.opera.patches import Patch
from terradelta.evaluate.teaching import Lesson, Taught, teach
from terradelta.expected.preparation import Preparation
from terradelta.expected.samples.sample import Sample
from terradelta.learning.options import TrainingOptions

__all__ = ["LESSONS", "lesson_samples", "taught"]

_VALIDATION_SHARE = 8


_NARROW = {
    "encoder": [{"filters": 32, "kernel": 4}] * 6 + [{"filters": 32, "kernel": 2}],
    "decoder": [{"filters": 32, "kernel": 4}] * 6,
}
_AS_PUBLISHED = Lesson(
    "published architecture, 32 filters, despeckled",
    "unet",
    _NARROW,
    preparation=Preparation(despeckle="tv"),
    fewest=4,
    most=4,
    edge=128,
    crop=0,
    options=TrainingOptions(epochs=16, batch=8, learning_rate=1e-3, schedule="cosine", pictures_every=0),
)

LESSONS = {
    "conditioned": Lesson("conditioned network, scene's state removed", "conditioned", {"width": 16}),
    "conditioned-plain": Lesson(
        "conditioned network, despeckled",
        "conditioned",
        {"width": 16},
        preparation=Preparation(despeckle="tv"),
    ),
    "unet": _AS_PUBLISHED,
    "unet-raw": replace(
        _AS_PUBLISHED, label="published architecture, 32 filters, raw", preparation=Preparation()
    ),
    "unet-scene": replace(
        _AS_PUBLISHED,
        label="published architecture, 32 filters, scene's state removed",
        preparation=Preparation(despeckle="tv", state="scene"),
    ),
}
"""What is trained, by key."""


def lesson_samples(
    patches: Sequence[Patch], before: int, lesson: Lesson, count: int, seed: int
) -> list[Sample]:
    """Draw training samples from the images before a date.

    Every image serves as a target, and any others as its history: a place that did not change looks the same
    way forward and backward in time.

    Parameters
    ----------
    patches : sequence of Patch
        All with the same number of dates.
    before : int
        Position of the first image that must not be seen.
    lesson : Lesson
        How many previous images, and what size.
    count, seed : int
        How many, and which.

    Returns
    -------
    list of Sample
        Of `lesson.most` previous images; those beyond the number drawn are missing (NaN).
    """
    stream = np.random.default_rng([seed, count])
    samples = []
    for number in range(count):
        patch = patches[number % len(patches)]
        target = int(stream.integers(before))
        others = np.setdiff1d(np.arange(before), target)
        length = int(stream.integers(lesson.fewest, lesson.most + 1))
        if stream.random() < 0.5:
            others = others[np.argsort(abs(others - target), kind="stable")][:length]
        history = np.sort(stream.permutation(others)[:length])
        name = f"{patch.name} {patch.days[target]} #{number}"
        series = patch.decibel if lesson.preparation.despeckle == "none" else patch.smooth
        images = (series[target], series[history])
        samples.append(lesson.sample(name, *images, bands=patch.bands))
    return samples


def taught(
    patches: Sequence[Patch],
    before: int,
    lesson: Lesson,
    seed: int,
    run: Path,
    progress: Any = None,
) -> Taught:
    """Train a network on what came before a date, or read it if it was trained already.

    Parameters
    ----------
    patches : sequence of Patch
        To learn from.
    before : int
        Position of the first image that must not be seen.
    lesson : Lesson
        What and how.
    seed : int
        Of weights and samples.
    run : Path
        Run folder.
    progress : callable, optional
        As for the experiment.

    Returns
    -------
    Taught
        Ready to score.

    Raises
    ------
    ConflictError
        The folder holds a network that was trained otherwise.
    """
    check = max(lesson.samples // _VALIDATION_SHARE, 1)
    return teach(
        lesson_samples(patches, before, lesson, lesson.samples, seed),
        lesson_samples(patches, before, lesson, check, seed + 1000),
        lesson,
        seed,
        run,
        progress,
    )
