"""Teaching networks: with synthetic labels, with weak ones, and going on where that was stopped."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

from terradelta.errors import ConflictError, InputError
from terradelta.learning import Run, TrainingOptions, TrainingStopped
from terradelta.learning.checkpoints import read_checkpoint
from terradelta.urban import (
    ERCNN,
    LabelledCube,
    PretrainConfig,
    Stack,
    TransferConfig,
    load_network,
    pretrain,
    transfer,
)
from terradelta.urban.labels.weak import WeakLabels
from terradelta.urban.training.task import UrbanTask
from terradelta.urban.training.visits import Visits
from terradelta.windows import Tile, TileLists, time_windows

pytest.importorskip("lightning")


def _load_places() -> ModuleType:
    spec = importlib.util.spec_from_file_location("urban_places", Path(__file__).with_name("urban_places.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


places = _load_places()
ERA = places.TINY
TILE, IMAGES = 8, 40
LISTS = TileLists((Tile(0, 0), Tile(1, 1), Tile(1, 2)), (Tile(0, 2),))
QUICK = TrainingOptions(epochs=2, batch=2, device="cpu", learning_rate=0.01, pictures_every=0)
PRETRAIN = PretrainConfig(era=ERA, tile=TILE, every=2, options=QUICK)
TRANSFER = TransferConfig(visits=Visits(3, 1, (1, 3)), augment="random", options=QUICK)


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    """A cube of a place of 2 x 3 tiles."""
    path = places.fill(tmp_path_factory.mktemp("fit") / "place.zarr", range(IMAGES))
    return places.open_cube(path)


def _labels(cube: xr.DataTree, era: Any = ERA, stride: int = 1) -> xr.Dataset:
    """Give labels of no meaning, as `open_labels` does."""
    stack = Stack.of(cube, era)
    found = time_windows(stack.times, length=era.window, stride=stride, fewest=era.fewest, most=era.most)
    values = np.random.default_rng(5).random((len(found), *stack.size), dtype=np.float32)
    along = {
        "start": ("window", stack.times[[one.start for one in found]]),
        "end": ("window", stack.times[[one.stop - 1 for one in found]]),
        "count": ("window", [len(one) for one in found]),
    }
    labels = xr.Dataset({"label": (("window", "y", "x"), values)}, coords=along)
    return labels.assign_attrs(settings={"era": era.name, "start": None, "end": None, "stride": stride})


@pytest.fixture(scope="module")
def source(cube: xr.DataTree) -> LabelledCube:
    return LabelledCube(cube, _labels(cube), "town")


@pytest.fixture(scope="module")
def weak(cube: xr.DataTree) -> WeakLabels:
    """Labels of no meaning in the first 70 days."""
    truth = (np.random.default_rng(3).random((20, 28)) > 0.7).astype(np.uint8)
    return WeakLabels(
        truth, np.datetime64("2020-01-01"), np.datetime64("2020-03-10"), TILE, (LISTS,), places.GRID
    )


def _same(first: ERCNN, second: ERCNN) -> bool:
    others = second.state_dict()
    return all(torch.equal(value, others[name]) for name, value in first.state_dict().items())


# pre-training


def test_pretraining_leaves_a_network_that_can_be_used(tmp_path: Path, source: LabelledCube) -> None:
    run = Run(tmp_path / "run")
    net, result = pretrain([source], replace(PRETRAIN, options=replace(QUICK, pictures_every=1)), run)
    assert (result.epochs, result.idle, len(result.log)) == (2, False, 2)
    assert {"train_loss", "val_loss", "val_f1"} <= set(result.log[0])
    assert net.era == ERA
    assert not net.training
    assert net.origin == "taught with synthetic labels of town, best of 2 epochs"
    again = load_network(run.model)
    assert _same(net, again)
    assert again.origin == net.origin
    best = read_checkpoint(result.best)["state_dict"]
    assert torch.equal(best["network.out.weight"], net.out.weight)
    assert (again.sar.memory.dropout, again.era.window) == (0.4, ERA.window)
    told = yaml.safe_load(run.config.read_text())
    assert (told["era"]["name"], told["era"]["window"], told["every"]) == ("tiny", "20 days", 2)
    assert places.monitor(source.cube, [again], stride=8, device="cpu").sizes["window"] > 1


def test_the_same_seed_gives_the_same_network_stopped_or_not(
    tmp_path: Path, source: LabelledCube, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(PRETRAIN, branches="sar", options=QUICK)
    whole, _ = pretrain([source], config, tmp_path / "whole")
    from terradelta.learning.stopping import Stop

    step, asked = UrbanTask.training_step, []

    def stopping(self: UrbanTask, batch: Any, index: int) -> torch.Tensor:
        asked.append(index)
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(UrbanTask, "training_step", stopping)
        patch.setattr(Stop, "asked", property(lambda _: len(asked) == 2))
        with pytest.raises(TrainingStopped):
            pretrain([source], config, tmp_path / "parts")
    assert not (tmp_path / "parts" / "model").exists()
    parts, result = pretrain([source], config, tmp_path / "parts")
    assert result.epochs == 2
    assert _same(whole, parts)
    other, _ = pretrain(
        [source], replace(config, options=replace(config.options, seed=1)), tmp_path / "other"
    )
    assert not _same(whole, other)
    _, done = pretrain([source], config, tmp_path / "parts")
    assert done.idle


@pytest.mark.parametrize("branches", ["sar", "optical"])
def test_one_sensor_alone(tmp_path: Path, source: LabelledCube, branches: Any) -> None:
    config = replace(PRETRAIN, branches=branches, options=replace(QUICK, epochs=1))
    net, _ = pretrain([source], config, tmp_path / "run")
    assert (net.branches, net.sar is None, net.optical is None) == (
        branches, branches == "optical", branches == "sar",
    )  # fmt: skip


def test_every_counts_the_stride_of_the_labels(tmp_path: Path, cube: xr.DataTree) -> None:
    counts = []
    for stride, every in ((1, 1), (1, 2), (2, 2), (2, 1)):
        source = LabelledCube(cube, _labels(cube, stride=stride), "town")
        run = Run(tmp_path / f"{stride}-{every}")
        options = replace(QUICK, epochs=1)
        pretrain([source], replace(PRETRAIN, every=every, branches="sar", options=options), run)
        counts.append(yaml.safe_load(run.provenance.read_text())["data"]["samples"][0])
    assert counts[0] > counts[1]
    assert counts[2] == counts[3] == pytest.approx(counts[0] / 2, abs=2)
    assert counts[1] == pytest.approx(counts[2], abs=2)
    mixed = [LabelledCube(cube, _labels(cube, stride=stride)) for stride in (1, 2)]
    with pytest.raises(InputError, match="the labels have strides of 1 and 2; make them with the same"):
        pretrain(mixed, PRETRAIN, tmp_path / "mixed")


def test_other_settings_or_data_are_refused_by_name(
    tmp_path: Path, cube: xr.DataTree, source: LabelledCube
) -> None:
    config = replace(PRETRAIN, branches="sar", options=replace(QUICK, epochs=1))
    pretrain([source], config, tmp_path / "run")
    with pytest.raises(ConflictError, match=r"momentum is 0\.8 there and 0\.5 here"):
        pretrain([source], replace(config, momentum=0.5), tmp_path / "run")
    with pytest.raises(ConflictError, match=r"era\.fewest is 3 there and 2 here"):
        pretrain([source], replace(config, era=replace(ERA, fewest=2)), tmp_path / "run")
    labels = source.labels.assign_attrs(settings={**source.labels.attrs["settings"], "betas": [[1, 2]]})
    with pytest.raises(ConflictError, match="begun with other data"):
        pretrain([LabelledCube(cube, labels)], config, tmp_path / "run")
    _, again = pretrain([LabelledCube(cube, labels)], config, tmp_path / "run", overwrite=True)
    assert not again.idle


def test_labels_of_another_grid_are_refused(tmp_path: Path, cube: xr.DataTree, source: LabelledCube) -> None:
    from terradelta.cube.grid import grid_document

    grid = grid_document(places.GRID.pad(1))
    labels = source.labels.assign_attrs(settings={**source.labels.attrs["settings"], "grid": grid})
    with pytest.raises(InputError, match="labels of town are of another grid: 22 x 30 pixels"):
        pretrain([LabelledCube(cube, labels, "town")], PRETRAIN, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("what", "there"), [("step", 9.0), ("window", "90 days")])
def test_labels_of_other_windows_are_refused(
    tmp_path: Path, cube: xr.DataTree, source: LabelledCube, what: str, there: Any
) -> None:
    labels = source.labels.assign_attrs(settings={**source.labels.attrs["settings"], what: there})
    with pytest.raises(InputError, match=f"labels of town were made with a {what} of 90? days .*leave it"):
        pretrain([LabelledCube(cube, labels, "town")], PRETRAIN, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_names_the_samples(tmp_path: Path, cube: xr.DataTree) -> None:
    labels = _labels(cube)
    labels["label"].values[:, :8, :8] = np.nan
    with pytest.raises(InputError, match=r"loss in epoch 1 is no number with the samples .*tile 0:0 from"):
        pretrain([LabelledCube(cube, labels, "town")], PRETRAIN, tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()


def test_a_new_run_begins_from_another_one(tmp_path: Path, source: LabelledCube) -> None:
    config = replace(PRETRAIN, branches="sar", options=replace(QUICK, epochs=1))
    pretrain([source], config, tmp_path / "first")
    longer = replace(config, options=replace(config.options, epochs=2))
    two, result = pretrain([source], longer, tmp_path / "second", resume=tmp_path / "first")
    assert result.epochs == 2
    whole, _ = pretrain([source], longer, tmp_path / "whole")
    assert _same(two, whole)


# transfer


def test_transfer_learns_and_leaves_its_start_alone(
    tmp_path: Path, cube: xr.DataTree, weak: WeakLabels
) -> None:
    start = places.network(1)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    config = replace(TRANSFER, options=replace(QUICK, epochs=6, learning_rate=0.1))
    net, result = transfer(cube, weak, LISTS, start, config, tmp_path / "run")
    assert result.log[-1]["train_loss"] < result.log[0]["train_loss"]
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())
    assert not _same(net, start)
    assert net.origin == (
        "random 1, taught with weak labels of 2020-01-01 to 2020-03-10 in 3 tiles, best of 6 epochs"
    )
    assert _same(net, load_network(tmp_path / "run" / "model"))
    assert not net.training
    assert all(weight.requires_grad for weight in net.parameters())


def test_validation_sees_the_same_windows_three_times(
    tmp_path: Path, cube: xr.DataTree, weak: WeakLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    step = UrbanTask.validation_step

    def watched(self: UrbanTask, batch: Any, index: int) -> None:
        seen.extend(batch.names)
        step(self, batch, index)

    monkeypatch.setattr(UrbanTask, "validation_step", watched)
    transfer(cube, weak, LISTS, None, replace(TRANSFER, era=ERA), tmp_path / "run")
    assert len(seen) == 2 * 3
    assert seen[:3] == seen[3:]
    assert len(set(seen)) > 1
    assert all(name.startswith("tile 0:2 as 0,") for name in seen)


def test_ab_initio_begins_from_random_weights_by_the_seed(
    tmp_path: Path, cube: xr.DataTree, weak: WeakLabels
) -> None:
    config = replace(TRANSFER, era=ERA, branches="optical", options=replace(QUICK, epochs=1))
    first, _ = transfer(cube, weak, LISTS, None, config, tmp_path / "a")
    second, _ = transfer(cube, weak, LISTS, None, config, tmp_path / "b")
    assert _same(first, second)
    assert first.origin.startswith("random weights of seed 0, taught with weak labels")
    assert first.branches == "optical"


@pytest.mark.parametrize(
    ("parts", "moved", "still"),
    [
        (
            "head",
            {"head.0.conv.weight", "out.weight", "head.0.norm.running_mean"},
            {"sar.memory.state.weight", "optical.blocks.0.norm.bias", "optical.blocks.0.norm.running_mean"},
        ),
        (
            "frozen_norm",
            {"sar.memory.state.weight", "out.weight"},
            {"head.0.norm.weight", "head.0.norm.running_mean"},
        ),
        ("all", {"sar.memory.state.weight", "head.0.norm.weight", "head.0.norm.running_mean"}, set()),
    ],
)
def test_only_the_parts_that_are_asked_for_change(
    tmp_path: Path, cube: xr.DataTree, weak: WeakLabels, parts: Any, moved: set[str], still: set[str]
) -> None:
    start = places.network(1)
    config = replace(TRANSFER, parts=parts, options=replace(QUICK, epochs=1))
    net, _ = transfer(cube, weak, LISTS, start, config, tmp_path / "run")
    before, after = start.state_dict(), net.state_dict()
    assert {name for name in moved if torch.equal(before[name], after[name])} == set()
    assert {name for name in still if not torch.equal(before[name], after[name])} == set()


def test_frozen_normalisations_stay_so_when_several_gpus_replace_them() -> None:
    task = UrbanTask(places.network(1), QUICK, parts="frozen_norm")
    task.network = torch.nn.SyncBatchNorm.convert_sync_batchnorm(task.network)
    task.train()
    norms = [each for each in task.modules() if isinstance(each, torch.nn.SyncBatchNorm)]
    assert len(norms) == 5
    assert not any(norm.training for norm in norms)


def _lists(train: str, validation: str) -> TileLists:
    return TileLists(*(tuple(Tile.parse(one) for one in text.split()) for text in (train, validation)))


Bad = Callable[[WeakLabels], tuple[Any, ...]]
BAD: dict[str, tuple[Bad, str]] = {
    "grid": (
        lambda weak: (replace(weak, geobox=places.GRID.pad(2)), LISTS, None, {"era": ERA}),
        "are of another grid: 24 x 32 pixels of 10 in EPSG:32631",
    ),
    "overlapping": (
        lambda weak: (weak, _lists("0:0 0:1", "0:1"), None, {"era": ERA}),
        "tiles 0:1 are among both train and validation",
    ),
    "not there": (
        lambda weak: (weak, _lists("0:0", "5:1"), None, {"era": ERA}),
        "tiles 5:1 do not exist: the area of 20 x 28 pixels has 2 rows and 3 columns",
    ),
    "empty": (lambda weak: (weak, _lists("0:0", ""), None, {"era": ERA}), "a list of tiles is empty"),
    "too short": (
        lambda weak: (weak, LISTS, None, {"era": ERA, "visits": Visits(9, 1, (5, 6))}),
        r"tile .* has \d+ windows, but visits of 9 windows, 5 to 6 apart from number 1 on, need 50",
    ),
    "branches": (
        lambda weak: (weak, LISTS, places.network(0, branches="sar"), {"branches": "both"}),
        "branches of the weights is sar, but both is asked for",
    ),
    "era": (
        lambda weak: (weak, LISTS, places.network(0), {"era": replace(ERA, name="other")}),
        "era of the weights is tiny, but other is asked for",
    ),
    "filters": (
        lambda weak: (weak, LISTS, places.network(0), {"era": replace(ERA, optical_filters=5)}),
        "optical_filters of the weights is 2, but 5 is asked for",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, cube: xr.DataTree, weak: WeakLabels, case: str
) -> None:
    make, words = BAD[case]
    labels, lists, net, more = make(weak)
    with pytest.raises(InputError, match=words):
        transfer(cube, labels, lists, net, replace(TRANSFER, **more), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_weights_labels_and_lists_are_other_data(
    tmp_path: Path, cube: xr.DataTree, weak: WeakLabels
) -> None:
    config = replace(TRANSFER, options=replace(QUICK, epochs=1))
    start = places.network(1, branches="sar")
    transfer(cube, weak, LISTS, start, config, tmp_path / "run")
    _, again = transfer(cube, weak, LISTS, start, replace(config, era=ERA), tmp_path / "run")
    assert again.idle
    for labels, lists, net, name in (
        (weak, LISTS, places.network(2, branches="sar"), "weights"),
        (replace(weak, truth=1 - weak.truth), LISTS, start, "labels"),
        (weak, _lists("0:0 1:2", "0:2"), start, "labels"),
        (replace(weak, end=weak.end - 9), LISTS, start, "cube"),
    ):
        with pytest.raises(ConflictError, match=rf"begun with other data \({name} is"):
            transfer(cube, labels, lists, net, config, tmp_path / "run")
    with pytest.raises(ConflictError, match=r"visits\.count is 3 there and 2 here"):
        transfer(cube, weak, LISTS, start, replace(config, visits=Visits(2, 1, (1, 3))), tmp_path / "run")
