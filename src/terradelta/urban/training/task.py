"""What one step of the training of a network of urban monitoring is, and what is measured of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from terradelta.errors import InputError
from terradelta.learning.options import TrainingOptions
from terradelta.learning.schedule import scheduled
from terradelta.urban.network import ERCNN
from terradelta.urban.training.batch import WindowBatch
from terradelta.urban.training.loss import tanimoto_loss
from terradelta.urban.training.pictures import picture
from terradelta.urban.training.winning import maximum_over_windows

__all__ = ["Parts", "UrbanTask"]

Parts: TypeAlias = Literal["all", "head", "frozen_norm"]
"""What is trained: everything; what comes after the memories; everything but the normalisations."""

_TENSORS = ("frames", "windows", "label", "frozen")


class UrbanTask(pl.LightningModule):
    """A network in training: its largest value over the windows of a tile, against a label.

    Parameters
    ----------
    network : ERCNN
        What is trained.
    options : TrainingOptions
        Numbers of the optimiser, SGD. The learning rate is that of one process; with several it is so many
        times higher.
    loss : {"per_sample", "flat"}
        Tanimoto loss of each sample, and their mean; or of the batch as one.
    momentum : float
        Of SGD.
    norm_momentum : float
        Share of each batch in the running statistics of the normalisation.
    saving : bool
        Keep one window at a time in memory, see `maximum_over_windows`.
    parts : {"all", "head", "frozen_norm"}
        What is trained. Parts that are not are run as in inference.
    examples : WindowBatch, optional
        Samples of which pictures are made, always the same.

    Raises
    ------
    InputError
        If the parts are unknown.
    """

    def __init__(
        self,
        network: ERCNN,
        options: TrainingOptions,
        *,
        loss: Literal["per_sample", "flat"] = "per_sample",
        momentum: float = 0.8,
        norm_momentum: float = 0.01,
        saving: bool = True,
        parts: Parts = "all",
        examples: WindowBatch | None = None,
    ) -> None:
        super().__init__()
        if parts not in get_args(Parts):
            raise InputError(f"no parts are called {parts!r}; choose from {', '.join(get_args(Parts))}")
        self.network = network
        self._options, self._momentum, self._examples = options, momentum, examples
        self._per_sample, self._saving, self._parts = loss == "per_sample", saving, parts
        self._sums = torch.zeros(5)
        for norm in self._norms():
            norm.momentum = norm_momentum
        for module in self._frozen():
            module.requires_grad_(False)
        self.train()  # the loop trains in whatever mode it finds, and networks are read for inference

    def _frozen(self) -> Iterator[nn.Module]:
        if self._parts == "head":
            yield from (side for side in (self.network.sar, self.network.optical) if side is not None)
        elif self._parts == "frozen_norm":
            yield from self._norms()

    def _norms(self) -> Iterator[_BatchNorm]:
        # of every kind: on several GPUs others take the place of those that the network was built with
        yield from (each for each in self.network.modules() if isinstance(each, _BatchNorm))

    def train(self, mode: bool = True) -> UrbanTask:
        """Begin or end training; frozen parts stay as in inference."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def forward(self, batch: WindowBatch) -> Tensor:
        """Give the largest value over the windows (B, Y, X)."""
        return maximum_over_windows(self.network, batch, saving=self._saving)

    def _loss(self, found: Tensor, batch: WindowBatch) -> Tensor:
        return tanimoto_loss(found.float(), batch.label, per_sample=self._per_sample)

    def training_step(self, batch: WindowBatch, index: int) -> Tensor:
        """Give the loss of a batch."""
        return self._loss(self(batch), batch)

    # measures

    def on_validation_epoch_start(self) -> None:
        """Begin to count."""
        self._sums = torch.zeros(5, device=self.device)

    def validation_step(self, batch: WindowBatch, index: int) -> None:
        """Add up the loss, and how many changed pixels were found, missed and made up at 0.5."""
        found = self(batch)
        told, true = found > 0.5, batch.label > 0.5
        count = len(batch.names)
        parts = [self._loss(found, batch) * count, torch.tensor(count, device=self.device)]
        parts += [(told & true).sum(), (told & ~true).sum(), (~told & true).sum()]
        self._sums += torch.stack([part.float() for part in parts])

    def on_validation_epoch_end(self) -> None:
        """Log the measures and, every so often, the pictures."""
        loss, count, hits, false, missed = self.trainer.strategy.reduce(self._sums, reduce_op="sum").tolist()
        f1 = 2 * hits / max(2 * hits + false + missed, 1.0)
        measures = {"val_loss": loss / max(count, 1.0), "val_f1": f1}
        self.log_dict(measures, sync_dist=self.trainer.world_size > 1)
        every = self._options.pictures_every
        if every and self.current_epoch % every == 0 and self.trainer.is_global_zero:
            self._show()

    def _show(self) -> None:
        board: Any = getattr(self.logger, "experiment", None)
        if self._examples is None or not hasattr(board, "add_image"):
            return
        given = self._examples
        examples = given._replace(**{name: getattr(given, name).to(self.device) for name in _TENSORS})
        with torch.inference_mode():
            found = self(examples)
        for name, pixels in picture(examples, found, self.network.bands).items():
            board.add_image(f"examples/{name}", pixels, self.current_epoch + 1, dataformats="HWC")

    # what the loop asks for

    def configure_optimizers(self) -> Any:
        """Give SGD with momentum, with warm-up and cosine where wanted."""
        weights = [each for each in self.network.parameters() if each.requires_grad]
        rate = self._options.learning_rate * self.trainer.world_size
        decay = self._options.weight_decay
        optimizer = torch.optim.SGD(weights, lr=rate, momentum=self._momentum, weight_decay=decay)
        return scheduled(optimizer, self._options, self.trainer.estimated_stepping_batches)

    def suspects(self, batch: WindowBatch) -> list[str]:
        """Name the samples of a batch that hold values that are no numbers; all of them if none does."""
        sides = (batch.frames, batch.label)
        found = [
            name
            for number, name in enumerate(batch.names)
            if not all(bool(side[number].isfinite().all()) for side in sides)
        ]
        return found or list(batch.names)
