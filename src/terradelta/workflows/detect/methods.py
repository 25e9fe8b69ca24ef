"""What each method does with one block of one orbit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.expected.persistence import Persistence
from terradelta.expected.robust import RobustDifference, change_strength, compare_with_history
from terradelta.expected.scene import usual, usual_ground
from terradelta.expected.scene_nodes import TV_HALO, SceneStates
from terradelta.sar import OmnibusState, omnibus
from terradelta.types import BoolArray, FloatArray, Offset, Size
from terradelta.windows import Block
from terradelta.workflows.config import DetectSettings
from terradelta.workflows.detect.seen import COMPARED, Seen, facts_of, open_seen
from terradelta.workflows.detect.series import OrbitSeries
from terradelta.workflows.detect.states import despeckled

__all__ = ["Layers", "halo", "layer_types", "process_block", "threshold_of", "units_of"]

Layers = dict[str, NDArray[Any]]

_DEFAULT_THRESHOLD = {"robust": 1.5, "logratio": 3.0, "expected": 3.0, "conventional": 3.0}
_VARIANCE_REACH = 4
_NO_CHANGE_DATA, _NO_COUNT_DATA = 255, 65535


def threshold_of(settings: DetectSettings) -> float:
    """Strength from which an acquisition shows a change; for the omnibus test -log10 of its significance."""
    if settings.method == "omnibus":
        return float(-np.log10(settings.omnibus.significance))
    if settings.classifier is not None:
        return _saved_threshold(settings)
    return settings.threshold or _DEFAULT_THRESHOLD[settings.method]


def _saved_threshold(settings: DetectSettings) -> float:
    from terradelta.expected.classifiers.threshold import Threshold

    found = Threshold.load(str(settings.classifier))
    layer = "strength" if facts_of(settings).tells_sigma else "length"
    if found.layer not in ("", layer):
        unit = units_of(settings)
        raise InputError(
            f"{settings.classifier} is a threshold of {found.layer}, but scores are {layer} ({unit}); "
            "fit one on the differences of this method"
        )
    return float(found.value)


def halo(settings: DetectSettings) -> int:
    """Pixels around a block that the method needs."""
    if settings.method == "omnibus" or settings.method in COMPARED:
        return 0
    if settings.method == "logratio":
        return TV_HALO
    return 2 * TV_HALO + int(np.ceil(_VARIANCE_REACH * settings.robust.smoothing))


def units_of(settings: DetectSettings) -> str:
    """Name the unit of the score."""
    if settings.method in COMPARED:
        return "standard deviations" if facts_of(settings).tells_sigma else "dB"
    return {"robust": "standard deviations", "logratio": "dB", "omnibus": "-log10 of the p-value"}[
        settings.method
    ]


def layer_types(settings: DetectSettings, bands: int) -> dict[str, tuple[str, float, int]]:
    """Name each layer of the result with its type, its value of no data and its number of bands (0: none)."""
    layers: dict[str, tuple[str, float, int]] = {
        "change": ("uint8", _NO_CHANGE_DATA, 0),
        "score": ("float32", np.nan, 0),
        "date": ("int32", -1, 0),
        "count": ("uint16", _NO_COUNT_DATA, 0),
    }
    if settings.method != "omnibus":
        layers["difference"] = ("float32", np.nan, bands)
    if settings.time is not None and settings.method in ("robust", *COMPARED):
        layers["expected"] = ("float32", np.nan, bands)
        if settings.method == "robust" or facts_of(settings).tells_sigma:
            layers["sigma"] = ("float32", np.nan, bands)
    return layers


def process_block(
    series: OrbitSeries,
    block: Block,
    settings: DetectSettings,
    states: SceneStates | None,
    looks: float,
    seen: Seen | None = None,
) -> Layers:
    """Find the changes of one block.

    Parameters
    ----------
    series : OrbitSeries
        The orbit.
    block : Block
        What to write (core) and read.
    settings : DetectSettings
        Method and its numbers.
    states : SceneStates, optional
        For the robust method.
    looks : float
        For the omnibus test.
    seen : Seen, optional
        For method expected; the conventional one finds it itself.

    Returns
    -------
    dict of ndarray
        Layers of the block's core, (y, x) or (band, y, x).
    """
    if settings.method == "omnibus":
        return _omnibus(series, block, settings, looks)
    if settings.method in COMPARED:
        return _compared(series, block, settings, seen or open_seen(series, settings))
    grown = _with_margin(series, block)
    images = despeckled(series, grown, settings.robust.parameters())
    first, history = series.targets[0], settings.robust.history
    before = list(islice(images, first))
    compare: _LogRatio | _Robust = _LogRatio(before, settings)
    if states is not None:
        compare = _Robust(before, grown, settings, states)
    watch = Persistence(
        grown.core_size,
        bands=series.bands,
        remember=history,
        threshold=threshold_of(settings),
        confirm=settings.in_a_row,
    )
    del before
    for target, image in zip(series.targets, images, strict=True):
        found, strength = compare(target, image, watch.use[: min(target, history)])
        watch.update(target, strength, found.difference)
    layers = _persistent(series, watch)
    if "expected" in layer_types(settings, series.bands):
        layers |= {"expected": found.expected, "sigma": found.sigma}
    rows, columns = (
        slice(core.start - margin, core.stop - margin)
        for core, margin in zip(block.core, grown.core_offset, strict=True)
    )
    return {name: values[..., rows, columns] for name, values in layers.items()}


def _compared(series: OrbitSeries, block: Block, settings: DetectSettings, seen: Seen) -> Layers:
    """Follow the differences to what was expected of each target."""
    watch = Persistence(
        block.core_size,
        bands=series.bands,
        remember=settings.robust.history,
        threshold=threshold_of(settings),
        confirm=settings.in_a_row,
    )
    for target in series.targets:
        found = seen.at(target, block.core)
        difference = found.target - found.expected
        measured = difference if found.sigma is None else difference / found.sigma
        watch.update(target, change_strength(measured, regularisation=0, iterations=1), difference)
    layers = _persistent(series, watch)
    if settings.time is not None:
        layers["expected"] = found.expected
        if found.sigma is not None:
            layers["sigma"] = found.sigma
    return layers


def _with_margin(series: OrbitSeries, block: Block) -> Block:
    """Keep as core all that is read but for the despeckling's own halo."""
    (top, bottom), (left, right) = (
        (part.start + TV_HALO * (part.start > 0), part.stop - TV_HALO * (part.stop < length))
        for part, length in zip(block.read, series.size, strict=True)
    )
    return Block(Offset(top, left), Size(bottom - top, right - left), block.read_offset, block.read_size)


