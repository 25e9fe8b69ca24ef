"""Conditions under which images were taken: weather, direction, angle, satellite; their places in vectors."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "FEATURES",
    "GROUPS",
    "PLATFORMS",
    "PRECIPITATION_DAYS",
    "WEATHER",
    "Conditions",
    "check_groups",
    "kept_entries",
    "kept_features",
    "vector_names",
    "with_geometry",
    "with_rain",
]

PLATFORMS = ("S1A", "S1B", "S1C", "S1D")
"""Satellites that a network can tell apart."""

PRECIPITATION_DAYS = 4
"""The day of the image and the three before it, in this order."""

_PRECIPITATION = tuple(f"precipitation_{day}" for day in range(PRECIPITATION_DAYS))

FEATURES = ("temperature", "snow_depth", "heading", "incidence", *_PRECIPITATION, *PLATFORMS, "age")
"""Conditions of one image, in the order of `terradelta.expected.inputs.Inputs.conditions`."""

GROUPS: dict[str, tuple[str, ...]] = {
    "temperature": ("temperature",),
    "snow_depth": ("snow_depth",),
    "orbit_direction": ("heading",),
    "incidence": ("incidence",),
    "satellite": PLATFORMS,
    "precipitation": _PRECIPITATION,
}
"""The six conditions that can be left out, by name, with their features."""

WEATHER = ("temperature", "snow_depth", "precipitation")
"""The conditions of `GROUPS` that are weather."""

_SCALARS = ("temperature", "snow_depth", "heading", "incidence", "age")


@dataclass(frozen=True, eq=False)
class Conditions:
    """Conditions of the n images of a sample, physical units: previous images, oldest first, then the target.

    Attributes
    ----------
    temperature : array (n,) of float64
        Mean of the day, °C; NaN = unknown, here and below.
    snow_depth : array (n,) of float64
        Centimetres.
    heading : array (n,) of float64
        Direction of flight, -180..180° from north; beyond ±90° is descending.
    incidence : array (n,) of float64
        Incidence angle, degrees.
    precipitation : array (n, 4) of float64
        Millimetres on the day and on the three days before, in this order.
    platform : tuple of str
        Satellites such as ``"S1A"``; ``""`` = unknown.
    age : array (n,) of float64
        Days before the target; 0 for the target.

    Raises
    ------
    InputError
        The parts are not of one length.

    Examples
    --------
    >>> Conditions.unknown(2).platform
    ('', '')
    """

    temperature: NDArray[np.float64]
    snow_depth: NDArray[np.float64]
    heading: NDArray[np.float64]
    incidence: NDArray[np.float64]
    precipitation: NDArray[np.float64]
    platform: tuple[str, ...]
    age: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in (*_SCALARS, "precipitation"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        object.__setattr__(self, "platform", tuple(str(name) for name in self.platform))
        images = len(self.platform)
        for name in (*_SCALARS, "precipitation"):
            shape = (images, PRECIPITATION_DAYS) if name == "precipitation" else (images,)
            if getattr(self, name).shape != shape:
                raise InputError(
                    f"condition {name} has shape {getattr(self, name).shape}, for {images} platforms: "
                    f"give {shape}, NaN where unknown"
                )

    def __len__(self) -> int:
        """Count the images, the target included."""
        return len(self.platform)

    @classmethod
    def unknown(cls, images: int) -> Conditions:
        """Give conditions of which nothing is known.

        Parameters
        ----------
        images : int
            Number of images, the target included.

        Returns
        -------
        Conditions
            NaN and empty names throughout.
        """
        nothing = np.full(images, np.nan)
        rain = np.full((images, PRECIPITATION_DAYS), np.nan)
        return cls(nothing, nothing, nothing, nothing, rain, ("",) * images, nothing)

    def missing(self) -> tuple[str, ...]:
        """Name the groups of `GROUPS` of which at least one value is unknown."""
        known = self.known_groups()
        return tuple(name for name in GROUPS if not known[name])

    def known_groups(self) -> dict[str, bool]:
        """Tell for every group of `GROUPS` whether all its values are known."""
        return {
            "temperature": bool(np.isfinite(self.temperature).all()),
            "snow_depth": bool(np.isfinite(self.snow_depth).all()),
            "orbit_direction": bool(np.isfinite(self.heading).all()),
            "incidence": bool(np.isfinite(self.incidence).all()),
            "satellite": all(self.platform),
            "precipitation": bool(np.isfinite(self.precipitation).all()),
        }


def check_groups(names: Sequence[str]) -> tuple[str, ...]:
    """Check names of conditions.

    Parameters
    ----------
    names : sequence of str
        Keys of `GROUPS`.

    Returns
    -------
    tuple of str
        The same.

    Raises
    ------
    InputError
        A name that is none of the six.

    Examples
    --------
    >>> check_groups(["satellite"])
    ('satellite',)
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in GROUPS:
            raise InputError(f"{name!r} is no condition that can be left out; expected {', '.join(GROUPS)}")
    return names


