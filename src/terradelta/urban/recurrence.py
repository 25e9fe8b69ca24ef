"""The recurrent half of a ConvLSTM for many windows in lock-step: one observation, all that hold it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from terradelta.types import Size
from terradelta.urban.convlstm import ConvLSTM
from terradelta.urban.defaults import Precision
from terradelta.urban.native import Job, Kernel, kernel

__all__ = ["LANES", "Cell", "Recurrence", "TorchRecurrence", "bytes_per_state", "recurrence"]

LANES = 16
"""Values that the compiled step treats at once."""

_CACHE = 2**20

# F(4, 3): how the three weights of a row become the six of a transformed row
_WINOGRAD = (
    (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6), (0, 0, 1),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Cell:
    """The weights of a ConvLSTM, scaled so that its hard sigmoids are clamps to 0..1.

    Attributes
    ----------
    filters : int
        F.
    input, bias : Tensor
        (4F, channels, 3, 3) and (4F,), gates i, f, c, o.
    state : Tensor
        (4F, F, 3, 3).

    Examples
    --------
    >>> memory = ConvLSTM(2, 3)
    >>> Cell.of(memory).bias.tolist()[::3]
    [0.5, 0.699..., 0.0, 0.5]
    """

    filters: int
    input: Tensor
    bias: Tensor
    state: Tensor

    @classmethod
    def of(cls, memory: ConvLSTM) -> Cell:
        """Take the weights of a layer."""
        scale = torch.tensor([0.2, 0.2, 1.0, 0.2]).repeat_interleave(memory.filters)
        shift = torch.tensor([0.5, 0.5, 0.0, 0.5]).repeat_interleave(memory.filters)
        values = {name: value.detach().cpu().float() for name, value in memory.state_dict().items()}
        by_row = scale[:, None, None, None]
        return cls(
            memory.filters,
            values["input.weight"] * by_row,
            values["input.bias"] * scale + shift,
            values["state.weight"] * by_row,
        )


class Recurrence(Protocol):
    """States of windows, each in a slot."""

    def begin(self, slots: Sequence[int]) -> None:
        """Set states to zero: windows begin here."""

    def step(self, gates: Tensor, slots: Sequence[int], ended: Sequence[int]) -> Tensor:
        """Show one observation to the windows in `slots`.

        Parameters
        ----------
        gates : Tensor
            Input half of the gates, bias included: (tile, Y, X, 4F), float32, contiguous, with 16 more
            elements behind it in the same storage.
        slots : sequence of int
            States that are carried on.
        ended : sequence of int
            Those of them that are asked for.

        Returns
        -------
        Tensor
            Hidden states (ended, tile, F, Y, X), float32.
        """


def recurrence(
    cell: Cell, tiles: int, size: Size, slots: int, *, device: str, precision: Precision
) -> Recurrence:
    """Choose the fastest way that the machine has.

    Parameters
    ----------
    cell : Cell
        The weights.
    tiles, size, slots : int, Size, int
        Images side by side, their size, and windows at once.
    device : str
        Where to compute.
    precision : {"float32", "bfloat16"}
        Of the products; sums and cell states are always float32.
    """
    compiled = _compiled(cell.filters, device, precision)
    if compiled is not None:
        return _NativeRecurrence(compiled, cell, tiles, size, slots, precision)
    return TorchRecurrence(cell, tiles, size, slots, device=device, precision=precision)


def bytes_per_state(filters: int, *, device: str, precision: Precision) -> int:
    """Give what one state takes per pixel, B."""
    if _compiled(filters, device, precision) is None:
        return 3 * 4 * filters + 3 * 4 * 4 * filters
    lanes = _lanes(filters)
    return 4 * lanes + (2 * 6 * filters if precision == "float32" else 2 * 2 * lanes)


def _compiled(filters: int, device: str, precision: Precision) -> Kernel | None:
    found = kernel() if torch.device(device).type == "cpu" else None
    if found is None or precision not in found.precisions:
        return None
    return found if 4 * filters <= 8 * LANES else None


def _lanes(filters: int) -> int:
    return -(-filters // LANES) * LANES


class TorchRecurrence:
    """On any device, with PyTorch's own operations; parameters as in `recurrence`."""

    def __init__(
        self, cell: Cell, tiles: int, size: Size, slots: int, *, device: str, precision: Precision
    ) -> None:
        kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._filters = cell.filters
        self._weights = cell.state.to(device, kind).contiguous(memory_format=torch.channels_last)
        shape = (slots, tiles, cell.filters, *size)
        self._hidden = torch.zeros(shape, dtype=kind, device=device)
        self._cell = torch.zeros(shape, device=device)

    def begin(self, slots: Sequence[int]) -> None:
        """Set states to zero."""
        self._hidden[list(slots)] = 0
        self._cell[list(slots)] = 0

    def step(self, gates: Tensor, slots: Sequence[int], ended: Sequence[int]) -> Tensor:
        """Show one observation to some windows."""
        which = list(slots)
        hidden = self._hidden[which]
        seen = functional.conv2d(hidden.flatten(0, 1), self._weights, padding=1).float()
        seen = seen.view(*hidden.shape[:2], *seen.shape[1:]) + gates.permute(0, 3, 1, 2)
        enter, forget, candidate, leave = seen.chunk(4, dim=2)
        cell = self._cell[which].mul_(forget.clamp_(0, 1)).add_(enter.clamp_(0, 1) * candidate.tanh())
        self._cell[which] = cell
        self._hidden[which] = (leave.clamp_(0, 1) * cell.tanh_()).to(hidden.dtype)
        return self._hidden[list(ended)].float()


