"""Convolution blocks and the convolutional memory, against the layers of Keras and a slow obvious version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from terradelta.errors import InputError
from terradelta.urban.convlstm import ConvBlock, ConvLSTM, hard_sigmoid, real_steps

Oracle = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def oracle(shared: Path) -> Oracle:
    with np.load(shared / "reference" / "ercnn" / "layer_convlstm2d.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def blocks(shared: Path) -> Oracle:
    with np.load(shared / "reference" / "ercnn" / "layer_bn_conv_td.npz") as file:
        return dict(file)


def _first(values: NDArray[np.float32]) -> Tensor:
    """Put channels before y and x."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, -3)))


def _kernel(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.transpose(3, 2, 0, 1)))


def _memory(oracle: Oracle, dropout: float = 0.4) -> ConvLSTM:
    memory = ConvLSTM(2, 3, dropout)
    memory.load_state_dict({
        "input.weight": _kernel(oracle["kernel"]),
        "input.bias": torch.from_numpy(oracle["bias"]),
        "state.weight": _kernel(oracle["recurrent_kernel"]),
    })  # fmt: skip
    return memory.eval()


def _used_first(x: Tensor, used: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Move the used steps of every sample to the front; noise where nothing is left."""
    packed = torch.full_like(x, torch.nan)
    for sample, steps in enumerate(used):
        packed[sample, : steps.sum()] = x[sample, torch.from_numpy(steps)]
    return packed, torch.from_numpy(used.sum(1))


# the pieces


def test_hard_sigmoid_is_that_of_keras(oracle: Oracle) -> None:
    got = hard_sigmoid(torch.from_numpy(oracle["hs_x"]))
    np.testing.assert_allclose(got, oracle["hs_y"], atol=1e-7)
    assert not np.allclose(torch.nn.functional.hardsigmoid(torch.from_numpy(oracle["hs_x"])), oracle["hs_y"])


def test_real_steps() -> None:
    assert real_steps(torch.tensor([0, 2, 3]), 3).tolist() == [
        [False, False, False],
        [True, True, False],
        [True, True, True],
    ]


# the memory against Keras


def test_all_steps_as_keras(oracle: Oracle) -> None:
    memory, x = _memory(oracle), _first(oracle["x"])
    length = torch.full((4,), 5)
    with torch.no_grad():
        seen = torch.stack([hidden for hidden, _ in memory.states(x, length)], 1)
        hidden, cell = memory(x, length)
    np.testing.assert_allclose(seen, _first(oracle["seq_nomask"]), atol=2e-6)
    np.testing.assert_allclose(hidden, _first(oracle["h_nomask"]), atol=2e-6)
    np.testing.assert_allclose(cell, _first(oracle["c_nomask"]), atol=2e-6)


def test_skipped_steps_as_keras(oracle: Oracle) -> None:
    memory, used = _memory(oracle), oracle["mask"].astype(bool)
    x, length = _used_first(_first(oracle["x"]), used)
    with torch.no_grad():
        hidden, cell = memory(x, length)
        steps = torch.stack([hidden for hidden, _ in memory.states(x, length)], 1)
    np.testing.assert_allclose(hidden, _first(oracle["h_mask"]), atol=2e-6)
    np.testing.assert_allclose(hidden, _first(oracle["last_mask"]), atol=2e-6)
    np.testing.assert_allclose(cell, _first(oracle["c_mask"]), atol=2e-6)
    _near_where_used(steps, oracle["seq_mask"], used)


def _near_where_used(got: Tensor, wanted: NDArray[np.float32], used: NDArray[np.bool_]) -> None:
    for sample, row in enumerate(used):
        seen = got[sample, : row.sum()]
        np.testing.assert_allclose(seen, _first(wanted[sample])[torch.from_numpy(row)], atol=2e-6)


def test_recurrent_dropout_as_keras(oracle: Oracle) -> None:
    memory, used = _memory(oracle).train(), oracle["mask"].astype(bool)
    x, length = _used_first(_first(oracle["x"]), used)
    masks = _first(oracle["recdrop_masks_ifco"])
    with torch.no_grad():
        steps = torch.stack([hidden for hidden, _ in memory.states(x, length, masks)], 1)
        _, cell = memory(x, length, masks)
    _near_where_used(steps, oracle["seq_recdrop"], used)
    np.testing.assert_allclose(cell, _first(oracle["c_recdrop"]), atol=2e-6)
    assert not np.allclose(steps[0], _first(oracle["seq_mask"][0]), atol=1e-3)


def test_gradients_as_keras(oracle: Oracle) -> None:
    memory, used = _memory(oracle).double(), oracle["mask"].astype(bool)
    x = _first(oracle["x"]).double().requires_grad_()
    packed, length = _used_first(x.detach(), used)
    packed.requires_grad_()
    (memory(packed, length)[0] * _first(oracle["grad_w"])).sum().backward()
    _near(memory.input.weight.grad, _kernel(oracle["grad_kernel"]))
    _near(memory.state.weight.grad, _kernel(oracle["grad_recurrent_kernel"]))
    assert memory.input.bias is not None
    _near(memory.input.bias.grad, torch.from_numpy(oracle["grad_bias"]))
    assert packed.grad is not None
    for sample, row in enumerate(used):
        _near(packed.grad[sample, : row.sum()], _first(oracle["grad_x"])[sample, torch.from_numpy(row)])
        assert (packed.grad[sample, row.sum() :] == 0).all()


def _near(got: Tensor | None, wanted: Tensor) -> None:
    assert got is not None
    if wanted.numel():
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


# the memory against a slow, obvious version


def _same(x: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve (C, Y, X) with (F, C, 3, 3), zeros around."""
    _, rows, columns = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    done = np.zeros((len(kernel), rows, columns))
    for filters, row, column in np.ndindex(*done.shape):
        done[filters, row, column] = (padded[:, row : row + 3, column : column + 3] * kernel[filters]).sum()
    return done


def _slow(memory: ConvLSTM, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run one sequence (T, C, Y, X)."""
    assert memory.input.bias is not None
    weights = [memory.input.weight, memory.state.weight, memory.input.bias]
    kernel, recurrent, bias = (each.detach().double().numpy() for each in weights)
    hidden = cell = np.zeros((memory.filters, *x.shape[2:]))
    for frame in x:
        gates = _same(frame, kernel) + _same(hidden, recurrent) + bias[:, None, None]
        enter, forget, candidate, leave = np.split(gates, 4)
        enter, forget, leave = (np.clip(0.2 * gate + 0.5, 0, 1) for gate in (enter, forget, leave))
        cell = forget * cell + enter * np.tanh(candidate)
        hidden = leave * np.tanh(cell)
    return hidden, cell


@pytest.mark.parametrize("lengths", [[4, 4, 4], [4, 0, 1], [2, 1, 2]])
def test_memory_equals_the_slow_version(lengths: list[int]) -> None:
    torch.manual_seed(3)
    memory = ConvLSTM(2, 3).double().eval()
    x = torch.randn(3, 4, 2, 3, 5, dtype=torch.float64) * 3
    with torch.no_grad():
        hidden, cell = memory(x, torch.tensor(lengths))
    for sample, length in enumerate(lengths):
        wanted = _slow(memory, x[sample, :length].numpy())
        np.testing.assert_allclose(hidden[sample], wanted[0], atol=1e-12)
        np.testing.assert_allclose(cell[sample], wanted[1], atol=1e-12)


def test_no_sequence_at_all() -> None:
    memory = ConvLSTM(2, 3).eval()
    hidden, cell = memory(torch.zeros(0, 4, 2, 3, 5), torch.zeros(0, dtype=torch.int64))
    assert hidden.shape == cell.shape == (0, 3, 3, 5)
    hidden, _ = memory(torch.zeros(2, 0, 2, 3, 5), torch.zeros(2, dtype=torch.int64))
    assert hidden.shape == (2, 3, 3, 5)
    assert (hidden == 0).all()


@pytest.mark.parametrize("training", [False, True])
def test_padding_never_touches_the_memory(training: bool) -> None:
    torch.manual_seed(0)
    memory, length = ConvLSTM(2, 3).train(training), torch.tensor([3, 5, 0])
    x = torch.randn(3, 6, 2, 7, 6)
    torch.manual_seed(1)
    wanted = memory(x, length)
    other = torch.full((3, 9, 2, 7, 6), torch.nan)
    for sample, steps in enumerate(length):
        other[sample, :steps] = x[sample, :steps]
    other.requires_grad_()
    torch.manual_seed(1)
    got = memory(other, length)
    assert torch.equal(got[0], wanted[0])
    assert torch.equal(got[1], wanted[1])
    got[0].sum().backward()
    assert other.grad is not None
    assert other.grad.isfinite().all()
    assert (other.grad[1, 4] != 0).any()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in memory.parameters())


# dropout


def test_masks_are_drawn_per_gate_and_sample_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []
    draw = ConvLSTM._draw_masks
    monkeypatch.setattr(ConvLSTM, "_draw_masks", lambda *a: drawn.append(draw(*a)) or drawn[-1])
    torch.manual_seed(0)
    memory = ConvLSTM(2, 5).train()
    x, length = torch.randn(3, 4, 2, 16, 16), torch.full((3,), 4)
    hidden, _ = memory(x, length)
    (masks,) = drawn
    assert masks.shape == (4, 3, 5, 16, 16)
    np.testing.assert_allclose(masks.unique(), [0, 1 / 0.6])
    assert abs((masks > 0).float().mean() - 0.6) < 0.02
    flat = masks.flatten(0, 1)
    assert all(not torch.equal(flat[a], flat[b]) for a in range(12) for b in range(a))
    again, _ = memory(x, length, masks)
    assert torch.equal(again, hidden)


def test_no_dropout_in_inference_or_at_rate_0() -> None:
    torch.manual_seed(0)
    memory, x, length = ConvLSTM(2, 3), torch.randn(2, 4, 2, 5, 5), torch.tensor([4, 4])
    free = ConvLSTM(2, 3, dropout=0).train()
    free.load_state_dict(memory.state_dict())
    wanted = memory.eval()(x, length)[0]
    assert torch.equal(free(x, length)[0], wanted)
    assert not torch.allclose(memory.train()(x, length)[0], wanted)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_dropout_out_of_range_is_refused(dropout: float) -> None:
    with pytest.raises(InputError, match=r"not in \[0, 1\)"):
        ConvLSTM(2, 3, dropout)


# the start of training


def test_start_is_that_of_keras(oracle: Oracle) -> None:
    torch.manual_seed(0)
    memory = ConvLSTM(2, 3)
    assert memory.input.bias is not None
    np.testing.assert_array_equal(memory.input.bias.detach(), oracle["default_bias_init"])
    rows = memory.state.weight.detach().flatten(1)
    np.testing.assert_allclose(rows @ rows.T, np.eye(12), atol=1e-5)
    edge = (6 / (9 * (2 + 12))) ** 0.5
    assert 0.9 * edge < memory.input.weight.abs().max() <= edge
    block = ConvBlock(4, 10)
    edge = (6 / (9 * (4 + 10))) ** 0.5
    assert 0.9 * edge < block.conv.weight.abs().max() <= edge
    assert block.conv.bias is not None
    assert (block.conv.bias == 0).all()


# blocks


def _block(oracle: Oracle, **norm: NDArray[np.float32]) -> ConvBlock:
    block = ConvBlock(3, 4)
    state = block.state_dict()
    state["conv.weight"], state["conv.bias"] = (
        _kernel(oracle["conv_kernel"]),
        torch.from_numpy(oracle["conv_bias"]),
    )
    block.load_state_dict(state)
    return block


def test_convolution_as_keras(blocks: Oracle) -> None:
    with torch.no_grad():
        got = _block(blocks).conv(_first(blocks["conv_x"]))
    np.testing.assert_allclose(got, _first(blocks["conv_y"]), atol=2e-6)


def test_normalisation_as_keras(blocks: Oracle) -> None:
    norm = ConvBlock(3, 3).norm
    names = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    norm.load_state_dict(
        {ours: torch.from_numpy(blocks[theirs]) for ours, theirs in names.items()}, strict=False
    )
    with torch.no_grad():
        np.testing.assert_allclose(norm.eval()(_first(blocks["x"])), _first(blocks["y_inference"]), atol=2e-6)
        np.testing.assert_allclose(norm.train()(_first(blocks["x"])), _first(blocks["y_training"]), atol=2e-6)
        np.testing.assert_allclose(norm.running_mean, blocks["moving_mean_after1"], rtol=1e-5)
        np.testing.assert_allclose(norm.running_var, blocks["moving_variance_after1"], rtol=1e-5)
        norm(_first(blocks["x2"]))
    np.testing.assert_allclose(norm.running_mean, blocks["moving_mean_after2"], rtol=1e-5)
    np.testing.assert_allclose(norm.running_var, blocks["moving_variance_after2"], rtol=1e-5)


def test_block_in_training_as_keras_where_padding_counts_and_statistics_move_twice(blocks: Oracle) -> None:
    """Keras normalises padded steps too and counts each batch twice; our `Branch` does neither."""
    block = _block(blocks).train()
    folded = _first(blocks["td_x"]).flatten(0, 1)
    with torch.no_grad():
        got = block(folded)
        block(folded)
    np.testing.assert_allclose(got, _first(blocks["td_y_training"]).flatten(0, 1), atol=2e-6)
    np.testing.assert_allclose(block.norm.running_mean, blocks["td_moving_mean_after"], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(block.norm.running_var, blocks["td_moving_variance_after"], rtol=1e-5)
