"""The recurrence of a `ConvLSTM` through whole sequences, with a gradient that keeps little and is quick."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional, grad

__all__ = ["unrolled"]

_CHUNK_BYTES = 2**26


def unrolled(
    gates: Tensor, weight: Tensor, real: Tensor, masks: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Run the recurrent half of a memory through sequences, each to its own end.

    The same as step by step with automatic differentiation, but of each step only the gates, the hidden and
    the cell state are kept for the gradient, and the gradient of the weights is summed over many steps at
    once.

    Parameters
    ----------
    gates : Tensor
        (P, 4 filters, Y, X), what the observations alone add to the gates input, forget, candidate, output:
        all real steps, first step first, and within a step in the order of the sequences.
    weight : Tensor
        (4 filters, filters, 3, 3) of the convolution of the hidden state.
    real : Tensor
        (B, T) bool, P of them true; in every sequence they come first.
    masks : Tensor, optional
        (4, B, filters, Y, X), what the hidden state is multiplied with before each gate's convolution.

    Returns
    -------
    tuple of Tensor
        Last hidden and last cell state, (B, filters, Y, X) each; zeros for a sequence without steps.

    References
    ----------
    X. Shi et al., Convolutional LSTM network, NeurIPS 2015, equation 3 without peepholes; the hard sigmoid
    is clip(0.2 x + 0.5, 0, 1).

    Examples
    --------
    >>> real = torch.tensor([[True, True], [True, False]])
    >>> hidden, cell = unrolled(torch.zeros(3, 8, 4, 4), torch.zeros(8, 2, 3, 3), real)
    >>> hidden.shape
    torch.Size([2, 2, 4, 4])
    """
    device = gates.device.type
    kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    last: tuple[Tensor, Tensor] = _Unrolled.apply(gates, weight, real, masks, kind)  # type: ignore[no-untyped-call]
    return last


class _Step(NamedTuple):
    """One step: its place among the packed ones, the sequences that have it, and which of those before."""

    part: slice
    active: Tensor | slice
    kept: Tensor | slice


class _Unrolled(torch.autograd.Function):
    """Forward by hand, backward by hand; convolutions in `kind`, states in the type of the weights."""

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, weight: Tensor, real: Tensor, masks: Tensor | None, kind: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        filters, steps = weight.shape[1], _steps(real)
        wanted = any(ctx.needs_input_grad)
        kept = len(gates) if wanted else 0
        hidden, cell = (_room(gates, len(real), filters, weight.dtype).zero_() for _ in range(2))
        acts = _room(gates, kept, 4 * filters, kind)
        hiddens, cells = _room(gates, kept, filters, kind), _room(gates, kept, filters, weight.dtype)
        masks = None if masks is None else _by_gate(masks)
        narrow = weight.to(kind)
        with torch.autocast(gates.device.type, enabled=False):
            for part, active, _ in steps:
                state = _seen(hidden[active], None if masks is None else masks[active]).to(kind)
                opened = functional.conv2d(state, narrow, padding=1, groups=1 if masks is None else 4)
                opened = _activate(opened.to(weight.dtype).add_(gates[part]))
                now = _remember(opened, cell[active])
                if wanted:
                    acts[part], hiddens[part], cells[part] = opened, *now
                hidden[active], cell[active] = now
        ctx.steps = steps
        ctx.save_for_backward(acts, hiddens, cells, weight, *(() if masks is None else (masks,)))
        return hidden, cell

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        acts, hiddens, cells, weight, *rest = ctx.saved_tensors
        masks = rest[0] if rest else None
        groups = 1 if masks is None else 4
        narrow = weight.to(acts.dtype)
        d_hidden, d_cell = (each.clone() for each in gradients)
        d_gates = torch.empty_like(acts)
        before = [None, *ctx.steps[:-1]]
        for step, previous in zip(ctx.steps[::-1], before[::-1], strict=True):
            part, active, kept = step
            old = None if previous is None else cells[previous.part][kept]
            opened = acts[part].to(weight.dtype)
            d_opened, d_cell[active] = _backward_step(
                opened, cells[part], old, d_hidden[active], d_cell[active]
            )
            d_gates[part] = d_opened
            d_state = functional.conv_transpose2d(d_gates[part], narrow, padding=1, groups=groups)
            d_hidden[active] = _unseen(d_state.to(weight.dtype), None if masks is None else masks[active])
        d_weight = _weight_gradient(ctx.steps, hiddens, d_gates, weight, masks)
        return d_gates, d_weight, None, None, None


