"""Daily weather with seasons, and the soil moisture that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terradelta.simulate.streams import stream
from terradelta.types import FloatArray

__all__ = ["MEAN_MOISTURE", "Weather", "day_of_year", "make_weather", "soil_moisture"]

MEAN_MOISTURE = 20.0
_COLDEST = 20.0
_RAIN_AFTER_DRY, _RAIN_AFTER_RAIN = 0.28, 0.60
_RAIN_SHAPE, _RAIN_SCALE = 0.75, 6.0
_MELT = 4.0


@dataclass(frozen=True, eq=False)
class Weather:
    """Daily weather; all arrays are (day,).

    Attributes
    ----------
    day : ndarray of datetime64[D]
        The days, in order and without gaps.
    temperature : ndarray of float32
        Daily mean in degrees Celsius.
    precipitation : ndarray of float32
        Rain and snow in mm per day.
    snow_depth : ndarray of float32
        Depth of lying snow in cm.
    moisture : ndarray of float32
        Water in the top soil in volume per cent.
    """

    day: NDArray[np.datetime64]
    temperature: FloatArray
    precipitation: FloatArray
    snow_depth: FloatArray
    moisture: FloatArray


def day_of_year(day: NDArray[np.datetime64] | np.datetime64) -> FloatArray:
    """Give the day of the year, 1 January = 0.

    Parameters
    ----------
    day : ndarray of datetime64

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> float(day_of_year(np.datetime64("2020-02-01")))
    31.0
    """
    whole = np.asarray(day, "datetime64[D]")
    return np.asarray((whole - whole.astype("datetime64[Y]")).astype(np.float64))


def _temperature(rng: np.random.Generator, season: FloatArray, mean: float, amplitude: float) -> FloatArray:
    """Draw a yearly wave with weather of a few days' memory on it."""
    shocks = rng.normal(0.0, 3.2 * np.sqrt(1 - 0.75**2), season.size)
    weather = np.zeros(season.size)
    for i in range(1, season.size):
        weather[i] = 0.75 * weather[i - 1] + shocks[i]
    return np.asarray(mean - amplitude * np.cos(2 * np.pi * (season - _COLDEST) / 365.25) + weather)


def _rain(rng: np.random.Generator, days: int) -> FloatArray:
    """Draw rain as a two-state Markov chain with gamma amounts."""
    dice, amounts = rng.random(days), rng.gamma(_RAIN_SHAPE, _RAIN_SCALE, days)
    wet = np.zeros(days, bool)
    for i in range(1, days):
        wet[i] = dice[i] < (_RAIN_AFTER_RAIN if wet[i - 1] else _RAIN_AFTER_DRY)
    return np.where(wet, amounts, 0.0)


def _snow(temperature: FloatArray, precipitation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pile snow up below 0.5 degrees and melt it by degree days; give depth (cm) and water let out (mm)."""
    lying, depth, water = 0.0, np.zeros(temperature.size), np.zeros(temperature.size)
    for i, (warmth, fall) in enumerate(zip(temperature, precipitation, strict=True)):
        snowing = fall if warmth < 0.5 else 0.0
        melt = min(lying, _MELT * max(warmth, 0.0))
        lying += snowing - melt
        depth[i], water[i] = lying * 0.6, fall - snowing + melt
    return depth, water


def soil_moisture(season: FloatArray, water: FloatArray) -> FloatArray:
    """Follow the water in the top soil by an antecedent precipitation index.

    Yesterday's index shrinks by a tenth in winter and a quarter in summer, today's water is added
    (Kohler & Linsley 1951; an exponential memory of soil is also what Wagner et al. 1999,
    Remote Sensing of Environment 70, use for radar).

    Parameters
    ----------
    season : ndarray, (day,)
        Day of the year.
    water : ndarray, (day,)
        Rain and melt water in mm per day.

    Returns
    -------
    ndarray, (day,), float64
        Volume per cent, 6 (dry) to 42 (saturated).

    Examples
    --------
    >>> soil_moisture(np.zeros(3), np.array([0.0, 20.0, 0.0])).round(1).tolist()
    [14.9, 31.9, 29.2]
    """
    keep = 0.825 + 0.075 * np.cos(2 * np.pi * (season - _COLDEST) / 365.25)
    index, moisture = 11.0, np.zeros(season.size)
    for i in range(season.size):
        index = min(index * keep[i] + water[i], 40.0)
        moisture[i] = 6.0 + 0.9 * index
    return moisture


def make_weather(
    seed: int, first: np.datetime64, last: np.datetime64, *, mean: float, amplitude: float
) -> Weather:
    """Draw daily weather of a temperate climate.

    Rain is a Markov chain of wet and dry days with gamma amounts, temperature a yearly wave with
    autoregressive noise (Richardson 1981, Water Resources Research 17(1) 182-190), snow a degree-day model.

    Parameters
    ----------
    seed : int
        Seed of the place.
    first, last : numpy.datetime64
        First and last day, both included.
    mean, amplitude : float
        Yearly mean temperature and half the difference between summer and winter in degrees Celsius.

    Returns
    -------
    Weather

    Examples
    --------
    >>> sky = make_weather(0, np.datetime64("2020-01-01"), np.datetime64("2020-12-31"), mean=8, amplitude=9)
    >>> sky.day.size
    366
    """
    one = np.timedelta64(1, "D")
    day = np.arange(first.astype("datetime64[D]"), last.astype("datetime64[D]") + one, one)
    season = day_of_year(day)
    temperature = _temperature(stream(seed, "temperature"), season, mean, amplitude)
    precipitation = _rain(stream(seed, "rain"), day.size)
    depth, water = _snow(temperature, precipitation)
    moisture = soil_moisture(season, water)
    columns = (np.asarray(each, np.float32) for each in (temperature, precipitation, depth, moisture))
    return Weather(day, *columns)
