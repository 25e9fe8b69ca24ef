"""How plants change the radar signal through the year; all in dB."""

from __future__ import annotations

import numpy as np

from terradelta.types import FloatArray

__all__ = ["crops_db", "foliage_db", "leaf"]


def leaf(day_of_year: float) -> float:
    """Say how far the leaves are out: 0 in winter, 1 in summer (northern mid-latitudes).

    Parameters
    ----------
    day_of_year : float
        1 January = 0.

    Returns
    -------
    float

    Examples
    --------
    >>> round(leaf(10), 2), round(leaf(115), 2), round(leaf(200), 2)
    (0.0, 0.5, 1.0)
    """
    out = 1.0 / (1.0 + np.exp(-(day_of_year - 115.0) / 8.0))
    off = 1.0 / (1.0 + np.exp(-(day_of_year - 298.0) / 8.0))
    return float(out - off)


def foliage_db(day_of_year: float, deciduous: FloatArray, forest: FloatArray) -> FloatArray:
    """Turn forest with the seasons: deciduous 1 dB darker in VH in leaf, coniferous 0.6 dB brighter.

    Rüetschi, Schaepman & Small 2018, Remote Sensing 10(1) 55, and Dostálová et al. 2018, International
    Journal of Remote Sensing 39(21) 7738-7760: opposite seasons of the two kinds, about 1 dB, half in VV.

    Parameters
    ----------
    day_of_year : float
        1 January = 0.
    deciduous : ndarray, (y, x)
        Share of deciduous trees, 0..1.
    forest : ndarray, (y, x)
        1 in forest, 0 elsewhere.

    Returns
    -------
    ndarray, (band, y, x), float32
        dB.

    Examples
    --------
    >>> foliage_db(200, np.ones((1, 1)), np.ones((1, 1))).ravel().round(2).tolist()
    [-0.5, -1.0]
    """
    summer = (0.6 - 1.6 * deciduous) * forest * leaf(day_of_year)
    return np.asarray([0.5 * summer, summer], np.float32)


def crops_db(day_of_year: float, winter_crop: FloatArray, shift: FloatArray) -> FloatArray:
    """Let crops grow: cereals dip 4 dB in VV in May, maize rises 4 dB in VH in August.

    Veloso et al. 2017, Remote Sensing of Environment 199, 415-426: in VV the upright stems of cereals
    weaken the soil's return; the canopy of summer crops adds volume scattering, most in VH.

    Parameters
    ----------
    day_of_year : float
        1 January = 0.
    winter_crop : ndarray, (parcel,)
        1 for winter cereals, 0 for summer crops.
    shift : ndarray, (parcel,)
        Days by which each parcel is later.

    Returns
    -------
    ndarray, (band, parcel), float32
        dB.

    Examples
    --------
    >>> crops_db(135, np.array([1.0]), np.array([0.0])).ravel().round(1).tolist()
    [-4.0, -1.5]
    """
    day = day_of_year - shift
    cereal = np.exp(-0.5 * ((day - 135.0) / 25.0) ** 2) * winter_crop
    maize = np.exp(-0.5 * ((day - 220.0) / 30.0) ** 2) * (1.0 - winter_crop)
    return np.asarray([-4.0 * cereal + 1.5 * maize, -1.5 * cereal + 4.0 * maize], np.float32)
