"""What one step of the training of an expected image is, and what is measured of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from terradelta.expected.inputs import Batch, Expected, Inputs
from terradelta.expected.networks.losses import LossConfig, loss_of
from terradelta.expected.training.pictures import picture
from terradelta.expected.training.ranges import empty_ranges, widen
from terradelta.learning.options import TrainingOptions
from terradelta.learning.schedule import scheduled

__all__ = ["ExpectedTask"]

_BEYOND = 2.0
"""Standard deviations beyond which pixels are counted; of a normal distribution 4.6 % are."""


class ExpectedTask(pl.LightningModule):
    """A network in training.

    Parameters
    ----------
    network : nn.Module
        Any of `terradelta.expected.networks.registry.NETWORKS`.
    loss : LossConfig
        What is made small.
    options : TrainingOptions
        Numbers of the optimiser (AdamW) and of its schedule.
    half_width : float
        dB that the normalisation of images maps to 1, for measures in dB.
    examples : Batch, optional
        Samples of which pictures are made, always the same.

    Attributes
    ----------
    seen : Tensor
        (2, feature), least and greatest of each condition that was trained on.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: LossConfig,
        options: TrainingOptions,
        *,
        half_width: float = 1.0,
        examples: Batch | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self._loss_config = loss
        self._options, self._half_width, self._examples = options, half_width, examples
        self._sums = torch.zeros(5)
        self.seen = empty_ranges()

    def forward(self, inputs: Inputs) -> Any:
        """Run the network."""
        return self.network(inputs)

    def _loss(self, expected: Expected, batch: Batch) -> Tensor:
        return loss_of(self._loss_config)(expected, batch)  # made here: it cannot go to other processes

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Give the loss of a batch."""
        self.seen = widen(self.seen.to(batch.target.device), batch.inputs)
        return self._loss(self.network(batch.inputs), batch)

    # measures

    def on_validation_epoch_start(self) -> None:
        """Begin to count."""
        self._sums = torch.zeros(5, device=self.device)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Add up loss, squared error, and how far off in standard deviations."""
        expected = self.network(batch.inputs)
        valid = batch.valid[:, None].expand_as(batch.target)
        off = torch.where(valid, batch.target - expected.mean.float(), 0)
        count = valid.sum()
        parts = [self._loss(expected, batch).float() * count, count, (off**2).sum()]
        if expected.sigma is not None:
            away = (off / expected.sigma.float()).abs()
            parts += [away.sum(), ((away > _BEYOND) & valid).sum()]
        self._sums[: len(parts)] += torch.stack([part.float() for part in parts])

    def on_validation_epoch_end(self) -> None:
        """Log the measures and, every so often, the pictures."""
        sums = self.trainer.strategy.reduce(self._sums, reduce_op="sum")
        loss, count, squares, away, beyond = sums.tolist()
        count = max(count, 1.0)
        measures = {"val_loss": loss / count, "val_rmse_db": math.sqrt(squares / count) * self._half_width}
        if away:
            measures |= {"val_mean_z": away / count, "val_beyond_2_sigma": beyond / count}
        self.log_dict(measures, sync_dist=self.trainer.world_size > 1)
        every = self._options.pictures_every
        if every and self.current_epoch % every == 0 and self.trainer.is_global_zero:
            self._show()

    def _show(self) -> None:
        board: Any = getattr(self.logger, "experiment", None)
        if self._examples is None or not hasattr(board, "add_image"):
            return
        inputs = Inputs(*(part.to(self.device) for part in self._examples.inputs))
        with torch.inference_mode():
            expected = self.network(inputs)
        for name, pixels in picture(self._examples, expected, self._half_width).items():
            board.add_image(f"examples/{name}", pixels, self.current_epoch + 1, dataformats="HWC")

    # what the loop asks for

    def configure_optimizers(self) -> Any:
        """Give AdamW, with warm-up and cosine where wanted."""
        options = self._options
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=options.learning_rate,
            eps=options.epsilon,
            weight_decay=options.weight_decay,
        )
        return scheduled(optimizer, options, self.trainer.estimated_stepping_batches)

    def suspects(self, batch: Batch) -> list[str]:
        """Name the samples of a batch whose loss is no number; all of them if none is so by itself."""
        found = [name for number, name in enumerate(batch.names) if not self._is_finite(batch, number)]
        return found or list(batch.names)

    def _is_finite(self, batch: Batch, number: int) -> bool:
        one = slice(number, number + 1)
        inputs = Inputs(*(part[one] for part in batch.inputs))
        alone = Batch(inputs, batch.target[one], batch.valid[one], batch.forest[one], batch.names[one])
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                return bool(torch.isfinite(self._loss(self.network(inputs), alone)))
        finally:
            self.network.train(training)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the conditions that were seen, by all processes."""
        least, greatest = self.seen.to(self.device).unbind()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            least, greatest = least.contiguous(), greatest.contiguous()
            torch.distributed.all_reduce(least, torch.distributed.ReduceOp.MIN)
            torch.distributed.all_reduce(greatest, torch.distributed.ReduceOp.MAX)
        checkpoint["ranges"] = torch.stack([least, greatest]).cpu()

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take them back."""
        self.seen = checkpoint.get("ranges", self.seen)
