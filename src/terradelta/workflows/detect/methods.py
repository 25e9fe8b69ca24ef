"""What each method does with one block of one orbit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.expected.persistence import Persistence
from terradelta.expected.robust import RobustDifference, change_strength, compare_with_history
from terradelta.expected.scene import usual, usual_ground
from terradelta.sar import OmnibusState, omnibus
from terradelta.types import FloatArray
from terradelta.windows import Block
from terradelta.workflows.config import DetectSettings
from terradelta.workflows.detect.series import OrbitSeries
from terradelta.workflows.detect.states import TV_HALO, SceneStates, despeckled

__all__ = ["Layers", "bytes_per_pixel", "halo", "layer_types", "process_block", "threshold_of"]

Layers = dict[str, NDArray[Any]]

_DEFAULT_THRESHOLD = {"robust": 1.5, "logratio": 3.0}
_VARIANCE_REACH = 4


def threshold_of(settings: DetectSettings) -> float:
    """Strength from which an acquisition shows a change; for the omnibus test -log10 of its significance."""
    if settings.method == "omnibus":
        return float(-np.log10(settings.omnibus.significance))
    return settings.threshold or _DEFAULT_THRESHOLD[settings.method]


def halo(settings: DetectSettings) -> int:
    """Pixels around a block that the method needs."""
    if settings.method == "omnibus":
        return 0
    if settings.method == "logratio":
        return TV_HALO
    return 2 * TV_HALO + int(np.ceil(_VARIANCE_REACH * settings.robust.smoothing))


def bytes_per_pixel(settings: DetectSettings, images: int, bands: int) -> int:
    """Estimate of what a block needs at its peak, per pixel read."""
    if settings.method == "omnibus":
        return 160 + 16 * bands * (images if settings.time is not None else 4)
    series = (8 * bands + 1) * images
    compared = 24 * bands * (settings.robust.history + 1)
    return series + compared + 100 * bands * settings.confirm + 300


def layer_types(settings: DetectSettings, bands: int) -> dict[str, tuple[str, float, int]]:
    """Name each layer of the result with its type, its value of no data and its number of bands (0: none)."""
    layers: dict[str, tuple[str, float, int]] = {
        "change": ("uint8", 255, 0),
        "score": ("float32", np.nan, 0),
        "date": ("int32", -1, 0),
        "count": ("uint16", 65535, 0),
    }
    if settings.method != "omnibus":
        layers["difference"] = ("float32", np.nan, bands)
    if settings.method == "robust" and settings.time is not None:
        layers |= {"expected": ("float32", np.nan, bands), "sigma": ("float32", np.nan, bands)}
    return layers


def process_block(
    series: OrbitSeries, block: Block, settings: DetectSettings, states: SceneStates | None, looks: float
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

    Returns
    -------
    dict of ndarray
        Layers of the block's core, (y, x) or (band, y, x).
    """
    if settings.method == "omnibus":
        return _omnibus(series, block, settings, looks)
    grown = _with_margin(series, block)
    smooth = despeckled(series, grown, settings.robust.parameters())
    compare: _Compare = _LogRatio(smooth, settings)
    if states is not None:
        compare = _Robust(smooth, series.targets[0], grown, settings, states)
    watch = Persistence(
        grown.core_size,
        bands=series.bands,
        images=len(smooth),
        threshold=threshold_of(settings),
        confirm=1 if settings.time is not None else settings.confirm,
    )
    found: RobustDifference | None = None
    for target in series.targets:
        past = slice(max(target - settings.robust.history, 0), target)
        found, strength = compare(target, past, watch.use[past])
        watch.update(target, strength, found.difference)
    layers = _persistent(series, watch, settings)
    if "expected" in layer_types(settings, series.bands) and found is not None:
        layers |= {"expected": found.expected, "sigma": found.sigma}
    rows, columns = (
        slice(c.start - g, c.stop - g)
        for c, g in zip(block.core, grown.core_offset, strict=True)
    )
    return {name: values[..., rows, columns] for name, values in layers.items()}


def _with_margin(series: OrbitSeries, block: Block) -> Block:
    """Keep as core all that is read but for the despeckling's own halo."""
    part = tuple(
        slice(
            r.start + (TV_HALO if r.start > 0 else 0),
            r.stop - (TV_HALO if r.stop < length else 0),
        )
        for r, length in zip(block.read, series.size, strict=True)
    )
    (top, bottom), (left, right) = ((p.start, p.stop) for p in part)
    offset, size = type(block.core_offset)(top, left), type(block.core_size)(bottom - top, right - left)
    return Block(offset, size, block.read_offset, block.read_size)


