"""What `terradelta transfer` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from terradelta.workflows.config.base import Settings, Written, split_list
from terradelta.workflows.config.teaching import EraSettings, LoopSettings

if TYPE_CHECKING:
    from terradelta.urban.era import Era
    from terradelta.urban.training.config import TransferConfig

__all__ = ["TransferSettings", "VisitSettings"]


def _check_versions(versions: list[int]) -> list[int]:
    if not versions:
        raise ValueError("no version; give the numbers of some, such as 1,2,3")
    if min(versions) < 1 or len(set(versions)) < len(versions):
        raise ValueError("versions are counted from 1, and each can be given once")
    return versions


Versions = Annotated[
    list[int], BeforeValidator(split_list), AfterValidator(_check_versions), Written("<n,n,...>")
]


class VisitSettings(Settings):
    """Windows that a tile shows at once, drawn anew each time."""

    count: int = Field(10, ge=1, description="Windows at once.")
    first: int = Field(20, ge=0, description="Number of the first one, from 0.")
    shortest: int = Field(45, ge=1, description="Least number of windows from one to the next.")
    longest: int = Field(55, ge=1, description="Greatest number of windows from one to the next.")

    @model_validator(mode="after")
    def _in_order(self) -> VisitSettings:
        if self.shortest > self.longest:
            raise ValueError(f"shortest {self.shortest} is above longest {self.longest}; swap them")
        return self


class TransferSettings(LoopSettings):
    """Train a network of urban monitoring on weak labels of a place."""

    data: Path = Field(description="Cube of the place.")
    labels: Path = Field(description="Weak labels: a folder of `terradelta label --method polygons`.")
    run: Path = Field(description="Folder for a run per version; the same command goes on there.")
    weights: Path | None = Field(
        None,
        description="Network to begin from: published weights (HDF5), a folder of save_pretrained, or a run "
        "of pretrain.",
    )
    ab_initio: bool = Field(False, description="Begin from random weights, for comparison.")
    versions: Versions = Field(
        [1, 2, 3], description="Which versions of the tile lists to train, each alone."
    )
    era: EraSettings = Field(
        default_factory=EraSettings, description="Missions, windows and width of the network."
    )
    branches: Literal["both", "sar", "optical"] | None = Field(
        None, description="Sensors that the network reads; empty: those of the weights, or both."
    )
    parts: Literal["all", "head", "frozen_norm"] = Field(
        "all",
        description="What is trained: all, what follows the two branches, or all but the normalisation.",
    )
    loss: Literal["per_sample", "flat"] = Field(
        "per_sample", description="Mean Tanimoto loss of the samples, or that of the batch as one vector."
    )
    visits: VisitSettings = Field(
        default_factory=VisitSettings, description="Windows that a tile shows at once."
    )
    augment: Literal["all", "random", "none"] = Field(
        "all",
        description="Each tile in all 16 ways per epoch (mirrored, turned, columns frozen), in one at "
        "random, or as it is.",
    )
    repeats: int = Field(3, ge=1, description="Times that validation sees each tile, with other windows.")
    saving: bool = Field(
        True, description="Run windows one at a time, twice: a tenth of the memory, the same gradient."
    )

    def config(self, era: Era) -> TransferConfig:
        """Give the plain values that the training takes.

        Parameters
        ----------
        era : Era
            That of the weights, or the one that was asked for.
        """
        from terradelta.urban.training.config import TransferConfig
        from terradelta.urban.training.visits import Visits

        visits = self.visits
        return TransferConfig(
            era=self.era.changed(era),
            branches=self.branches,
            recurrent_dropout=self.recurrent_dropout,
            parts=self.parts,
            loss=self.loss,
            momentum=self.momentum,
            norm_momentum=self.norm_momentum,
            visits=Visits(visits.count, visits.first, (visits.shortest, visits.longest)),
            augment=self.augment,
            repeats=self.repeats,
            saving=self.saving,
            memory=self.memory,
            options=self.options(),
        )
