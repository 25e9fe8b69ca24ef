"""How the ground answers the radar: geometry, water, frost, snow, wind and walls; all in dB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from terradelta.simulate.covers import COVERS, REFERENCE_ANGLE, Cover, cover_column
from terradelta.simulate.weather import MEAN_MOISTURE
from terradelta.types import FloatArray

__all__ = [
    "frost_db",
    "incidence_db",
    "moisture_db",
    "terrain_db",
    "urban_points_db",
    "wet_snow_db",
    "wind_db",
]


def incidence_db(incidence: FloatArray | float, exponent: FloatArray | float) -> FloatArray:
    """Darken gamma0 with the incidence angle by a power of its cosine, which differs by cover.

    sigma0 ~ cos(t)**N, hence gamma0 ~ cos(t)**(N - 1); N is 1 for a pure volume, 2 for a rough surface,
    larger for smooth ones (Ulaby, Moore & Fung 1982, *Microwave Remote Sensing* II; Mladenova et al.
    2013, IEEE TGRS 51(3) 1791-1804). At 38 degrees that is -0.06 * (N - 1) dB per degree.

    Parameters
    ----------
    incidence : ndarray or float
        Degrees.
    exponent : ndarray or float
        N, broadcast against `incidence`.

    Returns
    -------
    ndarray
        dB, 0 at 38 degrees.

    Examples
    --------
    >>> float(incidence_db(39.0, 2.0).round(2))
    -0.06
    """
    ratio = np.cos(np.deg2rad(incidence)) / np.cos(np.deg2rad(REFERENCE_ANGLE))
    return np.asarray(10.0 * (np.asarray(exponent) - 1.0) * np.log10(ratio))


def terrain_db(slope: FloatArray, incidence: FloatArray | float) -> FloatArray:
    """Brighten slopes that face the radar and darken those that turn away.

    Ellipsoid gamma0 of a facet of constant terrain gamma0: (1 + g tan t) / (1 - g / tan t), with g the
    slope along the look direction; the projection-angle form of the illuminated area (Ulander 1996, IEEE
    TGRS 34(5) 1115-1122; Small 2011, IEEE TGRS 49(8) 3081-3093). A slope of 10 degrees gives +1.7
    and -1.5 dB at 38 degrees. Layover and shadow are cut at +8 and -10 dB.

    Parameters
    ----------
    slope : ndarray
        Rise per metre in the direction in which the radar looks (positive = facing it).
    incidence : ndarray or float
        Ellipsoid incidence angle in degrees.

    Returns
    -------
    ndarray
        dB.

    Examples
    --------
    >>> terrain_db(np.tan(np.deg2rad([10.0, 0.0, -10.0])), 38.0).round(1).tolist()
    [1.7, 0.0, -1.5]
    """
    tangent = np.tan(np.deg2rad(incidence))
    lit = np.maximum(1.0 + slope * tangent, 0.1)
    area = np.maximum(1.0 - slope / tangent, 0.1)
    return np.asarray(np.clip(10.0 * np.log10(lit / area), -10.0, 8.0))


def moisture_db(moisture: float) -> FloatArray:
    """Brighten moist ground: 0.20 dB per vol.% on bare soil, 0.12 on fields, a third of that in forest.

    The sizes are in `CoverType.moisture` (El Hajj et al. 2019, Remote Sensing 11(1) 31); from dry to
    saturated soil this makes 4 to 7 dB in the open and 1.4 dB in forest, as rainy scenes do in real series.

    Parameters
    ----------
    moisture : float
        Top soil water in volume per cent.

    Returns
    -------
    ndarray, (band, cover)
        dB, 0 at 20 vol.%.

    Examples
    --------
    >>> float(moisture_db(30.0)[0, 4].round(3))
    2.0
    """
    return np.asarray(cover_column("moisture") * (moisture - MEAN_MOISTURE))


def frost_db(temperature: float) -> FloatArray:
    """Darken frozen ground: 3 dB on fields at -5 degrees, most of it between 0 and -5.

    Baghdadi et al. 2018, Remote Sensing 10(8) 1182: at least 2 dB between frozen and unfrozen
    agricultural soil, steepest between 0 and -5 degrees.

    Parameters
    ----------
    temperature : float
        Daily mean in degrees Celsius.

    Returns
    -------
    ndarray, (band, cover)
        dB, 0 above freezing.

    Examples
    --------
    >>> float(frost_db(-5.0)[0, 2]), float(abs(frost_db(1.0)).max())
    (-3.0, 0.0)
    """
    return np.asarray(cover_column("frost") * np.clip(-temperature / 5.0, 0.0, 1.0))


def wet_snow_db(temperature: float, snow_depth: float) -> FloatArray:
    """Darken melting snow: 4 dB in the open, 1 dB in forest; dry snow is transparent at C band.

    Nagler & Rott 2000, IEEE TGRS 38(2) 754-765 (3 dB threshold) and Nagler et al. 2016, Remote
    Sensing 8(4) 348 (2 dB): what lies that far below the reference image is wet snow.

    Parameters
    ----------
    temperature : float
        Daily mean in degrees Celsius; melting starts at -0.5 and is full at +1.
    snow_depth : float
        In cm; the cover is closed from 5 cm.

    Returns
    -------
    ndarray, (band, cover)
        dB.

    Examples
    --------
    >>> float(wet_snow_db(2.0, 10.0)[0, 1]), float(abs(wet_snow_db(-4.0, 10.0)).max())
    (-4.0, 0.0)
    """
    wet = np.clip((temperature + 0.5) / 1.5, 0.0, 1.0)
    closed = np.clip(snow_depth / 5.0, 0.0, 1.0)
    return np.asarray(cover_column("wet_snow") * wet * closed)


def wind_db(rng: np.random.Generator) -> FloatArray:
    """Roughen water by the wind of the day: standard deviation 2 dB in VV, 0.8 in VH.

    Bragg scattering grows with wind speed; a few dB between calm and breezy days on inland water
    (Ulaby, Moore & Fung 1982, *Microwave Remote Sensing* II).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws, one per pass.

    Returns
    -------
    ndarray, (band, cover)
        dB, 0 off the water.

    Examples
    --------
    >>> int(np.count_nonzero(wind_db(np.random.default_rng(0))))
    2
    """
    water = np.asarray([each.cover == Cover.WATER for each in COVERS])
    strength = float(np.clip(rng.normal(), -1.8, 1.8))
    return np.outer([2.0 * strength, 0.8 * strength], water)


def urban_points_db(rng: np.random.Generator, urban: NDArray[np.bool_], *, share: float = 0.10) -> FloatArray:
    """Scatter bright points over towns: corners of walls and ground, 6 dB and more above their street.

    Corner reflections of buildings show only from some directions (Koppel et al. 2017, International
    Journal of Remote Sensing 38(22) 6298-6318), so each orbit direction has its own set. Excess: 6 dB plus an
    exponential of mean 3 dB, at most 16 dB.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws, one per orbit direction.
    urban : ndarray of bool, (y, x)
        Where towns are.
    share : float
        Part of the pixels that hold such a point.

    Returns
    -------
    ndarray, (y, x), float32
        dB, 0 off the points.

    Examples
    --------
    >>> points = urban_points_db(np.random.default_rng(0), np.ones((50, 50), bool))
    >>> float(points[points > 0].min()) >= 6.0
    True
    """
    dice = rng.random(urban.shape, dtype=np.float32)
    height = 6.0 + 3.0 * rng.standard_exponential(urban.shape, dtype=np.float32)
    return np.where((dice < share) & urban, np.minimum(height, 16.0), 0.0).astype(np.float32)