class _Ring:
    """The latest images, each in the place of the oldest one."""

    def __init__(self, length: int, images: Sequence[FloatArray]) -> None:
        self.images = np.empty((length, *images[0].shape), images[0].dtype)
        for time, image in enumerate(images):
            self.images[time] = image

    def put(self, time: int, image: FloatArray) -> None:
        self.images[time % len(self.images)] = image

    def before(self, time: int) -> FloatArray:
        """Give the images before one, in any order."""
        return self.images[:time]


class _Robust:
    """Compares image after image with its history, and keeps each with and without its scene's state."""

    def __init__(
        self, before: Sequence[FloatArray], block: Block, settings: DetectSettings, states: SceneStates
    ) -> None:
        self._states, self._part, self._parameters = states, block.core, settings.robust.parameters()
        self._smooth = _Ring(settings.robust.history, before)
        ground = usual(self._smooth.before(len(before)))
        levels = [image - self._state(time, *ground)[0] for time, image in enumerate(before)]
        self._level = _Ring(settings.robust.history, levels)

    def _state(self, time: int, mean: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._states.at(time, self._part, mean, spread, self._parameters.degree)

    def __call__(self, time: int, image: FloatArray, use: BoolArray) -> tuple[RobustDifference, FloatArray]:
        parameters = self._parameters
        offset, inflation = self._state(time, *usual_ground(self._smooth.before(time), use))
        level = image - offset
        found = compare_with_history(level, self._level.before(time), offset, inflation, parameters, use=use)
        self._smooth.put(time, image)
        self._level.put(time, level)
        strength = change_strength(
            found.standardised, regularisation=parameters.regularisation, iterations=parameters.tv_iterations
        )
        return found, strength


class _LogRatio:
    """Compares image after image with the plain mean of its history."""

    def __init__(self, before: Sequence[FloatArray], settings: DetectSettings) -> None:
        self._smooth, self._fewest = _Ring(settings.robust.history, before), settings.robust.fewest

    def __call__(self, time: int, image: FloatArray, use: BoolArray) -> tuple[RobustDifference, FloatArray]:
        history = self._smooth.before(time)
        mean, spread = usual(history, use)
        enough = (np.isfinite(history) & use[:, None]).sum(axis=0) >= self._fewest
        expected = np.where(enough, mean, np.nan)
        difference = image - expected
        self._smooth.put(time, image)
        strength = change_strength(difference, regularisation=0, iterations=1)
        return RobustDifference(expected, spread, difference, difference), strength


def _persistent(series: OrbitSeries, watch: Persistence) -> Layers:
    held = watch.result()
    known = np.isfinite(held.score)
    return {
        "change": np.where(known, held.first >= 0, _NO_CHANGE_DATA).astype(np.uint8),
        "score": held.score,
        "date": np.where(held.first >= 0, series.days[held.first], -1).astype(np.int32),
        "count": np.where(known, held.count, _NO_COUNT_DATA).astype(np.uint16),
        "difference": held.difference,
    }


def _omnibus(series: OrbitSeries, block: Block, settings: DetectSettings, looks: float) -> Layers:
    judge = _omnibus_last if settings.time is not None else _omnibus_series
    known_looks = looks if np.isfinite(looks) else 1.0
    layers = judge(series, block, known_looks, settings.omnibus.significance)
    if known_looks != looks and (layers["change"] != _NO_CHANGE_DATA).any():
        raise InputError(f"{series.name}: the number of looks cannot be estimated; set omnibus.looks")
    return layers


def _omnibus_series(series: OrbitSeries, block: Block, looks: float, significance: float) -> Layers:
    state = OmnibusState(block.core_size, series.bands, looks, significance)
    for image in range(len(series)):
        state.update(series.read(block.core, slice(image, image + 1))[0])
    found = state.result()
    days = np.where(found.first >= 0, series.days[found.first], -1)
    return _omnibus_layers(found.p_value, found.observations >= 2, days, found.count)


def _omnibus_last(series: OrbitSeries, block: Block, looks: float, significance: float) -> Layers:
    """Judge the last image alone, by its step of the test."""
    found = omnibus(series.read(block.core), looks, significance, steps=True, step_p_values=True)
    if found.steps is None or found.step_p_values is None:
        raise RuntimeError("the omnibus test gave no steps")
    p_value, changed = found.step_p_values[-1], found.steps[-1]
    days = np.where(changed, series.days[-1], -1)
    return _omnibus_layers(p_value, np.isfinite(p_value), days, changed)


def _omnibus_layers(p_value: FloatArray, known: BoolArray, days: NDArray[Any], count: NDArray[Any]) -> Layers:
    score = -np.log10(np.maximum(p_value, np.finfo(np.float32).tiny))
    return {
        "change": np.where(known, count > 0, _NO_CHANGE_DATA).astype(np.uint8),
        "score": np.where(known, score, np.nan).astype(np.float32),
        "date": np.where(known, days, -1).astype(np.int32),
        "count": np.where(known, count, _NO_COUNT_DATA).astype(np.uint16),
    }
