"""The model: what is saved comes back, and what does not fit is refused by name."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

sys.path.append(str(Path(__file__).parent))

import terradelta
from terradelta.errors import InputError
from terradelta.expected.inputs import Expected
from terradelta.expected.model import ExpectedImage
from terradelta.expected.networks.registry import build_network
from terradelta.expected.preparation import Preparation
from terradelta.expected.statistics import Statistics
from terradelta.learning.files import CONFIG, WEIGHTS

sample_of = importlib.import_module("sample_maker").sample_of
STATISTICS = Statistics(-12.0, 9.0, 300.0, 50.0, 20.0)
CONFIGS: dict[str, dict[str, Any]] = {
    "conditioned": {"width": 4, "scales": 2, "embedding": 8, "without": ["incidence"]},
    "unet": {"preset": "tiny", "size": 16, "weather": False},
}


def _model(name: str = "conditioned", *, seed: int = 0, **more: Any) -> ExpectedImage:
    torch.manual_seed(seed)
    network = build_network(name, CONFIGS[name])
    with torch.no_grad():
        for each in network.parameters():
            each.add_(0.05 * torch.randn_like(each))
    return ExpectedImage(network, STATISTICS, **{"spacing": 20.0, **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("name", list(CONFIGS))
def test_round_trip(tmp_path: Path, name: str) -> None:
    told = {
        "preparation": Preparation(state="median"),
        "ranges": {"temperature": (-0.5, 0.5)},
        "same_orbit": True,
    }
    model = _model(name, **told)
    model.save_pretrained(tmp_path / "a")
    again = terradelta.ExpectedImage.from_pretrained(tmp_path / "a")
    for attribute in (
        "statistics",
        "preparation",
        "bands",
        "previous",
        "spacing",
        "ranges",
        "same_orbit",
        "told",
    ):
        assert getattr(again, attribute) == getattr(model, attribute), attribute
    assert again.network.config == model.network.config
    assert not again.network.training
    first, second = model.expected_db(sample_of(3)), again.expected_db(sample_of(3))
    np.testing.assert_array_equal(first[0], second[0])
    assert (first[1] is None) == (name == "unet") == (second[1] is None)


def test_a_run_folder_is_a_model_too(tmp_path: Path) -> None:
    model = _model()
    model.save_pretrained(tmp_path / "run" / "model")
    again = ExpectedImage.from_pretrained(tmp_path / "run")
    assert torch.equal(next(again.network.parameters()), next(model.network.parameters()))


@pytest.mark.parametrize("name", list(CONFIGS))
def test_bfloat16_is_near_and_stays_out_of_the_files(tmp_path: Path, name: str) -> None:
    model, sample = _model(name), sample_of(3)
    mean, sigma = model.expected_db(sample)
    model.precision = "bfloat16"
    near, near_sigma = model.expected_db(sample)
    assert 0 < abs(near - mean).max() < 0.3  # dB
    assert near.dtype == np.float32
    if sigma is not None and near_sigma is not None:
        np.testing.assert_allclose(near_sigma, sigma, rtol=0.05)
    model.save_pretrained(tmp_path)
    assert ExpectedImage.from_pretrained(tmp_path).precision == "float32"
    again = ExpectedImage.from_pretrained(tmp_path, precision="bfloat16")
    np.testing.assert_array_equal(again.expected_db(sample)[0], near)


def test_a_precision_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="precision is 'int8'; choose from float32, bfloat16, float16"):
        _model(precision="int8")
    with pytest.raises(InputError, match="float16, which needs a GPU"):
        _model(precision="float16").expected_db(sample_of(0))


class Plain(torch.nn.Module):
    """Expects the last image, with a third of the half width as standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs: Any) -> Expected:
        return Expected(inputs.images[:, -1] * self.weight, torch.full_like(inputs.images[:, -1], 1 / 3))


def test_decibels_come_out_with_the_state_of_the_scene() -> None:
    sample = sample_of(0)
    sample.images.clip(-23, -1, out=sample.images)
    mean, sigma = ExpectedImage(Plain(), STATISTICS).expected_db(sample)
    np.testing.assert_allclose(mean, sample.images[-1], atol=1e-5)
    np.testing.assert_allclose(sigma, 4.0, atol=1e-5)  # half width 12 dB / 3
    wet = sample_of(0, images=sample.images, target=sample.images.mean(axis=0) + 2.5)
    model = ExpectedImage(Plain(), STATISTICS, Preparation(state="median"))
    middle = np.median(sample.images[-1] - sample.images.mean(axis=0), axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(model.expected_db(wet)[0], sample.images[-1] - middle + 2.5, atol=1e-4)


def test_conditions_beyond_those_of_the_training_are_named() -> None:
    model = _model(
        ranges={"temperature": (-0.1, 0.1), "precipitation_0": (0, 0.5), "S1A": (0, 1), "S1B": (0, 0)}
    )
    conditions = sample_of(0).conditions
    conditions.temperature[:] = 0
    conditions.temperature[2] = 24
    conditions.precipitation[:, 0] = 3
    found = model.beyond(model.inputs_of(sample_of(0, conditions=conditions)))
    assert "temperature 24 °C, seen -3 to 3 °C" in found
    assert "platform S1B, never seen" in found
    assert not [line for line in found if line.startswith(("precipitation 0", "platform S1A", "incidence"))]
    assert "heading" in " ".join(found)
    assert _model().beyond(model.inputs_of(sample_of(0))) == []


def test_other_bands_are_refused() -> None:
    with pytest.raises(InputError, match="data have bands HH, HV, the model was trained on VV, VH"):
        _model().expected_db(sample_of(0, bands=("HH", "HV")))
    with pytest.raises(InputError, match="network was made for 2"):
        _model(bands=("VV",))


def _edit(folder: Path, **values: Any) -> None:
    document = json.loads((folder / CONFIG).read_text(encoding="utf-8")) | values
    text = json.dumps({key: value for key, value in document.items() if value != "gone"})
    (folder / CONFIG).write_text(text, encoding="utf-8")
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    safetensors.torch.save_file(tensors, folder / WEIGHTS, metadata={"config": text})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": "terradelta ERCNN"}, "does not describe a model of the expected image"),
        ({"format_version": 2}, "format version 2; this terradelta reads 1"),
        ({"network": "vgg"}, "no network is called 'vgg'"),
        (
            {"network_config": {"width": 8, "scales": 2, "embedding": 8}},
            "does not fit config.json (conditioned)",
        ),
        ({"network_config": {"wdth": 8}}, "'wdth'"),
        ({"statistics": {}}, "sar_images.mean is None"),
        ({"preparation": "gone"}, "'preparation'"),
        ({"bands": ["VV"]}, "network was made for 2"),
        ({"ranges": {"age": 3}}, "lacks a part or holds a wrong one"),
    ],
)
def test_descriptions_that_are_wrong(folder: Path, values: dict[str, Any], words: str) -> None:
    _edit(folder, **values)
    with pytest.raises(InputError) as error:
        ExpectedImage.from_pretrained(folder)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_and_missing_files(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-10])
    with pytest.raises(InputError, match="is damaged"):
        ExpectedImage.from_pretrained(folder)
    with pytest.raises(InputError, match=r"no config.json in"):
        ExpectedImage.from_pretrained(folder / "nowhere")
