"""Networks of the experiment, with and without the weather."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.evaluate.teaching import Lesson
from terradelta.evaluate.weather.protocol import Track, WeatherProtocol
from terradelta.expected.conditions import Conditions
from terradelta.expected.preparation import Preparation
from terradelta.expected.samples.sample import Sample
from terradelta.learning.options import TrainingOptions

__all__ = ["LESSONS", "chosen", "parted", "samples_of"]

_CONDITIONED = Lesson(
    "conditioned network with weather",
    "conditioned",
    {"width": 16},
    preparation=Preparation(despeckle="tv"),
    most=4,
    crop=0,
    options=TrainingOptions(
        epochs=60, batch=8, learning_rate=2e-3, schedule="cosine", warmup=30, clip=1.0,
        weight_decay=1e-4, pictures_every=0,
    ),
)  # fmt: skip
_NARROW = {
    "encoder": [{"filters": 32, "kernel": 4}] * 4 + [{"filters": 32, "kernel": 2}],
    "decoder": [{"filters": 32, "kernel": 4}] * 4,
}
_SCENE = Preparation(despeckle="tv", state="scene")
_UNET = replace(
    _CONDITIONED,
    label="published architecture, 32 filters, with weather",
    network="unet",
    numbers=_NARROW,
    options=replace(_CONDITIONED.options, learning_rate=1e-3, warmup=0, clip=0.0, weight_decay=0.0),
)

LESSONS = {
    "conditioned": _CONDITIONED,
    "conditioned-dry": replace(_CONDITIONED, label="conditioned network without weather", weather=False),
    "conditioned-scene": replace(
        _CONDITIONED, label="conditioned network with weather, scene's state removed", preparation=_SCENE
    ),
    "conditioned-scene-dry": replace(
        _CONDITIONED,
        label="conditioned network without weather, scene's state removed",
        preparation=_SCENE,
        weather=False,
    ),
    "unet": _UNET,
    "unet-dry": replace(_UNET, label="published architecture, 32 filters, without weather", weather=False),
}
"""What is trained, by key."""


def chosen(conditions: Conditions, places: NDArray[np.intp] | Sequence[int]) -> Conditions:
    """Take the conditions of some images, the last of them the target."""
    order = np.asarray(places)
    parts: dict[str, Any] = {
        one.name: getattr(conditions, one.name)[order] for one in fields(conditions) if one.name != "platform"
    }
    parts["age"] = parts["age"] - parts["age"][-1]
    return Conditions(**parts, platform=tuple(conditions.platform[place] for place in order))


def parted(track: Track, protocol: WeatherProtocol) -> tuple[list[int], list[int]]:
    """Part the images of a track into those to learn from and those to judge.

    Returns
    -------
    learnt, judged : list of int
        Places; the images of events are judged, whenever they were taken.
    """
    events = protocol.event_days
    learnt = [place for place, day in enumerate(track.days) if day < protocol.split and day not in events]
    first = protocol.history
    judged = [
        place
        for place, day in enumerate(track.days)
        if place >= first and (day >= protocol.split or day in events)
    ]
    return learnt, judged


def samples_of(tracks: Sequence[Track], protocol: WeatherProtocol, lesson: Lesson) -> Iterator[Sample]:
    """Give every training sample: a target and the images of its track before it, none of an event.

    Yields
    ------
    Sample
        Despeckled already, if the lesson compares despeckled images.
    """
    for track in tracks:
        learnt = parted(track, protocol)[0]
        series = track.decibel if lesson.preparation.despeckle == "none" else track.smooth
        for number in range(protocol.history, len(learnt)):
            history, target = learnt[number - protocol.history : number], learnt[number]
            conditions = chosen(track.conditions, [*history, target])
            name = f"track {track.orbit} {track.days[target]}"
            yield lesson.sample(name, series[target], series[history], conditions)
