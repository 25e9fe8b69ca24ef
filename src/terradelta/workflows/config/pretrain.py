"""What `terradelta pretrain` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from terradelta.workflows.config.base import Written, split_list
from terradelta.workflows.config.teaching import EraSettings, LoopSettings

if TYPE_CHECKING:
    from terradelta.urban.era import Era
    from terradelta.urban.training.config import PretrainConfig

__all__ = ["PretrainSettings"]

Paths = Annotated[list[Path], BeforeValidator(split_list), Written("<path,path,...>")]


class PretrainSettings(LoopSettings):
    """Train a network of urban monitoring on synthetic labels."""

    data: Paths = Field(description="Cubes to train on.")
    labels: Paths = Field(
        description="Synthetic labels of each cube, in the same order: folders of `terradelta label`."
    )
    run: Path = Field(description="Folder of the run; the same command goes on there.")
    era: EraSettings = Field(
        default_factory=EraSettings, description="Missions, windows and width of the network."
    )
    branches: Literal["both", "sar", "optical"] = Field("both", description="Sensors that the network reads.")
    loss: Literal["flat", "per_sample"] = Field(
        "flat", description="Tanimoto loss of the whole batch as one vector, or the mean of its samples'."
    )
    tile: int = Field(32, ge=8, description="Side of a tile, pixels.")
    every: int = Field(
        10, ge=1, description="One window in so many is used, drawn anew by the seed for each tile."
    )
    batch: int = Field(32, ge=1, description="Samples per step, device and process.")
    resume: Path | None = Field(
        None, description="Run folder or checkpoint of the same data to begin a new run from."
    )
    resume_weights_only: bool = Field(
        False,
        description="Take its weights only, not the optimiser's state, the epochs and the best loss; for "
        "other data.",
    )

    @model_validator(mode="after")
    def _what_fits(self) -> PretrainSettings:
        for name in ("data", "labels"):
            if not getattr(self, name):
                raise ValueError(f"{name} names nothing; give a cube and the folder of its labels")
        if len(self.data) != len(self.labels):
            raise ValueError(
                f"data names {len(self.data)} cubes and labels {len(self.labels)} folders; "
                "give one folder of labels for each cube, in the same order"
            )
        if self.resume_weights_only and self.resume is None:
            raise ValueError("resume_weights_only is set, but resume names no run to begin from; name one")
        return self

    def config(self, era: Era) -> PretrainConfig:
        """Give the plain values that the training takes.

        Parameters
        ----------
        era : Era
            That of the labels.
        """
        from terradelta.urban.training.config import PretrainConfig

        return PretrainConfig(
            era=self.era.changed(era),
            branches=self.branches,
            recurrent_dropout=self.recurrent_dropout,
            loss=self.loss,
            momentum=self.momentum,
            norm_momentum=self.norm_momentum,
            tile=self.tile,
            every=self.every,
            memory=self.memory,
            options=self.options(),
        )
