"""What a cube is made of: one table of groups, pixel variables and values per time."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LAYER_GROUPS",
    "SCHEMA",
    "SERIES",
    "TIME",
    "TIME_ATTRIBUTES",
    "Column",
    "PixelVariable",
    "SeriesSpec",
]

SCHEMA = 1
"""Version of the layout on disk; a reader refuses cubes of a newer one.

Columns that came later do not raise it: an older reader overlooks them, and what an older writer appends gets
their fill.
"""

LAYER_GROUPS = ("static", "truth")
"""Groups of (y, x) layers without time."""

TIME_ATTRIBUTES = MappingProxyType(
    {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian", "standard_name": "time"}
)
"""CF description of the int64 times (UTC)."""


@dataclass(frozen=True)
class PixelVariable:
    """A variable with one image per time.

    Attributes
    ----------
    name : str
        Name of the variable.
    dtype : str
        Type on disk.
    banded : bool
        Dims (time, band, y, x) if true, else (time, y, x).
    fill : float or bool
        Value of pixels that were never written.
    unit : str
        Unit or value space.
    description : str
        One line for readers.

    Examples
    --------
    >>> PixelVariable("clear", "bool", False, False, "1", "cloud free").dims
    ('time', 'y', 'x')
    """

    name: str
    dtype: str
    banded: bool
    fill: float | bool
    unit: str
    description: str

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions, outermost first."""
        return ("time", "band", "y", "x") if self.banded else ("time", "y", "x")


@dataclass(frozen=True)
class Column:
    """One value per time.

    Attributes
    ----------
    name : str
        Name of the coordinate.
    dtype : str
        NumPy type, or ``str`` for text.
    fill : object
        Value of times that were never written.
    unit : str
        Unit, empty for text.
    hidden : bool
        Kept on disk for the cube's own use, not shown when it is opened.
    later : bool
        Came after the first cubes: where the array is missing or too short, the fill counts.

    Examples
    --------
    >>> Column("heading", "float32", float("nan"), "degree").hidden
    False
    """

    name: str
    dtype: str
    fill: Any
    unit: str = ""
    hidden: bool = False
    later: bool = False


@dataclass(frozen=True)
class SeriesSpec:
    """One group of images over time.

    Attributes
    ----------
    pixels : tuple of PixelVariable
        The image variables; the first one has the bands.
    columns : tuple of Column
        Values per time besides ``time`` itself.
    identity : tuple of str
        Columns that, with the time, tell one acquisition from another.

    Examples
    --------
    >>> SERIES["optical"].column_names
    ('platform', 'source_id', 'offset_applied', 'valid_share', 'digest')
    """

    pixels: tuple[PixelVariable, ...]
    columns: tuple[Column, ...]
    identity: tuple[str, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns in their order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Give a column by its name; ``time`` is one too."""
        return next((column for column in self.columns if column.name == name), TIME)


TIME = Column("time", "int64", 0)
"""The times themselves, UTC nanoseconds."""

_COMMON = (
    Column("valid_share", "float32", np.nan, "1"),
    Column("digest", "str", "", hidden=True),
)

SERIES: Mapping[str, SeriesSpec] = MappingProxyType(
    {
        "sar": SeriesSpec(
            pixels=(
                PixelVariable(
                    "backscatter", "float32", True, np.nan, "1", "linear power (not dB), NaN = no data"
                ),
            ),
            columns=(
                Column("orbit_direction", "str", ""),
                Column("relative_orbit", "int32", 0),
                Column("platform", "str", ""),
                Column("incidence_angle", "float32", np.nan, "degree"),
                Column("heading", "float32", np.nan, "degree"),
                Column("source_id", "str", ""),
                Column("radiometry", "str", "", later=True),
                Column("estimated", "str", "", later=True),
                *_COMMON,
            ),
            identity=("platform", "relative_orbit"),
        ),
        "optical": SeriesSpec(
            pixels=(
                PixelVariable("reflectance", "float32", True, np.nan, "1", "reflectance, NaN = no data"),
                PixelVariable("clear", "bool", False, False, "1", "free of clouds and of their shadows"),
            ),
            columns=(
                Column("platform", "str", ""),
                Column("source_id", "str", ""),
                Column("offset_applied", "bool", False),
                *_COMMON,
            ),
            identity=("platform",),
        ),
    }
)
"""The two groups of images over time."""
