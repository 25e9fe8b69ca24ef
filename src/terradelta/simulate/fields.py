"""Random fields: fractal surfaces, smooth patterns and parcels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import cKDTree

from terradelta.types import FloatArray, Size

__all__ = ["fractal", "parcels", "pixel_centres", "smooth"]


def fractal(
    rng: np.random.Generator, size: Size, resolution: float, *, scale: float, roughness: float = 1.9
) -> FloatArray:
    """Draw a fractal surface by spectral synthesis.

    White noise is filtered so that its amplitude falls as wave number to the power ``-roughness``
    below the largest wavelength (Saupe, in Peitgen & Saupe, *The Science of Fractal Images*, 1988;
    roughness = H + 1 for a surface of Hurst exponent H).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    size : Size
        Rows and columns.
    resolution : float
        Pixel size in m.
    scale : float
        Largest wavelength in m.
    roughness : float
        Fall-off; larger is smoother.

    Returns
    -------
    ndarray, (y, x), float32
        Mean 0, standard deviation 1.

    Examples
    --------
    >>> fractal(np.random.default_rng(0), Size(8, 9), 20.0, scale=100.0).shape
    (8, 9)
    """
    # drawn larger than asked for: the spectral method repeats itself, opposite edges would match
    shape = tuple(fft.next_fast_len(n + min(n, 128), real=True) for n in size)
    noise = rng.standard_normal(shape, dtype=np.float32)
    ky = fft.fftfreq(shape[0], resolution)[:, None]
    kx = fft.rfftfreq(shape[1], resolution)[None, :]
    amplitude = (np.hypot(ky, kx) ** 2 + scale**-2) ** (-roughness / 2)
    amplitude[0, 0] = 0.0
    field = fft.irfft2(fft.rfft2(noise) * amplitude.astype(np.float32), s=shape)[: size.y, : size.x]
    field = field - field.mean()
    return np.asarray(field / max(float(field.std()), 1e-12), np.float32)


def smooth(rng: np.random.Generator, size: Size, resolution: float, *, scale: float) -> FloatArray:
    """Draw a smooth pattern without fine detail (mean 0, standard deviation 1).

    Parameters
    ----------
    rng, size, resolution, scale
        As in `fractal`.

    Returns
    -------
    ndarray, (y, x), float32

    Examples
    --------
    >>> round(float(smooth(np.random.default_rng(0), Size(8, 8), 20.0, scale=100.0).std()), 3)
    1.0
    """
    return fractal(rng, size, resolution, scale=scale, roughness=5.0)


def pixel_centres(size: Size, resolution: float) -> tuple[FloatArray, FloatArray]:
    """Give each pixel's distance east and north of the raster's centre in m.

    Parameters
    ----------
    size : Size
        Rows and columns.
    resolution : float
        Pixel size in m.

    Returns
    -------
    east, north : ndarray, (y, x), float32

    Examples
    --------
    >>> east, north = pixel_centres(Size(2, 2), 10.0)
    >>> east[0].tolist(), north[:, 0].tolist()
    ([-5.0, 5.0], [5.0, -5.0])
    """
    row = (np.arange(size.y, dtype=np.float32) - (size.y - 1) / 2) * resolution
    column = (np.arange(size.x, dtype=np.float32) - (size.x - 1) / 2) * resolution
    north, east = np.meshgrid(-row, column, indexing="ij")
    return east, north


def parcels(
    rng: np.random.Generator, size: Size, resolution: float, *, width: float, stretch: float = 2.0
) -> NDArray[np.int32]:
    """Cut the ground into parcels: elongated cells around jittered lattice points.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    size : Size
        Rows and columns.
    resolution : float
        Pixel size in m.
    width : float
        Mean width of a parcel in m.
    stretch : float
        Length over width.

    Returns
    -------
    ndarray, (y, x), int32
        Number of the parcel, 0 up, without gaps.

    Examples
    --------
    >>> int(parcels(np.random.default_rng(0), Size(20, 20), 20.0, width=100.0).min())
    0
    """
    east, north = pixel_centres(size, resolution)
    turn = rng.uniform(0, np.pi)
    along = (east * np.cos(turn) + north * np.sin(turn)) / stretch
    across = north * np.cos(turn) - east * np.sin(turn)
    reach = float(np.hypot(size.y, size.x)) * resolution / 2 + width
    grid = np.arange(-reach, reach, width)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    points = points + rng.uniform(-0.42, 0.42, points.shape) * width
    nearest = cKDTree(points).query(np.stack([along.ravel(), across.ravel()], axis=-1), p=np.inf)[1]
    numbers = np.unique(nearest, return_inverse=True)[1]
    return numbers.reshape(size).astype(np.int32)
