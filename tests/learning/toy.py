"""A task that trains in no time, also as a program of its own that can be killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from terradelta.learning import Run, TrainingOptions, fit, make_loader, seeded


class Toy(NamedTuple):
    x: Tensor
    y: Tensor
    names: tuple[str, ...]


class Line(Dataset[Toy]):
    """y = 3 x - 1 and noise, drawn anew each time that a sample is read."""

    def __init__(self, count: int, *, bad: int | None = None, noise: bool = True) -> None:
        self.count, self.bad, self.noise = count, bad, noise

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Toy:
        x = torch.linspace(-1, 1, self.count)[index] * torch.tensor([1.0, 0.5])
        y = 3 * x.sum(dim=0, keepdim=True) - 1 + 0.1 * torch.randn(1) * self.noise
        return Toy(x, torch.full_like(y, torch.nan) if index == self.bad else y, (f"sample {index}",))


def collate(samples: list[Toy]) -> Toy:
    names = tuple(name for sample in samples for name in sample.names)
    return Toy(torch.stack([one.x for one in samples]), torch.stack([one.y for one in samples]), names)


class ToyTask(pl.LightningModule):
    def __init__(
        self, *, dropout: float = 0.2, norm: bool = True, pause: float = 0, rate: float = 0.05
    ) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, 8),
            nn.BatchNorm1d(8) if norm else nn.Identity(),
            nn.Dropout(dropout),
            nn.Linear(8, 1),
        )
        self.pause, self.rate = pause, rate
        self.losses: list[float] = []

    def training_step(self, batch: Toy, index: int) -> Tensor:
        time.sleep(self.pause)
        loss = nn.functional.mse_loss(self.net(batch.x), batch.y)
        self.losses.append(float(loss.detach()))
        return loss

    def validation_step(self, batch: Toy, index: int) -> None:
        self.log(
            "val_loss",
            nn.functional.mse_loss(self.net(batch.x), batch.y),
            batch_size=len(batch.x),
            sync_dist=True,
        )

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train(folder: Path, *, data: Line | None = None, task: dict[str, Any] | None = None,
          more: dict[str, Any] | None = None, **options: Any) -> tuple[ToyTask, Any]:  # fmt: skip
    chosen = TrainingOptions(**{"epochs": 3, "batch": 4, "device": "cpu", **options})
    with seeded(chosen.seed):
        module = ToyTask(**(task or {}))
    run = Run(folder)
    loader = make_loader(data or Line(20), collate, chosen, training=True)
    check = make_loader(Line(8, noise=False), collate, chosen, training=False)
    return module, fit(module, loader, check, chosen, run, **(more or {}))


if __name__ == "__main__":
    train(Path(sys.argv[1]), task={"pause": float(sys.argv[2])}, more={}, epochs=int(sys.argv[3]))
