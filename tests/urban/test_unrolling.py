"""The recurrence through whole sequences, against automatic differentiation step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from terradelta.urban.convlstm import ConvLSTM, real_steps
from terradelta.urban.unrolling import unrolled


def _stepwise(memory: ConvLSTM, x: Tensor, length: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor]:
    last = (
        x.new_zeros(len(x), memory.filters, *x.shape[3:]),
        x.new_zeros(len(x), memory.filters, *x.shape[3:]),
    )
    for state in memory.states(x, length, masks):
        last = state
    return last


@pytest.mark.parametrize("lengths", [[4, 4], [1, 4, 0, 3], [2], [0, 1]])
@pytest.mark.parametrize("dropout", [False, True])
def test_values_and_gradients_are_those_of_single_steps(lengths: list[int], dropout: bool) -> None:
    torch.manual_seed(0)
    memory = ConvLSTM(2, 3).double()
    length, size = torch.tensor(lengths), (5, 6)
    masks = (torch.rand(4, len(lengths), 3, *size) > 0.4).double() / 0.6 if dropout else None
    memory.eval()
    found = []
    for way in (memory, lambda *given: _stepwise(memory, *given)):
        x = 3 * torch.randn(
            len(lengths), 4, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
        )
        x.requires_grad_()
        memory.zero_grad()
        hidden, cell = way(x, length, masks)
        weights = torch.linspace(-1, 2, hidden.numel(), dtype=torch.float64).view_as(hidden)
        ((hidden * weights).sum() + (cell**2).sum()).backward()
        found.append([hidden, cell, x.grad, *(each.grad for each in memory.parameters())])
    for ours, slow in zip(*found, strict=True):
        torch.testing.assert_close(ours, slow, rtol=1e-10, atol=1e-12)


def test_gradients_of_the_weights_are_summed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    memory, x, length = ConvLSTM(2, 3, dropout=0).double(), torch.randn(3, 9, 2, 4, 4).double(), [9, 5, 7]
    found = []
    for chunk in (2**26, 1):
        monkeypatch.setattr("terradelta.urban.unrolling._CHUNK_BYTES", chunk)
        memory.zero_grad()
        memory(x, torch.tensor(length))[0].sum().backward()
        found.append(memory.state.weight.grad.clone())  # type: ignore[union-attr]
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-14)


def test_mixed_precision_is_near_and_keeps_the_types() -> None:
    torch.manual_seed(0)
    memory, x, length = ConvLSTM(2, 3), torch.randn(2, 8, 2, 6, 6), torch.tensor([8, 6])
    found = []
    for half in (False, True):
        torch.manual_seed(1)
        memory.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            hidden, cell = memory(x, length)
        hidden.float().square().sum().backward()
        assert cell.dtype == torch.float32
        found.append([hidden.float(), memory.state.weight.grad, memory.input.weight.grad])
    for half, full in zip(*found[::-1], strict=True):
        assert float(((half - full).norm() / full.norm()).detach()) < 0.03


def test_nothing_is_kept_where_no_gradient_is_wanted() -> None:
    real = real_steps(torch.tensor([2]), 2)
    gates, weight = torch.randn(2, 8, 4, 4), torch.randn(8, 2, 3, 3)
    with torch.no_grad():
        hidden, _ = unrolled(gates, weight, real)
    assert not hidden.requires_grad
    with_it = unrolled(gates, weight.requires_grad_(), real)[0]
    assert with_it.requires_grad and torch.equal(hidden, with_it.detach())
