"""Land cover classes and how each one looks to a C-band radar."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from terradelta.types import FloatArray

__all__ = ["BANDS", "COVERS", "REFERENCE_ANGLE", "Cover", "CoverType", "cover_column", "cover_index"]

BANDS = ("VV", "VH")
REFERENCE_ANGLE = 38.0
PerBand: TypeAlias = tuple[float, float]


class Cover(IntEnum):
    """Codes of the land cover raster: those of ESA WorldCover (Zanaga et al. 2021).

    Examples
    --------
    >>> Cover(80).name
    'WATER'
    """

    FOREST = 10
    GRASS = 30
    FIELD = 40
    URBAN = 50
    BARE = 60
    WATER = 80


@dataclass(frozen=True)
class CoverType:
    """Radar properties of one land cover class; every pair is (VV, VH).

    Attributes
    ----------
    cover : Cover
        The class.
    level : tuple of float
        gamma0 in dB at 38 degrees of incidence, moderately moist, leaves off.
    exponent : tuple of float
        N in sigma0 ~ cos(incidence)**N.
    moisture : tuple of float
        dB per volume per cent of soil moisture.
    frost : tuple of float
        dB of hard frost (-5 degrees Celsius and below).
    wet_snow : tuple of float
        dB of a closed, melting snow cover.
    texture : float
        Standard deviation in dB between places of the same class.

    Notes
    -----
    The moisture column follows El Hajj et al. 2019 (Remote Sensing 11(1) 31: 0.12 dB per vol.% in both
    bands under open vegetation, none under dense), more on bare soil and a little in forest; the frost
    column Baghdadi et al. 2018 (Remote Sensing 10(8) 1182: at least 2 dB on fields); the snow column
    Nagler et al. 2016 (Remote Sensing 8(4) 348: wet snow is what lies 2 dB or more below the reference).
    """

    cover: Cover
    level: PerBand
    exponent: PerBand
    moisture: PerBand
    frost: PerBand
    wet_snow: PerBand
    texture: float


COVERS = (
    CoverType(Cover.FOREST, (-8.0, -13.8), (1.3, 1.2), (0.04, 0.04), (-1.5, -2.0), (-1.0, -1.2), 0.5),
    CoverType(Cover.GRASS, (-11.0, -17.5), (2.2, 1.7), (0.12, 0.10), (-2.5, -2.5), (-4.0, -4.0), 0.8),
    CoverType(Cover.FIELD, (-10.3, -16.8), (2.2, 1.7), (0.12, 0.12), (-3.0, -2.5), (-4.0, -4.0), 1.2),
    CoverType(Cover.URBAN, (-6.5, -12.5), (1.6, 1.4), (0.02, 0.02), (-0.3, -0.3), (-1.0, -1.0), 2.0),
    CoverType(Cover.BARE, (-12.0, -19.0), (2.6, 2.0), (0.20, 0.15), (-3.0, -2.5), (-4.0, -4.0), 1.0),
    CoverType(Cover.WATER, (-21.0, -27.0), (8.0, 3.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), 0.3),
)


def cover_index(land_cover: NDArray[np.integer]) -> NDArray[np.intp]:
    """Turn class codes into positions in `COVERS`.

    Parameters
    ----------
    land_cover : ndarray of int, any shape
        Codes of `Cover`.

    Returns
    -------
    ndarray of int, same shape

    Examples
    --------
    >>> cover_index(np.array([10, 80])).tolist()
    [0, 5]
    """
    return np.asarray(np.searchsorted([int(each.cover) for each in COVERS], land_cover))


def cover_column(name: str) -> FloatArray:
    """Give one property of all classes as an array.

    Parameters
    ----------
    name : str
        A field of `CoverType` with a (VV, VH) pair.

    Returns
    -------
    ndarray, (band, cover), float32

    Examples
    --------
    >>> cover_column("level").shape
    (2, 6)
    """
    return np.asarray([getattr(each, name) for each in COVERS], np.float32).T
