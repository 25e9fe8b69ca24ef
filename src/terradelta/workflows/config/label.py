"""What `terradelta label` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from terradelta.urban.defaults import MEMORY
from terradelta.workflows.config.base import Bytes, Date, Names, Numbers, Settings, Written

__all__ = ["LabelSettings"]

_SYNTHETIC = {
    "era", "stride", "step", "as_published", "shift", "gain", "looks", "significance", "memory", "workers",
}  # fmt: skip
_POLYGONS = {
    "source", "layer", "dates", "where", "all_touched", "area", "tile", "lists", "order", "counts",
    "versions", "guard", "seed",
}  # fmt: skip


def _read_shift(value: Any) -> Any:
    """Take a number from 0 to 1, or the word that asks for the data's own.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if value is None or value == "suggest":
        return value
    try:
        shift = float(value)
    except (TypeError, ValueError):
        raise ValueError("no number; give one from 0 to 1, such as 0.25, or 'suggest'") from None
    if not 0 <= shift <= 1:
        raise ValueError("out of range; give 0 to 1, such as 0.25, or 'suggest'")
    return shift


Shift = Annotated[float | str | None, BeforeValidator(_read_shift), Written("<number>")]


class LabelSettings(Settings):
    """Make labels to train networks with: synthetic ones of a whole cube, or from polygons of changes."""

    cube: Path = Field(description="Cube to read.")
    out: Path = Field(description="Folder for the labels.")
    method: Literal["synthetic", "polygons"] = Field(
        "synthetic",
        description="Where labels come from: the cube itself, per window; or polygons of changes, for the "
        "whole period.",
    )
    start: Date = Field(
        None, description="First date of the period (ISO); earlier observations only fill gaps; empty: all."
    )
    end: Date = Field(None, description="Last date of the period (ISO); empty: the last there is.")
    overwrite: bool = Field(False, description="Replace labels of other settings or inputs.")

    era: Literal["s1s2", "ers12ls5"] = Field(
        "s1s2", description="Synthetic: missions whose bands, windows and constants are used."
    )
    stride: int = Field(
        10, ge=1, description="Synthetic: kept observations from the start of one window to the next."
    )
    step: float | None = Field(
        None,
        gt=0,
        description="Synthetic: days within which only the last observation counts; empty: the era's.",
    )
    as_published: bool = Field(
        False,
        description="Synthetic: label exactly as the published weights were trained, flaws of the test for "
        "change included.",
    )
    shift: Shift = Field(
        None,
        description="Synthetic: shift of the built-up index (alpha), 0..1; 'suggest': from the data; empty: "
        "the era's.",
    )
    gain: float | None = Field(None, gt=0, description="Synthetic: factor of the labels; empty: the era's.")
    looks: float | None = Field(
        None, ge=1, description="Synthetic: equivalent number of looks of the radar images; empty: the era's."
    )
    significance: float | None = Field(
        None, gt=0, lt=1, description="Synthetic: p-value from which radar changed; empty: the era's."
    )
    memory: Bytes = Field(
        MEMORY, ge=2**28, description="Synthetic: memory to stay within, all workers together."
    )
    workers: int = Field(0, ge=0, description="Synthetic: blocks worked on at once; 0: one per core.")

    source: Path | None = Field(
        None,
        description="Polygons: what changed: GeoPackage, Shapefile or GeoJSON in any CRS; or a GeoTIFF, "
        "where above 0 is changed; or a folder of .npy tiles.",
    )
    layer: str | None = Field(None, description="Polygons: layer of that file; needed where it has several.")
    dates: Names = Field(
        [],
        description="Polygons: attribute with the date of change, or two with its first and last day; "
        "only what changed within the period counts; empty: all counts.",
    )
    where: str = Field(
        "", description="Polygons: attribute=value,value: only these polygons count; empty: all."
    )
    all_touched: bool = Field(
        False, description="Polygons: mark each pixel that one touches, not only where it holds the centre."
    )
    area: Path | None = Field(
        None,
        description="Polygons: where somebody looked for changes, as polygons; pixels outside have no label; "
        "empty: everywhere.",
    )
    tile: int = Field(32, ge=8, description="Polygons: side of a tile, pixels.")
    lists: Path | None = Field(
        None,
        description="Polygons: folder of lists of tiles (tiles_V1_train.txt, tiles_V1_validation.txt, "
        "tiles_test.txt), row:column a line; empty: tiles are drawn.",
    )
    order: Literal["row-column", "column-row"] = Field(
        "row-column", description="Polygons: which number comes first in given lists and names of tiles."
    )
    counts: Numbers = Field(
        [],
        description="Polygons: tiles drawn to train, to validate and to test; empty: 120,32,32, or in "
        "this proportion what fits.",
    )
    versions: int = Field(
        3, ge=1, description="Polygons: versions of the partial cross-validation that are drawn."
    )
    guard: int = Field(1, ge=0, description="Polygons: tiles between drawn tiles of different lists.")
    seed: int = Field(0, ge=0, description="Polygons: which draw of tiles.")

    @model_validator(mode="after")
    def _period_in_order(self) -> LabelSettings:
        if self.start is not None and self.end is not None and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}; swap them")
        return self

    @model_validator(mode="after")
    def _fields_of_the_method(self) -> LabelSettings:
        others = _POLYGONS if self.method == "synthetic" else _SYNTHETIC
        given = [
            name
            for name in type(self).model_fields
            if name in others and getattr(self, name) != type(self).model_fields[name].default
        ]
        if given:
            raise ValueError(
                f"method {self.method} takes no {given[0]}; leave it out, or choose another method"
            )
        return self

    @model_validator(mode="after")
    def _labels_to_read(self) -> LabelSettings:
        if self.method == "polygons" and self.source is None:
            raise ValueError("method polygons reads labels; name their file with source")
        if self.counts and len(self.counts) != 3:
            raise ValueError(f"counts is {self.counts}; give three: to train, to validate and to test")
        if self.counts and self.lists is not None:
            raise ValueError("lists names the tiles already; leave counts out")
        return self
