"""What `terradelta monitor` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from terradelta.urban.defaults import MEMORY, STRIDE, THRESHOLD, Precision, Tiling
from terradelta.workflows.config.base import Bytes, Date, Scheduler, Settings, Written, split_list

__all__ = ["MonitorSettings", "Video", "split_points"]

Video = Literal["both", "mp4", "gif", "none"]
"""Which films of the moving window are made."""


def split_points(value: Any) -> Any:
    """Take a list of pairs, or a text with ``;`` between points and ``,`` within them.

    Raises
    ------
    ValueError
        If a point is no pair of numbers.

    Examples
    --------
    >>> split_points("500100,4999500; 500200,4999400")
    [(500100.0, 4999500.0), (500200.0, 4999400.0)]
    >>> split_points([[5.57, 50.63]])
    [(5.57, 50.63)]
    """
    if isinstance(value, str):
        value = [part.split(",") for part in value.split(";") if part.strip()]
    try:
        return [(float(x), float(y)) for x, y in value]
    except (TypeError, ValueError):
        raise ValueError("no points; write x,y;x,y, for example 5.57,50.63;5.60,50.61") from None


def _check_weights(weights: list[Path]) -> list[Path]:
    if not weights:
        raise ValueError("no network; give at least one file of weights, or a folder of save_pretrained")
    if len(set(weights)) < len(weights):
        raise ValueError("the same network is given twice; leave one out")
    return weights


Files = Annotated[
    list[Path], BeforeValidator(split_list), AfterValidator(_check_weights), Written("<file,file,...>")
]
Points = Annotated[list[tuple[float, float]], BeforeValidator(split_points), Written("<x,y;x,y>")]


class MonitorSettings(Settings):
    """Find where was built or torn down, in every half-year window of a cube."""

    cube: Path = Field(description="Cube to read.")
    out: Path = Field(description="Folder for the results.")
    weights: Files = Field(
        description="Networks: files of published weights (HDF5) or folders of save_pretrained; several make "
        "an ensemble."
    )
    stride: int = Field(
        STRIDE, ge=1, description="Kept observations from the start of one window to the next."
    )
    statistic: Literal["mean", "minimum", "maximum"] = Field(
        "mean", description="How the networks of an ensemble are joined in the products."
    )
    threshold: float = Field(
        THRESHOLD, gt=0, lt=1, description="Value from which a pixel counts as changed, 0..1."
    )
    minimum_area: float = Field(0.0, ge=0, description="Smallest polygon to keep, m².")
    start: Date = Field(
        None, description="First date of the windows (ISO); earlier observations only fill gaps; empty: all."
    )
    end: Date = Field(None, description="Last date of the windows (ISO); empty: the last there is.")
    incomplete: bool = Field(
        False, description="Keep the last windows too, which the end of the data cuts short."
    )
    fewest: int | None = Field(
        None, ge=1, description="Observations that a window needs at least; empty: as the network's era says."
    )
    most: int | None = Field(
        None, ge=1, description="Observations of a window at most; empty: as the network's era says."
    )
    tile: int | None = Field(
        None,
        ge=1,
        description="Side of a tile, pixels; empty: what the memory allows, 32 in the original tiling.",
    )
    dead_zone: int | None = Field(
        None,
        ge=0,
        description="Pixels at each side of a tile that are computed but not kept, as they feel its edge; "
        "empty: 8, or 0 in the original tiling.",
    )
    tiling: Tiling = Field(
        "seamless",
        description="How the area is cut; 'original' drops what is left at the right and at the bottom.",
    )
    points: Points = Field([], description="Places whose values over time are written too; empty: none.")
    points_crs: str | None = Field(
        None,
        description="CRS of these points, for example EPSG:4326 for longitude,latitude; empty: the cube's.",
    )
    video: Video = Field("both", description="Films of the moving window; they need the extra 'video'.")
    device: str | None = Field(
        None, description="Where networks run, for example cpu or cuda; empty: the GPU if there is one."
    )
    precision: Precision = Field(
        "float32", description="Numbers to compute with; bfloat16 is faster and changes values a little."
    )
    memory: Bytes = Field(
        MEMORY,
        ge=2**28,
        description="Memory to stay within.",
    )
    scheduler: Scheduler = None
    overwrite: bool = Field(False, description="Replace results of other settings, networks or inputs.")

    @model_validator(mode="after")
    def _period_in_order(self) -> MonitorSettings:
        if self.start is not None and self.end is not None and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}; swap them")
        return self
