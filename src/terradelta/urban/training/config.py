"""How networks of urban monitoring are taught: all numbers of both trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from terradelta.learning.options import TrainingOptions
from terradelta.urban.defaults import MEMORY
from terradelta.urban.era import S1S2, Branches, Era
from terradelta.urban.training.visits import Visits

if TYPE_CHECKING:
    from terradelta.urban.training.data import Augment
    from terradelta.urban.training.task import Parts

__all__ = ["Loss", "PretrainConfig", "TransferConfig"]

Loss: TypeAlias = Literal["per_sample", "flat"]
"""Mean of the samples' Tanimoto losses, or the loss of the whole batch as one vector."""


@dataclass(frozen=True)
class PretrainConfig:
    """How a network is taught with synthetic labels.

    Attributes
    ----------
    era : Era
        Missions, windows, and width of the network.
    branches : {"both", "sar", "optical"}
        Sensors that it reads.
    recurrent_dropout : float
        Share of the recurrent state that a gate does not see in training.
    loss : {"flat", "per_sample"}
        See `Loss`.
    momentum : float
        Of gradient descent.
    norm_momentum : float
        Share that each batch has in the running statistics of the normalisation. As published it takes
        hundreds of steps until they are right; raise it for short trainings.
    tile : int
        Rows and columns of a tile.
    every : int
        One in so many windows is used; the stride of the labels counts.
    memory : int
        Bytes of frames to keep, per process that reads.
    options : TrainingOptions
        Numbers of the training; the learning rate is that of one process or device.

    References
    ----------
    G. Zitzlsberger et al., Remote Sensing 13(15) 3000, 2021.

    Examples
    --------
    >>> PretrainConfig().options.batch, PretrainConfig().to_dict()["era"]["step"]
    (32, '2 days')
    """

    era: Era = S1S2
    branches: Branches = "both"
    recurrent_dropout: float = 0.4
    loss: Loss = "flat"
    momentum: float = 0.8
    norm_momentum: float = 0.01
    tile: int = 32
    every: int = 10
    memory: int = MEMORY
    options: TrainingOptions = field(default_factory=lambda: TrainingOptions(batch=32, learning_rate=0.001))

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, as a run folder keeps them."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class TransferConfig:
    """How a network is taught with the weak labels of a place.

    Attributes
    ----------
    era : Era or None
        Missions and windows; None: those of the network, or Sentinel-1 and -2 for a new one.
    branches : {"both", "sar", "optical"} or None
        Sensors; None: those of the network, or both for a new one.
    recurrent_dropout : float
        Share of the recurrent state that a gate does not see in training.
    parts : {"all", "head", "frozen_norm"}
        What is trained: everything, what follows the two branches, everything but the normalisation.
    loss : {"per_sample", "flat"}
        See `Loss`.
    momentum : float
        Of gradient descent.
    norm_momentum : float
        Share that each batch has in the running statistics of the normalisation. As published it takes
        hundreds of steps until they are right; raise it for short trainings.
    visits : Visits
        Windows that a tile shows at once.
    augment : {"all", "random", "none"}
        Each tile in all 16 ways per epoch, in one drawn at random, or as it is.
    repeats : int
        Times that validation sees each tile, with other windows.
    saving : bool
        Keep one window at a time in memory.
    memory : int
        Bytes of frames to keep, per process that reads.
    options : TrainingOptions
        Numbers of the training; the learning rate is that of one process or device.

    References
    ----------
    G. Zitzlsberger et al., Int. J. Remote Sensing 44(17) 5172-5206, 2023.

    Examples
    --------
    >>> TransferConfig().options.batch, TransferConfig().to_dict()["visits"]["steps"]
    (8, [45, 55])
    """

    era: Era | None = None
    branches: Branches | None = None
    recurrent_dropout: float = 0.4
    parts: Parts = "all"
    loss: Loss = "per_sample"
    momentum: float = 0.8
    norm_momentum: float = 0.01
    visits: Visits = field(default_factory=Visits)
    augment: Augment = "all"
    repeats: int = 3
    saving: bool = True
    memory: int = MEMORY
    options: TrainingOptions = field(default_factory=lambda: TrainingOptions(batch=8, learning_rate=0.001))

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, as a run folder keeps them."""
        return _plain(asdict(self))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            plain[name] = _plain(value)
        elif isinstance(value, np.timedelta64):
            plain[name] = str(value)
        else:
            plain[name] = list(value) if isinstance(value, tuple) else value
    return plain
