"""Networks: the published ones, read once, and files like those that Keras writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from terradelta.urban.network import ERCNN

KerasLayers: TypeAlias = Mapping[str, Mapping[str, NDArray[np.float32]]]
WriteKeras: TypeAlias = Callable[..., Path]


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    """Spare tiny arrays the waiting of threads for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def published(shared: Path) -> Callable[[str], ERCNN]:
    """Give the published network of an era by its name, ready for inference; do not change it."""
    from terradelta.urban.keras_weights import load_keras_weights

    @cache
    def read(era: str) -> ERCNN:
        return load_keras_weights(shared / "reference" / "ercnn" / f"weights_{era}.hdf5")

    return read


@pytest.fixture(scope="session")
def write_keras() -> WriteKeras:
    """Write layers (name of the layer, name of the weight) as Keras does; a whole model or weights alone."""
    return _write_keras


def _write_keras(
    path: Path, layers: KerasLayers, *, whole: bool = True, optimizer: bool = False, pieces: int = 1
) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if whole else file
        if whole:
            config = {"class_name": "Functional", "config": {"layers": [{"name": name} for name in layers]}}
            file.attrs["model_config"] = json.dumps(config)
        _write_names(group, "layer_names", ["input_1", *layers, "reshape"], pieces)
        for layer in ("input_1", "reshape"):
            _write_names(group.create_group(layer), "weight_names", [], 1)
        for layer, weights in layers.items():
            inner = group.create_group(layer)
            _write_names(inner, "weight_names", list(weights), 1)
            for name, array in weights.items():
                inner[name] = array
        if optimizer:
            names = [f"SGD/{name}" for weights in layers.values() for name in weights]
            momenta = file.create_group("optimizer_weights")
            _write_names(momenta, "weight_names", names, 1)
            for name in names:
                momenta[f"{name}/momentum:0"] = np.full(3, np.nan, np.float32)
    return path


def _write_names(group: h5py.Group, attribute: str, names: Sequence[str], pieces: int) -> None:
    if pieces == 1:
        group.attrs[attribute] = np.array([name.encode() for name in names], "S64")
        return
    for number, part in enumerate(np.array_split(np.array([name.encode() for name in names]), pieces)):
        group.attrs[f"{attribute}{number}"] = part
