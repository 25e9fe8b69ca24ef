"""What happens around the steps of a training: random states, checkpoints, the log, patience, stopping."""

from __future__ import annotations

import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from terradelta.errors import InputError
from terradelta.learning.hushing import hush
from terradelta.learning.loading import Batches, stream
from terradelta.learning.log import Log
from terradelta.learning.options import TrainingOptions
from terradelta.learning.stopping import Halt, Stop

__all__ = ["BEST", "LAST", "MONITOR", "Keeper", "KeeperState", "inherit"]

BEST, LAST = "best.ckpt", "last.ckpt"
"""Names of the two checkpoints."""
MONITOR = "val_loss"
"""What a task must log in validation; less is better."""

KeeperState = dict[str, Any]
_MANY = 5


class Keeper(pl.Callback):
    """Seeds every step, refuses losses that are no numbers, and keeps the run folder up to date.

    Parameters
    ----------
    folder : Path
        For the two checkpoints.
    log : Log
        For a row per epoch.
    options : TrainingOptions
        Seed, patience, time between checkpoints.
    stop : Stop
        Looked at after each step.
    tick : callable
        Called with the number of steps done.
    """

    def __init__(self, folder: Path, log: Log, options: TrainingOptions, stop: Stop, tick: Any) -> None:
        self._folder, self._log, self._options, self._stop, self._tick = folder, log, options, stop, tick
        self._batch: Any = None
        self._saved = self._began = time.monotonic()
        self._row: dict[str, float] = {}
        self.state: KeeperState = {"epoch": 0, "batch": 0, "best": math.inf, "best_epoch": -1, "sum": 0.0,
                                   "count": 0, "finished": False}  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive in another process, where Lightning is to be quiet too."""
        self.__dict__.update(state)
        hush()

    # what Lightning calls when it saves and restores

    def state_dict(self) -> dict[str, Any]:
        """Give plain numbers for the checkpoint."""
        return dict(self.state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.state = dict(state_dict)

    # what Lightning calls while it trains

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals for good; Lightning has set its own before."""
        self._stop.listen()
        self._saved = self._began = time.monotonic()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new row and a new order of samples."""
        self._batches(trainer).epoch = trainer.current_epoch
        self.state |= {"epoch": trainer.current_epoch, "batch": 0, "sum": 0.0, "count": 0}
        self._began = time.monotonic()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Give each step its own random numbers, so that a resumed run draws the same."""
        self._batch = batch
        torch.manual_seed(stream(self._options.seed, self.state["epoch"], batch_idx, trainer.global_rank))

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Stop at once if the loss is no number, before it reaches the weights."""
        if not bool(torch.isfinite(loss)):
            raise InputError(_no_number(pl_module, self._batch, self.state["epoch"]))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add up the loss; save and leave when asked to, between two changes of the weights."""
        self._batch = None
        self.state["sum"] += float(outputs["loss"]) * self._options.accumulate
        self.state["count"] += 1
        self.state["batch"] = batch_idx + 1
        self._tick(1)
        last = batch_idx + 1 >= trainer.num_training_batches
        if last or (batch_idx + 1) % self._options.accumulate:
            return
        if self._agreed(trainer, self._stop.asked or self._is_due()):
            self._save(trainer)
            if self._agreed(trainer, self._stop.asked):
                raise Halt

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take what was measured."""
        self._row = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not math.isfinite(self._row.get(MONITOR, math.nan)):
            raise InputError(
                f"the validation loss of epoch {self.state['epoch'] + 1} is no number; look for samples with "
                "extreme values, or lower the learning rate"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row and the checkpoints; tell when patience is at its end."""
        better = self._row[MONITOR] < self.state["best"]
        row = self._finished_row(trainer)
        epoch = self.state["epoch"]
        if better:
            self.state |= {"best": self._row[MONITOR], "best_epoch": epoch}
        patience = self._options.patience
        tired = patience > 0 and epoch - self.state["best_epoch"] >= patience
        finished = tired or epoch + 1 >= self._options.epochs
        self.state |= {"epoch": epoch + 1, "batch": 0, "finished": finished}
        if trainer.is_global_zero:
            self._log.add(row)
        self._save(trainer, better=better)
        if finished:
            trainer.should_stop = True
        elif self._agreed(trainer, self._stop.asked):
            raise Halt

    # helpers

    def _finished_row(self, trainer: pl.Trainer) -> dict[str, float]:
        total = torch.tensor([self.state["sum"], self.state["count"]], dtype=torch.float64)
        total = trainer.strategy.reduce(
            total.to(trainer.strategy.root_device, torch.float32), reduce_op="sum"
        )
        loss = float(total[0] / total[1])
        for logger in trainer.loggers:
            logger.log_metrics({"train_loss": loss}, step=trainer.global_step)
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        return {
            "epoch": self.state["epoch"] + 1,
            "step": trainer.global_step,
            "train_loss": loss,
            **self._row,
            "learning_rate": rate,
            "seconds": time.monotonic() - self._began,
        }

    def _batches(self, trainer: pl.Trainer) -> Batches:
        loader: Any = trainer.train_dataloader
        batches: Batches = loader.batch_sampler
        return batches

    def _is_due(self) -> bool:
        minutes = self._options.save_minutes
        return minutes > 0 and time.monotonic() - self._saved > 60 * minutes

    def _agreed(self, trainer: pl.Trainer, wish: bool) -> bool:
        """Let all processes do the same: what one of them wishes."""
        if trainer.world_size == 1:
            return wish
        return bool(trainer.strategy.reduce_boolean_decision(wish, all=False))

    def _save(self, trainer: pl.Trainer, *, better: bool = False) -> None:
        trainer.save_checkpoint(self._folder / LAST)
        if better and trainer.is_global_zero:
            _copy(self._folder / LAST, self._folder / BEST)
        self._saved = time.monotonic()


def inherit(start: Path, folder: Path) -> None:
    """Take over the best checkpoint of another run, which no epoch of the new one may surpass.

    Parameters
    ----------
    start : Path
        Checkpoint that a new run begins from; itself the best if there is none beside it.
    folder : Path
        For checkpoints of the new run.
    """
    best = start.with_name(BEST)
    folder.mkdir(parents=True, exist_ok=True)
    _copy(best if best.is_file() else start, folder / BEST)


def _copy(source: Path, target: Path) -> None:
    """Give a file a second name, or a second copy where that cannot be, in one step."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    draft.unlink(missing_ok=True)
    try:
        draft.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, draft)
    draft.replace(target)


def _no_number(task: pl.LightningModule, batch: Any, epoch: int) -> str:
    suspects = getattr(task, "suspects", None)
    names = list(suspects(batch)) if suspects is not None else list(getattr(batch, "names", ()))
    told = ", ".join(map(str, names[:_MANY])) or "unnamed samples"
    rest = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return (
        f"the loss in epoch {epoch + 1} is no number with the samples {told}{rest}; remove or repair them, "
        "or lower the learning rate"
    )
