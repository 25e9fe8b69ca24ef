"""The network against the published implementation, and what padding must never do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from terradelta.errors import InputError
from terradelta.urban.era import S1S2, Era
from terradelta.urban.keras_weights import load_keras_weights
from terradelta.urban.network import ERCNN, VALUE_SPACE

Published = Callable[[str], ERCNN]
BOTH = pytest.mark.parametrize("era", ["s1s2", "ers12ls5"])


def _read(shared: Path, name: str) -> dict[str, NDArray[np.float32]]:
    with np.load(shared / "reference" / "ercnn" / f"{name}.npz") as file:
        return dict(file)


def _input(x_q: NDArray[np.generic]) -> Tensor:
    """Turn stored integers (B, T, Y, X, C) into the input of a network."""
    return torch.from_numpy(np.moveaxis(x_q.astype(np.float32) / 256, -1, 2).copy())


def _first(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.moveaxis(values, -1, -3)


def _long(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.atleast_1d(values).astype(np.int64))


def _tapped(net: ERCNN, x: Tensor, length: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a network and keep what its layers gave; blocks of the branches hold real steps only."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_: nn.Module, __: object, out: object) -> None:
            seen[name] = out[0] if isinstance(out, tuple) else out  # type: ignore[assignment]

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in net.named_modules()]
    with torch.inference_mode():
        result = net(x, length)
    for handle in handles:
        handle.remove()
    return result, seen


# the published networks


@BOTH
def test_every_layer_as_published(shared: Path, published: Published, era: str) -> None:
    oracle, net = _read(shared, f"model_{era}_forward"), published(era)
    lengths = oracle["lengths"]
    y, seen = _tapped(net, _input(oracle["x_q"]), _long(lengths))
    np.testing.assert_allclose(y, oracle["y"], atol=1e-5)
    np.testing.assert_allclose(y, oracle["conv_sigmoid"][..., 0], atol=1e-5)
    np.testing.assert_allclose(seen["sar"], _first(oracle["convlstm_sar"]), atol=1e-5)
    np.testing.assert_allclose(seen["optical"], _first(oracle["convlstm_opt"]), atol=1e-4)
    np.testing.assert_allclose(seen["head.0"], _first(oracle["conv_concat_1_8"]), atol=1e-4)
    np.testing.assert_allclose(seen["head.1"], _first(oracle["conv_concat_2_8"]), atol=1e-4)
    steps = [step for step in oracle["tap_steps"] if step < lengths[3]]
    assert len(steps) == 3
    real = [int(np.minimum(lengths, step).sum() + (lengths[:3] > step).sum()) for step in steps]
    names = {"sar.blocks.0": "conv_sar_s3"}
    names |= {f"optical.blocks.{number}": f"conv_opt_{number + 1}_s3" for number in (0, 1)}
    for ours, theirs in names.items():
        assert len(seen[ours]) == lengths.sum(), "padded steps were computed"
        np.testing.assert_allclose(seen[ours][real], _first(oracle[theirs][:3]), atol=1e-5)


@BOTH
def test_large_tile_as_published(shared: Path, published: Published, era: str) -> None:
    oracle, net = _read(shared, f"model_{era}_forward_93"), published(era)
    x, length = _input(oracle["x_q"][None]), _long(oracle["length"])
    with torch.inference_mode():
        large = net(x, length)
        small = net(x[..., 30:62, 20:52], length)
    np.testing.assert_allclose(large[0], oracle["y"], atol=1e-5)
    off = (small - large[:, 30:62, 20:52]).abs()[0]
    assert off[8:-8, 8:-8].max() < 2e-3
    assert off.max() > 0.1


@BOTH
@pytest.mark.parametrize(("branches", "short"), [("sar", "sar"), ("optical", "opt")])
def test_single_sensors_as_published(
    shared: Path, write_keras: Callable[..., Path], tmp_path: Path, era: str, branches: str, short: str
) -> None:
    oracle = _read(shared, f"model_{era}_{short}_only")
    net = load_keras_weights(write_keras(tmp_path / "weights.hdf5", _stored(oracle), whole=False))
    assert (net.era.name, net.branches) == (era, branches)
    y, seen = _tapped(net, _input(oracle["x_q"]), _long(oracle["lengths"]))
    np.testing.assert_allclose(y, oracle["y"], atol=1e-5)
    np.testing.assert_allclose(seen[branches], _first(oracle["convlstm"]), atol=1e-5)


def _stored(oracle: dict[str, NDArray[np.float32]]) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Sort ``w.<layer>.<conv or bn>.<kind>`` into layers."""
    layers: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, array in oracle.items():
        if name.startswith("w."):
            _, layer, *rest = name.split(".")
            layers.setdefault(layer, {})["/".join([layer, *rest]) + ":0"] = array
    return layers


