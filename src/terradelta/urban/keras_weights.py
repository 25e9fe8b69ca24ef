"""Weights that Keras wrote as HDF5, read as plain arrays; nothing in the file is ever executed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, get_args

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from terradelta.errors import InputError, SourceError
from terradelta.types import PathType
from terradelta.urban.convlstm import ConvBlock, ConvLSTM
from terradelta.urban.era import ERAS, Branches, Era, era_of
from terradelta.urban.network import ERCNN

__all__ = ["load_keras_weights"]

_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_KINDS = ("kernel", "recurrent_kernel", "bias", *_NORM)
_Shapes: TypeAlias = dict[str, tuple[int, ...]]
_TENSORS: dict[type[nn.Module], dict[str, str]] = {
    ConvLSTM: {"kernel": "input.weight", "recurrent_kernel": "state.weight", "bias": "input.bias"},
    ConvBlock: {
        "kernel": "conv.weight",
        "bias": "conv.bias",
        "gamma": "norm.weight",
        "beta": "norm.bias",
        "moving_mean": "norm.running_mean",
        "moving_variance": "norm.running_var",
    },
    nn.Conv2d: {"kernel": "weight", "bias": "bias"},
}
_NOT_HDF5 = "is no HDF5 file, or a damaged one"


@dataclass
class _Layer:
    """Arrays that belong together: a convolution with its normalisation, or a memory."""

    key: tuple[str, ...]
    arrays: dict[str, h5py.Dataset]

    @property
    def shapes(self) -> _Shapes:
        return {kind: tuple(array.shape) for kind, array in self.arrays.items()}


def load_keras_weights(path: PathType, *, era: Era | str | None = None) -> ERCNN:
    """Read published or transferred weights into a network that is ready for inference (``eval``).

    Era and branches are found from the shapes. Layers are told apart by their shapes and, where two are
    alike, by their order (optical before radar, as published), never by their names: these differ between
    the published files and the public model. Settings of the optimiser and the stored configuration of
    the model are not read; the latter names one more, unused channel in front (18 and 10 in all), which no
    kernel has.

    Parameters
    ----------
    path : path-like
        HDF5 file, a whole Keras model (weights below ``model_weights``) or weights alone (at the root).
    era : Era or str, optional
        Refuse weights of any other; needed for eras of your own.

    Returns
    -------
    ERCNN
        float32, its ``origin`` the name of the file.

    Raises
    ------
    InputError
        The file is missing, or holds the weights of another era than asked for.
    SourceError
        The file is no HDF5 file, is damaged, or holds other layers, other shapes or values that are not
        finite.

    Examples
    --------
    >>> load_keras_weights("no.hdf5")
    Traceback (most recent call last):
    terradelta.errors.InputError: no weights at no.hdf5; give an HDF5 file that Keras wrote
    """
    path = os.fspath(path)
    eras = [era_of(era)] if era is not None else list(ERAS.values())
    if not os.path.isfile(path):  # noqa: PTH113
        raise InputError(f"no weights at {path}; give an HDF5 file that Keras wrote")
    try:
        with h5py.File(path, "r") as file:
            layers = _layers(file, path)
            return _network(layers, eras, path)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError) as error:
        if isinstance(error, InputError):
            raise
        raise SourceError(f"{path} {_NOT_HDF5} ({_one_line(error)}); fetch it again") from error


def _network(layers: list[_Layer], eras: Sequence[Era], path: str) -> ERCNN:
    found = _find(layers, eras)
    if found is None and len(eras) == 1:
        other = _find(layers, [each for each in ERAS.values() if each not in eras])
        if other is not None:
            raise InputError(
                f"{path} holds weights of {other[0].era.name} ({other[0].branches}), not of {eras[0].name}; "
                f"give a file for {eras[0].name} or ask for the era {other[0].era.name}"
            )
    if found is None:
        raise SourceError(f"{path} {_difference(layers, eras)}")
    net, chosen = found
    for name, module in _slots(net).items():
        _fill(module, chosen[name], path)
    net.origin = f"{os.path.basename(path)} (Keras)"  # noqa: PTH119
    return net.eval()


def _layers(file: h5py.File, path: str) -> list[_Layer]:
    """Sort the arrays of a file into layers, in the order of the file."""
    group = file.get("model_weights", file)
    units: list[_Layer] = []
    for layer_name in _names(group, "layer_names"):
        for name in _names(group[layer_name], "weight_names"):
            _sort_in(units, layer_name, name, group[layer_name][name])
    if not units:
        raise SourceError(
            f"{path} is an HDF5 file without layers of a Keras model; give one that Keras's save or "
            "save_weights wrote as HDF5 (not the .keras or .weights.h5 format of Keras 3)"
        )
    return _joined(units)


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Read a list of names, which Keras cuts into numbered pieces when it is long."""
    pieces = [group.attrs[attribute]] if attribute in group.attrs else []
    while f"{attribute}{len(pieces)}" in group.attrs:
        pieces.append(group.attrs[f"{attribute}{len(pieces)}"])
    names = [name for piece in pieces for name in np.atleast_1d(piece).tolist()]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _sort_in(units: list[_Layer], layer_name: str, name: str, array: h5py.Dataset) -> None:
    """Put an array with its kin: of the same name but for the last part."""
    prefix, _, kind = name.split(":")[0].rpartition("/")
    if kind not in _KINDS:
        return
    key = (layer_name, prefix, "norm" if kind in _NORM else "convolution")
    for unit in units:
        if unit.key == key and kind not in unit.arrays:
            unit.arrays[kind] = array
            return
    units.append(_Layer(key, {kind: array}))


