"""What a STAC item says about an acquisition, in whatever version and dialect."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

import numpy as np
import shapely
from shapely.affinity import translate
from shapely.geometry import shape

from terradelta.sources.families import NameInfo, first_relative_orbit
from terradelta.sources.layers import Flight
from terradelta.sources.names import read_name
from terradelta.sources.remote.stac.harmonize import baseline_of
from terradelta.sources.times import Time, parse_time

__all__ = ["NOWHERE", "Item", "absolute"]

NOWHERE = "items"
"""Collection of an item that names none."""

_NAMES = (
    "s2:product_uri", "sentinel:product_id", "s1:product_identifier", "s2:granule_id", "title",
)  # fmt: skip
_TILES = ("grid:code", "s2:mgrs_tile", "sentinel:mgrs", "mgrs:tile")
_GENERATED = ("s2:generation_time", "s1:processing_datetime", "processing:datetime")
_SENSED = re.compile(r"(?:^|_)G?S2[A-D]_(?:MSIL\w\w_)?(\d{8}T\d{6})")


@dataclass(frozen=True)
class Item:
    """A STAC item as JSON, with where it came from.

    Attributes
    ----------
    json : mapping
        The item.
    base : str
        Its own address, from which relative links start.
    """

    json: Mapping[str, Any]
    base: str = ""

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.json.get("id", ""))

    @property
    def collection(self) -> str:
        """Id of its collection; `NOWHERE` where it has none."""
        return str(self.json.get("collection") or NOWHERE)

    @cached_property
    def properties(self) -> Mapping[str, Any]:
        """Properties of the item."""
        return self.json.get("properties") or {}

    @property
    def assets(self) -> Mapping[str, Mapping[str, Any]]:
        """Assets by name."""
        return self.json.get("assets") or {}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the product, that which tells most first."""
        products = self.properties.get("sentinel:product_ids") or ()
        told = [*(self.properties.get(key) for key in _NAMES), *products, self.id]
        return tuple(str(name) for name in told if name)

    @cached_property
    def info(self) -> NameInfo:
        """What the names say."""
        read = [read_name(name) for name in self.names]
        return next((info for info in read if info.family), read[-1] if read else NameInfo())

    @cached_property
    def time(self) -> Time | None:
        """Start of the acquisition, UTC."""
        told = (self.properties.get(key) for key in ("start_datetime", "datetime"))
        return next((time for text in told if text and (time := parse_time(str(text))) is not None), None)

    @cached_property
    def datatake(self) -> str:
        """Sensing start of the Sentinel-2 datatake, the same for all its tiles; "" unknown."""
        told = (self.properties.get("s2:datatake_id"), *self.names)
        return next((found[1] for text in told if text and (found := _SENSED.search(str(text)))), "")

    @property
    def tile(self) -> str:
        """Tile of the grid; "" for images with extents of their own."""
        told = next((str(self.properties[key]) for key in _TILES if self.properties.get(key)), "")
        return re.sub(r"^(MGRS-)?T?0?", "", told) or self.info.place.removeprefix("T").removeprefix("0")

    @property
    def version(self) -> tuple[int, str, str, str]:
        """What is greater for a newer processing of the same."""
        told = (str(self.properties[key]) for key in _GENERATED if self.properties.get(key))
        named = re.search(r"_(\d{8}T\d{6})(?:\.SAFE)?$", self.names[0] if self.names else "")
        sequence = str(self.properties.get("s2:sequence", self.properties.get("sentinel:sequence", "")))
        generated = next(told, named[1] if named else "")
        digits = re.sub(r"\D", "", generated)[:14]
        return baseline_of(self.properties, self.names), digits, sequence, self.id

    @cached_property
    def footprint(self) -> Any:
        """Outline in degrees (shapely), on one side of the antimeridian or reaching over 180°."""
        geometry = self.json.get("geometry")
        if geometry:
            outline = shapely.make_valid(shape(geometry))
        else:
            box = self.json.get("bbox") or (-180, -90, 180, 90)
            half = len(box) // 2
            west, south, east, north = box[0], box[1], box[half], box[half + 1]
            outline = shapely.box(west, south, east if east >= west else east + 360, north)
        return _joined(outline)

    def meets(self, outline: Any) -> bool:
        """Whether it shows anything of an outline in degrees."""
        return any(translate(self.footprint, turn).intersects(outline) for turn in (0, 360, -360))

    @cached_property
    def flight(self) -> Flight:
        """The pass; the incidence angle where the item tells one."""
        told = self.properties
        platform = _platform(str(told.get("platform") or "")) or self.info.platform
        return Flight(
            platform=platform,
            orbit_direction=str(told.get("sat:orbit_state") or self.info.orbit_direction).lower(),
            relative_orbit=_whole(told.get("sat:relative_orbit")) or self._relative_orbit(platform),
            incidence_angle=self.number("view:incidence_angle"),
        )

    @property
    def absolute_orbit(self) -> int:
        """Number of the orbit since launch, 0 unknown."""
        return _whole(self.properties.get("sat:absolute_orbit"))

    def _relative_orbit(self, platform: str) -> int:
        orbit = self.absolute_orbit
        return first_relative_orbit(platform, orbit) if orbit else self.info.relative_orbit

    def number(self, name: str) -> float:
        """Property as a number; NaN where it is missing."""
        try:
            return float(self.properties.get(name, math.nan))
        except (TypeError, ValueError):
            return math.nan

    def address(self, asset: str) -> str:
        """Absolute address of an asset."""
        return absolute(str(self.assets[asset]["href"]), self.base)

    def pixel(self, asset: str) -> float:
        """Edge of an asset's pixels in the units of its CRS, as far as it is told; NaN if not."""
        told = self.assets[asset]
        transform = told.get("proj:transform") or self.properties.get("proj:transform")
        if transform:
            return abs(float(transform[0]))
        bands = told.get("raster:bands") or [{}]
        size = told.get("gsd") or told.get("raster:spatial_resolution") or bands[0].get("spatial_resolution")
        return float(size or self.properties.get("gsd") or math.nan)


