"""The state of a scene (rain, frost, gain) as a smooth function of the ground cover."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from terradelta.expected.biweight import biweight_regression
from terradelta.expected.parameters import RobustParameters
from terradelta.expected.persistence import Persistence
from terradelta.types import BoolArray, FloatArray, Size

__all__ = ["SceneState", "cover_design", "fit_scene_states", "usual", "usual_ground"]

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
        flat, flat_spread = mean.reshape(len(mean), -1), spread.reshape(len(mean), -1)
        coefficients = self.coefficients.astype(mean.dtype)
        offset = np.empty_like(flat)
        # strip by strip: all terms of a strip fit into the processor's cache
        for start in range(0, flat.shape[1], _STRIP):
            strip = np.s_[:, start : start + _STRIP]
            design = cover_design(flat[strip], flat_spread[strip], self.centre, self.width, degree)
            offset[strip] = coefficients @ design
        return offset.reshape(mean.shape)


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
    valid = np.isfinite(history)
    if use is not None:
        valid &= use[:, None]
    number = valid.sum(axis=0, dtype=history.dtype)
    # image by image: the temporary arrays stay small, and so in the processor's cache
    total, squares = np.zeros_like(number), np.zeros_like(number)
    with np.errstate(invalid="ignore", divide="ignore"):
        for image, seen in zip(history, valid, strict=True):
            total += np.where(seen, image, 0)
        mean = total / number
        for image, seen in zip(history, valid, strict=True):
            squares += np.where(seen, image - mean, 0) ** 2
        spread = np.sqrt(squares / np.where(number > 1, number - 1, np.nan))
    return mean, spread


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
        Index of the first target; at least 1.
    parameters : RobustParameters
        History, degree, cut-off, iterations and floor are used.

    Returns
    -------
    list of SceneState
        One per image.
    """
    level = np.empty_like(series)
    mean, spread = usual(series[:first])
    cover = _Cover(mean, spread, parameters)
    states = [cover.fit(image - mean) for image in series[:first]]
    for time, state in enumerate(states):
        level[time] = series[time] - state.offset(mean, spread, parameters.degree)
    watch = Persistence(
        Size(1, series.shape[2]),
        bands=series.shape[1],
        remember=len(series),
        threshold=_OUTLIER,
        confirm=parameters.fewest,
    )
    for time in range(first, len(series)):
        past = slice(max(time - parameters.history, 0), time)
        use = watch.use[past, 0]
        mean, spread = usual_ground(series[past], use)
        expected, sigma = usual(level[past], use)
        state = _Cover(mean, spread, parameters).fit(series[time] - expected)
        level[time] = series[time] - state.offset(mean, spread, parameters.degree)
        inflation = _inflation(level[past] - expected, level[time] - expected, sigma, parameters.floor)
        states.append(replace(state, inflation=inflation))
        width = np.sqrt(sigma**2 + parameters.floor**2) * inflation[:, None]
        difference = level[time] - expected
        watch.update(time, np.sqrt(((difference / width) ** 2).sum(axis=0))[None], difference[:, None])
    return states


class _Cover:
    """The polynomial's terms at a sample of pixels, to fit departures with."""

    def __init__(self, mean: FloatArray, spread: FloatArray, parameters: RobustParameters) -> None:
        features = cover_features(mean, spread)
        self._known = np.isfinite(features).all(axis=0)
        self._bands, self._parameters = len(mean), parameters
        if self._known.sum() < 2:
            self._centre, self._width = np.zeros(len(features)), np.ones(len(features))
        else:
            known = features[:, self._known].astype(np.float64)
            self._centre, self._width = known.mean(axis=1), np.maximum(known.std(axis=1), 1e-6)
        design = cover_design(mean, spread, self._centre, self._width, parameters.degree)
        self._design = np.ascontiguousarray(design[:, self._known].T, dtype=np.float64)

    def fit(self, departure: FloatArray) -> SceneState:
        """Fit one image, (band, pixel) in dB."""
        fits = [
            biweight_regression(
                self._design,
                band[self._known],
                cutoff=self._parameters.cutoff,
                iterations=self._parameters.fit_iterations,
            ).coefficients
            for band in departure
        ]
        return SceneState(self._centre, self._width, np.array(fits), np.ones(self._bands))


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
