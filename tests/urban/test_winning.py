"""The maximum over windows: the memory-saving gradient against the plain one, and against the oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from terradelta.errors import InputError
from terradelta.urban.convlstm import real_steps
from terradelta.urban.keras_weights import load_keras_weights
from terradelta.urban.network import ERCNN, Branch
from terradelta.urban.training.batch import WindowBatch, WindowSample, collate, cut
from terradelta.urban.training.loss import tanimoto_losses
from terradelta.urban.training.winning import maximum_over_windows

if TYPE_CHECKING:
    Forward = Callable[[Branch, Tensor, Tensor], Tensor]


def _batch(
    samples: int = 3, windows: int = 4, steps: int = 5, size: int = 8, channels: int = 9
) -> WindowBatch:
    torch.manual_seed(3)
    frames = torch.rand(samples, steps + 3 * windows, channels, size, size)
    first = torch.arange(windows) * 3
    length = steps - torch.arange(samples)[:, None] % 2
    limits = torch.stack([first.expand(samples, -1), first + length.expand(-1, windows)], dim=2)
    label = (torch.rand(samples, size, size) > 0.7).float()
    frozen = torch.zeros(samples, size, size, dtype=torch.bool)
    frozen[0, :, 1::2] = True
    return WindowBatch(frames, limits, label, frozen, tuple(f"tile {n}" for n in range(samples)))


def _gradients(net: nn.Module, batch: WindowBatch, *, saving: bool) -> tuple[Tensor, dict[str, Tensor]]:
    net.zero_grad()
    torch.manual_seed(7)
    found = maximum_over_windows(net, batch, saving=saving)
    tanimoto_losses(found.float(), batch.label).mean().backward()
    return found.detach(), {name: each.grad.clone() for name, each in net.named_parameters()}


def _twice(
    make: Callable[[], nn.Module], batch: WindowBatch
) -> list[tuple[Tensor, dict[str, Tensor], nn.Module]]:
    nets = [make(), make()]
    return [(*_gradients(net, batch, saving=bool(way)), net) for way, net in enumerate(nets)]


def _network() -> ERCNN:
    torch.manual_seed(5)
    return ERCNN("ers12ls5")


# the two ways


def test_gradients_are_those_of_the_plain_way() -> None:
    """In training: recurrent dropout and statistics of the batch, in float32."""
    (values, plain, one), (same, saved, other) = _twice(_network, _batch())
    assert torch.equal(values, same)
    assert set(plain) == set(saved)
    for name, wanted in plain.items():
        if name.endswith("conv.bias"):  # in front of a normalisation: rounding noise
            continue
        assert float((saved[name] - wanted).abs().max() / wanted.abs().max()) < 1e-5, name
    for name, buffer in one.named_buffers():
        assert torch.equal(buffer, other.get_buffer(name)), name


def test_statistics_move_once_per_window() -> None:
    net = _network()
    _gradients(net, _batch(windows=4), saving=True)
    counts = {int(value) for name, value in net.named_buffers() if name.endswith("num_batches_tracked")}
    assert counts == {4}
    assert all(norm.track_running_stats for norm in net.modules() if isinstance(norm, nn.BatchNorm2d))


def test_the_random_numbers_after_it_are_those_of_the_plain_way() -> None:
    drawn = []
    for saving in (False, True):
        _gradients(_network(), _batch(), saving=saving)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_mixed_precision_computes_both_passes_alike() -> None:
    batch, found = _batch(), []
    for saving in (False, True):
        net = _network()
        net.zero_grad()
        torch.manual_seed(7)
        with torch.autocast("cpu", torch.bfloat16):
            values = maximum_over_windows(net, batch, saving=saving)
        tanimoto_losses(values.float(), batch.label).mean().backward()
        found.append((values, net.out.weight.grad, net.sar.memory.state.weight.grad))  # type: ignore[union-attr]
    for plain, saved in zip(*found, strict=True):
        torch.testing.assert_close(saved, plain, rtol=2e-2, atol=2e-5)


def test_frozen_weights_get_no_gradient() -> None:
    net = _network()
    net.sar.requires_grad_(False)  # type: ignore[union-attr]
    maximum_over_windows(net, _batch()).sum().backward()
    assert all(each.grad is None for each in net.sar.parameters())  # type: ignore[union-attr]
    assert all(each.grad is not None for each in net.head.parameters())


# which window gets the gradient


class _Means(nn.Module):
    """Gives the weighted mean of each window, and counts how often it is run with gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[float] = []

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        mean: Tensor = (x.sum(1) / length[:, None, None, None]).mean(1)
        if torch.is_grad_enabled():
            self.seen.append(float(mean.flatten()[0]))
        return mean * self.weight


