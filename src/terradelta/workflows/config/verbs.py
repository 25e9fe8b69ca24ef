"""What the smaller verbs can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from terradelta.workflows.config.base import Bounds, Names, Settings

__all__ = [
    "BuildSettings",
    "CompareSettings",
    "DemoSettings",
    "EvaluateSettings",
    "ExportSettings",
    "ImportSettings",
    "InfoSettings",
]


class InfoSettings(Settings):
    """Show what a cube holds."""

    cube: Path = Field(description="Cube to read.")


class _SourceSettings(Settings):
    pattern: str = Field("", description="Only files whose names match, e.g. 'T137-292324-IW2*'.")
    sidecar: Path | None = Field(
        None, description="YAML that says what names and tags cannot; empty: terradelta.yaml in the folder."
    )
    skip_damaged: bool = Field(False, description="Go on without acquisitions that cannot be read.")


class BuildSettings(_SourceSettings):
    """Make a new cube from a folder of rasters."""

    source: Path = Field(description="Folder of GeoTIFF or NetCDF files.")
    cube: Path = Field(description="Cube to create, or to go on with.")
    crs: str | None = Field(None, description="CRS of the cube; empty: that of the data.")
    resolution: float | None = Field(
        None, gt=0, description="Pixel size in units of the CRS; empty: the data's."
    )
    bounds: Bounds = Field(
        [], description="West, south, east, north in the cube's CRS; empty: all of the data."
    )


class ImportSettings(_SourceSettings):
    """Put more acquisitions, static layers or weather into a cube."""

    cube: Path = Field(description="Cube to add to.")
    source: Path = Field(description="Folder of GeoTIFF or NetCDF files.")


class DemoSettings(Settings):
    """Simulate a place, find its changes, and show them."""

    out: Path = Field(Path("demo"), description="Folder for the simulated cube and the results.")
    seed: int = Field(0, ge=0, description="Which place.")
    size: int = Field(256, ge=64, le=2048, description="Rows and columns, pixels.")


class EvaluateSettings(Settings):
    """Score the methods on real data, in one table with a picture."""

    experiment: Literal["opera"] = Field("opera", description="Which experiment.")
    data: Path = Field(description="Folder of the experiment's data.")
    out: Path = Field(Path("evaluation"), description="Folder for the table and the picture.")
    seed: int = Field(0, ge=0, description="Which discs.")


class ExportSettings(Settings):
    """Turn results into other formats."""

    source: Path = Field(description="Folder of results.")
    target: Path = Field(description="Folder or file to write.")
    format: (
        Literal["geotiff", "netcdf", "zarr", "geojson", "gpkg", "parquet", "shapefile", "csv", "png"] | None
    ) = Field(None, description="Format to write; empty: as the target's suffix says.")
    layers: Names = Field([], description="Raster layers to write; empty: all.")
    bounds: Bounds = Field([], description="West, south, east, north; only this part; empty: all.")
    bounds_crs: str = Field("EPSG:4326", description="CRS of the bounds.")


class CompareSettings(Settings):
    """Tell whether two folders of results are equal, and where not."""

    first: Path = Field(description="One folder of results.")
    second: Path = Field(description="The other.")
    tolerance: float = Field(1e-6, ge=0, description="Largest difference that counts as equal.")
