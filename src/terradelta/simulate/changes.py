"""Changes of known outline, date, kind and strength."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from terradelta.errors import InputError
from terradelta.simulate.covers import Cover
from terradelta.simulate.landscape import Landscape
from terradelta.simulate.shapes import blob, rectangle
from terradelta.simulate.streams import stream
from terradelta.types import BoolArray, FloatArray, Offset, Size

__all__ = ["KINDS", "ORDER", "Change", "Kind", "add_changes", "draw_changes"]

_OPEN = (Cover.GRASS, Cover.FIELD, Cover.BARE)
_TRIES = 40
_FLOOD_DAYS = 45
_SIZES = (1.0, 0.45, 0.85, 0.65, 0.35, 0.55)
_CLEARED = (-1.5, -2.0)


@dataclass(frozen=True)
class Kind:
    """A kind of change.

    Attributes
    ----------
    code : int
        In the truth raster.
    strength : tuple of float
        Range in dB of the band that changes most.
    bands : tuple of float
        Share of the strength that shows in VV and VH.
    covers : tuple of Cover
        Where it happens.
    becomes : Cover
        What the ground looks like afterwards (to an optical sensor).
    lasts : int or None
        Days until all is as before; None = for good.
    """

    code: int
    strength: tuple[float, float]
    bands: tuple[float, float]
    covers: tuple[Cover, ...]
    becomes: Cover
    lasts: int | None = None


KINDS = {
    "clear_cut": Kind(1, (-5.0, -3.0), (0.7, 1.0), (Cover.FOREST,), Cover.BARE),
    "building": Kind(2, (4.0, 6.0), (1.0, 0.8), _OPEN, Cover.URBAN),
    "flood": Kind(3, (-6.0, -4.0), (1.0, 0.8), _OPEN, Cover.WATER, _FLOOD_DAYS),
    "fire": Kind(4, (-4.0, -2.5), (0.6, 1.0), (Cover.FOREST, Cover.GRASS), Cover.BARE),
    "harvest": Kind(5, (-3.5, -2.5), (0.8, 1.0), (Cover.FIELD,), Cover.BARE),
    "demolition": Kind(6, (-8.0, -5.0), (1.0, 0.8), (Cover.URBAN,), Cover.BARE),
}
ORDER = ("clear_cut", "building", "flood", "fire", "building", "harvest", "clear_cut")
"""Kinds that are drawn by default, by turns."""


@dataclass(frozen=True, eq=False)
class Change:
    """One change.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    mask : ndarray of bool, (y, x)
        Where.
    date : numpy.datetime64
        First day that shows it.
    decibel : tuple of float
        Offset in VV and VH.
    until : numpy.datetime64 or None
        First day that no longer shows it; None = persistent.
    finished : numpy.datetime64 or None
        First day of the final state, after works that leave bare soil from `date` on; None = at once.

    Raises
    ------
    InputError
        If the kind is unknown, or it is finished before it begins.

    Examples
    --------
    >>> felled = Change("clear_cut", np.ones((2, 2), bool), np.datetime64("2020-05-01"), (-2.0, -3.0))
    >>> felled.strength, felled.visible(np.datetime64("2020-05-01T05:50"))
    (-3.0, True)
    """

    kind: str
    mask: BoolArray
    date: np.datetime64
    decibel: tuple[float, float]
    until: np.datetime64 | None = None
    finished: np.datetime64 | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind of change is {self.kind!r}; choose from {', '.join(KINDS)}")
        if self.finished is not None and self.finished < self.date:
            raise InputError(f"a change of {self.date} is finished on {self.finished}; give a later day")

    @property
    def strength(self) -> float:
        """Offset in dB of the band that changes most."""
        return max(self.decibel, key=abs)

    def visible(self, time: np.datetime64) -> bool:
        """Say whether an image of this time shows the change."""
        return bool(self.date <= time and (self.until is None or time < self.until))

    def under_way(self, time: np.datetime64) -> bool:
        """Say whether an image of this time shows bare soil, before the final state."""
        return self.visible(time) and self.finished is not None and bool(time < self.finished)

    def cover_at(self, time: np.datetime64) -> Cover:
        """Give what an optical image of a time that shows the change sees there."""
        return Cover.BARE if self.under_way(time) else KINDS[self.kind].becomes

    def decibel_at(self, time: np.datetime64) -> tuple[float, float]:
        """Give the offset in VV and VH at a time that shows the change."""
        return _CLEARED if self.under_way(time) else self.decibel


def add_changes(decibel: FloatArray, changes: tuple[Change, ...], time: np.datetime64) -> FloatArray:
    """Add the offsets of all changes visible at a time.

    Parameters
    ----------
    decibel : ndarray, (band, y, x)
        Backscatter in dB; changed in place.
    changes : tuple of Change
        The changes.
    time : numpy.datetime64
        Time of the image, UTC.

    Returns
    -------
    ndarray, (band, y, x)
        The same array.

    Examples
    --------
    >>> felled = Change("clear_cut", np.array([[True]]), np.datetime64("2020-05-01"), (-2.0, -3.0))
    >>> add_changes(np.zeros((2, 1, 1)), (felled,), np.datetime64("2020-06-01")).ravel().tolist()
    [-2.0, -3.0]
    """
    for change in changes:
        if change.visible(time):
            decibel[:, change.mask] += np.asarray(change.decibel_at(time), decibel.dtype)[:, None]
    return decibel


def _ground(land: Landscape, kind: str, river_distance: FloatArray) -> BoolArray:
    """Say where a kind of change can happen, away from the raster's border."""
    ground = np.isin(land.cover, [int(each) for each in KINDS[kind].covers])
    if kind == "flood":
        ground &= river_distance < 700.0
    margin = max(4, min(ground.shape) // 24)
    inside = np.zeros_like(ground)
    inside[margin:-margin, margin:-margin] = True
    return np.asarray(ground & inside)


def _biggest_piece(mask: BoolArray) -> BoolArray:
    """Keep the largest connected piece."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))


def _outline(
    rng: np.random.Generator, kind: str, land: Landscape, ground: BoolArray, radius: float
) -> BoolArray | None:
    """Draw outlines until one fits the ground well; give the best, or None if all are tiny."""
    size = Size(*ground.shape)
    centres = np.argwhere(ground)
    best = np.zeros(size, bool)
    for _ in range(_TRIES if len(centres) else 0):
        centre = Offset(*centres[rng.integers(len(centres))])
        if kind == "harvest":
            shape = land.parcel == land.parcel[centre]
        else:
            shape = (blob if kind in ("flood", "fire") else rectangle)(rng, size, centre, radius)
        fitted = _biggest_piece(shape & ground)
        if fitted.sum() > best.sum():
            best = fitted
        if fitted.sum() >= 0.8 * shape.sum():
            break
    return best if best.sum() >= 12 else None


def _dates(
    rng: np.random.Generator, count: int, start: np.datetime64, end: np.datetime64
) -> NDArray[np.datetime64]:
    """Spread the dates over the period, in random order, with time before and after."""
    days = int((end - start) / np.timedelta64(1, "D"))
    share = 0.35 + 0.5 * (np.arange(count) + rng.uniform(0.2, 0.8, count)) / max(count, 1)
    return np.asarray(start.astype("datetime64[D]") + rng.permutation(share * days).astype(int))


def draw_changes(
    seed: int,
    count: int,
    land: Landscape,
    river_distance: FloatArray,
    period: tuple[np.datetime64, np.datetime64],
    *,
    kinds: tuple[str, ...] = ORDER,
    works_days: int = 0,
    largest: float | None = None,
) -> tuple[Change, ...]:
    """Draw changes of different kind, size, date and sign, apart from each other and from the border.

    Parameters
    ----------
    seed : int
        Seed of the place.
    count : int
        How many.
    land : Landscape
        What covers the ground.
    river_distance : ndarray, (y, x)
        Distance to the river in m.
    period : tuple of numpy.datetime64
        Start and end of the series.
    kinds : tuple of str
        Kinds to draw, by turns.
    works_days : int
        Days of bare soil before a building stands.
    largest : float, optional
        Radius of the largest changes in pixels; a fourteenth of the shorter side of the place if not given.

    Returns
    -------
    tuple of Change

    Raises
    ------
    InputError
        If the place is too small for so many.
    """
    free = np.ones(land.cover.shape, bool)
    largest = max(4.0, min(free.shape) / 14) if largest is None else largest
    dates = _dates(stream(seed, "change dates"), count, *period)
    found = []
    for i in range(count):
        rng, kind = stream(seed, "change", i), kinds[i % len(kinds)]
        radius = max(3.0, largest * _SIZES[i % len(_SIZES)] * rng.uniform(0.9, 1.1))
        mask = _outline(rng, kind, land, _ground(land, kind, river_distance) & free, radius)
        if mask is None:
            raise InputError(f"no room for change {i + 1} of {count} ({kind}); give fewer or a larger size")
        strength = rng.uniform(*KINDS[kind].strength)
        lasts = KINDS[kind].lasts
        until = None if lasts is None else dates[i] + np.timedelta64(lasts, "D")
        bands = KINDS[kind].bands
        works = np.timedelta64(works_days, "D") if kind == "building" and works_days else None
        finished = None if works is None else dates[i] + works
        found.append(
            Change(kind, mask, dates[i], (strength * bands[0], strength * bands[1]), until, finished)
        )
        free &= ~ndimage.binary_dilation(mask, iterations=4)
    return tuple(found)