def _levels(*levels: float) -> WindowBatch:
    frames = torch.tensor(levels).view(1, -1, 1, 1, 1).expand(1, len(levels), 1, 2, 2)
    windows = torch.stack([torch.arange(len(levels)), torch.arange(len(levels)) + 1], 1)[None]
    flat = torch.zeros(1, 2, 2)
    return WindowBatch(frames, windows, flat, flat.bool(), ("a",))


def test_a_window_that_wins_nowhere_is_not_run_again() -> None:
    net = _Means()
    maximum_over_windows(net, _levels(0.2, 0.7, 0.5)).sum().backward()
    assert net.seen == [pytest.approx(0.7)]
    assert float(net.weight.grad) == pytest.approx(4 * 0.7)  # type: ignore[arg-type]


def test_processes_that_normalise_together_run_the_same_windows() -> None:
    net = _Means()
    net.norm = nn.SyncBatchNorm(1)
    net.norm.requires_grad_(False)
    maximum_over_windows(net, _levels(0.2, 0.7, 0.5)).sum().backward()
    assert net.seen == pytest.approx([0.2, 0.7, 0.5])
    assert float(net.weight.grad) == pytest.approx(4 * 0.7)  # type: ignore[arg-type]


def test_of_equal_windows_the_earliest_gets_the_gradient() -> None:
    net, batch = _Means(), _levels(0.1, 0.6, 0.6)
    maximum_over_windows(net, batch).sum().backward()
    assert len(net.seen) == 1


@pytest.mark.parametrize("saving", [False, True])
def test_a_maximum_starts_from_zero(saving: bool) -> None:
    net = _Means()
    found = maximum_over_windows(net, _levels(0.0, -0.3), saving=saving)
    found.sum().backward()
    assert torch.equal(found, torch.zeros(1, 2, 2))
    assert net.weight.grad is None or float(net.weight.grad) == 0


# cutting


def test_windows_of_different_lengths_are_cut_from_the_frames() -> None:
    batch = _batch(samples=2, windows=3, steps=5)
    for number in range(3):
        x, length = cut(batch, number)
        for sample in range(2):
            first, stop = batch.windows[sample, number].tolist()
            wanted = batch.frames[sample, first:stop].clone()
            if sample == 0:
                wanted[:, :, :, 1::2] = wanted[:1, :, :, 1::2]
            assert int(length[sample]) == stop - first
            assert torch.equal(x[sample, : stop - first], wanted)
            assert not x[sample, stop - first :].any()


def test_samples_of_different_sizes_are_refused() -> None:
    def sample(size: int, name: str) -> WindowSample:
        flat = torch.zeros(size, size)
        return WindowSample(torch.zeros(3, 2, size, size), torch.tensor([[0, 2]]), flat, flat.bool(), name)

    with pytest.raises(InputError, match=r"first: \(2, 4, 4\), 1 windows; second: \(2, 5, 5\)"):
        collate([sample(4, "first"), sample(5, "second")])


# the published training step


class _AsPublished(nn.Module):
    """A network whose padded steps (-1) reach the statistics, twice, as in the published training."""

    def __init__(self, net: ERCNN) -> None:
        super().__init__()
        self.net = net
        for branch in (net.sar, net.optical):
            for norm in (each for each in branch.modules() if isinstance(each, nn.BatchNorm2d)):  # type: ignore[union-attr]
                norm.momentum = 1 - 0.99**2

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        real = real_steps(length, x.shape[1])
        x = torch.where(real[:, :, None, None, None], x, -1.0)
        states = []
        for branch, part in ((self.net.sar, x[:, :, :4]), (self.net.optical, x[:, :, 4:])):
            steps = part.flatten(0, 1)
            for block in branch.blocks:  # type: ignore[union-attr]
                steps = block(steps)
            states.append(branch.memory(steps.unflatten(0, x.shape[:2]), length)[0])  # type: ignore[union-attr]
        last: Tensor = self.net.out(self.net.head(torch.cat(states, 1))).squeeze(1).sigmoid()
        return last


