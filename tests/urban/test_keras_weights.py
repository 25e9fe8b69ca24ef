"""Weights that Keras wrote: every way it stores them, and every way a file can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from terradelta.errors import InputError, SourceError
from terradelta.urban.convlstm import ConvBlock, ConvLSTM
from terradelta.urban.era import S1S2, Branches, Era
from terradelta.urban.keras_weights import load_keras_weights
from terradelta.urban.network import ERCNN

Layers = dict[str, dict[str, NDArray[np.float32]]]
Write = Callable[..., Path]


def _network(era: Era | str, branches: Branches = "both") -> ERCNN:
    torch.manual_seed(len(branches))
    net = ERCNN(era, branches)
    with torch.no_grad():
        for each in net.state_dict().values():
            if each.is_floating_point():
                each.uniform_(0.1, 1)
    return net.eval()


def _layers(net: ERCNN) -> Layers:
    """Give weights in the order and with the names of the published files."""
    sar, optical = net.sar, net.optical
    named: list[tuple[str, nn.Module | None]] = [
        ("conv_opt_1", optical and optical.blocks[0]),
        ("conv_sar", sar and sar.blocks[0]),
        ("conv_opt_2", optical and optical.blocks[1]),
        ("conv_lstm_1", sar and sar.memory),
        ("conv_lstm_opt_1", optical and optical.memory),
        ("conv_opt_2_8_1_seq", net.head[0]),
        ("conv_opt_2_8_2_seq", net.head[1]),
        ("conv_out", net.out),
    ]
    present = [(name, module) for name, module in named if module is not None]
    return {name: _weights(name, module, number) for number, (name, module) in enumerate(present)}


def _weights(name: str, module: nn.Module, number: int) -> dict[str, NDArray[np.float32]]:
    if isinstance(module, ConvLSTM):
        parts = {
            f"{name}/kernel:0": module.input.weight,
            f"{name}/recurrent_kernel:0": module.state.weight,
            f"{name}/bias:0": module.input.bias,
        }
    elif isinstance(module, ConvBlock):
        parts = {
            f"conv2d_{number}/kernel:0": module.conv.weight,
            f"conv2d_{number}/bias:0": module.conv.bias,
            f"batch_normalization_{number}/gamma:0": module.norm.weight,
            f"batch_normalization_{number}/beta:0": module.norm.bias,
            f"batch_normalization_{number}/moving_mean:0": module.norm.running_mean,
            f"batch_normalization_{number}/moving_variance:0": module.norm.running_var,
        }
    else:
        parts = {f"{name}/kernel:0": module.weight, f"{name}/bias:0": module.bias}  # type: ignore[dict-item]
    return {key: _keras(tensor) for key, tensor in parts.items() if tensor is not None}


def _keras(tensor: Tensor) -> NDArray[np.float32]:
    values = tensor.detach().numpy()
    return values.transpose(2, 3, 1, 0) if values.ndim == 4 else values


def _assert_same(got: ERCNN, wanted: ERCNN) -> None:
    assert (got.era, got.branches) == (wanted.era, wanted.branches)
    state = got.state_dict()
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(state[name], tensor), name


# files that are right


@pytest.mark.parametrize("era", ["s1s2", "ers12ls5"])
def test_published_files(published: Callable[[str], ERCNN], shared: Path, era: str) -> None:
    net = published(era)
    assert (net.era.name, net.branches, net.training) == (era, "both", False)
    assert net.origin == f"weights_{era}.hdf5 (Keras)"
    with h5py.File(shared / "reference" / "ercnn" / f"weights_{era}.hdf5") as file:
        weights = file["model_weights"]
        first = next(name for name in weights if name.startswith("conv_sar"))
        kernel = weights[first]["conv2d"]["kernel:0"][...]
    np.testing.assert_array_equal(net.sar.blocks[0].conv.weight[3, 1, 2, 0].detach(), kernel[2, 0, 1, 3])
    assert net.sar.blocks[0].conv.in_channels == net.era.sar_channels


@pytest.mark.parametrize("era", ["s1s2", "ers12ls5"])
@pytest.mark.parametrize("branches", ["both", "sar", "optical"])
@pytest.mark.parametrize("whole", [True, False])
def test_era_and_branches_are_found(
    write_keras: Write, tmp_path: Path, era: str, branches: Branches, whole: bool
) -> None:
    wanted = _network(era, branches)
    path = write_keras(tmp_path / "w.h5", _layers(wanted), whole=whole)
    _assert_same(load_keras_weights(path), wanted)
    _assert_same(load_keras_weights(str(path), era=era), wanted)


def test_transferred_model_with_its_optimizer(write_keras: Write, tmp_path: Path) -> None:
    wanted = _network("s1s2")
    path = write_keras(tmp_path / "transferred.hdf5", _layers(wanted), optimizer=True)
    _assert_same(load_keras_weights(path), wanted)


def test_names_cut_into_pieces(write_keras: Write, tmp_path: Path) -> None:
    wanted = _network("ers12ls5")
    _assert_same(load_keras_weights(write_keras(tmp_path / "w.h5", _layers(wanted), pieces=3)), wanted)


def test_a_model_within_a_model(write_keras: Write, tmp_path: Path) -> None:
    """Keras stores what trains first, then all statistics, when a model is one layer of another."""
    wanted = _network("s1s2")
    flat = {name: array for layer in _layers(wanted).values() for name, array in layer.items()}
    late = {name: flat.pop(name) for name in list(flat) if "moving" in name}
    _assert_same(load_keras_weights(write_keras(tmp_path / "w.h5", {"model_1": flat | late})), wanted)


def test_other_names_and_half_precision(write_keras: Write, tmp_path: Path) -> None:
    wanted = _network("ers12ls5", "optical")
    with torch.no_grad():
        for each in wanted.state_dict().values():
            each.copy_(each.half())
    layers = {
        f"layer_{number}": {
            name.removesuffix(":0"): array.astype(np.float16) for name, array in layer.items()
        }
        for number, layer in enumerate(_layers(wanted).values())
    }
    _assert_same(load_keras_weights(write_keras(tmp_path / "w.h5", layers)), wanted)


def test_order_decides_between_layers_of_the_same_shape(write_keras: Write, tmp_path: Path) -> None:
    era = Era("alike", ("A",), ("B", "C"), S1S2.step, S1S2.window, 2, 9, 8, 8, 10.0)
    wanted = _network(era)
    path = write_keras(tmp_path / "w.h5", _layers(wanted))
    _assert_same(load_keras_weights(path, era=era), wanted)


def test_the_state_of_the_random_numbers_is_left_alone(write_keras: Write, tmp_path: Path) -> None:
    path = write_keras(tmp_path / "w.h5", _layers(_network("s1s2")))
    state = torch.get_rng_state()
    load_keras_weights(path)
    assert torch.equal(torch.get_rng_state(), state)


# files that are wrong


def _refused(path: Path, kind: type[InputError], *words: str, era: Era | str | None = None) -> None:
    with pytest.raises(kind) as caught:
        load_keras_weights(path, era=era)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    for word in words:
        assert word in text, text


def test_missing_file_and_folder(tmp_path: Path) -> None:
    _refused(tmp_path / "none.hdf5", InputError, "no weights at")
    _refused(tmp_path, InputError, "no weights at")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a .keras file", b"hello" * 1000])
def test_no_hdf5(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.hdf5"
    path.write_bytes(content)
    _refused(path, SourceError, "no HDF5 file, or a damaged one", "fetch it again")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_truncated_file(write_keras: Write, tmp_path: Path, share: float) -> None:
    path = write_keras(tmp_path / "w.hdf5", _layers(_network("s1s2")))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    _refused(path, SourceError, "damaged")


def test_bytes_changed_anywhere_never_end_in_anything_but_a_clear_error(
    write_keras: Write, tmp_path: Path
) -> None:
    path = write_keras(tmp_path / "w.hdf5", _layers(_network("ers12ls5", "sar")))
    content = np.frombuffer(path.read_bytes(), np.uint8)
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = content.copy()
        start = random.integers(0, len(content) - 64)
        damaged[start : start + 64] = random.integers(0, 256, 64)
        path.write_bytes(damaged.tobytes())
        try:
            load_keras_weights(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 5


def test_hdf5_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "w.hdf5"
    with h5py.File(path, "w") as file:
        file["temperature"] = np.zeros(3)
    _refused(path, SourceError, "without layers of a Keras model")


def test_named_layer_is_missing(write_keras: Write, tmp_path: Path) -> None:
    path = write_keras(tmp_path / "w.hdf5", _layers(_network("s1s2")))
    with h5py.File(path, "r+") as file:
        del file["model_weights/conv_sar/conv2d_1/kernel:0"]
    _refused(path, SourceError, "damaged", "kernel:0")


def test_one_wrong_shape_is_named_with_what_was_expected(write_keras: Write, tmp_path: Path) -> None:
    layers = _layers(_network("s1s2"))
    layers["conv_sar"]["conv2d_1/kernel:0"] = np.zeros((3, 3, 5, 10), np.float32)
    path = write_keras(tmp_path / "w.hdf5", layers)
    words = ("s1s2 (both), which expects conv_sar kernel 3x3x4x10", "found conv_sar kernel 3x3x5x10")
    _refused(path, SourceError, *words)
    _refused(path, SourceError, *words, era="s1s2")


def test_a_layer_too_few_and_one_too_many(write_keras: Write, tmp_path: Path) -> None:
    layers = _layers(_network("ers12ls5"))
    del layers["conv_out"]
    path = write_keras(tmp_path / "w.hdf5", layers)
    _refused(path, SourceError, "expects conv_sigmoid kernel 1x1x8x1, bias 1; found nothing more")
    layers = _layers(_network("ers12ls5"))
    layers["more"] = {"more/kernel:0": np.zeros((3, 3, 8, 8), np.float32)}
    path = write_keras(tmp_path / "w.hdf5", layers)
    _refused(path, SourceError, "expects no more layers; found more kernel 3x3x8x8")


def test_weights_of_the_other_era(write_keras: Write, tmp_path: Path) -> None:
    path = write_keras(tmp_path / "w.hdf5", _layers(_network("ers12ls5", "sar")))
    words = "holds weights of ers12ls5 (sar), not of s1s2"
    _refused(path, InputError, words, "ask for the era ers12ls5", era="s1s2")
    _refused(path, InputError, words, era=S1S2)
    with pytest.raises(InputError, match="no era is called 's3'"):
        load_keras_weights(path, era="s3")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(write_keras: Write, tmp_path: Path, value: float) -> None:
    layers = _layers(_network("s1s2"))
    bias = layers["conv_sar"]["conv2d_1/bias:0"].copy()
    bias[[2, 5]] = value
    layers["conv_sar"]["conv2d_1/bias:0"] = bias
    path = write_keras(tmp_path / "w.hdf5", layers)
    _refused(path, SourceError, "bias of conv_sar holds 2 values that are not finite")


def test_negative_variances_and_integers(write_keras: Write, tmp_path: Path) -> None:
    layers = _layers(_network("s1s2"))
    layers["conv_sar"]["batch_normalization_1/moving_variance:0"] = np.full(10, -1, np.float32)
    _refused(write_keras(tmp_path / "w.hdf5", layers), SourceError, "negative variances")
    layers = _layers(_network("s1s2"))
    layers["conv_out"]["conv_out/bias:0"] = np.ones(1, np.int32)
    _refused(write_keras(tmp_path / "w.hdf5", layers), SourceError, "holds int32, not floating-point")


def test_a_huge_array_is_refused_without_being_read(write_keras: Write, tmp_path: Path) -> None:
    path = write_keras(tmp_path / "w.hdf5", _layers(_network("s1s2")))
    with h5py.File(path, "r+") as file:
        del file["model_weights/conv_sar/conv2d_1/kernel:0"]
        group = file["model_weights/conv_sar/conv2d_1"]
        group.create_dataset("kernel:0", (3, 3, 10**7, 10**4), "f4", chunks=(1, 1, 100, 100))
    _refused(path, SourceError, "found conv_sar kernel 3x3x10000000x10000")