def absolute(link: str, base: str) -> str:
    """Address or path that a link means, seen from where it stands.

    Examples
    --------
    >>> absolute("../a.tif", "https://example.org/x/y.json"), absolute("/a.tif", "https://example.org/x/y.json")
    ('https://example.org/a.tif', 'https://example.org/a.tif')
    >>> absolute("./a.tif", "/data/x/y.json"), absolute("s3://bucket/a.tif", "/data/x/y.json")
    ('/data/x/a.tif', 's3://bucket/a.tif')
    """
    if urlsplit(link).scheme:
        return link
    if urlsplit(base).scheme in ("http", "https"):
        return urljoin(base, link)
    folder = base.removeprefix("file://").rpartition("/")[0]
    return posixpath.normpath(posixpath.join(folder, link))


def _whole(value: Any) -> int:
    """Read an orbit: 51, "51", "R051"; 0 where nothing tells it."""
    found = re.search(r"\d+", str(value or ""))
    return int(found[0]) if found else 0


def _platform(text: str) -> str:
    """S1A from "sentinel-1a", "Sentinel-1A" or "S1A"."""
    found = re.fullmatch(r"(?:SENTINEL[-_ ]?|S)([12][A-D])", text.upper())
    return f"S{found[1]}" if found else text


def _joined(outline: Any) -> Any:
    """Outline whose parts on both sides of the antimeridian are put together."""
    west, _, east, _ = outline.bounds
    if east - west <= 180:
        return outline
    parts = [_eastward(part) for part in getattr(outline, "geoms", [outline])]
    return shapely.make_valid(shapely.union_all(parts))


def _eastward(part: Any) -> Any:
    """Polygon with longitudes from 0 to 360, unless it really goes round more than half the world."""
    moved = shapely.transform(part, lambda xy: np.column_stack([np.mod(xy[:, 0], 360), xy[:, 1]]))
    west, _, east, _ = moved.bounds
    return moved if east - west < part.bounds[2] - part.bounds[0] or part.bounds[2] <= 0 else part
