"""Simulated changes in a series of images: sudden or gradual, lasting or ending."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.simulate.injected.drawing import draw
from terradelta.simulate.injected.kinds import Scene, changed, difference
from terradelta.simulate.injected.recipe import Recipe
from terradelta.simulate.injected.results import InjectedSeries
from terradelta.simulate.injected.single import as_allowed, check_recipe, list_changes, prepare
from terradelta.types import BoolArray, FloatArray

__all__ = ["change_share", "inject_series"]

Moment: TypeAlias = str | np.datetime64
Targets: TypeAlias = Callable[[int], NDArray[Any]]
Float64 = NDArray[np.float64]
_NANOSECONDS_OF_A_DAY = 86_400e9


def inject_series(
    images: NDArray[Any],
    times: NDArray[Any],
    allowed: NDArray[Any],
    recipe: Recipe | None = None,
    *,
    seed: int,
    date: Moment,
    until: Moment | None = None,
    gradual_days: float = 0,
    targets: Targets | None = None,
) -> InjectedSeries:
    """Put simulated changes into a series; they come at a date and last, or end at another.

    Places and outlines are the same in all images. Superpixels are neighbouring pixels that are equal in all
    images; where both lack data, they are equal.

    Parameters
    ----------
    images : ndarray, (time, band, y, x)
        dB. A pixel without data in an image stays as it is there.
    times : ndarray of datetime64, (time,)
        UTC, any order.
    allowed : ndarray of bool or 0/1, (y, x)
        Where changes may be drawn.
    recipe : Recipe, optional
        As in `inject`.
    seed : int
        Zero or positive.
    date : str or datetime64
        From when on the change is seen.
    until : str or datetime64, optional
        From when on it is gone again; it lasts if left out.
    gradual_days : float
        Days from `date` in which the share of the change rises linearly from 0 to 1; 0 is at once.
    targets : callable, optional
        From the index of an image to its target pixels (band, n) in dB, for ``kind="statistical"``; asked
        only for images that show a change.

    Returns
    -------
    InjectedSeries
        Each image is ``before + share * (changed - before)`` in dB.

    Raises
    ------
    InputError
        As in `inject`, or if times are missing or wrong.

    Examples
    --------
    >>> images = np.random.default_rng(0).normal(-10, 1, (3, 1, 32, 32)).astype(np.float32)
    >>> times = np.array(["2024-05-01", "2024-05-06", "2024-05-20"], "datetime64[ns]")
    >>> recipe = Recipe(count=(1, 1), box=10)
    >>> ground = np.ones((32, 32), bool)
    >>> found = inject_series(images, times, ground, recipe, seed=0, date="2024-05-01", gradual_days=10)
    >>> found.share.tolist()
    [0.0, 0.5, 1.0]
    """
    recipe = Recipe() if recipe is None else recipe
    before = _as_series(images)
    ground = as_allowed(allowed, before.shape[2:])
    share = change_share(times, date, until=until, gradual_days=gradual_days)
    if len(share) != len(before):
        raise InputError(f"{len(share)} times for {len(before)} images; give one time for each image")
    finite: BoolArray = np.asarray(np.isfinite(before).all(axis=1))
    valid: BoolArray = np.asarray(finite.any(axis=0))
    check_recipe(recipe, before.shape[1], bool((ground & valid).any()) and targets is None)
    drawn = draw(_stacked(before, valid), ground, valid, recipe, seed)
    scene = Scene(before[0], ground & valid, drawn.touched)
    drawn, scene = prepare(scene, drawn, valid, recipe, seed)
    after, steps = before.copy(), _Mean(before.shape[1:])
    for time in np.flatnonzero(share > 0).tolist() if drawn.centres else []:
        target = _target(targets, time, recipe)
        own = scene._replace(image=before[time], ground=ground & finite[time], target=target, time=time)
        step = difference(changed(own, recipe, seed), before[time])
        _blend(after[time], step, share[time], finite[time] & (drawn.touched > 0))
        steps.add(np.where(finite[time], step, np.float32(np.nan)))
    mask = drawn.touched if recipe.mask_says else drawn.outlines
    changes = list_changes(drawn, recipe, steps.value())
    return InjectedSeries(after, mask, share, changes, drawn.superpixels, drawn.why)


class _Mean:
    """Running mean of what is finite."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum, self._count = np.zeros(shape), np.zeros(shape, np.int64)

    def add(self, values: FloatArray) -> None:
        finite = np.isfinite(values)
        np.add(self._sum, values, out=self._sum, where=finite)
        self._count += finite

    def value(self) -> Float64:
        return np.divide(self._sum, self._count, out=np.full_like(self._sum, np.nan), where=self._count > 0)


