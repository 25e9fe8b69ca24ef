"""Model files: what is saved comes back bit by bit, and every way a folder can be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import terradelta
from terradelta.errors import InputError, StorageError
from terradelta.urban.era import S1S2, Branches, Era
from terradelta.urban.model_files import CONFIG, WEIGHTS, load_network
from terradelta.urban.network import ERCNN, VALUE_SPACE

OWN = Era(
    "alos_ls8", ("HH", "HV"), ("B2", "B3"), np.timedelta64(36, "h"), np.timedelta64(1, "Y"), 3, 9, 2, 3, 12.5
)


def _network(era: Era | str = OWN, branches: Branches = "both", seed: int = 0) -> ERCNN:
    torch.manual_seed(seed)
    net = ERCNN(era, branches, recurrent_dropout=0.25)
    net.origin = "Liège, 3rd run"
    for name, each in net.named_buffers():
        if name.endswith("running_var"):
            each.uniform_(0.1, 2)
    return net


def _assert_same(got: ERCNN, wanted: ERCNN) -> None:
    assert (got.era, got.branches, got.origin) == (wanted.era, wanted.branches, wanted.origin)
    state = got.state_dict()
    assert list(state) == list(wanted.state_dict())
    for name, tensor in wanted.state_dict().items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor), name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small network."""
    _network().save_pretrained(tmp_path / "net")
    return tmp_path / "net"


# what is saved comes back


@pytest.mark.parametrize("era", [OWN, "s1s2", "ers12ls5"])
@pytest.mark.parametrize("branches", ["both", "sar", "optical"])
def test_round_trip(tmp_path: Path, era: Era | str, branches: Branches) -> None:
    net = _network(era, branches)
    net.save_pretrained(str(tmp_path / "a" / "b"))
    again = ERCNN.from_pretrained(tmp_path / "a" / "b")
    _assert_same(again, net)
    assert not again.training
    x, length = torch.rand(2, 3, net.channels, 8, 8), torch.tensor([3, 2])
    assert torch.equal(again(x, length), net.eval()(x, length))
    memory = again.sar.memory if again.sar is not None else again.optical.memory
    assert memory.dropout == 0.25
    assert np.datetime_data(again.era.step.dtype) == np.datetime_data(net.era.step.dtype)


@pytest.mark.parametrize("era", ["s1s2", "ers12ls5"])
def test_published_weights_in_our_files(published: Callable[[str], ERCNN], tmp_path: Path, era: str) -> None:
    published(era).save_pretrained(tmp_path)
    _assert_same(load_network(tmp_path), published(era))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_precision_and_memory_layout_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    net = _network().to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.save_pretrained(tmp_path)
    _assert_same(ERCNN.from_pretrained(tmp_path), net)


def test_description_says_what_the_numbers_mean(folder: Path) -> None:
    document = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    assert document["era"]["step"] == [36, "h"]
    assert document["bands"] == list(_network().bands)
    assert document["value_space"] == VALUE_SPACE
    assert document["origin"] == "Liège, 3rd run"
    assert document["terradelta_version"] == terradelta.__version__
    assert document["format_version"] == 1
    with safetensors.safe_open(folder / WEIGHTS, framework="pt") as opened:
        assert json.loads(opened.metadata()["config"]) == document


def test_any_way_to_name_it(folder: Path) -> None:
    for path in (folder, str(folder), folder / WEIGHTS, folder / CONFIG):
        _assert_same(load_network(path), _network())


def test_hdf5_of_keras_is_read_too(shared: Path) -> None:
    net = load_network(shared / "reference" / "ercnn" / "weights_ers12ls5.hdf5")
    assert net.era.name == "ers12ls5"


def test_weights_without_a_description_of_their_own(folder: Path) -> None:
    safetensors.torch.save_file(_network().state_dict(), folder / WEIGHTS)
    _assert_same(load_network(folder), _network())


def test_the_state_of_the_random_numbers_is_left_alone(folder: Path) -> None:
    state = torch.get_rng_state()
    load_network(folder)
    assert torch.equal(torch.get_rng_state(), state)


# writing


