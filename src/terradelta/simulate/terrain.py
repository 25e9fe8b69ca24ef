"""Terrain with a river valley, and its slope as a radar sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from terradelta.simulate.fields import fractal, smooth
from terradelta.simulate.streams import stream
from terradelta.types import FloatArray, Size

__all__ = ["Terrain", "make_terrain", "slope_along"]

_FLOOR = 150.0
_VALLEY = 500.0


@dataclass(frozen=True, eq=False)
class Terrain:
    """The ground of a place.

    Attributes
    ----------
    dem : ndarray, (y, x), float32
        Elevation in m.
    river_distance : ndarray, (y, x), float32
        Distance to the river's middle line in m.
    """

    dem: FloatArray
    river_distance: FloatArray


def _river_distance(seed: int, size: Size, resolution: float) -> FloatArray:
    """Give the distance to a winding line: where a smooth field crosses its median."""
    field = smooth(stream(seed, "river"), size, resolution, scale=5000.0)
    high = field > np.median(field)
    line = high ^ ndimage.binary_erosion(high, border_value=1)
    return np.asarray(ndimage.distance_transform_edt(~line, sampling=resolution), np.float32)


def make_terrain(seed: int, size: Size, resolution: float, *, relief: float) -> Terrain:
    """Make fractal hills with a flat river valley cut into them.

    Parameters
    ----------
    seed : int
        Seed of the place.
    size : Size
        Rows and columns.
    resolution : float
        Pixel size in m.
    relief : float
        Height of the highest hill above the valley floor in m.

    Returns
    -------
    Terrain

    Examples
    --------
    >>> ground = make_terrain(0, Size(32, 32), 20.0, relief=200.0)
    >>> bool(ground.dem.max() > ground.dem.min())
    True
    """
    hills = fractal(stream(seed, "hills"), size, resolution, scale=3000.0, roughness=2.1)
    hills = (hills - hills.min()) / max(float(np.ptp(hills)), 1e-6)
    distance = _river_distance(seed, size, resolution)
    valley = 1.0 - np.exp(-((distance / _VALLEY) ** 2))
    return Terrain(np.asarray(_FLOOR + relief * hills * valley, np.float32), distance)


def slope_along(dem: FloatArray, resolution: float, azimuth: float) -> FloatArray:
    """Give the rise of the ground per metre in one compass direction.

    Parameters
    ----------
    dem : ndarray, (y, x)
        Elevation in m, north up.
    resolution : float
        Pixel size in m.
    azimuth : float
        Direction in degrees clockwise from north.

    Returns
    -------
    ndarray, (y, x), float32
        Tangent of the slope; positive where the ground rises in that direction.

    Examples
    --------
    >>> hillside = np.tile(np.arange(4.0) * 5, (4, 1))
    >>> float(slope_along(hillside, 10.0, 90.0)[1, 1].round(6))
    0.5
    """
    south, east = np.gradient(dem.astype(np.float32), resolution)
    angle = np.deg2rad(azimuth)
    return np.asarray(east * np.sin(angle) - south * np.cos(angle), np.float32)
