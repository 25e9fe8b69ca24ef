"""Which previous image a plain difference is taken against, and which samples make a fair test."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.types import BoolArray

__all__ = [
    "CHOICES",
    "Choice",
    "choose",
    "is_descending",
    "latest",
    "nearest_geometry",
    "same_direction",
    "why_unfair",
    "wrap_heading",
]

Choice = Literal["nearest-geometry", "same-direction", "latest"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
"""The ways to choose a previous image, best first after the published comparison."""

_LARGEST_ANGLE = 1.0


def wrap_heading(heading: ArrayLike) -> NDArray[np.float64]:
    """Bring flight directions into -180..180 degrees.

    Parameters
    ----------
    heading : array_like
        Degrees clockwise from north, -180..360; NaN = unknown.

    Returns
    -------
    ndarray
        Degrees, values within -180..180 unchanged.

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> wrap_heading([-166.5, 193.5, 346.0]).tolist()
    [-166.5, -166.5, -14.0]
    """
    degrees = np.asarray(heading, np.float64)
    wrong = degrees[(degrees < -180) | (degrees > 360) | np.isinf(degrees)]
    if wrong.size:
        raise InputError(f"heading {wrong[0]:g} is no direction; give degrees from north within -180..180")
    return np.where(degrees > 180, degrees - 360, degrees)


def is_descending(heading: ArrayLike, *, as_published: bool = False) -> BoolArray:
    """Tell whether a satellite flies south.

    Parameters
    ----------
    heading : array_like
        Degrees clockwise from north, -180..360; NaN (unknown) is refused.
    as_published : bool
        Without wrapping, as the code of the paper: every heading of 0..360 beyond 90 then looks descending.

    Returns
    -------
    ndarray of bool
        True where the size of the wrapped heading exceeds 90 degrees.

    Raises
    ------
    InputError
        If a heading is unknown or out of range.

    Examples
    --------
    >>> is_descending([-14.0, -166.0, 194.0]).tolist()
    [False, True, True]
    """
    degrees = np.asarray(heading, np.float64)
    return np.asarray(np.abs(_known("heading", degrees if as_published else wrap_heading(degrees))) > 90)


def nearest_geometry(incidence: ArrayLike, heading: ArrayLike, *, as_published: bool = False) -> int:
    """Choose the previous image that was seen most alike: nearest in (incidence, heading).

    Each of both is scaled to [0, 1] over the previous images and the target. The choice may fall on an image
    of the other orbit direction, where its incidence angle is much nearer.

    Parameters
    ----------
    incidence, heading : array_like
        (n + 1,) degrees, previous images oldest first, then the target.
    as_published : bool
        As the code of the paper computes it: among equally near images the oldest; and where all
        incidence angles or all headings are equal, 0 / 0 makes every distance undefined, so image 0 is taken.
        Otherwise a constant tells nothing (distance 0), and among equals the most recent is chosen.

    Returns
    -------
    int
        Index of the image.

    Raises
    ------
    InputError
        If there is no previous image, or a value is unknown.

    References
    ----------
    Alatalo, J., Sipola, T., Rantonen, M. (2023). Improved difference images for change detection classifiers
    in SAR imagery using deep learning. IEEE TGRS 61, 5218714.

    Examples
    --------
    >>> nearest_geometry([33.2, 41.0, 38.9, 44.1, 33.5], [-13, -167, -13, -167, -13])
    0
    >>> nearest_geometry([33.0, 39.0, 38.0], [-13, -13, -13]), nearest_geometry(
    ...     [33.0, 39.0, 38.0], [-13, -13, -13], as_published=True)
    (1, 0)
    """
    angles = _known("incidence angle", np.asarray(incidence, np.float64))
    plain = np.asarray(heading, np.float64)
    headings = _known("heading", plain if as_published else wrap_heading(plain))
    _check_lengths(angles, headings)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = [_scaled(values, as_published) for values in (angles, headings)]
        distance = np.sqrt(sum((values[:-1] - values[-1]) ** 2 for values in scaled))
    if as_published:
        return int(np.argmin(distance))
    return int(len(distance) - 1 - np.argmin(distance[::-1]))


def same_direction(descending: ArrayLike, age: ArrayLike | None = None) -> int | None:
    """Choose the most recent previous image of the target's orbit direction.

    Parameters
    ----------
    descending : array_like of bool
        (n + 1,), previous images, then the target.
    age : array_like, optional
        (n,) days or any other time from each previous image to the target; without it the images are taken
        as oldest first.

    Returns
    -------
    int or None
        Index of the image; None if none has that direction.

    Raises
    ------
    InputError
        If there is no previous image, or lengths do not fit.

    Examples
    --------
    >>> same_direction([False, True, False, True, False])
    2
    >>> same_direction([False, True, False, True, False], age=[6, 8, 24, 30])
    0
    """
    ways = np.asarray(descending, bool)
    _check_lengths(ways, ways)
    alike = np.flatnonzero(ways[:-1] == ways[-1])
    return int(alike[_youngest(len(ways) - 1, age, alike)]) if alike.size else None


def latest(number: int, age: ArrayLike | None = None) -> int:
    """Choose the most recent previous image, whatever its orbit.

    Parameters
    ----------
    number : int
        How many previous images there are.
    age : array_like, optional
        See `same_direction`.

    Returns
    -------
    int
        Index of the image.

    Raises
    ------
    InputError
        If there is none, or lengths do not fit.

    Examples
    --------
    >>> latest(4), latest(4, age=[6, 8, 24, 30])
    (3, 0)
    """
    if number < 1:
        raise InputError("there is no previous image; a difference needs at least 1 before the target")
    return _youngest(number, age, np.arange(number))


def choose(
    choice: Choice,
    incidence: ArrayLike,
    heading: ArrayLike,
    *,
    age: ArrayLike | None = None,
    as_published: bool = False,
) -> int | None:
    """Choose a previous image in one of the three ways of the paper.

    Parameters
    ----------
    choice : str
        ``"nearest-geometry"`` (1), ``"same-direction"`` (2) or ``"latest"`` (3).
    incidence, heading : array_like
        (n + 1,) degrees, previous images, then the target.
    age : array_like, optional
        (n,) time from each previous image to the target; without it they are taken as oldest first.
    as_published : bool
        See `nearest_geometry`.

    Returns
    -------
    int or None
        Index of the image; None if no image has the wanted direction.

    Raises
    ------
    InputError
        If the choice is unknown, no previous image there, or a value that it needs is unknown.

    Examples
    --------
    >>> angles, headings = [33.2, 41.0, 38.9, 44.1, 33.5], [-13, -167, -13, -167, -13]
    >>> [choose(one, angles, headings) for one in CHOICES]
    [0, 2, 3]
    """
    if choice == "nearest-geometry":
        return nearest_geometry(incidence, heading, as_published=as_published)
    if choice == "same-direction":
        return same_direction(is_descending(heading, as_published=as_published), age)
    if choice == "latest":
        return latest(np.size(heading) - 1, age)
    raise InputError(f"choice is {choice!r}; give one of {', '.join(CHOICES)}")


def why_unfair(incidence: ArrayLike, heading: ArrayLike, *, as_published: bool = False) -> str | None:
    """Tell why a sample is left out of a comparison with plain differences.

    A fair one has a previous image of the target's direction, and the image nearest in geometry lies within
    one degree of incidence.

    Parameters
    ----------
    incidence, heading : array_like
        (n + 1,) degrees, previous images, then the target.
    as_published : bool
        See `nearest_geometry`.

    Returns
    -------
    str or None
        The reason; None if the sample is kept.

    Raises
    ------
    InputError
        If there is no previous image or a value is unknown.

    Examples
    --------
    >>> why_unfair([33.2, 41.0, 33.5], [-13, -167, -13]) is None
    True
    >>> why_unfair([33.2, 41.0, 35.5], [-13, -167, -13])
    'nearest previous image is 2.3 degrees of incidence away'
    """
    angles = np.asarray(incidence, np.float64)
    if same_direction(is_descending(heading, as_published=as_published)) is None:
        return "no previous image of the target's orbit direction"
    chosen = nearest_geometry(angles, heading, as_published=as_published)
    away = abs(angles[chosen] - angles[-1])
    if away > _LARGEST_ANGLE:
        return f"nearest previous image is {away:.2g} degrees of incidence away"
    return None


def _scaled(values: NDArray[np.float64], as_published: bool) -> NDArray[np.float64]:
    low, width = values.min(), np.ptp(values)
    if width == 0 and not as_published:
        return np.zeros_like(values)
    return np.asarray((values - low) / width)


def _youngest(number: int, age: ArrayLike | None, among: NDArray[np.intp]) -> int:
    """Give the place within `among` of the image with the least age; of equals the later one."""
    if age is None:
        return len(among) - 1
    ages = np.asarray(age, np.float64)
    if ages.shape != (number,):
        raise InputError(f"age has shape {ages.shape}, but there are {number} previous images; give one each")
    if np.isnan(ages).any():
        return len(among) - 1
    return int(len(among) - 1 - np.argmin(ages[among][::-1]))


def _known(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    unknown = np.flatnonzero(~np.isfinite(values))
    if unknown.size:
        raise InputError(
            f"the {name} of image {unknown[0]} is unknown; give it, or choose the previous image otherwise"
        )
    return values


def _check_lengths(first: NDArray[np.generic], second: NDArray[np.generic]) -> None:
    if first.ndim != 1 or first.shape != second.shape or len(first) < 2:
        raise InputError(
            f"incidence {first.shape} and heading {second.shape} need one value per previous image "
            "(at least one) and a last one for the target"
        )