def test_other_files_stay_and_no_drafts(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    newer = _network(seed=1)
    newer.save_pretrained(folder)
    _assert_same(load_network(folder), newer)
    assert sorted(each.name for each in folder.iterdir()) == [CONFIG, WEIGHTS, "notes.txt"]


@pytest.mark.parametrize("broken", [0, 1])
def test_a_failure_leaves_whole_files(folder: Path, monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
    """Weights and description are replaced one after the other; between the two both are whole."""
    calls = 0
    replace = Path.replace

    def failing(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == broken + 1:
            raise OSError(28, "No space left on device", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(StorageError, match="no room left"):
        _network(seed=1).save_pretrained(folder)
    _assert_same(load_network(folder), _network(seed=broken))
    assert sorted(each.name for each in folder.iterdir()) == [CONFIG, WEIGHTS]


def test_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "net").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*net: a file of that name is in the way"):
        _network().save_pretrained(tmp_path / "net")


# folders that are wrong


def _refused(path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_network(path)
    text = str(caught.value)
    assert "\n" not in text
    for word in (path.name, *words):
        assert word in text, text


def _edit(folder: Path, **values: Any) -> None:
    """Change the description, in both places."""
    document = json.loads((folder / CONFIG).read_text(encoding="utf-8")) | values
    document = {key: value for key, value in document.items() if value is not None}
    text = json.dumps(document)
    (folder / CONFIG).write_text(text, encoding="utf-8")
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    safetensors.torch.save_file(tensors, folder / WEIGHTS, metadata={"config": text})


def test_nothing_there(tmp_path: Path) -> None:
    _refused(tmp_path / "none", "no network at", "give an HDF5 file of Keras or a folder with")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_file_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    _refused(folder, f"no {name} in", "save_pretrained")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_weights(folder: Path, share: float) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: int(share * len(content))])
    _refused(folder, WEIGHTS, "is damaged", "save the network again")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no readable JSON"),
        ('{"format": ', "no readable JSON"),
        ("[1, 2]", "does not describe an ERCNN"),
        ('{"architectures": ["Bert"]}', "does not describe an ERCNN"),
    ],
)
def test_damaged_or_foreign_description(folder: Path, content: str, words: str) -> None:
    (folder / CONFIG).write_text(content)
    _refused(folder, CONFIG, words)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format_version": 2}, "format version 2; this terradelta reads 1: upgrade it"),
        ({"era": None}, "lacks a part or holds a wrong one ('era')"),
        ({"era": {"name": "s1s2"}}, "lacks a part or holds a wrong one"),
        ({"branches": "radar"}, "no branches are called 'radar'"),
        ({"origin": None}, "'origin'"),
        ({"recurrent_dropout": "much"}, "'much'"),
        ({"recurrent_dropout": 2}, "not in [0, 1)"),
        ({"bands": ["ascending VV"]}, "bands are ascending VV, but the era has ascending HH"),
        (
            {"value_space": "decibel"},
            "values are 'decibel'; this terradelta gives networks 'SAR",
        ),
        (
            {"branches": "sar", "bands": list(ERCNN(OWN, "sar").bands)},
            "does not fit config.json (alos_ls8, sar)",
        ),
    ],
)
def test_description_with_a_wrong_part(folder: Path, values: dict[str, Any], words: str) -> None:
    _edit(folder, **values)
    _refused(folder, words)


@pytest.mark.parametrize(
    "change", [{"sar_filters": "two"}, {"sar_filters": -2}, {"step": [1, "moon"]}, {"step": 3}]
)
def test_era_with_a_wrong_part(folder: Path, change: dict[str, Any]) -> None:
    era = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["era"]
    _edit(folder, era=era | change)
    _refused(folder, CONFIG, "lacks a part or holds a wrong one")


def test_files_of_two_networks(folder: Path, tmp_path: Path) -> None:
    _network(S1S2).save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / WEIGHTS, folder / WEIGHTS)
    _refused(folder, "config.json and model.safetensors are of different networks")


def test_wrong_shapes_are_named(folder: Path) -> None:
    tensors = _network().state_dict()
    tensors["out.bias"] = torch.zeros(2)
    del tensors["out.weight"]
    safetensors.torch.save_file(tensors, folder / WEIGHTS)
    _refused(folder, "out.bias 2 instead of 1; out.weight missing instead of 1x8x1x1")


def test_values_that_are_not_finite(folder: Path) -> None:
    tensors = _network().state_dict()
    tensors["out.bias"] = torch.full((1,), torch.nan)
    safetensors.torch.save_file(tensors, folder / WEIGHTS)
    _refused(folder, "out.bias holds values that are not finite")


def test_bytes_changed_in_the_header_never_end_in_anything_but_a_clear_error(folder: Path) -> None:
    content = np.frombuffer((folder / WEIGHTS).read_bytes(), np.uint8)
    random = np.random.default_rng(0)
    for _ in range(40):
        damaged = content.copy()
        damaged[random.integers(0, 3000)] = random.integers(0, 256)
        (folder / WEIGHTS).write_bytes(damaged.tobytes())
        try:
            load_network(folder)
        except InputError as error:
            assert "\n" not in str(error)
