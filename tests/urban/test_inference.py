"""All windows in lock-step: equal to the oracle and to each window by itself, compiled or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from terradelta import native as native_module
from terradelta.errors import InputError
from terradelta.types import Size
from terradelta.urban import ERCNN, Era, WindowRunner, most_active
from terradelta.urban import recurrence as recurrence_module
from terradelta.urban.convlstm import ConvLSTM
from terradelta.urban.native import kernel
from terradelta.urban.recurrence import Cell, TorchRecurrence, recurrence

WAYS = ["compiled", "torch"]


def small_era(sar: int = 3, optical: int = 18) -> Era:
    return Era(
        "small", ("VV",), ("B1", "B2", "B3"), np.timedelta64(1, "D"), np.timedelta64(30, "D"), 2, 20, sar,
        optical, 10.0,
    )  # fmt: skip


def network(seed: int = 0, branches: str = "both", **widths: int) -> ERCNN:
    """Random weights and random statistics of the normalisations."""
    torch.manual_seed(seed)
    net = ERCNN(small_era(**widths), branches).eval()
    for name, values in net.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 2.0)
        elif name.endswith(("running_mean", "norm.bias", "conv.bias")):
            values.uniform_(-0.5, 0.5)
    return net


def frames_of(net: ERCNN, count: int, *shape: int, seed: int = 0) -> NDArray[np.float32]:
    tiles, rows, columns = shape
    size = (count, tiles, net.channels, rows, columns)
    return np.random.default_rng(seed).random(size, dtype=np.float32)


def one_by_one(net: ERCNN, frames: NDArray[np.float32], windows: list[slice]) -> list[NDArray[np.float32]]:
    found = []
    for window in windows:
        x = torch.tensor(frames[window]).transpose(0, 1)
        with torch.no_grad():
            found.append(net(x, torch.full((x.shape[0],), x.shape[1])).numpy())
    return found


def _compiled(precision: str) -> bool:
    built = kernel()
    return built is not None and precision in built.precisions


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with the compiled recurrence, and with PyTorch's."""
    if request.param == "torch":
        monkeypatch.setattr(recurrence_module, "kernel", lambda: None)
    elif not _compiled("float32"):
        pytest.skip("there is no C++ compiler, or no AVX-512")
    return str(request.param)


# against the oracle


@pytest.mark.parametrize("era", ["s1s2", "ers12ls5"])
@pytest.mark.parametrize("large", [False, True])
def test_oracle(era: str, large: bool, way: str, shared: Path, published: Callable[[str], ERCNN]) -> None:
    name = f"model_{era}_forward_93.npz" if large else f"model_{era}_forward.npz"
    with np.load(shared / "reference" / "ercnn" / name) as oracle:
        x, y = np.float32(oracle["x_q"]) / 256, oracle["y"]
        lengths = np.atleast_1d(oracle["length"] if large else oracle["lengths"])
    x, y = x.reshape(-1, *x.shape[-4:]), y.reshape(-1, *y.shape[-2:])
    runner = WindowRunner([published(era)])
    for sequence, length, expected in zip(x, lengths, y, strict=True):
        frames = sequence.transpose(0, 3, 1, 2)[:, None]
        ((_, maps),) = runner.run(frames, [slice(0, int(length))])
        np.testing.assert_allclose(maps[0, 0], expected, atol=1e-5)


def test_bfloat16_is_near_the_oracle(way: str, shared: Path, published: Callable[[str], ERCNN]) -> None:
    with np.load(shared / "reference" / "ercnn" / "model_s1s2_forward.npz") as oracle:
        x, y, lengths = np.float32(oracle["x_q"]) / 256, oracle["y"], oracle["lengths"]
    errors = []
    runner = WindowRunner([published("s1s2")], precision="bfloat16")
    for sequence, length, expected in zip(x, lengths, y, strict=True):
        ((_, maps),) = runner.run(sequence.transpose(0, 3, 1, 2)[:, None], [slice(0, int(length))])
        errors.append(np.abs(maps[0, 0] - expected))
    assert 1e-4 < np.max(errors) < 0.05
    assert np.mean(np.array(errors) > 0.02) < 0.01


# against each window by itself


@pytest.mark.parametrize("branches", ["both", "sar", "optical"])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 5, 7), (2, 1, 33), (1, 40, 3)])
def test_windows_in_lock_step_equal_each_by_itself(branches: str, shape: tuple[int, ...], way: str) -> None:
    net = network(branches=branches)
    windows = [slice(0, 6), slice(2, 9), slice(2, 3), slice(4, 12), slice(11, 14), slice(5, 12)]
    frames = frames_of(net, 14, *shape)
    found = dict(WindowRunner([net]).run(frames, windows))
    assert sorted(found) == list(range(len(windows)))
    for number, expected in enumerate(one_by_one(net, frames, windows)):
        np.testing.assert_allclose(found[number][0], expected, atol=2e-6)


