"""The methods that are compared: each gives one score per pixel, larger = more change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

from terradelta.evaluate.opera.patches import Patch
from terradelta.expected import RobustDifference, RobustParameters, change_strength, robust_difference
from terradelta.expected.scene import usual
from terradelta.sar import despeckle_tv, equivalent_looks, omnibus, to_db
from terradelta.types import FloatArray

if TYPE_CHECKING:
    from terradelta.expected.conditions import Conditions

__all__ = ["METHODS", "Case", "Images", "Method", "Scorer", "images_of", "looks_of", "score_all"]

Group: TypeAlias = Literal["robust", "network", "ablation", "plain", "test", "peer"]
Scores: TypeAlias = dict[str, FloatArray]
Work: TypeAlias = dict[str, Callable[[], FloatArray]]

_LEAST_SIGMA = 0.1
_LEAST_P = 1e-45
_LEAST_SQUARES = 1e6


class Method(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    label : str
        What the table calls it.
    group : str
        Kind of row.
    """

    label: str
    group: Group


_PLAIN = {
    "last": "last image (log-ratio)",
    "mean4": "mean of 4",
    "mean10": "mean of all",
    "median": "median of all",
    "z": "z-score, mean and σ of all",
}
_PREPARED = {"raw": "raw", "smooth": "despeckled", "median": "despeckled, median removed"}

METHODS: dict[str, Method] = {
    "robust": Method("robust", "robust"),
    "robust-unregularised": Method("robust, without regularisation", "ablation"),
    "robust-constant": Method("robust, one constant for the scene's state", "ablation"),
    "robust-least-squares": Method("robust, state fitted by least squares", "ablation"),
    **{
        f"{key}-{prepared}": Method(f"{label}; {how}", "plain")
        for key, label in _PLAIN.items()
        for prepared, how in _PREPARED.items()
    },
    "omnibus": Method("omnibus test, −log₁₀ p of the last step; raw", "test"),
}
"""Every row without a network by its key, in the order of the table."""


class Images(NamedTuple):
    """The same images three times, each (..., band, y, x); NaN is no data.

    Attributes
    ----------
    linear : ndarray
        Linear power.
    decibel : ndarray
        dB, as observed.
    smooth : ndarray
        dB, despeckled by total variation.
    """

    linear: FloatArray
    decibel: FloatArray
    smooth: FloatArray

    def at(self, positions: int | list[int]) -> Images:
        """Give some of the images."""
        return Images(*(values[positions] for values in self))


@dataclass(frozen=True)
class Case:
    """One target with what is known before it.

    Attributes
    ----------
    target : Images
        (band, y, x).
    history : Images
        (time, band, y, x), in the order of time.
    looks : float
        Equivalent number of looks of the patch.
    conditions : Conditions or None
        Of the history and the target; None if nothing is known.
    """

    target: Images
    history: Images
    looks: float
    conditions: Conditions | None = None


def images_of(linear: FloatArray, parameters: RobustParameters) -> Images:
    """Despeckle images as the robust method does.

    Parameters
    ----------
    linear : ndarray
        (..., band, y, x), linear power.
    parameters : RobustParameters
        Weight and iterations.

    Returns
    -------
    Images
        Linear, dB and despeckled dB.
    """
    decibel = to_db(linear)
    smooth = despeckle_tv(decibel, parameters.tv_weight, iterations=parameters.tv_iterations)
    return Images(linear, decibel, smooth)


def looks_of(patch: Patch) -> float:
    """Equivalent number of looks of a patch: that of its most homogeneous band, over all dates."""
    return max(1.0, max(equivalent_looks(patch.linear[:, band]) for band in range(len(patch.bands))))


class Scorer(Protocol):
    """A method that is not built in: a trained network, or a peer."""

    @property
    def despeckled(self) -> bool:
        """Whether it compares despeckled images."""

    def strength(
        self, target: FloatArray, history: FloatArray, conditions: Conditions | None = None
    ) -> FloatArray:
        """Score a target (band, y, x) with its history (time, band, y, x), dB: (y, x)."""


