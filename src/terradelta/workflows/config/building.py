"""What making and filling cubes can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from terradelta.types import Period
from terradelta.workflows.config.base import (
    Bounds,
    Bytes,
    Names,
    Numbers,
    Scheduler,
    Settings,
    Written,
)

__all__ = ["BuildSettings", "ImportSettings", "UpdateSettings"]

_OF_SOURCES = (
    "time", "products", "bands", "orbits", "direction", "max_cloud", "weather", "dem", "land_cover",
)  # fmt: skip
_OF_FILES = ("pattern", "sidecar", "skip_damaged", "record")


def _check_period(value: Any) -> Any:
    """Read the period once, so that a wrong one is refused by name; the text is kept."""
    if value is not None:
        Period.parse(str(value))
    return value if value is None else str(value)


def _check_until(value: Any) -> Any:
    if value is not None:
        Period.parse(f"1900/{value}")
    return value if value is None else str(value)


Times = Annotated[str | None, BeforeValidator(_check_period), Written("<from/to>")]


class _FileSettings(Settings):
    pattern: str = Field("", description="Only files whose names match, e.g. 'T137-292324-IW2*'.")
    sidecar: Path | None = Field(
        None, description="YAML that says what names and tags cannot; empty: terradelta.yaml in the folder."
    )
    skip_damaged: bool = Field(False, description="Go on without acquisitions that cannot be read.")
    record: int | None = Field(
        None, ge=1, description="Which record of a TFRecord file, from 1; empty: the only one."
    )


class _FetchSettings(Settings):
    dry_run: bool = Field(False, description="Only list what there is and how much it would be.")
    parallel: int = Field(8, ge=1, description="Blocks read at a time.")
    memory: Bytes = Field(
        2**30, ge=32 * 2**20, description="Memory for blocks that are read or wait to be written."
    )
    scheduler: Scheduler = None


class BuildSettings(_FetchSettings, _FileSettings):
    """Make a cube of a place from catalogues, or from a folder of rasters; the same command goes on."""

    place: Path = Field(
        description="Outline of the place (GeoJSON, GeoPackage, shapefile) or west,south,east,north in "
        "degrees; without source a folder of GeoTIFF or NetCDF files, EOPatches, or a TFRecord file."
    )
    cube: Path = Field(description="Cube to create, or to go on with; also -o.")
    source: Names = Field(
        [],
        description="Where the images come from: earth-search, planetary-computer, copernicus, opera, "
        "sentinel-hub, another name that docs/building.md lists, the address of a STAC API, a static "
        "catalogue or a folder. Where several have the same image, the first one counts.",
    )
    time: Times = Field(
        None, description="First and last time, e.g. 2017/2020 or 2019-06-01/2019-08-15; 2019/ up to now."
    )
    products: Names = Field(
        [], description="Products of the sources, e.g. sentinel-1-rtc,sentinel-2-l2a,dem; empty: the usual."
    )
    polarisations: Names = Field(["VV", "VH"], description="Bands of radar images from sources.")
    bands: Names = Field([], description="Bands of optical images, e.g. B02,B03,B04,B08; empty: all.")
    orbits: Numbers = Field([], description="Relative orbits of radar; empty: all.")
    direction: Literal["ascending", "descending"] | None = Field(
        None, description="Direction of flight of radar; empty: both."
    )
    max_cloud: float = Field(
        100.0,
        ge=0,
        le=100,
        description="Optical images with more clouds in their tile are left out, percent.",
    )
    weather: Names = Field(
        [],
        description="Files with weather (NetCDF, GRIB, Zarr, CSV), folders of them, or addresses of Zarr "
        "stores.",
    )
    weather_grid: bool = Field(
        False, description="Keep weather on its coarse grid, rather than that of the place's middle."
    )
    dem: Path | None = Field(None, description="File or folder of a digital elevation model, metres.")
    land_cover: Path | None = Field(None, description="File or folder of a land cover map.")
    crs: str | None = Field(None, description="CRS of the cube; empty: the UTM zone, or that of the files.")
    resolution: float | None = Field(
        None, gt=0, description="Pixel size in units of the CRS; empty: 10 m, or that of the files."
    )
    bounds: Bounds = Field(
        [], description="West, south, east, north in the cube's CRS; of a folder; empty: all of the data."
    )

    @model_validator(mode="after")
    def _what_it_needs(self) -> BuildSettings:
        fields = type(self).model_fields
        told = {key for key, field in fields.items() if getattr(self, key) != field.default}
        if self.source:
            idle = [key for key in (*_OF_FILES, "bounds") if key in told]
            if idle:
                raise ValueError(f"{idle[0]} is of folders without source; leave one of the two out")
            if self.time is None:
                raise ValueError("a source needs time, e.g. time 2017/2020")
            return self
        idle = [key for key in _OF_SOURCES if key in told]
        if idle:
            raise ValueError(f"{idle[0]} needs a source; name one, e.g. source earth-search")
        return self


class UpdateSettings(_FetchSettings):
    """Bring a cube up to date with the sources it was built from."""

    cube: Path = Field(description="Cube to add to.")
    until: Annotated[str | None, BeforeValidator(_check_until), Written("<date>")] = Field(
        None, description="Last date that counts, e.g. 2026-06-30; empty: now."
    )


class ImportSettings(_FileSettings):
    """Put more acquisitions, static layers or weather into a cube."""

    cube: Path = Field(description="Cube to add to.")
    source: Path = Field(description="Folder of GeoTIFF or NetCDF files, EOPatches, or a TFRecord file.")