def vector_names(previous: int = 4) -> tuple[str, ...]:
    """Name the entries of the published condition vector, e.g. ``temperature[0]``, ``precipitation[3][1]``.

    Parameters
    ----------
    previous : int
        Number of previous images; the target has this number as its place.

    Returns
    -------
    tuple of str
        45 names for four previous images.

    Examples
    --------
    >>> names = vector_names()
    >>> len(names), names[0], names[16], names[32], names[-1]
    (45, 'temperature[0]', 'precipitation[0][0]', 'satellite[0]', 'precipitation[4][3]')
    """
    images = range(previous)
    plain = ("temperature", "snow_depth", "orbit_direction", "incidence")
    names = [f"{name}[{image}]" for name in plain for image in images]
    names += [f"precipitation[{image}][{day}]" for image in images for day in range(PRECIPITATION_DAYS)]
    names += [f"satellite[{image}]" for image in images]
    names += [f"{name}[{previous}]" for name in (*plain, "satellite")]
    return (*names, *(f"precipitation[{previous}][{day}]" for day in range(PRECIPITATION_DAYS)))


def kept_entries(*, without: Sequence[str] = (), weather: bool = True, previous: int = 4) -> NDArray[np.intp]:
    """Tell which entries of the published condition vector stay when conditions are left out.

    Parameters
    ----------
    without : sequence of str
        Names of `GROUPS` to leave out.
    weather : bool
        False leaves out temperature, snow depth and precipitation, whatever `without` says.
    previous : int
        Number of previous images.

    Returns
    -------
    array of int
        Places in the vector, ascending; all 45 for four previous images and nothing left out.

    Raises
    ------
    InputError
        A name that is no condition.

    Examples
    --------
    >>> len(kept_entries()), len(kept_entries(weather=False)), len(kept_entries(without=["precipitation"]))
    (45, 15, 25)
    """
    left_out = set(check_groups(without)) if weather else set(WEATHER)
    groups = [re.split(r"\[", name)[0] for name in vector_names(previous)]
    return np.flatnonzero([group not in left_out for group in groups])


def kept_features(*, without: Sequence[str] = (), weather: bool = True) -> NDArray[np.bool_]:
    """Tell which of `FEATURES` stay when conditions are left out.

    Parameters
    ----------
    without : sequence of str
        Names of `GROUPS` to leave out.
    weather : bool
        False leaves out temperature, snow depth and precipitation as well.

    Returns
    -------
    array (feature,) of bool
        True for what stays.

    Raises
    ------
    InputError
        A name that is no condition.

    Examples
    --------
    >>> [name for name, kept in zip(FEATURES, kept_features(weather=False)) if kept]
    ['heading', 'incidence', 'S1A', 'S1B', 'S1C', 'S1D', 'age']
    """
    groups = {*check_groups(without), *(() if weather else WEATHER)}
    left_out = {feature for group in groups for feature in GROUPS[group]}
    return np.array([feature not in left_out for feature in FEATURES])


def take_images(conditions: Conditions, places: Any) -> Conditions:
    """Choose images of conditions by their places."""
    chosen = np.arange(len(conditions))[places]
    numbers = {name: getattr(conditions, name)[chosen] for name in (*_SCALARS, "precipitation")}
    return Conditions(**numbers, platform=tuple(conditions.platform[place] for place in chosen))


def with_rain(conditions: Conditions, *, days: float | None = None, today: float | None = None) -> Conditions:
    """Change the rain of the target.

    Parameters
    ----------
    conditions : Conditions
        Of the previous images and, last, the target.
    days : float, optional
        Millimetres on the day and each of the days before.
    today : float, optional
        Millimetres on the day alone.

    Returns
    -------
    Conditions
        A copy.

    Examples
    --------
    >>> float(with_rain(Conditions.unknown(2), today=20.0).precipitation[-1, 0])
    20.0
    """
    rain = conditions.precipitation.copy()
    if days is not None:
        rain[-1] = days
    if today is not None:
        rain[-1, 0] = today
    return replace(conditions, precipitation=rain)


def with_geometry(conditions: Conditions, *, heading: float, incidence: float) -> Conditions:
    """Change where the target is looked at from.

    Parameters
    ----------
    conditions : Conditions
        Of the previous images and, last, the target.
    heading, incidence : float
        Degrees.

    Returns
    -------
    Conditions
        A copy.

    Examples
    --------
    >>> with_geometry(Conditions.unknown(2), heading=-166.0, incidence=38.0).heading.tolist()
    [nan, -166.0]
    """
    return replace(
        conditions,
        heading=np.append(conditions.heading[:-1], heading),
        incidence=np.append(conditions.incidence[:-1], incidence),
    )