def change_share(
    times: NDArray[Any], date: Moment, *, until: Moment | None = None, gradual_days: float = 0
) -> Float64:
    """Give the share of a change at each time.

    Parameters
    ----------
    times : ndarray of datetime64, (time,)
        UTC.
    date, until, gradual_days
        As in `inject_series`.

    Returns
    -------
    ndarray of float64, (time,)
        0 before `date` and from `until` on; 1, or a linear rise from 0 to 1, between.

    Raises
    ------
    InputError
        If a time is missing or no time, the end is not after the start, or the days are negative.

    Examples
    --------
    >>> days = np.array(["2024-05-01", "2024-05-02", "2024-05-03"], "datetime64[D]")
    >>> change_share(days, "2024-05-02").tolist()
    [0.0, 1.0, 1.0]
    >>> change_share(days, "2024-05-01", until="2024-05-02").tolist()
    [1.0, 0.0, 0.0]
    """
    moments = np.asarray(times)
    if moments.ndim != 1 or moments.dtype.kind != "M" or np.isnat(moments).any():
        raise InputError(
            f"times are {moments.dtype} {moments.shape}; give datetime64 of (time,), none missing"
        )
    if not (np.isfinite(gradual_days) and gradual_days >= 0):
        raise InputError(f"gradual_days is {gradual_days!r}; give a number of days from 0 on")
    start, moments = _moment(date, "date"), moments.astype("datetime64[ns]")
    days: Float64 = (moments - start).astype(np.int64) / _NANOSECONDS_OF_A_DAY
    share = (days >= 0).astype(np.float64) if gradual_days == 0 else np.clip(days / gradual_days, 0.0, 1.0)
    if until is None:
        return share
    end = _moment(until, "until")
    if end <= start:
        raise InputError(f"until is {until}, not after date {date}; give a later time")
    return np.asarray(np.where(moments >= end, 0.0, share))


def _moment(value: Moment, name: str) -> Any:
    moment: Any = np.datetime64("NaT")
    with suppress(TypeError, ValueError):
        moment = np.array(value, "datetime64[ns]")[()]
    if np.isnat(moment):
        raise InputError(f"{name} is {value!r}; give a UTC time such as 2024-05-17")
    return moment


def _as_series(images: NDArray[Any]) -> NDArray[np.float32]:
    array = np.asarray(images)
    if array.ndim != 4 or 0 in array.shape or array.dtype.kind not in "fiu":
        raise InputError(f"images are {array.dtype} {array.shape}; give numbers in dB of (time, band, y, x)")
    return np.asarray(array, np.float32)


def _stacked(images: NDArray[np.float32], valid: BoolArray) -> NDArray[np.float32]:
    """Give all dates as bands; what is missing at a date is equal there, so that it parts nothing."""
    stack = np.where(np.isfinite(images), images, np.float32(0)).reshape(-1, *images.shape[2:])
    return np.where(valid, stack, np.float32(np.nan))


def _target(targets: Targets | None, time: int, recipe: Recipe) -> FloatArray | None:
    return targets(time) if targets is not None and recipe.kind == "statistical" else None


def _blend(image: NDArray[np.float32], step: FloatArray, share: float, places: BoolArray) -> None:
    image[:, places] += np.float32(share) * step[:, places]