@BOTH
def test_probes_of_the_published_skipping_rule(shared: Path, published: Published, era: str) -> None:
    """Their rule looks at the values of the top-left pixel; giving the same steps explicitly agrees."""
    oracle, net = _read(shared, f"mask_probe_{era}"), published(era)
    corner = oracle["x_q"][:, :, 0, 0]
    used = ~(corner == -256).all(-1) & (corner[..., 0] != 0)
    packed = np.full_like(oracle["x_q"], 99)
    for sample, steps in enumerate(used):
        packed[sample, : steps.sum()] = oracle["x_q"][sample, steps]
    with torch.inference_mode():
        as_published = net(_input(packed), _long(used.sum(1)))
        whole = net(_input(oracle["x_q"]), torch.full((len(used),), used.shape[1]))
    np.testing.assert_allclose(as_published, oracle["y"], atol=1e-5)
    # an explicit length never skips a real step: we agree where they skip none, and nowhere else
    agrees = np.abs(whole.numpy() - oracle["y"]).max((1, 2)) < 1e-5
    np.testing.assert_array_equal(agrees, used.all(1))
    assert 0 < agrees.sum() < len(agrees)


# padding


@pytest.mark.parametrize("branches", ["both", "sar", "optical"])
@pytest.mark.parametrize("training", [False, True])
def test_padding_never_touches_anything(branches: str, training: bool) -> None:
    net = _random("ers12ls5", branches)
    length = torch.tensor([4, 2, 5])
    x = torch.rand(3, 5, net.channels, 9, 7)
    runs = []
    for value, steps in ((-1.0, 5), (torch.nan, 5), (torch.inf, 8), (torch.rand(()), 6)):
        padded = torch.full((3, steps, *x.shape[2:]), float(value))
        for sample, count in enumerate(length):
            padded[sample, :count] = x[sample, :count]
        runs.append(_run(net, padded, length, training))
    for run in runs[1:]:
        for name, wanted in runs[0].items():
            assert torch.equal(run[name], wanted), name
    assert all(each.isfinite().all() for each in runs[0].values())


def _random(era: str | Era, branches: str = "both") -> ERCNN:
    """Give a network whose normalisation is not the neutral one of the start."""
    torch.manual_seed(7)
    net = ERCNN(era, branches)  # type: ignore[arg-type]
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.2, 2)
    return net.eval()


def _run(net: ERCNN, x: Tensor, length: Tensor, training: bool) -> dict[str, Tensor]:
    """Give result, gradients and statistics of a copy of a network."""
    copy = ERCNN(net.era, net.branches)
    copy.load_state_dict(net.state_dict())
    copy.train(training)
    torch.manual_seed(5)
    y = copy(x, length)
    y.sum().backward()
    seen = {f"buffer {name}": each for name, each in copy.named_buffers()}
    for name, each in copy.named_parameters():
        assert each.grad is not None
        seen[name] = each.grad
    return seen | {"y": y.detach()}


