"""Numbers of a training that have nothing to do with what is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from terradelta.errors import ConfigError

__all__ = ["Precision", "Schedule", "TrainingOptions"]

Precision = Literal["float32", "bfloat16", "float16"]
Schedule = Literal["constant", "cosine"]

_LEAST = {"epochs": 1, "batch": 1, "accumulate": 1, "devices": 1, "processes": 1, "workers": 0, "patience": 0,
          "seed": 0, "learning_rate": 0, "epsilon": 0, "weight_decay": 0, "clip": 0, "warmup": 0,
          "pictures_every": 0, "save_minutes": 0}  # fmt: skip


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    Attributes
    ----------
    epochs : int
        Times that all samples are seen.
    batch : int
        Samples per step, device and process.
    accumulate : int
        Steps whose gradients are summed up before the weights change.
    precision : str
        ``float32``; ``bfloat16`` or ``float16``: mixed, weights stay in float32. ``float16`` needs a GPU.
    device : str or None
        ``cpu`` or ``cuda``; None: a GPU if there is one.
    devices : int
        GPUs to train on together.
    processes : int
        Processes to train in together, on the CPU.
    workers : int
        Processes that read data, per training process; 0: none of their own.
    deterministic : bool
        Choose ways to compute that give the same bits each time on a GPU too, at some cost of speed.
    seed : int
        Of the weights, of the order of the samples and of dropout: same seed, same result.
    learning_rate, epsilon, weight_decay : float
        Of AdamW.
    schedule : str
        Of the learning rate: ``constant``, or ``cosine`` down to 0 at the last epoch.
    warmup : int
        Steps in which the learning rate rises from 0.
    clip : float
        Greatest norm of the gradient; 0: none.
    patience : int
        Epochs without a better validation loss before training stops; 0: never.
    pictures_every : int
        Epochs from one set of example images to the next; 0: none.
    save_minutes : float
        Longest time between checkpoints within an epoch; 0: only at its end.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Examples
    --------
    >>> TrainingOptions(epochs=3).learning_rate
    0.0001
    >>> TrainingOptions(epochs=0)
    Traceback (most recent call last):
    terradelta.errors.ConfigError: epochs is 0; give 1 or more
    """

    epochs: int = 50
    batch: int = 8
    accumulate: int = 1
    precision: Precision = "float32"
    device: str | None = None
    devices: int = 1
    processes: int = 1
    workers: int = 0
    deterministic: bool = True
    seed: int = 0
    learning_rate: float = 1e-4
    epsilon: float = 1e-7
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    warmup: int = 0
    clip: float = 0.0
    patience: int = 0
    pictures_every: int = 1
    save_minutes: float = 15.0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} is {getattr(self, name)}; give {least} or more")
        if self.devices > 1 and self.processes > 1:
            raise ConfigError(
                f"devices is {self.devices} and processes is {self.processes}; "
                "give devices for several GPUs, processes for the CPU"
            )
