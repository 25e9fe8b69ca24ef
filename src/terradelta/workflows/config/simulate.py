"""What `terradelta simulate` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from terradelta.workflows.config.base import Date, Names, Settings, Written, split_list

__all__ = ["SimulateChangeSettings", "SimulatePlaceSettings"]

Decibels = Annotated[list[float], BeforeValidator(split_list), Written("<dB,dB,...>")]


class SimulatePlaceSettings(Settings):
    """Simulate a place whose changes are known, and write it as a cube."""

    out: Path = Field(description="Cube to create, or to complete after a run that was cut off.")
    seed: int = Field(0, ge=0, description="Which place.")
    size: int = Field(256, ge=16, le=8192, description="Rows and columns, pixels.")
    resolution: float = Field(20.0, gt=0, description="Pixel size, m.")
    years: float = Field(2.0, gt=0, description="Length of the series.")
    start: Date = Field("2020-01-01", description="First day.")
    changes: int = Field(6, ge=0, description="How many changes.")
    kinds: Names = Field(
        [],
        description="Kinds of change, by turns: clear_cut, building, flood, fire, harvest, demolition; "
        "empty: all but demolition.",
    )
    without: Names = Field(
        [],
        description="Physical effects to switch off, by name, for example crops or speckle; "
        "docs/simulated-place.md lists them.",
    )
    only: Names = Field([], description="Physical effects to keep; all others are switched off.")
    looks: float = Field(8.5, gt=0, description="Equivalent number of looks of a pixel.")
    speckle_resolution: float = Field(
        0.0, ge=0, description="Resolution of the radar, m; neighbours within it have correlated speckle."
    )
    smoothing: Literal["none", "refined_lee"] = Field("none", description="Filter over each radar image.")
    optical_days: int = Field(
        30, ge=0, description="Days between optical images, a multiple of 5; 0: no optical images."
    )

    @model_validator(mode="after")
    def _one_way(self) -> SimulatePlaceSettings:
        if self.without and self.only:
            raise ValueError("without and only both choose effects; give one of them")
        return self


class SimulateChangeSettings(Settings):
    """Put simulated changes into a cube or into samples; the truth is saved beside them."""

    source: Path = Field(description="Cube, samples (Zarr), or TFRecord file of the published data set.")
    out: Path = Field(
        description="Cube or samples to write: a cube as a folder (.zarr); samples as "
        "Zarr (.zarr) or as TFRecord (.tfrecord, .tfrecord.GZIP, .tfrecord.zlib)."
    )
    kind: Literal["offset", "statistical", "gaussian", "texture"] = Field(
        "offset",
        description="offset adds decibels; statistical makes forest look like open land; gaussian draws "
        "values anew; texture copies values from elsewhere in the image.",
    )
    offset: Decibels = Field([-2.5], description="dB that offset adds: one value, or one per band.")
    fewest: int | None = Field(
        None, ge=0, description="Fewest changes per image; empty: 0 in samples, as many as most in a cube."
    )
    most: int = Field(3, ge=0, description="Most changes per image.")
    box: int = Field(100, ge=4, description="Edge of the box that a change is drawn in, pixels.")
    gaussian_shift: Decibels = Field(
        [0.0], description="dB that gaussian adds to the mean: one value, or one per band."
    )
    gaussian_spread: float = Field(
        2.0, ge=0, description="Factor of the standard deviation that gaussian draws with."
    )
    superpixels: Literal["connected", "published", "none"] = Field(
        "connected",
        description="Which equal neighbouring pixels change together: connected ones, as in the published "
        "program, or none.",
    )
    mapping: Literal["quantile", "published", "kernel"] = Field(
        "quantile", description="How statistical maps one distribution to the other."
    )
    seed: int = Field(0, ge=0, description="Of all draws.")
    inside: str = Field("forest", description="Layer of the cube whose pixels of value 1 may change.")
    date: Date = Field(
        None, description="First day that shows the changes (cube); empty: middle of the series."
    )
    until: Date = Field(None, description="First day that no longer shows them (cube); empty: they stay.")
    gradual_days: float = Field(
        0.0, ge=0, description="Days in which they come gradually (cube); 0: at once."
    )
    land: Path | None = Field(
        None, description="Vector file of land cover; empty: the layer land_cover of the cube, if any."
    )
    land_layer: str | None = Field(None, description="Layer of that file; empty: the only one.")
    class_column: str = Field("class", description="Column of that file that names the class.")
    land_classes: Names = Field(
        [],
        description="What values of that column mean, as VALUE=CLASS; empty: they are names of classes "
        "(forest, mire, field, meadow, lake, open, urban).",
    )
    database: str | None = Field(
        None,
        description="URL of a PostGIS database with land cover and radar, in place of land; environment: as "
        "TERRADELTA_DATABASE or libpq's variables say.",
    )
    database_place: str = Field(
        "", description="Whose radar images in the database; empty: the only place's."
    )
    database_land: str = Field("", description="Which land cover of the database; empty: the only one.")
    radar: Path | None = Field(
        None, description="Cube with the images that samples were drawn from: tells how open land looks."
    )
    areas: int = Field(50, ge=1, description="How many of the nearest open areas statistical looks at.")
    precision: Literal["int16", "float32"] = Field(
        "int16", description="Images of Zarr samples: in steps of 1/256 dB, or bit by bit."
    )
    overwrite: bool = Field(False, description="Replace other samples at that place.")
    picture: Path | None = Field(
        None, description="PNG of an image before and after and of the mask; empty: beside the result."
    )

    @model_validator(mode="after")
    def _fits(self) -> SimulateChangeSettings:
        if self.land is not None and self.database is not None:
            raise ValueError("land and database both tell the land cover; give one of them")
        if any("=" not in one for one in self.land_classes):
            raise ValueError(f"land_classes is {','.join(self.land_classes)}; write VALUE=CLASS,VALUE=CLASS")
        if self.fewest is not None and self.fewest > self.most:
            raise ValueError(f"fewest is {self.fewest} and most {self.most}; give a larger most")
        if self.date is not None and self.until is not None and self.until <= self.date:
            raise ValueError(f"until is {self.until}, not after date ({self.date}); give a later day")
        return self
