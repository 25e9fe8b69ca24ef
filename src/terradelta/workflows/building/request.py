"""What a cube is asked to hold, in plain values: its manifest keeps them, to bring it up to date."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely
import shapely.geometry
from odc.geo.geobox import GeoBox

from terradelta.cube.grid import grid_document, grid_from
from terradelta.errors import InputError
from terradelta.sources.area import Area, choose_grid, read_area
from terradelta.sources.remote.offers import Query
from terradelta.sources.remote.registry import known_sources, require_no_secret
from terradelta.types import Period
from terradelta.workflows.config import BuildSettings

__all__ = ["Request"]

_RESOLUTION = 10.0
_ASKED = (
    "source", "products", "polarisations", "bands", "orbits", "direction", "max_cloud", "weather",
    "weather_grid", "dem", "land_cover",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What a cube is asked to hold.

    Attributes
    ----------
    area : Area
        The place.
    grid : GeoBox
        Grid of the cube.
    time : str
        Period as it was told; an open end stays open.
    asked : mapping
        Sources, products and the like, by the names of the settings.
    notes : tuple of str
        What was chosen for the user.
    """

    area: Area
    grid: GeoBox
    time: str
    asked: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: BuildSettings) -> Request:
        """Read outline and grid that settings speak of.

        Raises
        ------
        SourceError
            The outline or the grid cannot be used, or an address holds credentials.
        """
        area = read_area(str(settings.place))
        grid, notes = choose_grid(area, crs=settings.crs, resolution=settings.resolution or _RESOLUTION)
        plain = settings.model_dump(mode="json")
        asked = {name: plain[name] for name in _ASKED}
        for name in ("weather", "source"):
            for value in asked[name]:
                require_no_secret(value)
            asked[name] = [_absolute(value) for value in asked[name]]
        for name in ("dem", "land_cover"):
            asked[name] = asked[name] and _absolute(asked[name])
        return cls(area, grid, str(settings.time), asked, area.notes + notes)

    def document(self) -> dict[str, Any]:
        """Give it as JSON can keep it."""
        outline = json.loads(shapely.to_geojson(self.area.outline))
        return {
            "name": self.area.name, "outline": outline, "grid": grid_document(self.grid), "time": self.time,
            **self.asked,
        }  # fmt: skip

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Request:
        """Make the request that a manifest keeps.

        Raises
        ------
        InputError
            The document is not one.
        """
        try:
            area = Area(shapely.geometry.shape(document["outline"]), str(document["name"]))
            asked = {name: document[name] for name in _ASKED}
            return cls(area, grid_from(dict(document["grid"])), str(document["time"]), asked)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the manifest does not tell what was asked ({error!r}); give the build command again"
            ) from None

    def until(self, last: str | None) -> Request:
        """Give the same request up to another last time, or up to now."""
        first = self.time.partition("/")[0]
        return Request(self.area, self.grid, f"{first}/{last or ''}", self.asked, self.notes)

    @property
    def period(self) -> Period:
        """Times that count; an `InputError` where it ends before it starts."""
        try:
            return Period.parse(self.time)
        except ValueError as error:
            raise InputError(f"time {self.time}: {error}") from None

    def query(self) -> Query:
        """Give what every source is asked for."""
        asked = self.asked
        return Query(
            area=self.area, grid=self.grid, period=self.period, products=tuple(asked["products"]),
            polarisations=tuple(asked["polarisations"]), bands=tuple(asked["bands"]),
            orbits=tuple(asked["orbits"]), direction=asked["direction"] or "", max_cloud=asked["max_cloud"],
        )  # fmt: skip


def _absolute(text: str) -> str:
    """Make a path that is there independent of the folder we are in; addresses and names stay."""
    return str(Path(text).resolve()) if Path(text).exists() and text not in known_sources() else text
