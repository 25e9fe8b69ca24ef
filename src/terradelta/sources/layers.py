"""What a foreign file holds, before and after its names and tags are understood."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from odc.geo.geobox import GeoBox

from terradelta.sources.names import Group
from terradelta.sources.times import Time

__all__ = ["Decoding", "Flight", "Layer", "RawLayer"]


@dataclass(frozen=True)
class RawLayer:
    """One image (y, x) in a file, as its header describes it.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    reader : str
        "geotiff" (anything that rasterio reads), "netcdf", "eopatch", or "safe" (Sentinel-1, not on a map
        yet).
    key : int or (str, int or None)
        Number of the raster band, or of the image of an EOPatch, from 1; or variable and index in time.
    grid : GeoBox or None
        Grid of the image; its CRS is None where the file has none.
    dtype : numpy.dtype
        Stored type.
    nodata : tuple of float
        Stored values that mean no data.
    scale, offset : float
        Value = stored * scale + offset.
    scaled : bool
        The file itself states a scale.
    label : str
        Description of the band, or name of the variable.
    time : numpy.datetime64 or None
        Time that the file itself gives to this image.
    tags : dict of str to str
        Tags of file and band, keys in lower case.
    count : int
        How many images the file holds.
    """

    path: Path
    reader: Literal["geotiff", "netcdf", "eopatch", "safe"]
    key: int | tuple[str, int | None]
    grid: GeoBox
    dtype: np.dtype[Any]
    nodata: tuple[float, ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    scaled: bool = False
    label: str = ""
    time: Time | None = None
    tags: dict[str, str] = field(default_factory=dict)
    count: int = 1


@dataclass(frozen=True)
class Decoding:
    """How stored numbers become the cube's: linear power, reflectance, metres or classes.

    Attributes
    ----------
    unit : str
        "linear", "dB", "amplitude", "reflectance" or "" (left as it is).
    scale, offset : float
        Value = stored * scale + offset, in `unit`.
    nodata : tuple of float
        Stored values that mean no data.
    zero_is_nodata : bool
        Stored zeros mean no data.
    negative : str
        "refuse" or "nodata": what linear power below 0 means.
    """

    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    nodata: tuple[float, ...] = ()
    zero_is_nodata: bool = False
    negative: Literal["refuse", "nodata"] = "refuse"


@dataclass(frozen=True)
class Flight:
    """The pass during which an image was taken; empty, 0 or NaN where unknown."""

    platform: str = ""
    orbit_direction: str = ""
    relative_orbit: int = 0
    incidence_angle: float = math.nan
    heading: float = math.nan

    @property
    def identity(self) -> tuple[str, int, str]:
        """What tells two passes at nearly the same time apart."""
        return self.platform, self.relative_orbit, self.orbit_direction


@dataclass(frozen=True)
class Layer:
    """One image (y, x) in a file, understood.

    Attributes
    ----------
    raw : RawLayer
        Where it lies.
    grid : GeoBox
        Its grid, always with a CRS.
    group : str
        "sar", "optical" or "static".
    band : str
        VV, VH, B02, SCL, dem, ...
    decoding : Decoding
        How its numbers are to be read.
    time : numpy.datetime64 or None
        Time of acquisition, UTC; None for static layers.
    flight : Flight
        The pass.
    product, place : str
        Name of the image without its band; burst or tile.
    offset_applied : bool
        `decoding` takes the Sentinel-2 offset of -1000 DN into account.
    categorical : bool
        Classes: nearest neighbour only.
    clear_values : tuple of int
        For a mask: the classes that count as clear. Empty for everything else.
    radiometry : str
        What radar values measure, such as "gamma0-rtc"; empty if unknown.
    estimated : tuple of str
        Names of values of `flight` that are estimates.
    """

    raw: RawLayer
    grid: GeoBox
    group: Group
    band: str
    decoding: Decoding
    time: Time | None = None
    flight: Flight = Flight()
    product: str = ""
    place: str = ""
    offset_applied: bool = False
    categorical: bool = False
    clear_values: tuple[int, ...] = ()
    radiometry: str = ""
    estimated: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the file, for messages."""
        return "/".join(self.raw.path.parts[-3 if self.raw.reader == "eopatch" else -1 :])
