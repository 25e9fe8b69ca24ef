"""The state of a scene (rain, frost, gain) as a smooth function of the ground cover."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from terradelta.expected.biweight import biweight_regressions
from terradelta.expected.parameters import RobustParameters
from terradelta.expected.persistence import Persistence
from terradelta.native import in_threads
from terradelta.types import BoolArray, FloatArray, Size

__all__ = [
    "SAMPLE",
    "SceneState",
    "cover_design",
    "fit_scene_state",
    "fit_scene_states",
    "scene_offsets",
    "thinned",
    "usual",
    "usual_ground",
]

SAMPLE = 10_000
"""Pixels that the state of a scene is fitted on, about."""

_REACH = 3.0
_SPREAD_OFFSET = 0.1
_OUTLIER = 2.0
_STRIP = 16384


@dataclass(frozen=True)
class SceneState:
    """How one image departs from the usual, by ground cover.

    Attributes
    ----------
    centre, width : ndarray
        (2 * band,) mean and standard deviation of the cover's features.
    coefficients : ndarray
        (band, term) polynomial of the departure in dB.
    inflation : ndarray
        (band,) how much wider the image scatters than its history does; at least 1.
    """

    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    inflation: NDArray[np.float64]

    def offset(self, mean: FloatArray, spread: FloatArray, degree: int) -> FloatArray:
        """Give the departure of the image from the usual.

        Parameters
        ----------
        mean, spread : ndarray
            (band, ...) of the history, dB, from `usual`.
        degree : int
            The polynomial's.

        Returns
        -------
        ndarray
            (band, ...), dB.
        """
        return np.asarray(scene_offsets([self], mean, spread, degree)[0])


def scene_offsets(
    states: Sequence[SceneState], mean: FloatArray, spread: FloatArray, degree: int
) -> FloatArray:
    """Give the departures of several images from the usual; see `SceneState.offset`.

    Parameters
    ----------
    states : sequence of SceneState
        One per image. States fitted on the same history share the terms of the polynomial.
    mean, spread : ndarray
        (band, ...) of the history, dB, from `usual`.
    degree : int
        The polynomial's.

    Returns
    -------
    ndarray
        (image, band, ...), dB.
    """
    flat, flat_spread = mean.reshape(len(mean), -1), spread.reshape(len(mean), -1)
    offsets = np.empty((len(states), *flat.shape), mean.dtype)
    groups: dict[bytes, list[int]] = {}
    for number, state in enumerate(states):
        groups.setdefault(state.centre.tobytes() + state.width.tobytes(), []).append(number)

    def strip(part: slice) -> None:
        for members in groups.values():
            one = states[members[0]]
            design = cover_design(flat[:, part], flat_spread[:, part], one.centre, one.width, degree)
            coefficients = np.concatenate([states[number].coefficients for number in members])
            found = coefficients.astype(mean.dtype) @ design
            offsets[members, :, part] = found.reshape(len(members), -1, found.shape[1])

    _in_strips(strip, flat.shape[1])
    return offsets.reshape(len(states), *mean.shape)


def _in_strips(function: Callable[[slice], None], pixels: int) -> None:
    """Go through the pixels in strips: what belongs to one stays in the processor's cache."""
    in_threads(function, [slice(start, start + _STRIP) for start in range(0, pixels, _STRIP)])