@pytest.mark.parametrize("filters", [1, 2, 4, 7, 10, 16, 17, 20, 26, 32, 33])
def test_every_width(filters: int, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(sar=filters, optical=filters)
    monkeypatch.setattr(recurrence_module, "_CACHE", 1)  # rows are written in any order
    frames, windows = frames_of(net, 7, 2, 9, 10), [slice(0, 5), slice(1, 7)]
    found = dict(WindowRunner([net]).run(frames, windows))
    for number, expected in enumerate(one_by_one(net, frames, windows)):
        np.testing.assert_allclose(found[number][0], expected, atol=2e-6)


def test_several_networks_and_bands_of_rows(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrence_module, "_CACHE", 1)  # one row at a time
    nets = [network(seed) for seed in (1, 2)]
    frames, windows = frames_of(nets[0], 9, 2, 12, 20), [slice(0, 4), slice(1, 9)]
    found = dict(WindowRunner(nets).run(frames, windows))
    for place, net in enumerate(nets):
        for number, expected in enumerate(one_by_one(net, frames, windows)):
            np.testing.assert_allclose(found[number][place], expected, atol=2e-6)


def test_state_stays_bounded_over_a_long_window(way: str) -> None:
    net = network(3)
    frames = frames_of(net, 200, 1, 8, 8)
    ((_, maps),) = WindowRunner([net]).run(frames, [slice(0, 200)])
    np.testing.assert_allclose(maps[0], one_by_one(net, frames, [slice(0, 200)])[0], atol=1e-5)


def test_compiled_step_in_bfloat16_equals_that_of_torch() -> None:
    if not _compiled("bfloat16"):
        pytest.skip("this processor has no matrix unit for bfloat16")
    torch.manual_seed(0)
    cell = Cell.of(ConvLSTM(5, 26))
    size = Size(9, 37)
    both = [
        make(cell, 2, size, 3, device="cpu", precision="bfloat16") for make in (recurrence, TorchRecurrence)
    ]
    assert type(both[0]) is not type(both[1])
    for step in range(6):
        gates = torch.randn(2 * size.y * size.x * 104 + 16)[:-16].view(2, *size, 104)
        hidden = [way.step(gates, [0, 1, 2], [1] if step < 5 else [2, 0]) for way in both]
    assert hidden[0].shape == (2, 2, 26, 9, 37)
    # the one rounds h after each step, the other also the sums of the convolution
    torch.testing.assert_close(*hidden, atol=0.03, rtol=0)
    assert (hidden[0] - hidden[1]).abs().mean() < 2e-3


# frames


def test_frames_may_share_one_buffer_and_end_late(way: str) -> None:
    net = network()
    frames = frames_of(net, 12, 1, 8, 8)
    buffer = np.empty_like(frames[0])
    taken = []

    def reused():
        for number, frame in enumerate(frames):
            buffer[...] = frame
            taken.append(number)
            yield buffer

    found = dict(WindowRunner([net]).run(reused(), [slice(5, 9)], first=0))
    np.testing.assert_allclose(found[0][0], one_by_one(net, frames, [slice(5, 9)])[0], atol=2e-6)
    assert taken[-1] == 8


def test_a_later_first_frame(way: str) -> None:
    net = network()
    frames = frames_of(net, 12, 1, 8, 8)
    found = dict(WindowRunner([net]).run(frames[4:], [slice(5, 9)], first=4))
    np.testing.assert_allclose(found[0][0], one_by_one(net, frames, [slice(5, 9)])[0], atol=2e-6)


def test_the_caller_can_train_between_maps() -> None:
    net = network()
    windows = WindowRunner([net]).run(frames_of(net, 6, 1, 8, 8), [slice(0, 3), slice(1, 6)])
    next(windows)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_windows_at_once() -> None:
    assert most_active([]) == 0
    assert most_active([slice(0, 2), slice(2, 4)]) == 1
    windows = [slice(start, start + 7) for start in range(0, 50, 2)]
    assert most_active(windows) == max(sum(w.start <= t < w.stop for w in windows) for t in range(60))


# bad input


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nets": []}, "no network is given"),
        ({"nets": [network(), network(branches="sar")]}, "read different frames"),
        ({"precision": "float16"}, "choose from float32, bfloat16"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
    ],
)
def test_refused(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WindowRunner(**{"nets": [network()], **given})


@pytest.mark.parametrize(
    ("windows", "first", "message"),
    [
        ([slice(0, 3)], 1, "begins before kept time 1"),
        ([slice(2, 2)], 0, "or is empty"),
        ([slice(0, 9)], 0, "the frames end at kept time 5"),
    ],
)
def test_windows_refused(windows: list[slice], first: int, message: str) -> None:
    net = network()
    with pytest.raises(InputError, match=message):
        list(WindowRunner([net]).run(frames_of(net, 5, 1, 8, 8), windows, first=first))


# how the step is built


def test_without_a_compiler_there_is_no_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert kernel.__wrapped__() is None


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERRADELTA_NATIVE", "0")
    assert kernel.__wrapped__() is None


def test_it_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel() is None:
        pytest.skip("there is no C++ compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernel.__wrapped__() is not None
    (library,) = (tmp_path / "terradelta").iterdir()

    def again(*args: object) -> None:
        raise AssertionError("compiled twice")

    monkeypatch.setattr(native_module, "_compile", again)
    assert kernel.__wrapped__() is not None
    assert library.exists()
