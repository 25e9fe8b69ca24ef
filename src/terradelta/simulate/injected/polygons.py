"""Random polygons on a raster: the outlines of simulated changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.types import BoolArray, Size

__all__ = ["random_polygon", "random_shape", "rasterise"]


def random_polygon(
    rng: np.random.Generator,
    box: float = 100,
    corners: int = 16,
    irregularity: float = 0.35,
    spikiness: float = 0.2,
) -> NDArray[np.float64]:
    """Draw the corners of an irregular polygon around the middle of a box.

    The angles between the corners are drawn evenly around ``2 pi / corners``, the radii from a normal
    distribution around a quarter of the box, cut at 0 and at half of the box.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    box : float
        Side of the box in pixels.
    corners : int
        How many, at least 3.
    irregularity : float
        Largest deviation of an angle as a share of the mean angle, 0 to 1.
    spikiness : float
        Standard deviation of the radius as a share of the mean radius, 0 or more.

    Returns
    -------
    ndarray of float64, (corner, 2)
        x and y in pixels.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Notes
    -----
    Settings of Alatalo et al. 2023 (IEEE TGRS 61), as the defaults.

    Examples
    --------
    >>> random_polygon(np.random.default_rng(0)).shape
    (16, 2)
    """
    check_polygon(box, corners, irregularity, spikiness)
    mean_step, mean_radius = 2 * np.pi / corners, box / 4
    steps = mean_step * rng.uniform(1 - irregularity, 1 + irregularity, corners)
    steps *= 2 * np.pi / steps.sum()
    angles = rng.uniform(0, 2 * np.pi) + np.concatenate([[0.0], np.cumsum(steps[:-1])])
    radii = np.clip(rng.normal(mean_radius, spikiness * mean_radius, corners), 0, 2 * mean_radius)
    corners_xy = box / 2 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(corners_xy, np.float64)


def check_polygon(box: float, corners: int, irregularity: float, spikiness: float) -> None:
    """Raise `InputError` for a parameter of `random_polygon` that is out of range."""
    if not (np.isfinite(box) and box >= 1):
        raise InputError(f"box is {box!r}; give a side of at least 1 pixel")
    if isinstance(corners, bool) or not isinstance(corners, int | np.integer) or corners < 3:
        raise InputError(f"corners is {corners!r}; give a whole number of at least 3")
    if not 0 <= irregularity < 1:
        raise InputError(f"irregularity is {irregularity!r}; give 0 or more, below 1")
    if not (np.isfinite(spikiness) and spikiness >= 0):
        raise InputError(f"spikiness is {spikiness!r}; give a number from 0 on")


def rasterise(vertices: NDArray[Any], size: Size | tuple[int, int]) -> BoolArray:
    """Fill a polygon on a raster; its outline is drawn as well as its inside.

    Parameters
    ----------
    vertices : ndarray, (corner, 2)
        x and y in pixels; parts outside the raster are cut off.
    size : Size or tuple of int
        Rows and columns.

    Returns
    -------
    ndarray of bool, (y, x)

    Raises
    ------
    InputError
        If the vertices are not (corner, 2) with at least 3 corners and finite.

    Notes
    -----
    Drawn by Pillow's ``ImageDraw.polygon``, as the published program does.

    Examples
    --------
    >>> rasterise(np.array([[0, 0], [2, 0], [2, 2], [0, 2]]), (4, 4)).sum().item()
    9
    """
    from PIL import Image, ImageDraw

    points = np.asarray(vertices, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise InputError(f"vertices are {points.shape}; give finite x and y of at least 3 corners")
    rows, columns = size
    picture = Image.new("L", (int(columns), int(rows)), 0)
    ImageDraw.Draw(picture).polygon([(x, y) for x, y in points.tolist()], outline=1, fill=1)
    return np.asarray(picture) > 0


def random_shape(
    rng: np.random.Generator,
    box: int = 100,
    corners: int = 16,
    irregularity: float = 0.35,
    spikiness: float = 0.2,
) -> BoolArray:
    """Draw a random polygon as a raster of its box.

    Parameters
    ----------
    rng, box, corners, irregularity, spikiness
        As in `random_polygon`; box in whole pixels.

    Returns
    -------
    ndarray of bool, (box, box)

    Raises
    ------
    InputError
        As in `random_polygon`.

    Examples
    --------
    >>> shape = random_shape(np.random.default_rng(0))
    >>> shape.shape, bool(shape[50, 50])
    ((100, 100), True)
    """
    return rasterise(random_polygon(rng, box, corners, irregularity, spikiness), (int(box), int(box)))
