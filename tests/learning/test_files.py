"""Model files: both files or none, and every way that a folder can be wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from terradelta.errors import InputError, StorageError
from terradelta.learning.files import CONFIG, WEIGHTS, fill, load_model, save_model

TENSORS = {
    "a": torch.arange(6).reshape(2, 3),
    "b": torch.rand(2, dtype=torch.float64),
    "c": torch.tensor(1.5),
}
DESCRIPTION = {"format": "mine", "format_version": 1, "place": "Liège"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "a" / "b", TENSORS, DESCRIPTION)
    return tmp_path / "a" / "b"


def test_what_is_saved_comes_back(folder: Path) -> None:
    tensors, description = load_model(folder, format="mine")
    assert description["place"] == "Liège"
    assert {**DESCRIPTION, "terradelta_version": description["terradelta_version"]} == description
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert sorted(file.name for file in folder.iterdir()) == [CONFIG, WEIGHTS]


def test_no_numbers_that_json_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save_model(tmp_path, TENSORS, {**DESCRIPTION, "x": math.nan})


def test_a_failure_leaves_whole_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match="no room left"):
        save_model(folder, {"a": torch.zeros(1)}, DESCRIPTION)
    assert torch.equal(load_model(folder, format="mine")[0]["a"], TENSORS["a"])
    assert sorted(file.name for file in folder.iterdir()) == [CONFIG, WEIGHTS]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), f"no {WEIGHTS} in"),
        (lambda folder: (folder / CONFIG).write_text("{"), "no readable JSON"),
        (lambda folder: (folder / CONFIG).write_text('{"format": "other"}'), "does not describe a model"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"12345678"), "is damaged"),
        (lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-3]), "is damaged"),
        (
            lambda folder: (folder / CONFIG).write_text(json.dumps({**DESCRIPTION, "format_version": 9})),
            "format version 9; this terradelta reads 1: upgrade it",
        ),
        (
            lambda folder: (folder / CONFIG).write_text(json.dumps({**DESCRIPTION, "place": "Gent"})),
            "are of different networks",
        ),
    ],
)
def test_folders_that_are_wrong(folder: Path, spoil, words: str) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=words) as error:
        load_model(folder, format="mine")
    assert "\n" not in str(error.value)


def test_weights_without_a_description_of_their_own(folder: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(2)}, folder / WEIGHTS)
    assert torch.equal(load_model(folder, format="mine")[0]["a"], torch.ones(2))


def test_fill_names_what_does_not_fit(tmp_path: Path) -> None:
    net, file = nn.Linear(2, 1), tmp_path / WEIGHTS
    fill(net, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, file, "line")
    assert net(torch.ones(1, 2)).item() == 2
    with pytest.raises(
        InputError, match="bias missing instead of 1; more 3 instead of missing; weight 2x2 inst"
    ):
        fill(net, {"weight": torch.ones(2, 2), "more": torch.zeros(3)}, file, "line")
    with pytest.raises(InputError, match="bias holds values that are not finite"):
        fill(net, {"weight": torch.ones(1, 2), "bias": torch.tensor([math.inf])}, file, "line")
