"""Sentinel-2 images of the same place, with clouds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from terradelta.simulate.atmosphere import Air, haze, shadow_shift, shifted, sun
from terradelta.simulate.changes import Change
from terradelta.simulate.covers import Cover, cover_index
from terradelta.simulate.fields import fractal
from terradelta.simulate.landscape import Landscape
from terradelta.simulate.plants import leaf
from terradelta.simulate.streams import stream
from terradelta.simulate.weather import day_of_year
from terradelta.types import BoolArray, FloatArray, Size

__all__ = ["OPTICAL_BANDS", "OpticalImages", "make_optical"]

OPTICAL_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_CLOUD = 0.45
_SPREAD, _FAR = 0.6, 9.0
_DARK = np.linspace(0.35, 0.7, len(OPTICAL_BANDS), dtype=np.float32)
_PASS_HOUR = np.timedelta64(10 * 3600 + 50 * 60, "s")

_LEAFLESS = {
    Cover.FOREST: (0.11, 0.08, 0.06, 0.05, 0.07, 0.12, 0.14, 0.15, 0.16, 0.06, 0.002, 0.11, 0.06),
    Cover.GRASS: (0.12, 0.10, 0.10, 0.10, 0.14, 0.20, 0.22, 0.24, 0.25, 0.09, 0.002, 0.24, 0.16),
    Cover.FIELD: (0.13, 0.11, 0.12, 0.14, 0.17, 0.19, 0.20, 0.22, 0.23, 0.08, 0.002, 0.29, 0.23),
    Cover.URBAN: (0.16, 0.15, 0.15, 0.16, 0.17, 0.18, 0.19, 0.20, 0.20, 0.07, 0.002, 0.22, 0.20),
    Cover.BARE: (0.15, 0.14, 0.16, 0.20, 0.22, 0.23, 0.24, 0.25, 0.26, 0.09, 0.002, 0.33, 0.29),
    Cover.WATER: (0.11, 0.08, 0.06, 0.04, 0.03, 0.02, 0.02, 0.02, 0.02, 0.01, 0.001, 0.01, 0.01),
}
_IN_LEAF = {
    Cover.FOREST: (0.10, 0.06, 0.06, 0.04, 0.07, 0.22, 0.29, 0.31, 0.33, 0.12, 0.002, 0.15, 0.07),
    Cover.GRASS: (0.11, 0.07, 0.09, 0.06, 0.12, 0.27, 0.33, 0.35, 0.37, 0.13, 0.002, 0.20, 0.11),
    Cover.FIELD: (0.11, 0.07, 0.09, 0.07, 0.12, 0.26, 0.32, 0.35, 0.37, 0.13, 0.002, 0.21, 0.12),
}


@dataclass(frozen=True, eq=False)
class OpticalImages:
    """A series of optical images.

    Attributes
    ----------
    time : ndarray of datetime64[ns], (time,)
        UTC.
    platform : tuple of str
        Satellite of each image.
    reflectance : ndarray, (time, band, y, x), float32
        0..1.
    clear : ndarray of bool, (time, y, x)
        Free of cloud and shadow.
    """

    time: NDArray[np.datetime64]
    platform: tuple[str, ...]
    reflectance: FloatArray
    clear: BoolArray


def _spectra(day: np.datetime64) -> FloatArray:
    """Give the mean reflectance of each class on a day: (band, cover)."""
    green = leaf(float(day_of_year(day)))
    rows = [
        (1 - green) * np.asarray(bare) + green * np.asarray(_IN_LEAF.get(cover, bare))
        for cover, bare in _LEAFLESS.items()
    ]
    return np.asarray(rows, np.float32).T


def _clouds(rng: np.random.Generator, size: Size, resolution: float, mean: float) -> FloatArray:
    """Draw the opacity of clouds, 0..1; at a mean cover of a half, a third of the days is overcast."""
    cover = float(np.clip(rng.normal(_centre(mean), _SPREAD), 0.0, 1.0))
    field = fractal(rng, size, resolution, scale=2500.0, roughness=1.7)
    threshold = np.quantile(field, 1 - cover) if cover > 0 else np.inf
    opacity = np.clip((field - threshold) * 2.0 + 0.3, 0.0, 1.0) * (field > threshold)
    return np.asarray(opacity if cover < 1 else np.ones(size), np.float32)


@cache
def _centre(mean: float) -> float:
    """Give the centre of the normal distribution whose values, cut to 0..1, have a mean.

    Examples
    --------
    >>> _centre(0.5), round(_centre(0.6), 2)
    (0.5, 0.67)
    """
    if mean in (0.0, 0.5, 1.0):
        return {0.0: -_FAR, 0.5: 0.5, 1.0: 1 + _FAR}[mean]

    def off(centre: float) -> float:
        low, high = -centre / _SPREAD, (1 - centre) / _SPREAD
        inside = centre * (ndtr(high) - ndtr(low)) + _SPREAD * (_density(low) - _density(high))
        return float(inside + 1 - ndtr(high) - mean)

    return float(brentq(off, -_FAR, 1 + _FAR))


def _density(x: float) -> float:
    return math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _sky(
    seed: int, moment: np.datetime64, size: Size, resolution: float, air: Air
) -> tuple[FloatArray, FloatArray]:
    """Draw the clouds of a day and their shadows: opacity of each, 0..1."""
    if not air.shadows:
        clouds = _clouds(_of_day(seed, "clouds", moment), size, resolution, air.clouds)
        return clouds, np.zeros_like(clouds)
    shift = shadow_shift(_of_day(seed, "cloud height", moment), *sun(moment, air.latitude), resolution)
    wide = Size(size.y + 2 * abs(shift[0]), size.x + 2 * abs(shift[1]))
    clouds = _clouds(_of_day(seed, "wide clouds", moment), wide, resolution, air.clouds)
    return shifted(clouds, (0, 0), size), shifted(clouds, shift, size)


def _index_on(day: np.datetime64, land: Landscape, changes: tuple[Change, ...]) -> NDArray[np.uint8]:
    """Give the class of each pixel on a day, changes included."""
    index = land.index.copy()
    for change in changes:
        if change.visible(day):
            index[change.mask] = cover_index(np.asarray(change.cover_at(day)))
    return index


def make_optical(
    seed: int,
    land: Landscape,
    changes: tuple[Change, ...],
    period: tuple[np.datetime64, np.datetime64],
    *,
    resolution: float,
    days: int,
    air: Air | None = None,
) -> OpticalImages:
    """Make Sentinel-2 images of 13 bands at the top of the atmosphere: class spectra with season and parcels.

    Grain, haze, clouds and their shadows lie over them.

    Parameters
    ----------
    seed : int
        Seed of the place.
    land : Landscape
        What covers the ground.
    changes : tuple of Change
        What changes; a changed pixel takes the spectrum of what it becomes.
    period : tuple of numpy.datetime64
        Start and end (not included).
    resolution : float
        Pixel size in m.
    days : int
        Days between passes.
    air : Air, optional
        Haze and shadows; none of both by default.

    Returns
    -------
    OpticalImages
        Without the days that are overcast everywhere, as a catalogue would have it.
    """
    size = Size(*land.index.shape)
    parcel_count = int(land.parcel.max()) + 1
    shade = 1 + 0.12 * stream(seed, "shade").standard_normal(parcel_count, dtype=np.float32)
    bright = np.clip(shade, 0.6, 1.4)[land.parcel]
    step = np.timedelta64(days, "D")
    days_flown = np.arange(period[0] + np.timedelta64(2, "D") + _PASS_HOUR, period[1], step)
    air = air or Air(0.0)
    skies = [_sky(seed, each, size, resolution, air) for each in days_flown]
    kept = [i for i, (cloud, shadow) in enumerate(skies) if ((cloud == 0) & (shadow == 0)).any()]
    time = days_flown[kept]
    reflectance = np.empty((time.size, len(OPTICAL_BANDS), *size), np.float32)
    clear = np.empty((time.size, *size), bool)
    for i, moment in enumerate(time):
        cloud, shadow = skies[kept[i]]
        ground = np.take(_spectra(moment), _index_on(moment, land, changes), axis=1) * bright
        rng = _of_day(seed, "grain", moment)
        ground += 0.004 * rng.standard_normal(ground.shape, dtype=np.float32)
        if air.shadows:
            ground *= 1 - _DARK[:, None, None] * shadow
        if air.haze:
            added, through = haze(_of_day(seed, "haze", moment), sun(moment, air.latitude)[0], air.haze)
            ground = ground * through[:, None, None] + added[:, None, None]
        reflectance[i] = np.clip(ground * (1 - cloud) + _CLOUD * cloud, 0.0, 1.0)
        clear[i] = (cloud == 0) & (shadow == 0)
    number = time.astype("datetime64[D]").astype(np.int64) // 5
    platform = tuple("S2A" if each % 2 == 0 else "S2B" for each in number)
    return OpticalImages(time.astype("datetime64[ns]"), platform, reflectance, clear)


def _of_day(seed: int, name: str, moment: np.datetime64) -> np.random.Generator:
    """Give the random stream of one part of one day's image."""
    return stream(seed, name, int(moment.astype("datetime64[D]").astype(np.int64)))
