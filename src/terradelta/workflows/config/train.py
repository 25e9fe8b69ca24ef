"""What `terradelta train` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from terradelta.workflows.config.base import Bytes, Names, Numbers, Settings, Written, split_list

if TYPE_CHECKING:
    from terradelta.expected.training.fit import FitConfig

__all__ = [
    "ConditionedSettings",
    "LossSettings",
    "PreparationSettings",
    "SamplesSettings",
    "TrainSettings",
    "UNetSettings",
]

FEATURES = ("temperature", "snow_depth", "orbit_direction", "incidence", "satellite", "precipitation")


def _check_features(names: list[str]) -> list[str]:
    for name in names:
        if name not in FEATURES:
            raise ValueError(f"no condition is called {name!r}; choose from {', '.join(FEATURES)}")
    return sorted(set(names), key=FEATURES.index)


def _check_data(data: list[Path]) -> list[Path]:
    if not data:
        raise ValueError("no data; name a cube, a file of samples, or TFRecord files")
    return data


Sources = Annotated[
    list[Path], BeforeValidator(split_list), AfterValidator(_check_data), Written("<path,path,...>")
]
Paths = Annotated[list[Path], BeforeValidator(split_list), Written("<path,path,...>")]
Features = Annotated[
    list[str], BeforeValidator(split_list), AfterValidator(_check_features), Written("<condition>")
]
Stages = list[dict[str, Any]]


class ConditionedSettings(Settings):
    """The fully convolutional network."""

    width: int = Field(24, ge=1, description="Channels at full resolution; doubled at each scale.")
    scales: int = Field(3, ge=1, description="Resolutions, each half the one before.")
    blocks: int = Field(1, ge=1, description="Residual blocks per scale and side.")
    embedding: int = Field(32, ge=1, description="Length of the vector that conditions are turned into.")
    floor: float = Field(0.015, gt=0, description="Least standard deviation, in units of normalised images.")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of channels dropped at the coarsest scale in training."
    )


class UNetSettings(Settings):
    """The published network."""

    preset: Literal["paper", "code_default", "tiny"] = Field(
        "paper", description="Stages: of the paper's Table I, of the published code's default, or 8 filters."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of values dropped in training.")
    dropout_stages: int = Field(3, ge=0, description="Decoder stages with dropout, from the bottleneck up.")
    stochastic_depth: float = Field(
        0.0, ge=0, lt=1, description="How often the last residual stage leaves its branches out in training."
    )
    encoder: Stages = Field([], description="Stages (filters, kernel, kind ...) in place of the preset's.")
    decoder: Stages = Field([], description="Likewise.")
    front: Stages = Field([], description="Convolutions (filters, kernel) before the encoder.")
    back: Stages = Field([], description="Convolutions after the decoder.")
    skips: list[bool] | None = Field(
        None, description="Which outputs of the encoder are joined to the decoder; empty: all."
    )


class LossSettings(Settings):
    """What is made small."""

    kind: Literal["mse", "gaussian"] | None = Field(
        None,
        description="Squared error, or likelihood; empty: likelihood for conditioned, else squared error.",
    )
    outside_forest: float = Field(1.0, ge=0, description="Weight of pixels outside forest (mse only).")
    similarity: float = Field(0.0, ge=0, description="Weight of the similarity loss.")


class PreparationSettings(Settings):
    """What is done to images before a network sees them."""

    despeckle: Literal["none", "tv", "lee"] = Field(
        "none", description="Nothing, total variation in dB, or the refined Lee filter."
    )
    state: Literal["none", "median", "scene"] = Field(
        "none", description="What is taken off each scene: nothing, its median, or a fit by ground cover."
    )
    looks: float = Field(4.4, ge=1, description="Equivalent number of looks, for the Lee filter.")


class SamplesSettings(Settings):
    """How samples are drawn from cubes."""

    count: int = Field(2000, ge=1, description="Samples per cube to train on.")
    validation_count: int = Field(200, ge=1, description="Samples per cube to validate on.")
    validation_share: float = Field(
        0.1, gt=0, lt=1, description="Share of files for validation, where no data for it are named."
    )
    size: int = Field(512, ge=4, description="Pixels on a side.")
    spacing: float | None = Field(None, gt=0, description="Metres between pixels; empty: the cube's.")
    previous: int = Field(4, ge=1, description="Previous images.")
    split_time: Names = Field(
        [], description="Times from which on images are for validation, and for test; empty: split by place."
    )
    guard: int = Field(0, ge=0, description="Pixels between the parts, when split by place.")
    orbits: Numbers = Field([], description="Relative orbits to use; empty: all.")
    same_orbit: bool = Field(False, description="Previous images of the target's orbit only.")
    least_valid: float = Field(0.1, ge=0, le=1, description="Share of the target that must hold data.")
    require: Names = Field(
        [], description="What must be known: conditions, weather, dem, forest; empty: nothing."
    )
    skip_damaged: bool = Field(False, description="Leave damaged records of TFRecord files out.")


class TrainSettings(Settings):
    """Train a network for the expected image."""

    data: Sources = Field(description="Cubes, files of samples (.zarr), TFRecord files or folders of them.")
    run: Path = Field(description="Folder of the run; the same command goes on there.")
    validation: Paths = Field([], description="Data for validation; empty: a part of the data.")
    statistics: Path | None = Field(
        None, description="Statistics (stats.json) to normalise by; empty: those of the training samples."
    )
    network: Literal["conditioned", "unet"] = Field("conditioned", description="Which network.")
    conditioned: ConditionedSettings = Field(
        default_factory=ConditionedSettings, description="For network conditioned."
    )
    unet: UNetSettings = Field(default_factory=UNetSettings, description="For network unet.")
    ablate: Features = Field(
        [], description="Condition that the network is not told, one of " + ", ".join(FEATURES) + "."
    )
    no_weather: bool = Field(False, description="The network is not told temperature, snow and rain.")
    loss: LossSettings = Field(default_factory=LossSettings, description="What is made small.")
    preparation: PreparationSettings = Field(
        default_factory=PreparationSettings, description="Steps before the network."
    )
    samples: SamplesSettings = Field(
        default_factory=SamplesSettings, description="How samples are drawn from cubes."
    )
    augment: bool = Field(False, description="Mirror samples at random.")
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
        "0 MB",  # type: ignore[assignment]  # read by Bytes
        ge=0,
        description="For prepared samples, per process that reads: despeckling them again costs time.",
    )
    deterministic: bool = Field(True, description="The same bits each time on a GPU too; costs some speed.")
    seed: int = Field(0, ge=0, description="Of samples, weights, order and dropout.")
    learning_rate: float = Field(1e-4, gt=0, description="Of AdamW.")
    epsilon: float = Field(1e-7, gt=0, description="Of AdamW.")
    weight_decay: float = Field(0.0, ge=0, description="Of AdamW.")
    schedule: Literal["constant", "cosine"] = Field("constant", description="Of the learning rate.")
    warmup: int = Field(0, ge=0, description="Steps in which the learning rate rises.")
    clip: float = Field(0.0, ge=0, description="Greatest norm of the gradient; 0: none.")
    patience: int = Field(
        0, ge=0, description="Epochs without a better validation loss to stop after; 0: never."
    )
    pictures_every: int = Field(
        1, ge=0, description="Epochs between example images for TensorBoard; 0: none."
    )
    save_minutes: float = Field(
        15.0, ge=0, description="Minutes between checkpoints within an epoch; 0: none."
    )
    resume: Path | None = Field(None, description="Run folder or checkpoint to begin a new run from.")
    resume_weights_only: bool = Field(
        False, description="Take its weights only, not the optimiser's state and the epochs."
    )
    overwrite: bool = Field(False, description="Replace a run of other settings or data.")

    @model_validator(mode="after")
    def _what_fits(self) -> TrainSettings:
        if self.resume_weights_only and self.resume is None:
            raise ValueError("resume_weights_only is set, but resume names no run to begin from; name one")
        if self.devices > 1 and self.processes > 1:
            raise ValueError("devices is for several GPUs, processes for the CPU; give one of both")
        if len(self.samples.split_time) > 2:
            raise ValueError("samples.split_time takes at most two times: of validation, and of test")
        return self

    def config(self) -> FitConfig:
        """Give the plain values that the training takes."""
        from terradelta.expected.networks.losses import LossConfig
        from terradelta.expected.preparation import Preparation
        from terradelta.expected.statistics import Statistics
        from terradelta.expected.training.data import SamplesConfig
        from terradelta.expected.training.fit import FitConfig
        from terradelta.learning.options import TrainingOptions

        options = {name: getattr(self, name) for name in TrainingOptions.__dataclass_fields__}
        samples = self.samples.model_dump()
        loss = {
            "kind": "gaussian" if self.network == "conditioned" else "mse",
            **_given(self.loss.model_dump()),
        }
        return FitConfig(
            network=self.network,
            network_config=self._network(),
            loss=LossConfig(**loss),
            preparation=Preparation(**self.preparation.model_dump()),
            samples=SamplesConfig(**{name: _tuple(value) for name, value in samples.items()}),
            options=TrainingOptions(**options),
            without=tuple(self.ablate),
            weather=not self.no_weather,
            augment=self.augment,
            remember=self.memory,
            statistics=None if self.statistics is None else Statistics.from_json(self.statistics),
        )

    def _network(self) -> dict[str, Any]:
        if self.network == "conditioned":
            return self.conditioned.model_dump()
        return {"size": self.samples.size, **_given(self.unet.model_dump())}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [])}


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