def _steps(real: Tensor) -> list[_Step]:
    steps, first = [], 0
    counts = real.sum(0).tolist()
    for number, count in enumerate(counts):
        if not count:
            break
        whole = count == len(real)
        active = slice(None) if whole else real[:, number].nonzero().squeeze(1)
        same = number == 0 or counts[number - 1] == count
        kept = slice(None) if same else real[real[:, number - 1], number]
        steps.append(_Step(slice(first, first + count), active, kept))
        first += count
    return steps


def _room(like: Tensor, count: int, channels: int, kind: torch.dtype) -> Tensor:
    """Make room for images with the channels last, in which convolutions are quickest."""
    room = torch.empty(count, channels, *like.shape[2:], dtype=kind, device=like.device)
    return room.contiguous(memory_format=torch.channels_last)


def _by_gate(masks: Tensor) -> Tensor:
    """Put the masks (4, B, filters, Y, X) of the gates one after another (B, 4 filters, Y, X)."""
    return masks.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)


def _seen(hidden: Tensor, masks: Tensor | None) -> Tensor:
    """Give what the gates see of the hidden state."""
    return hidden if masks is None else torch.cat([hidden] * 4, dim=1).mul_(masks)


def _unseen(gradient: Tensor, masks: Tensor | None) -> Tensor:
    """Give the gradient of the hidden state, of that of what the gates see."""
    if masks is None:
        return gradient
    enter, forget, candidate, leave = gradient.mul_(masks).chunk(4, dim=1)
    return (enter + forget).add_(candidate).add_(leave)


def _activate(gates: Tensor) -> Tensor:
    enter, forget, candidate, leave = gates.chunk(4, dim=1)
    for each in (enter, forget, leave):
        each.mul_(0.2).add_(0.5).clamp_(0.0, 1.0)
    candidate.tanh_()
    return gates


def _remember(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    enter, forget, candidate, leave = gates.chunk(4, dim=1)
    new = (forget * cell).addcmul_(enter, candidate)
    return new.tanh().mul_(leave), new


def _backward_step(
    gates: Tensor, cell: Tensor, old: Tensor | None, d_hidden: Tensor, d_cell: Tensor
) -> tuple[Tensor, Tensor]:
    """Give the gradients of what the gates were opened with, and of the cell state before."""
    enter, forget, candidate, leave = gates.chunk(4, dim=1)
    bent = cell.tanh()
    through = torch.addcmul(d_cell, d_hidden * leave, 1 - bent.square())
    d_gates = torch.empty_like(gates)
    sides = d_gates.chunk(4, dim=1)
    torch.mul(through, candidate, out=sides[0])
    if old is None:
        sides[1].zero_()
    else:
        torch.mul(through, old, out=sides[1])
    torch.mul(through, enter, out=sides[2])
    torch.mul(d_hidden, bent, out=sides[3])
    for side, gate in ((sides[0], enter), (sides[1], forget), (sides[3], leave)):
        side.mul_(0.2).mul_((gate > 0) & (gate < 1))
    sides[2].mul_(1 - candidate.square())
    return d_gates, through.mul_(forget)


def _weight_gradient(
    steps: list[_Step], hiddens: Tensor, d_gates: Tensor, weight: Tensor, masks: Tensor | None
) -> Tensor:
    """Sum over the steps, many at once; the first step saw nothing."""
    total = torch.zeros_like(weight)
    states: list[Tensor] = []
    first = steps[0].part.stop if steps else 0
    for previous, step in pairwise(steps):
        state = hiddens[previous.part][step.kept]
        states.append(_seen(state, None if masks is None else masks[step.active].to(state.dtype)))
        full = sum(each.nbytes for each in states) > _CHUNK_BYTES
        if full or step is steps[-1]:
            part = slice(first, step.part.stop)
            groups = 1 if masks is None else 4
            total += grad.conv2d_weight(  # type: ignore[no-untyped-call]
                torch.cat(states), weight.shape, d_gates[part], padding=1, groups=groups
            )
            states, first = [], step.part.stop
    return total
