"""The settings of a simulated place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import numpy as np

from terradelta.errors import InputError
from terradelta.simulate.changes import KINDS, ORDER, Change
from terradelta.simulate.covers import Cover
from terradelta.simulate.effects import Effects
from terradelta.simulate.landscape import SHARES
from terradelta.simulate.orbits import ORBITS, Orbit
from terradelta.types import FloatArray, Size

__all__ = ["Scenario", "Smoothing"]

Smoothing: TypeAlias = Literal["none", "refined_lee"] | Callable[[FloatArray, float], FloatArray]


@dataclass(frozen=True)
class Scenario:
    """Everything that makes a simulated place, apart from the seed.

    Attributes
    ----------
    size : int or Size
        Rows and columns; one number makes a square.
    resolution : float
        Pixel size in m.
    years : float
        Length of the series.
    start : str
        First day, ISO.
    orbits : tuple of Orbit
        Relative orbits of Sentinel-1.
    effects : Effects
        Which physical effects are on.
    changes : int or tuple of Change
        How many changes to draw, or the changes themselves.
    looks : float
        Equivalent number of looks of a pixel. A Sentinel-1 GRDH pixel has 4.4 (10 m); 2 x 2 of them,
        correlated as they are, make about 8.5 (20 m).
    speckle_resolution : float
        Resolution of the radar in m (20 for GRDH): neighbours within it have correlated speckle.
        0: independent pixels.
    smoothing : {"none", "refined_lee"} or callable
        Filter over each image: ours, or a function of (linear (y, x), looks). A filter spreads
        each change over a few pixels beyond its outline.
    noise_floor : float
        Thermal noise in dB.
    flattening : float
        Share of the terrain's effect that processing has removed: 0 = geocoded only, 1 = ideal radiometric
        terrain correction.
    relief : float
        Height of the hills above the valley in m.
    mean_temperature, temperature_amplitude : float
        Yearly mean and half the difference between summer and winter in degrees Celsius.
    optical_days : int
        Days between Sentinel-2 passes, a multiple of 5; overcast ones are left out; 0 = no optical group.
    shadows : bool
        Whether clouds throw shadows, which the mask knows too.
    haze : float
        Strength of the atmosphere's changes in the optical images (1 = as at mid-latitudes): what is seen at
        the top of it varies with the height of the sun and the aerosol of the day. 0 = always the same.
    clouds : float
        Mean share of the sky that is cloudy, 0..1; optical passes under an overcast sky are left out.
    urban : float
        Share of the ground that is town.
    kinds : tuple of str
        Kinds of change to draw, by turns; names of `KINDS`.
    works_days : int
        Days of bare soil before a building stands; 0 = built in a day.
    largest_change : float or None
        Radius of the largest changes in pixels, 3 or more; None = a fourteenth of the shorter side.
    crs : str
        Coordinate reference system, in m (a UTM zone).
    origin : tuple of float
        Easting and northing of the upper left corner in m.

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> Scenario(size=64).size
    Size(y=64, x=64)
    >>> Scenario().using(loks=3.0)
    Traceback (most recent call last):
    ...
    terradelta.errors.InputError: no setting is called 'loks'; did you mean 'looks'?
    """

    size: int | Size = 256
    resolution: float = 20.0
    years: float = 2.0
    start: str = "2020-01-01"
    orbits: tuple[Orbit, ...] = ORBITS[:3]
    effects: Effects = field(default_factory=Effects)
    changes: int | tuple[Change, ...] = 6
    looks: float = 8.5
    speckle_resolution: float = 0.0
    smoothing: Smoothing = "none"
    noise_floor: float = -26.0
    flattening: float = 0.5
    relief: float = 250.0
    mean_temperature: float = 8.5
    temperature_amplitude: float = 9.5
    optical_days: int = 30
    shadows: bool = False
    haze: float = 0.0
    clouds: float = 0.5
    urban: float = SHARES[Cover.URBAN]
    kinds: tuple[str, ...] = ORDER
    works_days: int = 0
    largest_change: float | None = None
    crs: str = "EPSG:32631"
    origin: tuple[float, float] = (680_000.0, 5_612_000.0)

    def __post_init__(self) -> None:
        if isinstance(self.size, int | np.integer):
            object.__setattr__(self, "size", Size(int(self.size), int(self.size)))
        self._check_ranges()
        if not isinstance(self.changes, int):
            object.__setattr__(self, "changes", tuple(self.changes))
            if any(each.mask.shape != tuple(self.shape) for each in self.changes):
                raise InputError(f"a change's mask has another size than the place, {tuple(self.shape)}")
        if isinstance(self.smoothing, str) and self.smoothing not in ("none", "refined_lee"):
            raise InputError(f"smoothing is {self.smoothing!r}; give 'none', 'refined_lee' or a function")
        try:
            np.datetime64(self.start, "D")
        except ValueError as error:
            raise InputError(f"start is {self.start!r}; give a date such as 2020-01-01") from error

    def _check_ranges(self) -> None:
        """Refuse numbers that make no place."""
        for name in ("resolution", "years", "looks"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; give a positive number")
        for name in ("speckle_resolution", "relief", "optical_days", "haze", "works_days"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; give zero or more")
        if isinstance(self.changes, int) and self.changes < 0:
            raise InputError(f"changes is {self.changes}; give zero or more")
        if min(self.shape) < 16:
            raise InputError(f"size is {tuple(self.shape)}; give at least 16 rows and columns")
        for name in ("flattening", "clouds", "urban"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; give a share, 0 to 1")
        if self.largest_change is not None and not self.largest_change >= 3:
            raise InputError(f"largest_change is {self.largest_change}; give a radius of 3 pixels or more")
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise InputError(f"kinds is {self.kinds!r}; choose from {', '.join(KINDS)}")
        if self.optical_days % 5:
            raise InputError(f"optical_days is {self.optical_days}; give a multiple of Sentinel-2's 5 days")

    @property
    def shape(self) -> Size:
        """Rows and columns."""
        return self.size if isinstance(self.size, Size) else Size(*np.broadcast_to(self.size, 2).tolist())

    @property
    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First moment and end (not included), UTC."""
        start = np.datetime64(self.start, "s")
        return start, start + np.timedelta64(round(self.years * 365.25), "D")

    def using(self, **settings: Any) -> Scenario:
        """Give a copy with other values.

        Raises
        ------
        InputError
            If a name is unknown or a value out of range.
        """
        known = [each.name for each in fields(self)]
        for name in settings:
            if name not in known:
                near = get_close_matches(name, known, 1)
                cure = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
                raise InputError(f"no setting is called {name!r}; {cure}")
        return replace(self, **settings)
