"""What `terradelta detect` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from terradelta.expected.parameters import RobustParameters
from terradelta.workflows.config.base import Bytes, Date, DateOrLast, Numbers, Scheduler, Settings

__all__ = ["DetectSettings", "OmnibusSettings", "RobustSettings"]

_ROBUST = RobustParameters()


class RobustSettings(Settings):
    """The robust temporal method."""

    history: int = Field(
        _ROBUST.history, ge=2, description="Previous images of the same orbit to compare with."
    )
    fewest: int = Field(_ROBUST.fewest, ge=2, description="Valid previous images that a pixel needs.")
    tv_weight: float = Field(
        _ROBUST.tv_weight,
        gt=0,
        description="Fidelity of the despeckling (total variation, dB); smaller is smoother.",
    )
    tv_iterations: int = Field(_ROBUST.tv_iterations, ge=1, description="Sweeps of its solver.")
    degree: int = Field(
        _ROBUST.degree,
        ge=0,
        le=4,
        description="Degree of the polynomial in the cover that describes rain and frost.",
    )
    cutoff: float = Field(
        _ROBUST.cutoff, gt=0, description="Residuals beyond this many scales take no part in that fit."
    )
    fit_iterations: int = Field(_ROBUST.fit_iterations, ge=1, description="Reweightings of that fit.")
    floor: float = Field(
        _ROBUST.floor, gt=0, description="Least standard deviation, dB, added in quadrature."
    )
    smoothing: float = Field(_ROBUST.smoothing, ge=0, description="Smoothing of the variance, pixels.")
    regularisation: float = Field(
        _ROBUST.regularisation,
        ge=0,
        description="Fidelity of the total variation on the standardised difference; 0 for none.",
    )

    @model_validator(mode="after")
    def _history_is_enough(self) -> RobustSettings:
        if self.fewest > self.history:
            raise ValueError(
                f"fewest is {self.fewest} but history holds {self.history} images only; "
                "lower the one or raise the other"
            )
        return self

    def parameters(self) -> RobustParameters:
        """Give the plain values that the science takes."""
        return RobustParameters(**self.model_dump())


class OmnibusSettings(Settings):
    """The sequential omnibus test."""

    looks: float | None = Field(
        None, ge=1, description="Equivalent number of looks; empty: estimated from the data of each orbit."
    )
    significance: float = Field(0.001, gt=0, lt=1, description="P-value from which a step is a change.")


class DetectSettings(Settings):
    """Find what changed in a cube, and when."""

    cube: Path = Field(description="Cube to read.")
    out: Path = Field(description="Folder for the results.")
    method: Literal["robust", "omnibus", "logratio", "expected", "conventional"] = Field(
        "robust", description="How change is told from noise and weather."
    )
    model: Path | None = Field(
        None, description="For method expected: the folder of a training run, or of save_pretrained."
    )
    choice: Literal["nearest-geometry", "same-direction", "latest", "mean", "median"] = Field(
        "nearest-geometry",
        description="For method conventional: which previous image is compared with, or what of several.",
    )
    despeckle: Literal["none", "tv", "lee"] = Field(
        "tv", description="For method conventional: how speckle is smoothed before; a model knows its own."
    )
    time: DateOrLast = Field(
        None, description="One acquisition only: its date (ISO), or 'last'; empty: all of the period."
    )
    start: Date = Field(None, description="First date of the period (ISO); empty: as early as can be.")
    end: Date = Field(None, description="Last date of the period (ISO); empty: the last there is.")
    orbits: Numbers = Field([], description="Relative orbits to use; empty: all.")
    threshold: float | None = Field(
        None,
        gt=0,
        description="Strength of a change; empty: 1.5 standard deviations (robust), 3 dB (logratio, "
        "conventional), 3 standard deviations (expected; 3 dB without sigma).",
    )
    classifier: Path | None = Field(
        None, description="For expected and conventional: file of a saved Threshold, in place of threshold."
    )
    confirm: int = Field(
        3, ge=1, description="Acquisitions in a row that must show a change; 1 with a single acquisition."
    )
    minimum_area: float = Field(0.0, ge=0, description="Smallest polygon to keep, m².")
    robust: RobustSettings = Field(
        default_factory=RobustSettings,
        description="For method robust; its history and despeckling for logratio and conventional too.",
    )
    omnibus: OmnibusSettings = Field(default_factory=OmnibusSettings, description="For method omnibus.")
    neighbourhood: int = Field(
        1024,
        ge=32,
        description="Pixels between the places where the state of a scene is fitted, blended between.",
    )
    memory: Bytes = Field(
        "2 GiB",  # type: ignore[assignment]  # read by Bytes
        ge=2**28,
        description="Memory to stay within, all workers together.",
    )
    device: str | None = Field(
        None, description="Where a network runs, for example cpu or cuda; empty: a GPU if there is one."
    )
    workers: int = Field(0, ge=0, description="Processes; 0: one per core.")
    scheduler: Scheduler = None
    overwrite: bool = Field(False, description="Replace results of other settings or inputs.")

    @model_validator(mode="after")
    def _what_the_method_needs(self) -> DetectSettings:
        if self.method == "expected" and self.model is None:
            raise ValueError("method expected needs a trained model; name its folder with model")
        if self.method != "expected" and self.model is not None:
            raise ValueError(f"method {self.method} takes no model; leave it out, or choose expected")
        if self.classifier is not None and self.method not in ("expected", "conventional"):
            raise ValueError(f"method {self.method} takes no classifier; give threshold")
        if self.classifier is not None and self.threshold is not None:
            raise ValueError("classifier and threshold both tell the threshold; give one of both")
        return self

    @property
    def in_a_row(self) -> int:
        """Acquisitions that must show a change."""
        return 1 if self.time is not None else self.confirm

    @model_validator(mode="after")
    def _one_way_of_time(self) -> DetectSettings:
        if self.time is not None and (self.start is not None or self.end is not None):
            raise ValueError("time asks for one acquisition, start and end for a period; give one of both")
        if self.start is not None and self.end is not None and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}; swap them")
        return self