def score_all(
    case: Case,
    parameters: RobustParameters,
    networks: Mapping[str, Scorer] | None = None,
    only: Collection[str] | None = None,
) -> Scores:
    """Score one target by every method.

    Parameters
    ----------
    case : Case
        Target and history.
    parameters : RobustParameters
        Of the robust method; its ablations change one of them each.
    networks : mapping, optional
        Trained networks and peers by their keys; all of them are used.
    only : collection of str, optional
        Keys of `METHODS` to use; all by default.

    Returns
    -------
    dict of str to ndarray
        Key of `METHODS` or of a network to (y, x); NaN where the method has no data.
    """
    work: Work = {**_robust(case, parameters), **_plain(case), "omnibus": lambda: _omnibus(case)}
    ordered: Scores = {key: work[key]() for key in METHODS if only is None or key in only}
    for key, network in (networks or {}).items():
        images = "smooth" if network.despeckled else "decibel"
        target, history = (getattr(part, images) for part in (case.target, case.history))
        ordered[key] = network.strength(target, history, case.conditions)
    return ordered


def _robust(case: Case, parameters: RobustParameters) -> Work:
    target, history = case.target.decibel, case.history.decibel

    @cache
    def found(numbers: RobustParameters) -> tuple[RobustDifference, FloatArray]:
        return robust_difference(target, history, numbers)

    def plain() -> FloatArray:
        return change_strength(found(parameters)[0].standardised, regularisation=0, iterations=1)

    least_squares = replace(parameters, cutoff=_LEAST_SQUARES, fit_iterations=1)
    return {
        "robust": lambda: found(parameters)[1],
        "robust-unregularised": plain,
        "robust-constant": lambda: found(replace(parameters, degree=0))[1],
        "robust-least-squares": lambda: found(least_squares)[1],
    }


def _plain(case: Case) -> Work:
    target, history = case.target, case.history

    @cache
    def prepared(name: str) -> tuple[FloatArray, FloatArray]:
        if name == "raw":
            return target.decibel, history.decibel
        both = (target.smooth, history.smooth)
        return both if name == "smooth" else (_without_median(both[0]), _without_median(both[1]))

    methods: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
        "last": lambda new, old: new - old[-1],
        "mean4": lambda new, old: new - usual(old[-4:])[0],
        "mean10": lambda new, old: new - usual(old)[0],
        "median": lambda new, old: new - _median(old),
        "z": _standardised,
    }

    def length(difference: Callable[[FloatArray, FloatArray], FloatArray], name: str) -> FloatArray:
        return np.asarray(np.sqrt((difference(*prepared(name)) ** 2).sum(axis=0)))

    return {
        f"{key}-{name}": partial(length, difference, name)
        for key, difference in methods.items()
        for name in _PREPARED
    }


def _standardised(new: FloatArray, old: FloatArray) -> FloatArray:
    mean, sigma = usual(old)
    return np.asarray((new - mean) / np.maximum(sigma, _LEAST_SIGMA))


def _median(images: FloatArray) -> FloatArray:
    """Take the median over time of the valid images."""
    known = np.isfinite(images).any(axis=0)
    return np.where(known, np.nanmedian(np.where(known, images, 0), axis=0), np.nan)


def _without_median(images: FloatArray) -> FloatArray:
    """Take the median of each band of each image off, over its valid pixels."""
    return np.asarray(images - np.nanmedian(images, axis=(-2, -1), keepdims=True))


def _omnibus(case: Case) -> FloatArray:
    series = np.concatenate([case.history.linear, case.target.linear[None]])
    steps = omnibus(series, case.looks, step_p_values=True).step_p_values
    last = np.asarray(steps, np.float64)[-1]
    return np.asarray(-np.log10(np.maximum(last, _LEAST_P)))