class _NativeRecurrence:
    """On processors, with the compiled step; parameters as in `recurrence`."""

    def __init__(
        self, compiled: Kernel, cell: Cell, tiles: int, size: Size, slots: int, precision: Precision
    ) -> None:
        filters, lanes = cell.filters, _lanes(cell.filters)
        self._kernel, self._precision = compiled, precision
        self._filters, self._tiles, self._size = filters, tiles, size
        if precision == "float32":
            self._weights, kind = _winograd_weights(cell), torch.float32
            stride = (size.y + 2) * -(-size.x // 4) * 6 * filters
        else:
            self._weights, kind = _tile_weights(cell), torch.bfloat16
            stride = -(-((size.y + 2) * (size.x + 2) * lanes + 34 * lanes + 64) // 32) * 32
        self._before, self._after = (torch.zeros(slots, tiles, stride, dtype=kind) for _ in range(2))
        self._cell = torch.zeros(slots, tiles, size.y, size.x, lanes)
        self._state, self._result = (np.empty(slots, np.int32) for _ in range(2))
        rows_in_cache = _CACHE // (16 * filters * size.x)
        threads = torch.get_num_threads()
        self._job = Job(
            filters=filters, rows=size.y, columns=size.x, tiles=tiles, threads=threads, memory_stride=stride,
            band=max(1, min(size.y, rows_in_cache, -(-size.y * tiles // (2 * threads)))),
            state=self._state.ctypes.data, result=self._result.ctypes.data,
            weights=self._weights.data_ptr(), c=self._cell.data_ptr(),
        )  # fmt: skip

    def begin(self, slots: Sequence[int]) -> None:
        """Set states to zero."""
        for slot in slots:
            self._before[slot].zero_()
            self._cell[slot].zero_()

    def step(self, gates: Tensor, slots: Sequence[int], ended: Sequence[int]) -> Tensor:
        """Show one observation to some windows."""
        self._state[: len(slots)] = slots
        self._result[: len(slots)] = [ended.index(slot) if slot in ended else -1 for slot in slots]
        results = torch.empty(len(ended), self._tiles, *self._size, self._filters)
        job = self._job
        job.states, job.gates, job.results = len(slots), gates.data_ptr(), results.data_ptr()
        job.before, job.after = self._before.data_ptr(), self._after.data_ptr()
        self._kernel.step(self._precision, job)
        self._before, self._after = self._after, self._before
        return results.permute(0, 1, 4, 2, 3)


def _winograd_weights(cell: Cell) -> Tensor:
    """Arrange the weights as [tap of F(4, 3)][ky][filter in][gate and filter out, padded]."""
    filters = cell.filters
    matrix = torch.tensor(_WINOGRAD, dtype=torch.float64)
    taps = torch.einsum("tx,oiyx->tyio", matrix, cell.state.double()).float()
    packed = torch.zeros(6, 3, filters, _lanes(4 * filters))
    packed[..., : 4 * filters] = taps
    return packed


def _tile_weights(cell: Cell) -> Tensor:
    """Arrange the weights as [16 filters][two gates][ky][32 inputs][gate][pair of inputs][filter][2]."""
    filters, lanes = cell.filters, _lanes(cell.filters)
    blocks = -(-3 * lanes // 32)
    padded = torch.zeros(4, lanes, 3, 3, lanes)
    padded[:, :filters, :, :, :filters] = cell.state.view(4, filters, filters, 3, 3).permute(0, 1, 3, 4, 2)
    rows = torch.zeros(4, lanes, 3, blocks * 32)
    rows[..., : 3 * lanes] = padded.flatten(3)
    split = rows.view(2, 2, lanes // LANES, LANES, 3, blocks, LANES, 2)
    return split.permute(2, 0, 4, 5, 1, 6, 3, 7).contiguous().bfloat16()
