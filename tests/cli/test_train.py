"""`terradelta train` as a user types it, stops it, and goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("lightning")
import sys

from terradelta.cube import write_cube
from terradelta.learning.log import read_log
from terradelta.simulate import place

SETTINGS = {
    "epochs": 2,
    "batch": 4,
    "device": "cpu",
    "learning_rate": 0.001,
    "conditioned": {"width": 4, "scales": 2, "embedding": 8},
    "samples": {"count": 12, "validation_count": 4, "size": 16},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube of a small simulated place."""
    folder = tmp_path_factory.mktemp("train") / "cube.zarr"
    write_cube(place(seed=0, size=80, years=0.4, changes=0), folder)
    return folder


def _config(tmp_path: Path, cube: Path, **more: Any) -> Path:
    file = tmp_path / "train.yaml"
    file.write_text(yaml.safe_dump({"data": str(cube), "run": str(tmp_path / "run"), **SETTINGS, **more}))
    return file


def _errors(result: Any) -> str:
    """What is on stderr but for progress and notes."""
    lines = [line for line in result.err.splitlines() if not line.startswith(("training: ", "note: "))]
    return "\n".join(lines)


def test_a_run_from_a_configuration(tmp_path: Path, small: Path, cli: Any) -> None:
    config = _config(tmp_path, small)
    run = tmp_path / "run"
    line = cli("train", config).done(
        "conditioned, 2 epochs, best validation loss", f"model in {run / 'model'}"
    )
    assert len(line.splitlines()) == 1
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "provenance.json", "log.csv", "tensorboard", "checkpoints", "model"} <= names
    assert (run / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((run / "provenance.json").read_text())["data"]["samples"] == 12
    again = cli("train", config).done()
    assert again.replace("finished before, nothing to do: ", "") == line != again
    refused = cli("train", config, "--learning-rate", 0.01)
    assert refused.code == 2
    assert "options.learning_rate is 0.001 there and 0.01 here" in _errors(refused)
    assert len(_errors(refused).splitlines()) == 1
    cli("train", config, "--ablate", "satellite", "--no-weather", "--epochs", 1, "--overwrite").done(
        "1 epoch,"
    )
    told = yaml.safe_load((run / "config.yaml").read_text())
    assert (told["without"], told["weather"]) == (["satellite"], False)
    found = cli("evaluate", "--ablations", run, "--out", tmp_path / "eval").done("| run | 1 | 1 |")
    assert "| --- |" in found
    assert (tmp_path / "eval" / "ablations.png").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ablate", "colour"], "no condition is called 'colour'; choose from temperature"),
        (["--resume-weights-only"], "resume names no run to begin from"),
        (["--devices", 2, "--processes", 2], "give one of both"),
        (["--precision", "float16"], "float16, which needs a GPU"),
        (["--resume", "nowhere"], "no checkpoint at nowhere"),
        (["--set", "samples.size=4000"], "fewer than the 4000 x 4000"),
        (["--data", "nowhere"], "no data at nowhere"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, small: Path, cli: Any, options: list[Any], words: str
) -> None:
    result = cli("train", _config(tmp_path, small), *options)
    assert result.code == 2
    assert words in _errors(result)
    assert len(_errors(result).splitlines()) == 1


@pytest.mark.slow
def test_sigterm_ends_with_a_checkpoint_and_the_same_command_goes_on(
    tmp_path: Path, small: Path, cli: Any
) -> None:
    config = _config(tmp_path, small, epochs=400)
    arguments = [sys.executable, "-m", "terradelta", "train", str(config)]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not read_log(tmp_path / "run" / "log.csv") and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "terradelta: interrupted; the same command goes on where it stopped" in err
    assert "Traceback" not in err
    done = len(read_log(tmp_path / "run" / "log.csv"))
    assert 0 < done < 400
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
    assert (tmp_path / "run" / "losses.png").exists()
    other = tmp_path / "other"
    cli("train", config, "--run", other, "--resume", tmp_path / "run", "--epochs", done + 1).done()
    assert read_log(other / "log.csv")[-1]["epoch"] == done + 1
