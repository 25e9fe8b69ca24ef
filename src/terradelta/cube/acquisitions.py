"""What is appended to a cube: one radar or optical image on the cube's grid, with what is known about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeAlias

import numpy as np

from terradelta.errors import InputError
from terradelta.types import Size

__all__ = ["Acquisition", "OpticalAcquisition", "SarAcquisition", "as_time"]

_DIRECTIONS = ("ascending", "descending", "")
_ESTIMABLE = ("platform", "orbit_direction", "relative_orbit", "incidence_angle", "heading")


def as_time(value: Any) -> np.datetime64:
    """Turn a time into UTC nanoseconds.

    Parameters
    ----------
    value : datetime64, datetime or str
        A time; without a zone it is taken as UTC.

    Returns
    -------
    numpy.datetime64
        The same moment in nanoseconds, UTC.

    Raises
    ------
    InputError
        If it is no time at all.

    Examples
    --------
    >>> as_time("2020-06-01T17:30:00+02:00")
    np.datetime64('2020-06-01T15:30:00.000000000')
    """
    try:
        if isinstance(value, str) and value:
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        time = np.datetime64(value, "ns")
    except (TypeError, ValueError):
        raise InputError(
            f"{value!r} is no time; give a datetime or ISO text such as 2020-06-01T17:30:00"
        ) from None
    if np.isnat(time):
        raise InputError("the acquisition has no time (NaT); give the time of its first line in UTC")
    return time


def _check_image(what: str, array: Any, bands: tuple[str, ...]) -> None:
    shape = tuple(getattr(array, "shape", ()))
    if len(shape) != 3:
        raise InputError(f"{what} has shape {shape}; expected (band, y, x)")
    if not bands or len(set(bands)) != len(bands):
        raise InputError(f"bands {bands!r} must be named, each once")
    if shape[0] != len(bands):
        raise InputError(f"{what} has {shape[0]} bands but {len(bands)} names are given: {', '.join(bands)}")
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"{what} is of type {array.dtype}; expected real numbers such as float32")


@dataclass(frozen=True, eq=False, kw_only=True)
class SarAcquisition:
    """One radar image on the cube's grid.

    Attributes
    ----------
    time : numpy.datetime64
        Moment of acquisition, UTC; ISO text and ``datetime`` are taken too.
    bands : tuple of str
        Names of the bands, e.g. ``("VV", "VH")``.
    backscatter : array, (band, y, x)
        NumPy or dask, **linear power** (not dB), NaN = no data; stored as float32.
    orbit_direction : str
        ``"ascending"``, ``"descending"`` or ``""`` if unknown.
    relative_orbit : int
        Number of the track, 0 if unknown.
    platform : str
        Satellite such as ``"S1A"``, empty if unknown.
    incidence_angle : float
        Mean over the scene in degrees, NaN if unknown.
    heading : float
        Flight direction in degrees clockwise from north, NaN if unknown.
    source_id : str
        Name of the product or file.
    radiometry : str
        What the values measure, such as ``"gamma0-rtc"`` (terrain corrected for) or ``"sigma0-ellipsoid"``;
        empty if unknown.
    estimated : str
        Names of the values above that are estimates, with commas: ``"incidence_angle,heading"``.

    Raises
    ------
    InputError
        If shapes, bands or values cannot belong to a radar image.

    Examples
    --------
    >>> image = SarAcquisition(time="2020-06-01T17:30", bands=("VV",), backscatter=np.ones((1, 4, 5)))
    >>> image.size, image.time
    (Size(y=4, x=5), np.datetime64('2020-06-01T17:30:00.000000000'))
    """

    group: ClassVar[str] = "sar"

    time: np.datetime64
    bands: tuple[str, ...]
    backscatter: Any
    orbit_direction: str = ""
    relative_orbit: int = 0
    platform: str = ""
    incidence_angle: float = math.nan
    heading: float = math.nan
    source_id: str = ""
    radiometry: str = ""
    estimated: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", as_time(self.time))
        object.__setattr__(self, "bands", tuple(str(band) for band in self.bands))
        _check_image("backscatter", self.backscatter, self.bands)
        if self.orbit_direction not in _DIRECTIONS:
            raise InputError(
                f"orbit direction {self.orbit_direction!r}; expected ascending, descending or ''"
            )
        if self.relative_orbit < 0:
            raise InputError(
                f"relative orbit {self.relative_orbit}; expected a track number, or 0 if unknown"
            )
        strange = [name for name in self.estimated.split(",") if name not in (*_ESTIMABLE, "")]
        if strange:
            raise InputError(
                f"estimated names {', '.join(strange)}; expected some of {', '.join(_ESTIMABLE)}"
            )

    @property
    def size(self) -> Size:
        """Rows and columns."""
        return Size(*self.backscatter.shape[1:])

    def images(self) -> dict[str, Any]:
        """Give the pixel variables by name, not computed."""
        return {"backscatter": self.backscatter}

    def columns(self) -> dict[str, Any]:
        """Give the values kept per time, by name."""
        return {
            "orbit_direction": self.orbit_direction,
            "relative_orbit": int(self.relative_orbit),
            "platform": self.platform,
            "incidence_angle": float(self.incidence_angle),
            "heading": float(self.heading),
            "source_id": self.source_id,
            "radiometry": self.radiometry,
            "estimated": self.estimated,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class OpticalAcquisition:
    """One optical image on the cube's grid.

    Attributes
    ----------
    time : numpy.datetime64
        Moment of acquisition, UTC; ISO text and ``datetime`` are taken too.
    bands : tuple of str
        Names of the bands, e.g. ``("B04", "B08")``.
    reflectance : array, (band, y, x)
        NumPy or dask, 0..1 (brighter targets may exceed it), NaN = no data; stored as float32.
    clear : array of bool, (y, x)
        True where neither cloud nor shadow hides the ground.
    platform : str
        Satellite such as ``"S2A"``, empty if unknown.
    source_id : str
        Name of the product or file.
    offset_applied : bool
        True if the Sentinel-2 offset of baseline 04.00 was taken off.

    Raises
    ------
    InputError
        If shapes or bands cannot belong to an optical image.

    Examples
    --------
    >>> image = OpticalAcquisition(
    ...     time="2020-06-01", bands=("B04",), reflectance=np.zeros((1, 4, 5)), clear=np.ones((4, 5), bool))
    >>> image.size
    Size(y=4, x=5)
    """

    group: ClassVar[str] = "optical"

    time: np.datetime64
    bands: tuple[str, ...]
    reflectance: Any
    clear: Any
    platform: str = ""
    source_id: str = ""
    offset_applied: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", as_time(self.time))
        object.__setattr__(self, "bands", tuple(str(band) for band in self.bands))
        _check_image("reflectance", self.reflectance, self.bands)
        if tuple(self.clear.shape) != tuple(self.reflectance.shape[1:]):
            raise InputError(f"clear has shape {self.clear.shape}; expected {self.reflectance.shape[1:]}")
        if self.clear.dtype != np.bool_:
            raise InputError(
                f"clear is of type {self.clear.dtype}; expected bool, true where the ground is seen"
            )

    @property
    def size(self) -> Size:
        """Rows and columns."""
        return Size(*self.reflectance.shape[1:])

    def images(self) -> dict[str, Any]:
        """Give the pixel variables by name, not computed."""
        return {"reflectance": self.reflectance, "clear": self.clear}

    def columns(self) -> dict[str, Any]:
        """Give the values kept per time, by name."""
        return {
            "platform": self.platform,
            "source_id": self.source_id,
            "offset_applied": bool(self.offset_applied),
        }


Acquisition: TypeAlias = SarAcquisition | OpticalAcquisition