_NAMES = {
    "conv_opt_1_26": "optical.blocks.0", "conv_opt_2_26": "optical.blocks.1", "conv_sar_10": "sar.blocks.0",
    "convlstm_sar_10": "sar.memory", "convlstm_opt_26": "optical.memory",
    "conv_concat_1_8": "head.0", "conv_concat_2_8": "head.1", "conv_sigmoid": "out",
}  # fmt: skip
_KINDS = {
    "conv.kernel": "conv.weight", "conv.bias": "conv.bias", "bn.gamma": "norm.weight", "bn.beta": "norm.bias",
    "bn.moving_mean": "norm.running_mean", "bn.moving_variance": "norm.running_var",
}  # fmt: skip


def _ours(name: str) -> str:
    layer, kind = name.split(".", 1)
    if "convlstm" in layer:
        kind = {"kernel": "input.weight", "recurrent_kernel": "state.weight", "bias": "input.bias"}[kind]
    elif layer == "conv_sigmoid":
        kind = {"kernel": "weight", "bias": "bias"}[kind]
    else:
        kind = _KINDS[kind]
    return f"{_NAMES[layer]}.{kind}"


def _layout(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(values.transpose(3, 2, 0, 1).copy() if values.ndim == 4 else values).double()


def test_two_steps_of_training_as_published(shared: Path) -> None:
    """In float64, where no kink of an activation flips; through the memory-saving way."""
    folder = shared / "reference" / "ercnn"
    with np.load(folder / "train_step_s1s2.npz") as file:
        oracle = dict(file)
    net = load_keras_weights(folder / "weights_s1s2.hdf5").double().train()
    for branch in (net.sar, net.optical):
        branch.memory.dropout = 0.0  # type: ignore[union-attr]
    model = _AsPublished(net)
    x = torch.from_numpy(oracle["x_q"].astype(np.float64) / 256).permute(1, 0, 2, 5, 3, 4).flatten(1, 2)
    first = 6 * torch.arange(3)[:, None] + torch.zeros(3, 2, dtype=torch.int64)
    stop = first + torch.from_numpy(oracle["lengths"]).long()
    label = torch.from_numpy(oracle["y_true"]).double()
    windows = torch.stack([first, stop], 2).transpose(0, 1)
    batch = WindowBatch(x, windows, label, torch.zeros_like(label, dtype=torch.bool), ("a", "b"))
    steps = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.8)

    found = maximum_over_windows(model, batch)
    losses = tanimoto_losses(found, label)
    losses.mean().backward()
    np.testing.assert_allclose(found.detach(), oracle["max_out"], atol=2e-5)
    np.testing.assert_allclose(losses.detach(), oracle["loss_per_sample"], atol=2e-5)
    own = dict(net.named_parameters())
    compared = 0
    for name, values in oracle.items():
        if name.startswith("grad.") and not name.endswith("conv.bias"):
            wanted, gradient = _layout(values), own[_ours(name[5:])].grad
            assert gradient is not None
            assert float((gradient - wanted).abs().max()) < 1e-4 * float(wanted.abs().max()), name
            compared += 1
    assert compared == 23
    _same_state(net, oracle, "after1.", 1e-5)
    steps.step()
    steps.zero_grad()
    second = tanimoto_losses(maximum_over_windows(model, batch), label).mean()
    assert float(second.detach()) == pytest.approx(float(oracle["loss_step2"]), abs=2e-5)
    second.backward()
    steps.step()
    _same_state(net, oracle, "after2.", 1e-4)


def _same_state(net: ERCNN, oracle: dict[str, NDArray[np.float32]], which: str, share: float) -> None:
    state = net.state_dict()
    names = [name for name in oracle if name.startswith(which) and not name.endswith("conv.bias")]
    assert len(names) >= 10
    for name in names:
        wanted = _layout(oracle[name])
        off = (state[_ours(name.removeprefix(which))] - wanted).abs().max()
        assert float(off) <= share * float(wanted.abs().max()), name
