"""What the smaller verbs can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from terradelta.urban.defaults import Precision
from terradelta.workflows.config.base import Bounds, Names, Settings, Written, split_list

__all__ = [
    "CompareSettings",
    "DemoSettings",
    "EvaluateSettings",
    "ExportSettings",
    "InfoSettings",
]


class InfoSettings(Settings):
    """Show what a cube holds."""

    cube: Path = Field(description="Cube to read.")


class DemoSettings(Settings):
    """Simulate a place, find its changes, and show them."""

    out: Path = Field(Path("demo"), description="Folder for the simulated cube and the results.")
    seed: int = Field(0, ge=0, description="Which place.")
    size: int = Field(256, ge=64, le=2048, description="Rows and columns, pixels.")


def _no_twins(weights: list[Path]) -> list[Path]:
    if len(set(weights)) < len(weights):
        raise ValueError("the same network is given twice; leave one out")
    return weights


Weights = Annotated[
    list[Path], BeforeValidator(split_list), AfterValidator(_no_twins), Written("<file,file,...>")
]


_MAKE_THEIR_OWN = ("urban-simulated", "urban-transfer", "paper", "peers")
_QUICK = ("paper", "peers", "urban-transfer")
_OF_URBAN = ("before", "ab_initio", "labels", "drop")


class EvaluateSettings(Settings):
    """Score the methods on real or simulated data, in one table with a picture."""

    experiment: Literal[
        "opera",
        "weather",
        "images",
        "paper",
        "peers",
        "oscd",
        "worldcereal",
        "urban-simulated",
        "urban",
        "urban-transfer",
    ] = Field(
        "opera",
        description="Which experiment; oscd, worldcereal and those with urban in their name are of urban "
        "monitoring.",
    )
    data: Path | None = Field(
        None,
        description="Folder of the experiment's data; for images also a TFRecord file or samples (Zarr); for "
        "paper a cube, TFRecord files or samples; for urban a cube; empty for urban-simulated and "
        "urban-transfer, which make their own, and for paper and peers to do so (or: simulated).",
    )
    out: Path = Field(Path("evaluation"), description="Folder for the table and the picture.")
    weights: Weights = Field(
        [],
        description="Networks of urban monitoring: files of published weights (HDF5) or folders of "
        "save_pretrained; their mean counts. For images and paper one network of train, in place of the "
        "predictions that the samples hold or of trainings. For peers the wheel or folder of distmetrics. "
        "For urban networks after transfer, also run folders. For urban-transfer one published file, to be "
        "transferred too.",
    )
    before: Weights = Field([], description="Of urban: networks before transfer, scored beside weights.")
    ab_initio: Weights = Field(
        [], description="Of urban: networks trained on the place alone, scored beside weights."
    )
    labels: Path | None = Field(
        None,
        description="Of urban: folder of weak labels made by label; empty: the truth of a simulated cube.",
    )
    tiles: Names = Field(
        ["test"],
        description="Of urban: lists of tiles of the labels to score: test, validation (of all versions), or "
        "V1, V2, V3 (validation of one); a simulated cube's own truth counts in all tiles.",
    )
    drop: Annotated[
        list[Annotated[float, Field(gt=0, lt=1)]], BeforeValidator(split_list), Written("<share,share,...>")
    ] = Field(
        [],
        description="Of urban: shares of the radar, of the optical and of both kinds of observations to "
        "leave out, for example 0.25,0.5,0.75; empty: none.",
    )
    ablations: Annotated[list[Path], BeforeValidator(split_list), Written("<run,run,...>")] = Field(
        [],
        description="Runs of train whose validation losses are compared, in place of an experiment; or one "
        "configuration (YAML), to train a run without each of the conditions.",
    )
    networks: Names = Field(
        [],
        description="Networks that opera, weather, paper and peers train and score too: conditioned, unet "
        "and others that docs/experiments.md names; empty: none in opera and peers, else all.",
    )
    trainings: int = Field(
        3,
        ge=1,
        description="Trainings of each of these networks, with seeds from 0; of urban-transfer, how often "
        "all is trained.",
    )
    quick: bool = Field(
        False,
        description="Of paper, peers and urban-transfer: small places, samples and networks, in some "
        "minutes.",
    )
    workers: int = Field(
        2, ge=1, description="Of paper and urban-transfer: trainings at a time, each a process of one thread."
    )
    history: int | None = Field(
        None, ge=2, description="Previous images that count as known in opera and weather; empty: 10 and 4."
    )
    stride: int | None = Field(
        None,
        ge=1,
        description="Kept observations from the start of one window to the next; empty: the experiment's own "
        "(oscd 9, worldcereal 5, urban-simulated 20, urban 5, urban-transfer 3).",
    )
    places: int = Field(3, ge=1, description="How many towns urban-simulated makes.")
    seed: int = Field(
        0,
        ge=0,
        description="Which discs of opera; which pixels of images; the first town of urban-simulated; which "
        "observations urban drops.",
    )
    device: str | None = Field(
        None, description="Where networks run, for example cpu or cuda; empty: a GPU if there is one."
    )
    precision: Precision = Field("float32", description="Numbers that networks compute with.")

    @model_validator(mode="after")
    def _what_it_needs(self) -> EvaluateSettings:
        if self.ablations:
            return self
        if self.data is None and self.experiment not in _MAKE_THEIR_OWN:
            raise ValueError(f"the experiment {self.experiment} needs real data; name their folder with data")
        if self.experiment in ("opera", "weather") and self.weights:
            raise ValueError(
                f"the experiment {self.experiment} trains its own networks; name networks, not weights"
            )
        if self.experiment in ("images", "paper", "peers", "urban-transfer") and len(self.weights) > 1:
            raise ValueError(
                f"the experiment {self.experiment} takes one network; leave out all of weights but one"
            )
        if self.quick and self.experiment not in _QUICK:
            raise ValueError(f"the experiment {self.experiment} has no quick form; leave quick out")
        if self.experiment in ("oscd", "worldcereal", "urban-simulated", "urban") and not self.weights:
            raise ValueError(
                f"the experiment {self.experiment} runs networks; name at least one file with weights"
            )
        if self.experiment in ("urban-simulated", "urban-transfer") and self.data is not None:
            raise ValueError(f"the experiment {self.experiment} makes its own data; leave data out")
        only = [name for name in _OF_URBAN if getattr(self, name)]
        if self.experiment != "urban" and only:
            raise ValueError(f"the experiment {self.experiment} knows no {only[0]}; leave it out")
        return self


class ExportSettings(Settings):
    """Turn results into other formats."""

    source: Path = Field(description="Folder of results; with tfrecord: a file of samples (Zarr).")
    target: Path = Field(description="Folder or file to write.")
    tfrecord: bool = Field(
        False, description="Write samples as TFRecord file, as the published code reads them."
    )
    compression: Literal["gzip", "zlib", "none"] = Field("gzip", description="Of a TFRecord file.")
    format: (
        Literal["geotiff", "netcdf", "zarr", "geojson", "gpkg", "parquet", "shapefile", "csv", "png"] | None
    ) = Field(None, description="Format to write; empty: as the target's suffix says.")
    layers: Names = Field([], description="Raster layers to write; empty: all.")
    bounds: Bounds = Field([], description="West, south, east, north; only this part; empty: all.")
    bounds_crs: str = Field("EPSG:4326", description="CRS of the bounds.")

    @model_validator(mode="after")
    def _one_kind(self) -> ExportSettings:
        if self.tfrecord and (self.format or self.layers or self.bounds):
            raise ValueError("tfrecord writes whole samples; leave format, layers and bounds out")
        return self


class CompareSettings(Settings):
    """Tell whether two folders of results are equal, and where not."""

    first: Path = Field(description="One folder of results.")
    second: Path = Field(description="The other.")
    tolerance: float = Field(1e-6, ge=0, description="Largest difference that counts as equal.")