_Compare = Callable[[int, slice, NDArray[np.bool_]], tuple[RobustDifference, FloatArray]]


class _Robust:
    """Compares image after image with its history, and keeps each without its scene's state."""

    def __init__(
        self, smooth: FloatArray, first: int, block: Block, settings: DetectSettings, states: SceneStates
    ) -> None:
        self._smooth, self._states, self._part = smooth, states, block.core
        self._parameters = settings.robust.parameters()
        self._level = np.empty_like(smooth)
        mean, spread = usual(smooth[:first])
        for image in range(first):
            self._take_off(image, mean, spread)

    def _take_off(self, image: int, mean: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
        state = self._states.at(image, self._part, mean, spread, self._parameters.degree)
        self._level[image] = self._smooth[image] - state[0]
        return state

    def __call__(
        self, target: int, past: slice, use: NDArray[np.bool_]
    ) -> tuple[RobustDifference, FloatArray]:
        parameters = self._parameters
        offset, inflation = self._take_off(target, *usual_ground(self._smooth[past], use))
        found = compare_with_history(
            self._level[target], self._level[past], offset, inflation, parameters, use=use
        )
        strength = change_strength(
            found.standardised, regularisation=parameters.regularisation, iterations=parameters.tv_iterations
        )
        return found, strength


class _LogRatio:
    """Compares image after image with the plain mean of its history."""

    def __init__(self, smooth: FloatArray, settings: DetectSettings) -> None:
        self._smooth, self._fewest = smooth, settings.robust.fewest

    def __call__(
        self, target: int, past: slice, use: NDArray[np.bool_]
    ) -> tuple[RobustDifference, FloatArray]:
        history = np.where(use[:, None], self._smooth[past], np.nan)
        mean, spread = usual(history)
        enough = np.isfinite(history).sum(axis=0) >= self._fewest
        expected = np.where(enough, mean, np.nan)
        difference = self._smooth[target] - expected
        strength = change_strength(difference, regularisation=0, iterations=1)
        return RobustDifference(expected, spread, difference, difference), strength


def _persistent(series: OrbitSeries, watch: Persistence, settings: DetectSettings) -> Layers:
    held = watch.result()
    known = np.isfinite(held.score)
    change = np.where(known, (held.first >= 0).astype(np.uint8), np.uint8(255))
    date = np.where(held.first >= 0, series.days[held.first], -1).astype(np.int32)
    count = np.where(known, held.count, np.uint16(65535)).astype(np.uint16)
    return {
        "change": change, "score": held.score, "date": date, "count": count, "difference": held.difference
    }  # fmt: skip


def _omnibus(series: OrbitSeries, block: Block, settings: DetectSettings, looks: float) -> Layers:
    if settings.time is not None:
        return _omnibus_last(series, block, settings, looks)
    state = OmnibusState(block.core_size, series.bands, looks, settings.omnibus.significance)
    for image in range(len(series.times)):
        state.update(series.read(block.core, slice(image, image + 1))[0])
    found = state.result()
    known = found.observations >= 2
    score = -np.log10(np.maximum(found.p_value, np.finfo(np.float32).tiny))
    return {
        "change": np.where(known, found.count > 0, 255).astype(np.uint8),
        "score": np.where(known, score, np.nan).astype(np.float32),
        "date": np.where(found.first >= 0, series.days[found.first], -1).astype(np.int32),
        "count": np.where(known, found.count, 65535).astype(np.uint16),
    }


def _omnibus_last(series: OrbitSeries, block: Block, settings: DetectSettings, looks: float) -> Layers:
    """Judge the last image alone, by its step of the test."""
    found = omnibus(
        series.read(block.core), looks, settings.omnibus.significance, steps=True, step_p_values=True
    )
    if found.steps is None or found.step_p_values is None:
        raise RuntimeError("the omnibus test gave no steps")
    p_value, changed = found.step_p_values[-1], found.steps[-1]
    known = np.isfinite(p_value)
    score = -np.log10(np.maximum(p_value, np.finfo(np.float32).tiny))
    return {
        "change": np.where(known, changed, 255).astype(np.uint8),
        "score": np.where(known, score, np.nan).astype(np.float32),
        "date": np.where(known & changed, series.days[-1], -1).astype(np.int32),
        "count": np.where(known, changed, 65535).astype(np.uint16),
    }


