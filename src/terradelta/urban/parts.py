"""A network taken apart for inference: what sees one observation only, the recurrence, and the head."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from terradelta.types import Size
from terradelta.urban.convlstm import ConvBlock
from terradelta.urban.defaults import Precision
from terradelta.urban.network import ERCNN, Branch
from terradelta.urban.recurrence import LANES, Cell, Recurrence, recurrence

__all__ = ["BranchPart", "Convolution", "NetParts"]


class Convolution:
    """A 3 × 3 convolution with its batch normalisation folded into the weights."""

    def __init__(
        self, weight: Tensor, bias: Tensor, device: str, precision: Precision, *, relu: bool
    ) -> None:
        self._kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._weight = weight.to(device, self._kind).contiguous(memory_format=torch.channels_last)
        self._bias = bias.to(device, self._kind)
        self._relu = relu

    @classmethod
    def of(cls, block: ConvBlock, device: str, precision: Precision) -> Convolution:
        """Fold the normalisation of a block."""
        norm = {name: value.detach().double().cpu() for name, value in block.norm.state_dict().items()}
        conv = {name: value.detach().double().cpu() for name, value in block.conv.state_dict().items()}
        scale = norm["weight"] / (norm["running_var"] + block.norm.eps).sqrt()
        bias = (conv["bias"] - norm["running_mean"]) * scale + norm["bias"]
        weight = conv["weight"] * scale[:, None, None, None]
        return cls(weight.float(), bias.float(), device, precision, relu=True)

    def __call__(self, x: Tensor) -> Tensor:
        """Turn (N, channels, Y, X) into (N, filters, Y, X)."""
        x = x.to(self._kind).contiguous(memory_format=torch.channels_last)
        x = functional.conv2d(x, self._weight, self._bias, padding=1)
        return x.relu_() if self._relu else x


class BranchPart:
    """One sensor's way: convolutions once per observation, then the recurrence."""

    def __init__(self, branch: Branch, take: slice, device: str, precision: Precision) -> None:
        self.cell = Cell.of(branch.memory)
        self.channels = take.stop - take.start
        self._take = take
        self._blocks = [Convolution.of(block, device, precision) for block in branch.blocks]  # type: ignore[arg-type]
        self._gates = Convolution(self.cell.input, self.cell.bias, device, precision, relu=False)
        self._device, self._precision = device, precision
        self._recurrence: Recurrence

    def open(self, tiles: int, size: Size, slots: int) -> None:
        """Make room for the states of a series."""
        self._recurrence = recurrence(
            self.cell, tiles, size, slots, device=self._device, precision=self._precision
        )

    def shared(self, frames: Tensor) -> list[Tensor]:
        """Give the input half of the gates of each frame (tile, Y, X, 4F)."""
        count, tiles = frames.shape[:2]
        x = frames[:, :, self._take].flatten(0, 1)
        for block in self._blocks:
            x = block(x)
        x = self._gates(x).permute(0, 2, 3, 1)
        room = torch.empty(x.numel() + LANES, device=x.device)  # the compiled step reads whole vectors
        room[x.numel() :] = 0
        gates = room[: x.numel()].view(count, tiles, *x.shape[1:])
        gates.copy_(x.view(gates.shape))
        return list(gates)

    def step(self, gates: Tensor, begun: list[int], active: list[int], ended: list[int]) -> Tensor:
        """Show one observation to the windows that hold it; see `Recurrence`."""
        self._recurrence.begin(begun)
        return self._recurrence.step(gates, active, ended)


class NetParts:
    """One network, taken apart."""

    def __init__(self, net: ERCNN, device: str, precision: Precision) -> None:
        sar, every = net.era.sar_channels if net.sar is not None else 0, net.channels
        sides = ((net.sar, slice(0, sar)), (net.optical, slice(sar, every)))
        self.branches = [
            BranchPart(branch, take, device, precision) for branch, take in sides if branch is not None
        ]
        self._head = [Convolution.of(block, device, "float32") for block in net.head]  # type: ignore[arg-type]
        self._out = net.out.weight.detach().to(device), net.out.bias.detach().to(device)  # type: ignore[union-attr]

    def open(self, tiles: int, size: Size, slots: int) -> None:
        """Make room for the states of a series."""
        for branch in self.branches:
            branch.open(tiles, size, slots)

    def shared(self, frames: Tensor) -> list[list[Tensor]]:
        """Give the gates of each frame, branch by branch."""
        by_branch = [branch.shared(frames) for branch in self.branches]
        return [list(gates) for gates in zip(*by_branch, strict=True)]

    def step(
        self, gates: list[Tensor], begun: list[int], active: list[int], ended: list[int]
    ) -> NDArray[np.float32]:
        """Give the maps of the windows that end (ended, tile, Y, X)."""
        states = [
            branch.step(each, begun, active, ended) for branch, each in zip(self.branches, gates, strict=True)
        ]
        if not ended:
            return np.empty((0, *gates[0].shape[:3]), np.float32)
        joined = torch.cat(states, dim=2)
        x = joined.flatten(0, 1)
        for block in self._head:
            x = block(x)
        maps = functional.conv2d(x, *self._out).sigmoid()
        found: NDArray[np.float32] = maps.view(*joined.shape[:2], *joined.shape[3:]).cpu().numpy()
        return found
