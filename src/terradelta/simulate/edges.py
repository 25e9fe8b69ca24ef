"""How the borders of forest look from the radar's side: a bright front and a shadow behind; all in dB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from terradelta.simulate.covers import Cover
from terradelta.types import BoolArray, FloatArray

__all__ = ["TREE_HEIGHT", "edges_db", "shadow_length"]

TREE_HEIGHT = 20.0
"""Height of the trees in m: a choice, that of grown forest."""

_OPEN = (Cover.GRASS, Cover.FIELD, Cover.BARE, Cover.WATER)
_SHADOW = 0.25


def shadow_length(incidence: FloatArray | float, height: float = TREE_HEIGHT) -> FloatArray:
    """Give the length of the shadow that upright things throw on level ground.

    Parameters
    ----------
    incidence : ndarray or float
        Degrees.
    height : float
        In m.

    Returns
    -------
    ndarray
        ``height * tan(incidence)`` in m.

    Examples
    --------
    >>> shadow_length(np.array([31.2, 38.6, 43.2])).round(1).tolist()
    [12.1, 16.0, 18.8]
    """
    return np.asarray(height * np.tan(np.deg2rad(incidence)))


def edges_db(
    land_cover: NDArray[np.integer],
    incidence: FloatArray,
    azimuth: float,
    resolution: float,
    *,
    height: float = TREE_HEIGHT,
) -> FloatArray:
    """Brighten the edges of forest that face the radar and darken the open land behind the others.

    Behind a forest, as the radar sees it, open land lies in shadow over ``height * tan(incidence)``. The
    front that faces the radar catches the very part of the beam that is missing there: as much as a strip of
    level forest of the same length. A strip of that length along the edge therefore shows twice its power.
    Both lie on the other side for the other orbit direction and grow with the incidence angle.

    That shadows of forest edges are seen at C band is published: Bouvet et al. 2018, Remote Sensing 10(8)
    1250 (Sentinel-1, new shadows at the border of felled forest); Hirosawa, ISPRS Commission VII (clear at C
    and X band, absent at L band). The sizes follow from the geometry and from three choices: the trees'
    height; a quarter of the power left in the shadow (-6 dB; crowns are no wall); the same in VV and VH.
    A pixel that is covered in part changes by its share: 20 m pixels at 38 degrees by +2.5 and -3.8 dB.

    Parameters
    ----------
    land_cover : ndarray of int, (y, x)
        Codes of `Cover`, north up. Towns neither throw nor take a shadow here.
    incidence : ndarray, (y, x)
        Degrees.
    azimuth : float
        Direction in which the radar looks, in degrees clockwise from north.
    resolution : float
        Pixel size in m.
    height : float
        Of the trees in m.

    Returns
    -------
    ndarray, (y, x), float32
        dB; 0 away from the edges.

    Examples
    --------
    >>> row = np.array([[40, 40, 40, 10, 10, 10, 10, 40, 40, 40]])
    >>> edges_db(row, np.full((1, 10), 38.0), 90.0, 20.0).astype(float).round(1).tolist()
    [[0.0, 0.0, 0.0, 2.5, 0.0, 0.0, 0.0, -3.8, 0.0, 0.0]]
    """
    forest, open_land = land_cover == Cover.FOREST, np.isin(land_cover, [int(each) for each in _OPEN])
    reach = shadow_length(incidence, height) / resolution
    front = np.where(forest, _met(open_land, reach, azimuth), 0.0)
    shadow = np.where(open_land, _met(forest, reach, azimuth), 0.0)
    return np.asarray(10.0 * np.log10((1.0 + front) * (1.0 - (1.0 - _SHADOW) * shadow)), np.float32)


def _met(mask: BoolArray, reach: FloatArray, azimuth: float) -> FloatArray:
    """Give the share of each pixel from which the way to the radar meets a mask within a reach in pixels."""
    angle = np.deg2rad(azimuth)
    rows, columns = np.indices(mask.shape, np.float32)
    steps = int(np.ceil(reach.max()))
    met = np.zeros(mask.shape, np.float32)
    for step in range(1, steps + 1):
        away = reach * (step / steps)
        # the mask seen from a shifted pixel, linear between pixels: its share of that pixel's area
        place = (rows + away * np.cos(angle), columns - away * np.sin(angle))
        seen = ndimage.map_coordinates(mask.astype(np.float32), place, order=1, mode="nearest")
        met = np.maximum(met, seen)
    return np.clip(met, 0.0, 1.0)
