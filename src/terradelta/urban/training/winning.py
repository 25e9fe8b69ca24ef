"""The largest value over many windows, with the gradient of all and the memory of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from terradelta.urban.training.batch import WindowBatch, cut

__all__ = ["maximum_over_windows"]


def maximum_over_windows(net: nn.Module, batch: WindowBatch, *, saving: bool = True) -> Tensor:
    """Run a network on each window of a batch, and take the largest value of each pixel.

    The gradient of a maximum goes to the window that attains it, of equal ones to the earliest. To save
    memory, the windows are run without gradient first, one at a time, to find for each pixel the window
    that wins. When the gradient is asked for, they are run once more, one at a time, with gradient through
    the pixels that each one won: the same gradient, at the memory of a single window. Both times they see
    the same dropout, and the statistics of the normalisation are updated the first time only.

    Parameters
    ----------
    net : nn.Module
        Takes observations (B, T, channels, Y, X) and lengths (B,), gives (B, Y, X) above 0.
    batch : WindowBatch
        The samples.
    saving : bool
        Save memory; otherwise all windows are kept for the gradient.

    Returns
    -------
    Tensor
        (B, Y, X).

    References
    ----------
    The maximum over windows is that of G. Zitzlsberger et al., International Journal of Remote Sensing
    44(17) 5172-5206, 2023.

    Examples
    --------
    >>> from terradelta.urban import ERCNN
    >>> net = ERCNN("ers12ls5")
    >>> frames, label = torch.rand(2, 8, 9, 6, 6), torch.zeros(2, 6, 6)
    >>> windows = torch.tensor([[[0, 4], [4, 8]]] * 2)
    >>> batch = WindowBatch(frames, windows, label, label.bool(), ("a", "b"))
    >>> maximum_over_windows(net, batch).sum().backward()
    >>> net.out.weight.grad is not None
    True
    """
    windows = batch.windows.shape[1]
    weights = [each for each in net.parameters() if each.requires_grad]
    if windows > 1 and saving and weights and torch.is_grad_enabled():
        largest: Tensor = _Winning.apply(net, batch, *weights)  # type: ignore[no-untyped-call]
        return largest
    return _largest(net, batch)[0]


class _Moment(NamedTuple):
    """Where the random numbers stand, and the arithmetic that is in use."""

    cpu: Tensor
    cuda: Tensor | None
    device: torch.device
    half: torch.dtype | None

    @classmethod
    def now(cls, device: torch.device) -> _Moment:
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        used = torch.is_autocast_enabled(device.type)
        return cls(
            torch.get_rng_state(), cuda, device, torch.get_autocast_dtype(device.type) if used else None
        )

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draw the same random numbers and compute in the same way; afterwards all is as it was."""
        kind = self.device.type
        with torch.random.fork_rng([self.device] if self.cuda is not None else []):
            torch.set_rng_state(self.cpu)
            if self.cuda is not None:
                torch.cuda.set_rng_state(self.cuda, self.device)
            with torch.autocast(kind, dtype=self.half, enabled=self.half is not None):
                yield


class _Winning(torch.autograd.Function):
    """The two passes; `forward` is run without gradient by PyTorch itself."""

    @staticmethod
    def forward(ctx: Any, net: nn.Module, batch: WindowBatch, *weights: Tensor) -> Tensor:
        largest, winner, moments = _largest(net, batch)
        ctx.net, ctx.batch, ctx.weights, ctx.moments = net, batch, weights, moments
        ctx.save_for_backward(winner)
        return largest

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (winner,) = ctx.saved_tensors
        totals = [torch.zeros_like(weight) for weight in ctx.weights]
        # processes that normalise together have to run the same windows, or they wait for each other for ever
        together = any(isinstance(each, nn.SyncBatchNorm) for each in ctx.net.modules())
        with _settled_statistics(ctx.net), torch.enable_grad():
            for number, moment in enumerate(ctx.moments):
                won = winner == number
                if not together and not bool(won.any()):
                    continue
                with moment.again():
                    found = ctx.net(*cut(ctx.batch, number))
                passed = torch.where(won, gradients[0], 0).to(found.dtype)
                parts = torch.autograd.grad(found, ctx.weights, passed, allow_unused=True)
                for total, part in zip(totals, parts, strict=True):
                    if part is not None:
                        total += part
        return None, None, *totals


def _largest(net: nn.Module, batch: WindowBatch) -> tuple[Tensor, Tensor, list[_Moment]]:
    """Give the largest values (B, Y, X), the windows that have them, and how each window was run."""
    size = batch.label.shape
    largest = batch.frames.new_zeros(size)
    winner = torch.full(size, -1, dtype=torch.int16, device=largest.device)
    moments = []
    for number in range(batch.windows.shape[1]):
        moments.append(_Moment.now(largest.device))
        found = net(*cut(batch, number)).to(largest.dtype)
        better = found > largest
        largest = torch.where(better, found, largest)
        winner[better] = number
    return largest, winner, moments


@contextmanager
def _settled_statistics(net: nn.Module) -> Iterator[None]:
    """Keep the running statistics of the normalisation as they are, without using them."""
    norms = [
        each
        for each in net.modules()
        if isinstance(each, nn.modules.batchnorm._BatchNorm) and each.training and each.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
