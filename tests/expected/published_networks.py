"""Networks and batches of the published code, from the oracle's recipe."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from terradelta.expected.conditions import FEATURES
from terradelta.expected.inputs import Batch, Inputs
from terradelta.expected.networks.unet import UNet
from terradelta.expected.networks.unet_config import Convolution, Stage, UNetConfig
from terradelta.expected.networks.unet_keras import load_keras_arrays

GROUPS = {
    "temperature": "temperature",
    "snow_depth": "snow_depth",
    "platform_heading": "orbit_direction",
    "incidence_angle": "incidence",
    "mission_id": "satellite",
    "precipitation": "precipitation",
}


def document(shared: Path, name: str) -> dict[str, Any]:
    return json.loads((shared / "reference" / "sar" / f"{name}.json").read_text())  # type: ignore[no-any-return]


def arrays(shared: Path, name: str) -> dict[str, NDArray[Any]]:
    with np.load(shared / "reference" / "sar" / f"{name}.npz") as file:
        return dict(file)


def config_of(doc: dict[str, Any], **changes: Any) -> UNetConfig:
    """Say in our words what the published code's parameters mean."""

    def stage(kind: str, blocks: int, filters: int, kernel: int) -> Stage:
        name = {"t": "plain", "r": "residual"}[kind]
        return Stage(filters, kernel, name, blocks, doc["resblock_bottleneck_multiplier"])  # type: ignore[arg-type]

    values: dict[str, Any] = {
        "encoder": tuple(stage(*each) for each in doc["downsampler_layers"]),
        "decoder": tuple(stage(*each) for each in doc["upsampler_layers"]),
        "front": tuple(Convolution(*each) for each in doc["frontend_params"] or ()),
        "back": tuple(Convolution(*each) for each in doc["backend_params"] or ()),
        "skips": tuple(flag == "1" for flag in doc["unet_skips"][1:]),
        "stochastic_depth": doc["drop_path_rate"],
        "stochastic_depth_as_published": True,
        "without": (GROUPS[doc["ablation_study"]],) if doc["ablation_study"] else (),
        "weather": not doc["no_weather_data"],
    }
    return UNetConfig(**{**values, **changes})


def weights_of(doc: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Draw the weights of a recipe."""
    stream = np.random.RandomState(doc["weight_recipe_seed"])
    return {name: _drawn(stream, doc, name, shape) for name, shape in doc["weights"]}


def _drawn(
    stream: np.random.RandomState, doc: dict[str, Any], name: str, shape: list[int]
) -> NDArray[np.float32]:
    u = stream.random_sample(shape)
    u *= 2
    u -= 1
    leaf = name.rpartition(".")[2]
    if leaf == "kernel":
        gain = doc["weight_recipe_last_gain" if name == "last.kernel" else "weight_recipe_gain"]
        transposed = name == "last.kernel" or name.endswith("convt.kernel")
        u *= gain * np.sqrt(3 / (shape[0] * shape[1] * (shape[3] / 4 if transposed else shape[2])))
        return u.astype(np.float32)
    base, spread = {"gamma": (1, 0.4), "moving_var": (1, 0.5), "bias": (0, 0.1)}.get(leaf, (0, 0.2))
    return (base + spread * u).astype(np.float32)


def network(
    doc: dict[str, Any], weights: dict[str, NDArray[np.float32]] | None = None, **changes: Any
) -> UNet:
    """Make the network of a recipe, in inference mode."""
    net = UNet(config_of(doc, **changes))
    return load_keras_arrays(net, weights_of(doc) if weights is None else weights).eval()


@cache
def published_batch(shared: Path) -> tuple[Tensor, Tensor, Batch]:
    """Give stack, vector, and the same as a batch."""
    read = arrays(shared, "model_input")
    stack = torch.from_numpy(read["input_image_stack"].transpose(0, 3, 1, 2).copy())
    vector = torch.from_numpy(read["latent_metadata"].astype(np.float32))
    conditions, known = conditions_of(shared, vector)
    images = stack[:, :8].reshape(len(stack), 4, 2, *stack.shape[2:])
    inputs = Inputs(
        images=images,
        valid=torch.ones(len(stack), 4, *stack.shape[2:], dtype=torch.bool),
        static=stack[:, 8:],
        state=torch.zeros(len(stack), 2, *stack.shape[2:]),
        conditions=conditions,
        known=known,
    )
    batch = Batch(
        inputs=inputs,
        target=torch.from_numpy(read["target_image"].transpose(0, 3, 1, 2).copy()),
        valid=torch.ones(len(stack), *stack.shape[2:], dtype=torch.bool),
        forest=torch.from_numpy(read["forestmask"]),
        names=("first", "second"),
    )
    return stack, vector, batch


def conditions_of(shared: Path, vector: Tensor) -> tuple[Tensor, Tensor]:
    """Sort the published vector into (sample, image, feature), by the names that the oracle gives."""
    names = {
        "temperature": "temperature", "snow_depth": "snow_depth", "platform_heading": "heading",
        "incidence_angle": "incidence", "mission_is_S1A": "S1A",
    }  # fmt: skip
    conditions = torch.zeros(len(vector), 5, len(FEATURES))
    for place, entry in enumerate(document(shared, "latent_index_sets")["latent_order"]):
        side, _, rest = entry.partition("_")
        head, *inside = rest.replace("]", "").split("[")
        numbers = [int(each.split()[-1]) for each in inside]
        image = 4 if side == "target" else numbers[0]
        feature = f"precipitation_{numbers[-1]}" if head == "precipitation" else names[head]
        conditions[:, image, FEATURES.index(feature)] = vector[:, place]
    known = torch.ones(conditions.shape, dtype=torch.bool)
    return conditions, known


def random_inputs(batch: int, images: int = 4, bands: int = 2, static: int = 1, size: int = 32) -> Inputs:
    """Draw inputs without holes."""
    return Inputs(
        images=torch.rand(batch, images, bands, size, size) - 0.5,
        valid=torch.ones(batch, images, size, size, dtype=torch.bool),
        static=torch.rand(batch, static, size, size),
        state=torch.zeros(batch, bands, size, size),
        conditions=torch.rand(batch, images + 1, len(FEATURES)) - 0.5,
        known=torch.ones(batch, images + 1, len(FEATURES), dtype=torch.bool),
    )


def kept_of(shared: Path, doc: dict[str, Any]) -> list[int]:
    """Give the entries of the vector that a network sees."""
    sets = document(shared, "latent_index_sets")["kept_indices"]
    name = f"without_{doc['ablation_study']}" if doc["ablation_study"] else "all"
    return sets["no_weather_data" if doc["no_weather_data"] else name]  # type: ignore[no-any-return]