def test_windows_of_a_batch_do_not_touch_each_other() -> None:
    net = _random(S1S2)
    x, length = torch.rand(3, 6, 17, 8, 8), torch.tensor([6, 3, 1])
    with torch.inference_mode():
        together = net(x, length)
        alone = torch.cat([net(x[k : k + 1, : length[k]], length[k : k + 1]) for k in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_no_observation_at_all_gives_the_same_value_everywhere_inside() -> None:
    net = _random("s1s2")
    with torch.inference_mode():
        empty = net(torch.full((1, 3, 17, 9, 9), torch.nan), torch.tensor([0]))
    assert empty.isfinite().all()
    assert empty[0, 2:-2, 2:-2].unique().numel() == 1
    net.train()
    assert net(torch.full((2, 3, 17, 9, 9), torch.nan), torch.tensor([0, 0])).isfinite().all()


# training


def test_statistics_move_once_and_over_real_steps_only() -> None:
    net = _random("ers12ls5").train()
    x, length = torch.rand(2, 4, 9, 6, 5), torch.tensor([4, 1])
    x[1, 1:] = -1
    block = net.sar.blocks[0]
    before = block.norm.running_mean.clone(), block.norm.running_var.clone()
    net(x, length)
    real = torch.cat([x[0], x[1, :1]])[:, :2]
    with torch.no_grad():
        values = block.conv(real)
    mean, variance = values.mean((0, 2, 3)), values.var((0, 2, 3), unbiased=True)
    np.testing.assert_allclose(block.norm.running_mean, 0.99 * before[0] + 0.01 * mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(block.norm.running_var, 0.99 * before[1] + 0.01 * variance, rtol=1e-5)
    moved = {int(m.num_batches_tracked) for m in net.modules() if isinstance(m, nn.BatchNorm2d)}
    assert moved == {1}


def test_training_step_of_the_original_from_our_layers(shared: Path, published: Published) -> None:
    """Keras lets padding into the statistics and counts them twice; our layers, used that way, agree."""
    oracle = _read(shared, "train_step_s1s2")
    net = ERCNN("s1s2", recurrent_dropout=0)
    net.load_state_dict(published("s1s2").state_dict())
    net.double().train()
    with torch.no_grad():
        windows = [
            _as_the_original(net, _input(x_q).double(), _long(lengths))
            for x_q, lengths in zip(oracle["x_q"], oracle["lengths"], strict=True)
        ]
    np.testing.assert_allclose(torch.stack(windows), oracle["out_windows"], atol=2e-5)
    norms = {
        "conv_sar_10": net.sar.blocks[0].norm,
        "conv_opt_1_26": net.optical.blocks[0].norm,
        "conv_opt_2_26": net.optical.blocks[1].norm,
        "conv_concat_1_8": net.head[0].norm,
        "conv_concat_2_8": net.head[1].norm,
    }
    for name, norm in norms.items():
        mean, variance = (oracle[f"after1.{name}.bn.moving_{kind}"] for kind in ("mean", "variance"))
        np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(norm.running_var, variance, rtol=1e-5)


def _as_the_original(net: ERCNN, x: Tensor, length: Tensor) -> Tensor:
    padded = torch.arange(x.shape[1]) >= length[:, None]
    x = x.masked_fill(padded[..., None, None, None], -1.0)
    states = []
    for branch, part in ((net.sar, x[:, :, :4]), (net.optical, x[:, :, 4:])):
        assert branch is not None
        steps = part.flatten(0, 1)
        for block in branch.blocks:
            block(steps)
            steps = block(steps)
        states.append(branch.memory(steps.unflatten(0, x.shape[:2]), length)[0])
    return torch.sigmoid(net.out(net.head(torch.cat(states, 1)))).squeeze(1)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(1)
    era = Era("tiny", ("A",), ("B",), S1S2.step, S1S2.window, 1, 9, 1, 2, 10.0)
    net = ERCNN(era, recurrent_dropout=0).double().eval()
    x = torch.rand(2, 3, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda each: net(each, torch.tensor([3, 2])), (x,), atol=1e-6)


# what a network is


def test_channels_and_bands_follow_the_branches() -> None:
    assert ERCNN("s1s2").bands[:5] == (
        "ascending VV", "ascending VH", "descending VV", "descending VH", "B01",
    )  # fmt: skip
    assert ERCNN("s1s2", "sar").channels == 4
    assert ERCNN("s1s2", "optical").bands == S1S2.optical_bands
    net = ERCNN("ers12ls5", "optical")
    assert net.sar is None
    assert (net.branches, net.origin, net.value_space) == ("optical", "", VALUE_SPACE)


@BOTH
def test_number_of_weights(shared: Path, era: str) -> None:
    import h5py

    sizes: list[int] = []
    with h5py.File(shared / "reference" / "ercnn" / f"weights_{era}.hdf5") as file:
        file["model_weights"].visititems(lambda _, each: sizes.append(getattr(each, "size", 0)) or None)
    net = ERCNN(era)
    floats = [each for each in net.state_dict().values() if each.is_floating_point()]
    assert sum(each.numel() for each in floats) == sum(sizes)


def test_an_era_of_your_own() -> None:
    era = Era("alos_ls8", ("HH",), ("B2", "B3", "B4"), S1S2.step, S1S2.window, 20, 90, 4, 12, 30.0)
    net = ERCNN(era).eval()
    y = net(torch.rand(1, 4, 5, 10, 14), torch.tensor([4]))
    assert y.shape == (1, 10, 14)
    assert ((y >= 0) & (y <= 1)).all()


@pytest.mark.parametrize(
    ("shape", "lengths", "message"),
    [
        ((2, 5, 4, 8, 8), [5, 5], r"\(2, 5, 4, 8, 8\); a network of ers12ls5 \(both\) reads .* 9, y, x"),
        ((5, 9, 8, 8), [5], "has shape"),
        ((2, 5, 9, 8, 8), [5], "give 2 integers"),
        ((2, 5, 9, 8, 8), [5.0, 5.0], "float32"),
        ((2, 5, 9, 8, 8), [5, 6], r"\[5, 6\] are not within 0..5"),
        ((2, 5, 9, 8, 8), [-1, 5], "not within"),
    ],
)
def test_input_that_does_not_fit_is_refused(
    shape: tuple[int, ...], lengths: list[float], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ERCNN("ers12ls5")(torch.zeros(shape), torch.tensor(lengths))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("s3",), "no era is called 's3'"),
        (("s1s2", "radar"), "no branches are called 'radar'; choose from both"),
    ],
)
def test_unknown_names_are_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ERCNN(*arguments)  # type: ignore[arg-type]