def thinned(images: FloatArray, like: FloatArray | None = None) -> FloatArray:
    """Take about `SAMPLE` pixels on a regular grid, to fit the state of a scene on.

    Despeckled neighbours tell the same, and a state of two bands and degree two has fifteen numbers per band.

    Parameters
    ----------
    images : ndarray
        (time, band, y, x), dB.
    like : ndarray, optional
        (band, y, x), the image whose valid pixels are counted; the last one if left out.

    Returns
    -------
    ndarray
        (time, band, pixel).

    Examples
    --------
    >>> thinned(np.zeros((1, 1, 400, 250))).shape, thinned(np.zeros((1, 1, 40, 25))).shape
    ((1, 1, 11039), (1, 1, 1000))
    """
    known = int(np.isfinite(images[-1] if like is None else like).all(axis=0).sum())
    stride = max(math.isqrt(known // SAMPLE), 1)
    grid = slice(stride // 2, None, stride)
    return np.ascontiguousarray(images[..., grid, grid]).reshape(*images.shape[:2], -1)


def usual(history: FloatArray, use: BoolArray | None = None) -> tuple[FloatArray, FloatArray]:
    """Give mean and spread over time of the valid images.

    Parameters
    ----------
    history : ndarray
        (time, band, ...), dB; NaN = no data.
    use : ndarray of bool, optional
        (time, ...), false where an image must not count.

    Returns
    -------
    mean, spread : ndarray
        (band, ...), dB; NaN where nothing is valid, and for the spread below two valid images.

    Examples
    --------
    >>> mean, spread = usual(np.array([[[-10.0, np.nan]], [[-12.0, -9.0]]]))
    >>> mean.tolist(), spread.round(3).tolist()
    ([[-11.0, -9.0]], [[1.414, nan]])
    """
    flat = history.reshape(*history.shape[:2], -1)
    flags = None if use is None else use.reshape(len(use), -1)
    mean, spread = np.empty_like(flat, shape=(2, *flat.shape[1:]))

    def strip(part: slice) -> None:
        found = _moments(flat[..., part], None if flags is None else flags[:, part])
        mean[:, part], spread[:, part] = found

    _in_strips(strip, flat.shape[2])
    return mean.reshape(history.shape[1:]), spread.reshape(history.shape[1:])


def _moments(images: FloatArray, use: BoolArray | None) -> tuple[FloatArray, FloatArray]:
    """Do `usual` for a strip, (time, band, pixel)."""
    total = images.sum(axis=0) if use is None and len(images) > 1 else None
    if total is None or not np.isfinite(total).all():
        return _masked_moments(images, use)
    mean = total / images.dtype.type(len(images))
    squares = np.zeros_like(mean)
    for image in images:
        residual = image - mean
        squares += residual * residual
    return mean, np.sqrt(squares / images.dtype.type(len(images) - 1))


def _masked_moments(images: FloatArray, use: BoolArray | None) -> tuple[FloatArray, FloatArray]:
    valid = np.isfinite(images)
    if use is not None:
        valid &= use[:, None]
    number = valid.sum(axis=0, dtype=images.dtype)
    total, squares = np.zeros_like(number), np.zeros_like(number)
    with np.errstate(invalid="ignore", divide="ignore"):
        for image, seen in zip(images, valid, strict=True):
            total += np.where(seen, image, 0)
        mean = total / number
        for image, seen in zip(images, valid, strict=True):
            squares += np.where(seen, image - mean, 0) ** 2
        return mean, np.sqrt(squares / np.where(number > 1, number - 1, np.nan))


def usual_ground(history: FloatArray, use: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Give mean and spread of the images that show no change, or of all where fewer than two are left.

    A change in the history would mark the changed ground as a cover of its own, and so explain itself away.

    Parameters
    ----------
    history : ndarray
        (time, band, ...), dB; NaN = no data.
    use : ndarray of bool
        (time, ...), false where an image shows a change.

    Returns
    -------
    mean, spread : ndarray
        (band, ...), dB.

    Examples
    --------
    >>> history = np.array([-10.0, -10.0, -20.0])[:, None, None]
    >>> usual_ground(history, np.array([[True], [True], [False]]))[1].tolist()
    [[0.0]]
    """
    if use.all():
        return usual(history)
    mean, spread = usual(history, use)
    few = ~np.isfinite(spread).all(axis=0) & ~use.all(axis=0)
    if few.any():
        mean_of_all, spread_of_all = usual(history[..., few])
        missing = ~np.isfinite(spread[..., few])
        mean[..., few] = np.where(missing, mean_of_all, mean[..., few])
        spread[..., few] = np.where(missing, spread_of_all, spread[..., few])
    return mean, spread


def cover_features(mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Describe the ground cover by what radar sees of it: level and variability of every band.

    Parameters
    ----------
    mean, spread : ndarray
        (band, ...), dB.

    Returns
    -------
    ndarray
        (2 * band, ...).
    """
    return np.concatenate([mean, np.log(spread + _SPREAD_OFFSET)])


def cover_design(
    mean: FloatArray, spread: FloatArray, centre: FloatArray, width: FloatArray, degree: int
) -> FloatArray:
    """Give the polynomial terms of the cover's features, standardised and held within three widths.

    Parameters
    ----------
    mean, spread : ndarray
        (band, ...), dB.
    centre, width : ndarray
        (2 * band,) of the features over the scene.
    degree : int
        Highest degree.

    Returns
    -------
    ndarray
        (term, ...), the constant first.

    Examples
    --------
    >>> one = np.ones((1, 5))
    >>> cover_design(one, one, np.zeros(2), np.ones(2), degree=2).shape
    (6, 5)
    """
    features = cover_features(mean, spread)
    tail = (1,) * (features.ndim - 1)
    shaped = [np.reshape(v, (-1, *tail)).astype(features.dtype) for v in (centre, width)]
    features = np.clip((features - shaped[0]) / shaped[1], -_REACH, _REACH)
    powers = range(1, degree + 1)
    chosen = [term for power in powers for term in combinations_with_replacement(range(len(features)), power)]
    place = {term: number for number, term in enumerate(chosen, 1)} | {(): 0}
    terms = np.empty((len(place), *features.shape[1:]), features.dtype)
    terms[0] = 1
    for term in chosen:
        np.multiply(terms[place[term[:-1]]], features[term[-1]], out=terms[place[term]])
    return terms


def fit_scene_states(series: FloatArray, first: int, parameters: RobustParameters) -> list[SceneState]:
    """Fit how each image of a series departs from the usual, as a robust polynomial in the cover.

    Rain, snow, frost and gain change whole kinds of ground together; real change takes part of them only,
    and Tukey's biweight leaves that part out. The images before the first target are fitted against their
    own mean; every later one against the mean of its history, from which the history's own departures are
    taken first: so no image's rain is taken for variability, and each image is fitted once.

    Parameters
    ----------
    series : ndarray
        (time, band, pixel), dB, despeckled; NaN = no data.
    first : int
        Index of the first target; at least 1. Where it is the number of images, none is a target.
    parameters : RobustParameters
        History, degree, cut-off, iterations and floor are used.

    Returns
    -------
    list of SceneState
        One per image.
    """
    level = np.empty_like(series)
    ground = usual(series[:first])
    cover = _Cover(*ground, parameters)
    states = cover.fit(series[:first] - ground[0])
    level[:first] = series[:first] - scene_offsets(states, *ground, parameters.degree)
    watch = Persistence(
        Size(1, series.shape[2]),
        bands=series.shape[1],
        remember=len(series),
        threshold=_OUTLIER,
        confirm=parameters.fewest,
    )
    for time in range(first, len(series)):
        past = slice(max(time - parameters.history, 0), time)
        known = _Known(series[past], level[past], watch.use[past, 0])
        state, level[time], strength = known.fit(series[time], parameters)
        states.append(state)
        watch.update(time, strength[None], (level[time] - known.expected)[:, None])
    return states


def fit_scene_state(
    image: FloatArray, images: FloatArray, levels: FloatArray, parameters: RobustParameters
) -> SceneState:
    """Fit how one image departs from its history, whose own departures are known from before.

    Parameters
    ----------
    image : ndarray
        (band, pixel), dB, despeckled; NaN = no data.
    images, levels : ndarray
        (time, band, pixel), dB, previous images with and without the state of their scenes.
    parameters : RobustParameters
        Degree, cut-off, iterations and floor are used.

    Returns
    -------
    SceneState
        Its inflation included.
    """
    return _Known(images, levels, np.ones((len(images), images.shape[2]), np.bool_)).fit(image, parameters)[0]


class _Known:
    """The history of an image, (time, band, pixel), with and without the scenes' states."""

    def __init__(self, images: FloatArray, levels: FloatArray, use: BoolArray) -> None:
        self._levels = levels
        self._ground = usual_ground(images, use)
        self.expected, self._sigma = usual(levels, None if use.all() else use)

    def fit(
        self, image: FloatArray, parameters: RobustParameters
    ) -> tuple[SceneState, FloatArray, FloatArray]:
        """Give state, level and strength of an image."""
        (state,) = _Cover(*self._ground, parameters).fit((image - self.expected)[None])
        level = image - state.offset(*self._ground, parameters.degree)
        difference = level - self.expected
        wider = _inflation(self._levels - self.expected, difference, self._sigma, parameters.floor)
        width = np.sqrt(self._sigma**2 + parameters.floor**2) * wider[:, None]
        strength = np.sqrt(((difference / width) ** 2).sum(axis=0))
        return replace(state, inflation=wider), level, strength


class _Cover:
    """The polynomial's terms at a sample of pixels, to fit departures with."""

    def __init__(self, mean: FloatArray, spread: FloatArray, parameters: RobustParameters) -> None:
        features = cover_features(mean, spread)
        self._known = np.isfinite(features).all(axis=0)
        self._parameters = parameters
        if self._known.sum() < 2:
            self._centre, self._width = np.zeros(len(features)), np.ones(len(features))
        else:
            known = features[:, self._known].astype(np.float64)
            self._centre, self._width = known.mean(axis=1), np.maximum(known.std(axis=1), 1e-6)
        design = cover_design(mean, spread, self._centre, self._width, parameters.degree)
        self._design = np.ascontiguousarray(design[:, self._known].T, dtype=np.float64)

    def fit(self, departures: FloatArray) -> list[SceneState]:
        """Fit images, (image, band, pixel) in dB."""
        images, bands, _ = departures.shape
        fits = biweight_regressions(
            self._design,
            departures[:, :, self._known].reshape(images * bands, -1),
            cutoff=self._parameters.cutoff,
            iterations=self._parameters.fit_iterations,
        )
        found = np.array([fit.coefficients for fit in fits]).reshape(images, bands, -1)
        return [SceneState(self._centre, self._width, one, np.ones(bands)) for one in found]


def _inflation(before: FloatArray, now: FloatArray, spread: FloatArray, floor: float) -> NDArray[np.float64]:
    """Tell how many times wider an image scatters than its history, in units of each pixel's sigma."""
    sigma = np.sqrt(spread**2 + floor**2)
    wider = np.ones(len(now))
    # the history's own residuals are narrower than those of an image that took no part in its mean
    freedom = np.sqrt((len(before) + 1) / max(len(before) - 1, 1))
    for band in range(len(now)):
        ratios = [np.abs(residual[..., band, :]) / sigma[band] for residual in (before, now)]
        typical = [np.median(r[np.isfinite(r)]) if np.isfinite(r).any() else 0.0 for r in ratios]
        if typical[0] > 0:
            wider[band] = max(typical[1] / (typical[0] * freedom), 1.0)
    return wider
