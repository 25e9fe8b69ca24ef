"""One step of training, what is measured, and the pictures."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("lightning")
sys.path.append(str(Path(__file__).parent))

from terradelta.errors import ConflictError, InputError
from terradelta.expected.inputs import Batch, Expected, Inputs
from terradelta.expected.networks.losses import LossConfig, gaussian
from terradelta.expected.networks.registry import build_network
from terradelta.expected.preparation import Preparation
from terradelta.expected.samples.feeding import SampleDataset, collate
from terradelta.expected.statistics import Statistics, statistics_of
from terradelta.expected.training.data import SamplesConfig, open_data
from terradelta.expected.training.fit import FitConfig, train_expected
from terradelta.expected.training.pictures import picture
from terradelta.expected.training.ranges import ranges_of
from terradelta.expected.training.task import ExpectedTask
from terradelta.learning import Run, TrainingOptions
from terradelta.learning.checkpoints import read_checkpoint

sample_of = importlib.import_module("sample_maker").sample_of
SMALL = {"width": 4, "scales": 2, "embedding": 8}
FEW = {"epochs": 2, "batch": 4, "device": "cpu", "learning_rate": 1e-2, "pictures_every": 2}


def _config(**more: Any) -> FitConfig:
    options = TrainingOptions(**{**FEW, **more.pop("options", {})})
    return FitConfig(**{"network_config": SMALL, "options": options, **more})


def _samples(count: int = 8) -> list[Any]:
    return [sample_of(seed) for seed in range(count)]


def _task(network: str = "conditioned", loss: str = "gaussian", **more: Any) -> ExpectedTask:
    config = SMALL if network == "conditioned" else {"preset": "tiny", "size": 16, "dropout": 0.0}
    return ExpectedTask(build_network(network, config), LossConfig(kind=loss), TrainingOptions(**more))


def _batch(count: int = 3) -> Batch:
    samples = _samples(count)
    data = SampleDataset(samples, statistics_of(samples))
    return collate([data[place] for place in range(count)])


# one step


def test_a_step_is_the_loss_and_remembers_the_conditions() -> None:
    task, batch = _task(), _batch()
    assert task.training_step(batch, 0).item() == gaussian(task.network(batch.inputs), batch).item()
    seen = ranges_of(task.seen)
    known = batch.inputs.conditions[..., 0]
    assert seen["temperature"] == (float(known.min()), float(known.max()))
    assert seen["S1C"] == (0, 0)


def test_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    from terradelta.learning.schedule import _Rate

    rate = _Rate(TrainingOptions(warmup=4, schedule="cosine"), 104)
    assert [rate(step) for step in range(4)] == [0.2, 0.4, 0.6, 0.8]
    assert rate(4) == 1
    assert rate(54) == pytest.approx(0.5)
    assert rate(104) == pytest.approx(0)
    assert _Rate(TrainingOptions(warmup=2), 10)(9) == 1


def test_suspects_are_the_samples_whose_own_loss_is_no_number() -> None:
    task, batch = _task(), _batch()
    assert task.suspects(batch) == list(batch.names)
    batch.inputs.images[1, 0, 0, 3, 3] = math.nan
    assert task.suspects(batch) == ["sample 1"]
    assert task.network.training


# a run


def test_measures_are_those_of_the_network_on_the_validation_samples(tmp_path: Path) -> None:
    train, check = _samples(8), [sample_of(seed) for seed in (100, 101, 102)]
    check[1].target[:, :5] = np.nan
    model, result = train_expected(train, _config(), Run(tmp_path), validation=check)
    off, away = [], []
    for sample in check:
        mean, sigma = model.expected_db(sample)
        valid = np.isfinite(sample.target).all(axis=0)
        # compared as trained: what lies beyond 4 standard deviations is cut
        seen = model.statistics.decibel(model.statistics.images(sample.target))
        off.append((seen - mean)[:, valid].ravel())
        away.append(((seen - mean) / sigma)[:, valid].ravel())
    row = result.log[result.best_epoch - 1]
    assert row["val_rmse_db"] == pytest.approx(np.sqrt(np.mean(np.concatenate(off) ** 2)), rel=1e-4)
    assert row["val_mean_z"] == pytest.approx(np.abs(np.concatenate(away)).mean(), rel=1e-4)
    assert row["val_beyond_2_sigma"] == pytest.approx((np.abs(np.concatenate(away)) > 2).mean(), abs=0.01)
    assert set(model.ranges) == set(ranges_of(read_checkpoint(result.last)["ranges"]))
    assert (tmp_path / "statistics.json").is_file()


def test_example_images_are_in_the_events(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_expected(_samples(6), _config(options={"epochs": 3}), Run(tmp_path), validation=_samples(2))
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    assert set(events.Tags()["images"]) == {"examples/sample 0", "examples/sample 1"}
    assert [event.step for event in events.Images("examples/sample 0")] == [1, 3]
    assert {"train_loss", "val_loss", "val_rmse_db", "val_mean_z"} <= set(events.Tags()["scalars"])


def test_pictures_show_seen_expected_difference_and_sigma() -> None:
    batch = _batch(1)
    batch.valid[0, 0] = False
    mean = batch.target.clone()
    mean[:, :, 8:] -= 100
    found = picture(batch, Expected(mean, torch.full_like(mean, 0.1)), 10.0)["sample 0"]
    assert found.shape == (2 * 18, 4 * 18, 3)
    assert (found[0, :16] == 0).all()
    difference = found[1:16, 36:52]
    assert (difference[:7] == 255).all()
    assert (difference[7:] == [255, 0, 0]).all()
    assert (found[1:16, 54:70] == round(255 / 3)).all()
    assert picture(batch, Expected(mean), 10.0)["sample 0"].shape == (36, 54, 3)


def test_same_seed_same_weights_other_ablation_other_run(tmp_path: Path) -> None:
    first, _ = train_expected(_samples(), _config(), Run(tmp_path / "a"))
    second, _ = train_expected(_samples(), _config(), Run(tmp_path / "b"))
    for left, right in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(left, right)
    dry, _ = train_expected(_samples(), _config(weather=False), Run(tmp_path / "c"))
    assert dry.network.requires == {"orbit_direction", "incidence", "satellite"}
    assert "temperature" not in dry.ranges
    with pytest.raises(ConflictError, match="weather is True there and False here"):
        train_expected(_samples(), _config(weather=False), Run(tmp_path / "a"))
    with pytest.raises(ConflictError, match="other data"):
        train_expected(_samples(7), _config(), Run(tmp_path / "a"))


# data


def test_statistics_of_another_data_set_are_refused(tmp_path: Path) -> None:
    for other in (Statistics(-30.0, 4.0), Statistics(-12.0, 0.2)):
        with pytest.raises(InputError, match="are of another data set: these samples have mean -1"):
            train_expected(_samples(), _config(statistics=other), Run(tmp_path / "a"), overwrite=True)
    own = statistics_of(_samples())
    model, _ = train_expected(_samples(), _config(statistics=own), Run(tmp_path / "b"))
    assert model.statistics == own


def test_infinite_values_stop_training_with_the_name(tmp_path: Path) -> None:
    samples = _samples()
    samples[5].images[0, 0, 2, 2] = -np.inf
    with pytest.raises(InputError, match="sample 5"):
        train_expected(samples, _config(), Run(tmp_path), validation=_samples(2))


def test_a_share_is_kept_for_validation() -> None:
    data = open_data(_samples(20), SamplesConfig(validation_share=0.25), seed=3)
    names = [{sample.name for sample in part} for part in (data.train, data.validation)]
    assert (len(names[0]), len(names[1])) == (15, 5)
    assert not names[0] & names[1]
    assert data.digest == open_data(_samples(20), SamplesConfig(), seed=3).digest
    assert data.digest != open_data([sample_of(90), *_samples(19)], SamplesConfig()).digest
    with pytest.raises(InputError, match="too few to train and to validate"):
        open_data(_samples(1), SamplesConfig())
    with pytest.raises(InputError, match="no data at nowhere"):
        open_data("nowhere", SamplesConfig())


def test_samples_without_weather_or_elevation_are_trained_on(tmp_path: Path) -> None:
    from terradelta.expected.conditions import Conditions

    bare = [sample_of(seed, conditions=Conditions.unknown(5), dem=None, forest=None) for seed in range(4)]
    config = _config(preparation=Preparation(state="median"))
    model, result = train_expected(bare, config, Run(tmp_path), validation=bare)
    assert model.ranges == {}
    assert math.isfinite(result.best_loss)


def test_any_network_trains_in_bfloat16(tmp_path: Path) -> None:
    small = {"preset": "tiny", "size": 16}
    config = _config(network="unet", network_config=small, options={"precision": "bfloat16"})
    model, result = train_expected(_samples(), config, Run(tmp_path))
    assert math.isfinite(result.best_loss)
    assert model.expected_db(sample_of(0))[1] is None
    inputs = model.inputs_of(sample_of(0))
    assert isinstance(inputs, Inputs)
    assert model.expect(inputs).mean.dtype == torch.float32


def test_a_task_and_its_data_can_go_to_another_process() -> None:
    import pickle  # as the start of a process does; nothing is kept in such files

    data = SampleDataset(_samples(2), statistics_of(_samples(2)))
    task, again = pickle.loads(pickle.dumps((_task(), data)))
    batch = collate([again[0], again[1]])
    assert torch.isfinite(task.training_step(batch, 0))
