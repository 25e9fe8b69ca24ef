"""The training loop: same seed, same bits, whatever stopped it in between."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lightning")

from terradelta.errors import ConfigError, InputError
from terradelta.learning import Run, TrainingOptions, TrainingStopped, make_loader, read_log
from terradelta.learning.checkpoints import read_checkpoint
from terradelta.learning.fitting import _meaning
from terradelta.learning.loading import Batches
from terradelta.learning.stopping import Stop

TOY = Path(__file__).with_name("toy.py")


sys.path.append(str(TOY.parent))  # other processes look there too
toy = importlib.import_module("toy")
Line, collate, train = toy.Line, toy.collate, toy.train


def _same(first: Any, second: Any) -> bool:
    left, right = (each.state_dict() for each in (first, second))
    return list(left) == list(right) and all(torch.equal(left[name], right[name]) for name in left)


class Ask:
    """Progress that asks to stop after some steps, as a signal would."""

    def __init__(self, after: int, number: int = signal.SIGTERM) -> None:
        self.left, self.number = after, number

    def __call__(self, label: str, total: int) -> Ask:
        self.label, self.total = label, total
        return self

    def __enter__(self) -> Any:
        return self.advance

    def __exit__(self, *error: object) -> None:
        return None

    def advance(self, steps: int) -> None:
        self.left -= steps
        if self.left == 0:
            os.kill(os.getpid(), self.number)


# the same again


def test_a_run_leaves_what_it_should_and_repeats_bit_by_bit(tmp_path: Path) -> None:
    first, result = train(tmp_path / "a")
    second, again = train(tmp_path / "b")
    other, _ = train(tmp_path / "c", seed=1)
    assert _same(first, second)
    assert not _same(first, other)
    assert [row["epoch"] for row in result.log] == [1, 2, 3]
    assert result.epochs == 3
    assert result.best_loss == min(row["val_loss"] for row in result.log)
    assert [row["train_loss"] for row in result.log] == [row["train_loss"] for row in again.log]
    assert result.log[0]["train_loss"] == pytest.approx(sum(first.losses[:5]) / 5)
    assert {file.name for file in (tmp_path / "a" / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list((tmp_path / "a" / "tensorboard").glob("events*"))
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("step", [1, 3, 5, 6, 9, 10])
def test_stopped_and_resumed_is_the_same_as_never_stopped(tmp_path: Path, step: int) -> None:
    whole, wanted = train(tmp_path / "whole")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingStopped):
        train(tmp_path / "parts", more={"progress": Ask(step)})
    assert signal.getsignal(signal.SIGTERM) is before
    parts, result = train(tmp_path / "parts")
    assert len(parts.losses) == 15 - step
    assert parts.losses == whole.losses[step:]
    assert _same(parts, whole)
    last = [read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("whole", "parts")]
    assert all(
        torch.equal(last[0]["state_dict"][key], last[1]["state_dict"][key]) for key in last[0]["state_dict"]
    )
    for row, target in zip(result.log, wanted.log, strict=True):
        assert {**row, "seconds": 0} == pytest.approx({**target, "seconds": 0}, rel=1e-6)


def test_stopped_between_accumulated_steps_loses_no_gradient(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole", accumulate=2)
    with pytest.raises(TrainingStopped):
        train(tmp_path / "parts", accumulate=2, more={"progress": Ask(3, signal.SIGINT)})
    parts, _ = train(tmp_path / "parts", accumulate=2)
    assert len(parts.losses) == 15 - 4
    assert _same(parts, whole)


@pytest.mark.enable_socket  # workers talk by sockets of the file system
def test_workers_change_nothing(tmp_path: Path) -> None:
    assert _same(train(tmp_path / "a", epochs=1)[0], train(tmp_path / "b", epochs=1, workers=2)[0])


def test_done_is_done(tmp_path: Path) -> None:
    first, result = train(tmp_path)
    again, told = train(tmp_path)
    assert again.losses == []
    assert _same(first, again)
    assert told == replace(result, idle=True)


def test_accumulated_steps_are_a_larger_batch(tmp_path: Path) -> None:
    plain = {"dropout": 0.0, "norm": False}
    data = Line(16, noise=False)
    one, _ = train(tmp_path / "a", data=data, task=plain, batch=8, epochs=2)
    two, _ = train(tmp_path / "b", data=data, task=plain, batch=4, accumulate=2, epochs=2)
    for left, right in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_mixed_precision_keeps_weights_in_float32(tmp_path: Path, precision: Any) -> None:
    task, result = train(tmp_path, precision=precision, epochs=6)
    assert {each.dtype for each in task.parameters()} == {torch.float32}
    assert result.log[-1]["val_loss"] < result.log[0]["val_loss"]


# stopping early, going on from another run


def test_patience(tmp_path: Path) -> None:
    _, result = train(tmp_path, epochs=50, patience=2, task={"rate": 0.5})
    assert result.epochs == result.best_epoch + 2 < 50
    _, again = train(tmp_path, epochs=50, patience=2, task={"rate": 0.5})
    assert again == replace(result, idle=True)


def test_a_new_run_from_another_one(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole", epochs=4)
    train(tmp_path / "short", epochs=2)
    longer, result = train(tmp_path / "longer", epochs=4, more={"resume": tmp_path / "short"})
    assert len(longer.losses) == 10
    assert _same(longer, whole)
    assert result.epochs == 4
    fresh, result = train(
        tmp_path / "fresh", epochs=1, more={"resume": tmp_path / "short", "weights_only": True}
    )
    assert len(fresh.losses) == 5
    assert fresh.losses[0] < 0.5 * whole.losses[0]
    assert result.epochs == 1
    with pytest.raises(InputError, match="short has 2 epochs already, and epochs is 2; give more"):
        train(tmp_path / "same", epochs=2, more={"resume": tmp_path / "short"})
    assert not (tmp_path / "same" / "checkpoints").exists()


def test_checkpoints_that_cannot_be_used(tmp_path: Path) -> None:
    train(tmp_path / "a", epochs=1)
    with pytest.raises(InputError, match=r"another architecture: net\.1\..* instead of missing") as error:
        train(tmp_path / "b", task={"norm": False}, more={"resume": tmp_path / "a"})
    assert "\n" not in str(error.value)
    file = tmp_path / "a" / "checkpoints" / "last.ckpt"
    for content in (file.read_bytes()[:500], b"", b"nonsense" * 50):
        file.write_bytes(content)
        with pytest.raises(InputError, match="damaged or no checkpoint") as error:
            train(tmp_path / "a", epochs=1)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no checkpoint at"):
        train(tmp_path / "c", more={"resume": tmp_path / "nothing"})


def test_a_checkpoint_cannot_run_anything(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "pwned"),))

    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="damaged or no checkpoint"):
        read_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "pwned").exists()


# losses that are no numbers, options that cannot be


@pytest.mark.enable_socket
@pytest.mark.parametrize("workers", [0, 1])
def test_nan_stops_at_once_and_names_the_samples(tmp_path: Path, workers: int) -> None:
    with pytest.raises(InputError, match=r"loss in epoch 1 is no number with .*sample 7") as error:
        train(tmp_path, data=Line(20, bad=7), workers=workers)
    assert "\n" not in str(error.value)


class Broken(Line):  # type: ignore[misc, valid-type]
    def __getitem__(self, index: int) -> Any:
        raise InputError("sample 3 cannot be read; remove it")


@pytest.mark.enable_socket
@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_the_data_stay_one_line(tmp_path: Path, workers: int) -> None:
    with pytest.raises(InputError, match=r"^sample 3 cannot be read; remove it$"):
        train(tmp_path, data=Broken(20), workers=workers)


def test_options_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch is 0"):
        TrainingOptions(batch=0)
    with pytest.raises(ConfigError, match="devices for several GPUs, processes for the CPU"):
        TrainingOptions(devices=2, processes=2)
    with pytest.raises(ConfigError, match="float16, which needs a GPU"):
        train(tmp_path, precision="float16")
    with pytest.raises(ConfigError, match="there is no GPU in use"):
        train(tmp_path, devices=2)
    with pytest.raises(ConfigError, match="device is 'tpu'"):
        train(tmp_path, device="tpu")
    with pytest.raises(InputError, match="no sample for training"):
        make_loader(Line(0), collate, TrainingOptions(), training=True)


def test_the_second_ctrl_c_insists() -> None:
    stop = Stop()
    stop.ask(signal.SIGINT)
    assert stop.asked
    with pytest.raises(KeyboardInterrupt):
        stop.ask(signal.SIGINT)


def test_every_sample_once_per_epoch_and_another_order_each() -> None:
    batches = Batches(10, 3, seed=0, shuffle=True)
    orders = []
    for epoch in range(3):
        batches.epoch = epoch
        keys = [key for batch in batches for key in batch]
        assert sorted(keys) == list(range(10 * epoch, 10 * epoch + 10))
        orders.append(tuple(key % 10 for key in keys))
    assert len(set(orders)) == 3
    assert len(batches) == len(list(batches)) == 4


# real processes


def _start(folder: Path, pause: float = 0.1, epochs: int = 4) -> subprocess.Popen[bytes]:
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # the order of sums depends on their number
    return subprocess.Popen(
        [sys.executable, str(TOY), str(folder), str(pause), str(epochs)],
        env=os.environ | threads,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_killed_and_resumed_ends_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = _start(folder)
    _wait_for(lambda: len(read_log(folder / "log.csv")) >= 1)
    time.sleep(0.25)
    process.kill()
    process.communicate()
    assert len(read_log(folder / "log.csv")) < 4
    parts, _ = train(folder, epochs=4)
    whole, _ = train(tmp_path / "whole", epochs=4)
    assert 5 <= len(parts.losses) <= 15
    assert _same(parts, whole)


# several processes


@pytest.mark.slow
@pytest.mark.enable_socket
def test_two_processes_are_one_with_a_doubled_batch_also_when_stopped(tmp_path: Path) -> None:
    plain = {"dropout": 0.0, "norm": False}
    data = Line(16, noise=False)
    one, single = train(tmp_path / "one", data=data, task=plain, batch=4, epochs=2)
    two = {"data": data, "batch": 2, "processes": 2, "epochs": 2}
    with pytest.raises(TrainingStopped):
        train(tmp_path / "two", **two, task={**plain, "pause": 0.3}, more={"progress": Ask(1)})
    parts, double = train(tmp_path / "two", **two, task=plain)
    for row, wanted in zip(double.log, single.log, strict=True):
        assert row["step"] == wanted["step"]
        assert row["val_loss"] == pytest.approx(wanted["val_loss"], rel=1e-5)
    assert double.log[1]["train_loss"] == pytest.approx(single.log[1]["train_loss"], rel=1e-5)
    for left, right in zip(one.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)
    assert {file.name for file in (tmp_path / "two" / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        (
            "  ...\nterradelta.errors.InputError: sample 7 is bad; repair it\n",
            InputError,
            "sample 7 is bad; repair it",
        ),
        ("terradelta.errors.ConfigError: no\n\nterradelta.errors.InputError: Caught I", ConfigError, "no"),
        ("  ...\nterradelta.learning.stopping.Halt\n", TrainingStopped, ""),
        ("ValueError: anything else", RuntimeError, "ValueError: anything else"),
    ],
)
def test_what_other_processes_say_becomes_one_line(text: str, kind: type[BaseException], line: str) -> None:
    found = _meaning(RuntimeError(text))
    assert type(found) is kind
    assert str(found) == line


def test_a_run_folder_is_not_read_as_one_when_it_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder"):
        _ = Run(tmp_path).settings
