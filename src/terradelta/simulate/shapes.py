"""Outlines of changes and test discs on a raster."""

from __future__ import annotations

import numpy as np
from affine import Affine
from scipy import ndimage

from terradelta.errors import InputError
from terradelta.types import BoolArray, FloatArray, Offset, Size

__all__ = ["blob", "discs", "offset_change", "outline_wkt", "rectangle"]


def _polar(size: Size, centre: Offset) -> tuple[FloatArray, FloatArray]:
    """Give each pixel's distance from and angle around a centre."""
    y, x = np.ogrid[: size.y, : size.x]
    return np.hypot(y - centre.y, x - centre.x), np.arctan2(y - centre.y, x - centre.x)


def blob(rng: np.random.Generator, size: Size, centre: Offset, radius: float) -> BoolArray:
    """Draw an irregular round outline.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    size : Size
        Rows and columns.
    centre : Offset
        Row and column of the middle.
    radius : float
        Mean radius in pixels.

    Returns
    -------
    ndarray of bool, (y, x)

    Examples
    --------
    >>> bool(blob(np.random.default_rng(0), Size(20, 20), Offset(10, 10), 5.0)[10, 10])
    True
    """
    distance, angle = _polar(size, centre)
    edge = np.ones_like(angle)
    for wave in range(2, 7):
        edge = edge + rng.normal(0, 0.22 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.asarray(distance <= radius * np.maximum(edge, 0.3))


def rectangle(rng: np.random.Generator, size: Size, centre: Offset, radius: float) -> BoolArray:
    """Draw a turned rectangle, as of a building, a lot or a felling.

    Parameters
    ----------
    rng, size, centre, radius
        As in `blob`; the rectangle has about the area of the circle.

    Returns
    -------
    ndarray of bool, (y, x)

    Examples
    --------
    >>> bool(rectangle(np.random.default_rng(0), Size(20, 20), Offset(10, 10), 5.0)[10, 10])
    True
    """
    y, x = np.ogrid[: size.y, : size.x]
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.6)
    along = (x - centre.x) * np.cos(turn) + (y - centre.y) * np.sin(turn)
    across = (y - centre.y) * np.cos(turn) - (x - centre.x) * np.sin(turn)
    half = radius * 0.89
    return np.asarray((np.abs(along) <= half * stretch) & (np.abs(across) <= half / stretch))


def discs(
    size: Size,
    count: int,
    radius: tuple[float, float],
    rng: np.random.Generator,
    allowed: BoolArray | None = None,
) -> BoolArray:
    """Draw discs that touch neither each other nor the raster's border.

    Parameters
    ----------
    size : Size
        Rows and columns.
    count : int
        How many.
    radius : tuple of float
        Smallest and largest radius in pixels; each disc's is drawn evenly between them.
    rng : numpy.random.Generator
        Source of the draws.
    allowed : ndarray of bool, (y, x), optional
        Pixels a disc may cover (it keeps a pixel away from all others); all by default.

    Returns
    -------
    ndarray of bool, (y, x)

    Raises
    ------
    InputError
        If there is no room, or the mask has another size.

    Examples
    --------
    >>> mask = discs(Size(100, 100), 3, (6, 11), np.random.default_rng(0))
    >>> int(ndimage.label(mask)[1])
    3
    """
    free = np.ones(size, bool) if allowed is None else np.array(allowed, bool)
    if free.shape != tuple(size):
        raise InputError(f"allowed mask is {free.shape}; give one of the raster's size {tuple(size)}")
    mask = np.zeros(size, bool)
    for number in range(1, count + 1):
        wanted = float(rng.uniform(*radius))
        room = ndimage.distance_transform_edt(np.pad(free, 1))[1:-1, 1:-1]
        centres = np.argwhere(room > wanted + 1.0)
        if centres.size == 0:
            raise InputError(
                f"no room for disc {number} of {count}, radius {wanted:.1f}; give fewer or smaller ones"
            )
        distance, _ = _polar(size, Offset(*centres[rng.integers(len(centres))]))
        mask |= distance <= wanted
        free &= distance > wanted + 2.0
    return mask


def offset_change(linear: FloatArray, mask: BoolArray, decibel: float | FloatArray) -> FloatArray:
    """Put an offset change into backscatter.

    Parameters
    ----------
    linear : ndarray, (..., y, x)
        Linear power.
    mask : ndarray of bool, (y, x)
        Where it changes.
    decibel : float or ndarray
        Offset in dB; an array is broadcast against the leading axes, so (band,) for one value per band.

    Returns
    -------
    ndarray, same shape and dtype
        A copy; untouched to the last bit outside the mask.

    Raises
    ------
    InputError
        If the mask does not fit.

    Examples
    --------
    >>> offset_change(np.ones((2, 1, 2)), np.array([[True, False]]), np.array([10.0, 20.0])).tolist()
    [[[10.0, 1.0]], [[100.0, 1.0]]]
    """
    if linear.shape[-2:] != mask.shape:
        raise InputError(f"mask is {mask.shape}; give one of the image's size {linear.shape[-2:]}")
    factor = np.asarray(10.0 ** (np.asarray(decibel, np.float64) / 10.0), linear.dtype)
    return np.where(mask, linear * factor[..., None, None], linear)


def outline_wkt(mask: BoolArray, transform: Affine) -> str:
    """Trace a mask along its pixel edges.

    Parameters
    ----------
    mask : ndarray of bool, (y, x)
        Inside.
    transform : affine.Affine
        From column and row to map coordinates.

    Returns
    -------
    str
        WKT of a polygon or multi-polygon in map coordinates.

    Examples
    --------
    >>> outline_wkt(np.array([[True]]), Affine.scale(10.0))
    'POLYGON ((0 0, 0 10, 10 10, 10 0, 0 0))'
    """
    import shapely
    from rasterio.features import shapes

    traced = shapes(mask.astype(np.uint8), mask, transform=transform)
    pieces = [shapely.geometry.shape(each) for each, _ in traced]
    return str(shapely.to_wkt(shapely.union_all(pieces), rounding_precision=3))
