"""What the trainings of urban monitoring have in common: era, numbers of the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from terradelta.workflows.config.base import Bytes, Settings

if TYPE_CHECKING:
    from terradelta.learning.options import TrainingOptions
    from terradelta.urban.era import Era

__all__ = ["EraSettings", "LoopSettings", "days"]


def days(number: float) -> np.timedelta64:
    """Give a length of time, in whole days where it is so many.

    Parameters
    ----------
    number : float
        Days.

    Returns
    -------
    numpy.timedelta64
        In days or seconds.

    Examples
    --------
    >>> days(2.0), days(0.5)
    (np.timedelta64(2,'D'), np.timedelta64(43200,'s'))
    """
    whole = float(number).is_integer()
    return np.timedelta64(int(number), "D") if whole else np.timedelta64(round(number * 86_400), "s")


class EraSettings(Settings):
    """Missions, windows and width of the network."""

    name: Literal["s1s2", "ers12ls5"] | None = Field(
        None, description="Missions; empty: those of the labels or weights, or s1s2."
    )
    step_days: float | None = Field(
        None, gt=0, description="Days within which only the last observation counts; empty: the era's."
    )
    window_days: float | None = Field(None, gt=0, description="Length of a window, days; empty: the era's.")
    fewest: int | None = Field(
        None, ge=1, description="Observations that a window needs at least; empty: the era's."
    )
    most: int | None = Field(None, ge=1, description="Observations of a window at most; empty: the era's.")
    sar_filters: int | None = Field(
        None, ge=1, description="Width of the radar branch of the network; empty: the era's."
    )
    optical_filters: int | None = Field(
        None, ge=1, description="Width of the optical branch of the network; empty: the era's."
    )

    def changed(self, era: Era) -> Era:
        """Give an era with the values that are given here."""
        lengths = {"step": self.step_days, "window": self.window_days}
        given: dict[str, Any] = {name: days(value) for name, value in lengths.items() if value is not None}
        for name in ("fewest", "most", "sar_filters", "optical_filters"):
            if getattr(self, name) is not None:
                given[name] = getattr(self, name)
        return replace(era, **given)


class LoopSettings(Settings):
    """Numbers of a training with stochastic gradient descent."""

    epochs: int = Field(50, ge=1, description="Times that all samples are seen.")
    batch: int = Field(8, ge=1, description="Samples per step, device and process.")
    accumulate: int = Field(1, ge=1, description="Steps whose gradients are summed before weights change.")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Numbers to compute with; weights stay in float32. float16 needs a GPU."
    )
    device: str | None = Field(None, description="cpu or cuda; empty: a GPU if there is one.")
    devices: int = Field(1, ge=1, description="GPUs to train on together.")
    processes: int = Field(1, ge=1, description="Processes to train in together, on the CPU.")
    workers: int = Field(0, ge=0, description="Processes that read data, per training process.")
    memory: Bytes = Field(
        "2 GB",  # type: ignore[assignment]  # read by Bytes
        ge=2**20,
        description="For frames that are kept after reading, per process that reads.",
    )
    deterministic: bool = Field(True, description="The same bits each time on a GPU too; costs some speed.")
    seed: int = Field(0, ge=0, description="Of samples, weights, order and dropout.")
    learning_rate: float = Field(
        0.001, gt=0, description="Of gradient descent; multiplied by the devices or processes."
    )
    momentum: float = Field(0.8, ge=0, lt=1, description="Of gradient descent.")
    norm_momentum: float = Field(
        0.01,
        gt=0,
        le=1,
        description="Share of each batch in the running statistics of the normalisation; raise it, for "
        "example to 0.1, for trainings of less than a thousand steps.",
    )
    schedule: Literal["constant", "cosine"] = Field("constant", description="Of the learning rate.")
    warmup: int = Field(0, ge=0, description="Steps in which the learning rate rises.")
    clip: float = Field(0.0, ge=0, description="Greatest norm of the gradient; 0: none.")
    recurrent_dropout: float = Field(
        0.4, ge=0, lt=1, description="Share of the recurrent state that a gate does not see in training."
    )
    patience: int = Field(
        0, ge=0, description="Epochs without a better validation loss to stop after; 0: never."
    )
    pictures_every: int = Field(1, ge=0, description="Epochs between example maps for TensorBoard; 0: none.")
    save_minutes: float = Field(
        15.0, ge=0, description="Minutes between checkpoints within an epoch; 0: none."
    )
    overwrite: bool = Field(False, description="Replace a run of other settings or data.")

    @model_validator(mode="after")
    def _one_of_both(self) -> LoopSettings:
        if self.devices > 1 and self.processes > 1:
            raise ValueError("devices is for several GPUs, processes for the CPU; give one of both")
        return self

    def options(self) -> TrainingOptions:
        """Give the plain values that the loop takes."""
        from terradelta.learning.options import TrainingOptions

        known = TrainingOptions.__dataclass_fields__
        return TrainingOptions(**{name: getattr(self, name) for name in known if hasattr(self, name)})
