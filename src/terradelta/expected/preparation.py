"""What is done to the images before they are compared: despeckling, and the state of the scene taken off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from terradelta.errors import ConfigError, InputError
from terradelta.expected.parameters import RobustParameters
from terradelta.expected.scene import fit_scene_state, fit_scene_states, scene_offsets, thinned, usual
from terradelta.sar import despeckle_tv, refined_lee, to_db, to_linear
from terradelta.types import FloatArray

__all__ = [
    "Despeckling",
    "Preparation",
    "Prepared",
    "PreparedSeries",
    "State",
    "despeckle",
    "prepare",
    "scene_departures",
]

Despeckling = Literal["none", "tv", "lee"]
State = Literal["none", "median", "scene"]

_FEWEST_FOR_SCENE = 2
_CHOICES = {"despeckle": ("none", "tv", "lee"), "state": ("none", "median", "scene")}


@dataclass(frozen=True)
class Preparation:
    """Steps between the images as observed and the images as compared; part of every trained model.

    Attributes
    ----------
    despeckle : str
        ``"none"``; ``"tv"``: total variation in dB; ``"lee"``: the refined Lee filter.
    state : str
        What is taken off each image: ``"none"``; ``"median"``: the median of its departure from the mean of
        the previous images, per band; ``"scene"``: a robust polynomial of that departure in the ground cover.
    looks : float
        Equivalent number of looks, for the Lee filter.
    robust : RobustParameters
        Numbers of the despeckling and of the fit.

    Raises
    ------
    ConfigError
        If a step has another name.

    Examples
    --------
    >>> Preparation(despeckle="tv", state="median").state
    'median'
    >>> Preparation.from_dict(Preparation(despeckle="lee").to_dict()) == Preparation(despeckle="lee")
    True
    """

    despeckle: Despeckling = "none"
    state: State = "none"
    looks: float = 4.4
    robust: RobustParameters = field(default_factory=RobustParameters)

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"{name} is {value!r}; give one of {', '.join(choices)}")

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preparation:
        """Undo `to_dict`.

        Raises
        ------
        ConfigError
            If a key is unknown.
        """
        known = {one.name for one in fields(cls)}
        unknown = set(values) - known
        if unknown:
            raise ConfigError(f"preparation has no {sorted(unknown)[0]!r}; its keys are {sorted(known)}")
        plain = dict(values)
        if "robust" in plain:
            plain["robust"] = RobustParameters(**plain["robust"])
        return cls(**plain)


class Prepared(NamedTuple):
    """Images ready to be compared, dB; NaN = no data.

    Attributes
    ----------
    images : ndarray
        (time, band, y, x), previous images, each without the state of its scene.
    target : ndarray
        (band, y, x), likewise.
    offset : ndarray
        (band, y, x), the state of the target's scene: add it to get back to the target as observed.
    inflation : ndarray
        (band, y, x), how many times wider the target scatters than the previous images; at least 1.
    """

    images: FloatArray
    target: FloatArray
    offset: FloatArray
    inflation: FloatArray

    def state(self, half_width: float) -> FloatArray:
        """Give the target's state as a network takes it.

        Parameters
        ----------
        half_width : float
            dB that the normalisation of images maps to 1.

        Returns
        -------
        ndarray
            (2 * band, y, x): offset / half_width, then the logarithm of the inflation; 0 where unknown.
        """
        both = np.concatenate([self.offset / half_width, np.log(self.inflation)])
        return np.where(np.isfinite(both), both, 0).astype(np.float32)


def prepare(images: FloatArray, target: FloatArray, preparation: Preparation | None = None) -> Prepared:
    """Despeckle a target and its previous images and take the state of each scene off.

    Parameters
    ----------
    images : ndarray
        (time, band, y, x), dB, previous images, oldest first; NaN = no data.
    target : ndarray
        (band, y, x), dB.
    preparation : Preparation, optional
        Which steps; none if left out.

    Returns
    -------
    Prepared
        Of the same shapes; without any step it holds the given arrays themselves.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> series = rng.normal(-12, 1, (5, 2, 16, 16)).astype("float32")
    >>> rain = series[-1] + 3
    >>> ready = prepare(series[:-1], rain, Preparation(state="median"))
    >>> bool(abs(ready.target.mean() + 12) < 0.2), bool(abs(ready.offset.mean() - 3) < 0.2)
    (True, True)
    """
    preparation = preparation or Preparation()
    if images.ndim != 4 or target.shape != images.shape[1:]:
        raise InputError(
            f"target {target.shape} and previous images {images.shape} do not fit; "
            "expected (band, y, x) and (time, band, y, x)"
        )
    if preparation.despeckle == preparation.state == "none":
        return Prepared(images, target, np.zeros_like(target), np.ones_like(target))
    series = despeckle(np.concatenate([images, target[None]]), preparation)
    offsets, inflation = scene_departures(series, preparation)
    np.subtract(series, offsets, out=series)
    return Prepared(series[:-1], series[-1], offsets[-1].copy(), inflation)


class PreparedSeries:
    """Prepares image after image of an orbit: each is despeckled once, and its scene's state fitted once.

    The first images are fitted against their own mean, as `prepare` does; each later one against those
    before it, from which their own states have been taken. The first image that is added comes out as from
    `prepare`.

    Parameters
    ----------
    images : ndarray
        (time, band, y, x), dB, as observed, oldest first; NaN = no data. They are the first history.
    preparation : Preparation, optional
        Which steps; none if left out.
    keep : int, optional
        Longest history to keep; by default as long as the first one.

    Raises
    ------
    InputError
        If `images` has another number of dimensions or holds no image, or `keep` is below 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images = rng.normal(-12, 1, (6, 2, 16, 16)).astype("float32")
    >>> series = PreparedSeries(images[:4], Preparation(state="scene"))
    >>> [series.add(image).images.shape[0] for image in images[4:]]
    [4, 4]
    """

    def __init__(
        self, images: FloatArray, preparation: Preparation | None = None, *, keep: int | None = None
    ) -> None:
        if images.ndim != 4 or not len(images):
            raise InputError(f"the first images have shape {images.shape}; expected (time, band, y, x)")
        self._keep = len(images) if keep is None else keep
        if self._keep < 1:
            raise InputError(f"keep is {keep}; give at least 1 image")
        self._preparation = preparation or Preparation()
        smooth = despeckle(images, self._preparation)
        level = smooth - _first_departures(smooth, self._preparation)
        self._smooth, self._level = (_Window(one[-self._keep :], self._keep) for one in (smooth, level))

    def add(self, image: FloatArray) -> Prepared:
        """Prepare the next image; it is history from then on.

        Parameters
        ----------
        image : ndarray
            (band, y, x), dB, as observed.

        Returns
        -------
        Prepared
            Its `images` are overwritten by the next call.

        Raises
        ------
        InputError
            If its shape is not that of the images before.
        """
        if image.shape != self._smooth.images.shape[1:]:
            raise InputError(f"image {image.shape} does not fit; expected {self._smooth.images.shape[1:]}")
        self._smooth.settle()
        self._level.settle()
        smooth = despeckle(image, self._preparation)
        offset, inflation = self._departure(smooth)
        ready = Prepared(self._level.images, smooth - offset, offset, inflation)
        self._smooth.waiting, self._level.waiting = smooth, ready.target
        return ready

    def _departure(self, smooth: FloatArray) -> tuple[FloatArray, FloatArray]:
        history, steps = self._smooth.images, self._preparation
        if steps.state == "none":
            return np.zeros_like(smooth), np.ones_like(smooth)
        mean, spread = usual(history)
        if steps.state == "median" or len(history) < _FEWEST_FOR_SCENE:
            return _medians(smooth[None], mean)[0], np.ones_like(smooth)
        new, before, levels = (thinned(one, smooth) for one in (smooth[None], history, self._level.images))
        state = fit_scene_state(new[0], before, levels, steps.robust)
        return state.offset(mean, spread, steps.robust.degree), _spread_out(state.inflation, smooth)


class _Window:
    """The latest images in the order of time."""

    def __init__(self, images: FloatArray, length: int) -> None:
        self._room = np.empty((length, *images.shape[1:]), images.dtype)
        self._room[: len(images)] = images
        self._count = len(images)
        self.waiting: FloatArray | None = None

    @property
    def images(self) -> FloatArray:
        """(time, band, y, x), without the one that waits."""
        return self._room[: self._count]

    def settle(self) -> None:
        """Take in the image that waits."""
        if self.waiting is None:
            return
        if self._count == len(self._room):
            for older, newer in pairwise(self._room):
                older[...] = newer
        else:
            self._count += 1
        self._room[self._count - 1] = self.waiting
        self.waiting = None


def despeckle(decibel: FloatArray, preparation: Preparation) -> FloatArray:
    """Smooth speckle in the way that a preparation names.

    Parameters
    ----------
    decibel : ndarray
        (..., y, x), dB; NaN = no data.
    preparation : Preparation
        Its `despeckle`, `looks` and `robust` are used.

    Returns
    -------
    ndarray
        dB, same shape, NaN in the same places.
    """
    if preparation.despeckle == "tv":
        numbers = preparation.robust
        return despeckle_tv(decibel, numbers.tv_weight, iterations=numbers.tv_iterations)
    if preparation.despeckle == "lee":
        smooth = to_db(refined_lee(to_linear(decibel), preparation.looks))
        return np.asarray(smooth, dtype=decibel.dtype)
    return decibel


def scene_departures(series: FloatArray, preparation: Preparation) -> tuple[FloatArray, FloatArray]:
    """Estimate how each scene departs from the usual, from the images themselves.

    Parameters
    ----------
    series : ndarray
        (time, band, y, x), dB, despeckled or not; the last one is the target.
    preparation : Preparation
        Its `state` and `robust` are used. With fewer than two previous images the median is taken for the
        scene, as there is no spread to know the cover by.

    Returns
    -------
    offsets : ndarray
        (time, band, y, x), dB.
    inflation : ndarray
        (band, y, x) of the target.
    """
    plain = np.ones_like(series[-1])
    if preparation.state == "none":
        return np.zeros_like(series), plain
    if preparation.state == "median" or len(series) - 1 < _FEWEST_FOR_SCENE:
        return _medians(series, usual(series[:-1])[0]), plain
    numbers = preparation.robust
    states = fit_scene_states(thinned(series), len(series) - 1, numbers)
    offsets = scene_offsets(states, *usual(series[:-1]), numbers.degree)
    return offsets, _spread_out(states[-1].inflation, series[-1])


def _first_departures(series: FloatArray, preparation: Preparation) -> FloatArray:
    """Do `scene_departures` for images of which none is a target."""
    if preparation.state == "none":
        return np.zeros_like(series)
    if preparation.state == "median" or len(series) < _FEWEST_FOR_SCENE:
        return _medians(series, usual(series)[0])
    numbers = preparation.robust
    states = fit_scene_states(thinned(series), len(series), numbers)
    return scene_offsets(states, *usual(series), numbers.degree)


def _spread_out(inflation: FloatArray, image: FloatArray) -> FloatArray:
    """Give the inflation of every band at every pixel."""
    return np.ones_like(image) * inflation[:, None, None].astype(image.dtype)


def _medians(series: FloatArray, reference: FloatArray) -> FloatArray:
    departure = series - reference
    known = np.isfinite(departure).any(axis=(-2, -1), keepdims=True)
    with np.errstate(invalid="ignore"):
        middle = np.nanmedian(np.where(known, departure, 0), axis=(-2, -1), keepdims=True)
    return np.broadcast_to(middle, series.shape).astype(series.dtype)