def _joined(units: list[_Layer]) -> list[_Layer]:
    """Join every normalisation with the convolution before it."""
    layers: list[_Layer] = []
    for unit in units:
        if unit.key[-1] == "norm" and layers and "recurrent_kernel" not in layers[-1].arrays:
            layers[-1].arrays |= unit.arrays
        else:
            layers.append(unit)
    return layers


def _slots(net: ERCNN) -> dict[str, nn.Module]:
    """Name the layers of a network in the order of the published files."""
    slots: dict[str, nn.Module | None] = {
        "conv_opt_1": net.optical and net.optical.blocks[0],
        "conv_sar": net.sar and net.sar.blocks[0],
        "conv_opt_2": net.optical and net.optical.blocks[1],
        "convlstm_sar": net.sar and net.sar.memory,
        "convlstm_opt": net.optical and net.optical.memory,
        "conv_concat_1": net.head[0],
        "conv_concat_2": net.head[1],
        "conv_sigmoid": net.out,
    }
    return {name: module for name, module in slots.items() if module is not None}


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Name the tensors of a layer as Keras does."""
    own = module.state_dict(keep_vars=True)
    names = next(names for kind, names in _TENSORS.items() if isinstance(module, kind))
    return {keras: own[name] for keras, name in names.items()}


def _expected(module: nn.Module) -> _Shapes:
    return {kind: _keras_shape(tensor) for kind, tensor in _tensors(module).items()}


def _keras_shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.permute(2, 3, 1, 0).shape if tensor.ndim == 4 else tensor.shape)


def _find(layers: list[_Layer], eras: Iterable[Era]) -> tuple[ERCNN, dict[str, _Layer]] | None:
    """Find the network that takes exactly these layers."""
    for net in _candidates(eras):
        chosen, rest = _assign(layers, net)
        if not rest and len(chosen) == len(_slots(net)):
            return net, chosen
    return None


def _candidates(eras: Iterable[Era]) -> Iterator[ERCNN]:
    for era in eras:
        for branches in get_args(Branches):
            with torch.random.fork_rng(devices=[]):
                yield ERCNN(era, branches)


def _assign(layers: list[_Layer], net: ERCNN) -> tuple[dict[str, _Layer], list[_Layer]]:
    """Give every slot the first layer of its shapes; also what is left."""
    rest = list(layers)
    chosen = {}
    for name, module in _slots(net).items():
        expected = _expected(module)
        layer = next((each for each in rest if each.shapes == expected), None)
        if layer is not None:
            chosen[name] = layer
            rest.remove(layer)
    return chosen, rest


def _difference(layers: list[_Layer], eras: Sequence[Era]) -> str:
    """Say how the nearest network differs from what was found."""
    net = max(_candidates(eras), key=lambda each: len(_assign(layers, each)[0]) / len(_slots(each)))
    chosen, rest = _assign(layers, net)
    missing = [
        f"{name} {_text(_expected(module))}" for name, module in _slots(net).items() if name not in chosen
    ]
    found = [f"{layer.key[0]} {_text(layer.shapes)}" for layer in rest]
    return (
        f"holds no network of {' or '.join(era.name for era in eras)}: nearest is {net.era.name} "
        f"({net.branches}), which expects {'; '.join(missing) or 'no more layers'}; "
        f"found {'; '.join(found) or 'nothing more'}"
    )


def _text(shapes: _Shapes) -> str:
    return ", ".join(f"{kind} {'x'.join(map(str, shape)) or 'scalar'}" for kind, shape in shapes.items())


def _fill(module: nn.Module, layer: _Layer, path: str) -> None:
    for kind, tensor in _tensors(module).items():
        values = _finite(layer, kind, path)
        values = values.transpose(3, 2, 0, 1) if values.ndim == 4 else values
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _finite(layer: _Layer, kind: str, path: str) -> NDArray[np.float32]:
    array = layer.arrays[kind]
    name = f"{kind} of {layer.key[0]}"
    if array.dtype.kind != "f":
        raise SourceError(
            f"{path}: {name} holds {array.dtype}, not floating-point numbers; fetch the file again"
        )
    values: NDArray[np.float32] = array[...].astype(np.float32)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise SourceError(
            f"{path}: {name} holds {bad} values that are not finite; train again or fetch the file again"
        )
    if kind == "moving_variance" and values.min() < 0:
        raise SourceError(f"{path}: {name} holds negative variances; fetch it again")
    return values


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
