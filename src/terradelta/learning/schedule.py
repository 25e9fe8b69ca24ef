"""How the learning rate goes through a training."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.optim import Optimizer

from terradelta.learning.options import TrainingOptions

__all__ = ["scheduled"]


def scheduled(optimizer: Optimizer, options: TrainingOptions, steps: float) -> Any:
    """Give what Lightning wants of an optimiser: with warm-up and cosine where wanted.

    Parameters
    ----------
    optimizer : Optimizer
        At its full learning rate.
    options : TrainingOptions
        Names schedule and warm-up.
    steps : float
        Changes of the weights in the whole training.

    Returns
    -------
    Optimizer or dict
        The optimiser, with its schedule unless the learning rate is constant.
    """
    if options.schedule == "constant" and not options.warmup:
        return optimizer
    rate = _Rate(options, max(int(steps), 1))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Rate:
    """Share of the learning rate at a step."""

    def __init__(self, options: TrainingOptions, total: int) -> None:
        self._warmup, self._cosine, self._total = options.warmup, options.schedule == "cosine", total

    def __call__(self, step: int) -> float:
        if step < self._warmup:
            return (step + 1) / (self._warmup + 1)
        if not self._cosine:
            return 1.0
        done = (step - self._warmup) / max(self._total - self._warmup, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
