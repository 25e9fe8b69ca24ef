"""`terradelta predict` as a user types it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("plain_pictures")

_FILE = Path(__file__).parents[1] / "expected" / "scene_models.py"
_SPEC = importlib.util.spec_from_file_location("scene_models", _FILE)
assert _SPEC is not None and _SPEC.loader is not None
models: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(models)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    models.conditioned(weather=False, static=0).save_pretrained(folder)
    return folder


def test_predict_writes_and_finds_it_done(run: Path, cube: Path, tmp_path: Path, cli: Any):
    arguments = ("predict", run, cube, "--out", tmp_path / "out", "--time", "last")
    cli(*arguments).done("expected image of 2021-06-08", "mean difference", "report.html")
    assert (tmp_path / "out" / "comparison.png").is_file()
    again = cli(*arguments)
    again.done("expected image of")
    assert "blocks" not in again.err
    cli(*arguments, "--same-orbit").refused("differ in same_orbit", "--overwrite")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--time", "2021-01-03"), ("has 0 images before it", "the model needs 4")),
        (("--time", "1999-01-01"), ("no image was taken at 1999-01-01",)),
        (("--what-if", "rain"), ("the model is not told precipitation",)),
        (("--what-if", "hail"), ("no change is called 'hail'",)),
    ],
)
def test_what_is_refused(run: Path, cube: Path, tmp_path: Path, cli: Any, options: Any, words: Any):
    cli("predict", run, cube, "--out", tmp_path / "out", *options).refused(*words)


def test_no_model(cube: Path, tmp_path: Path, cli: Any):
    cli("predict", tmp_path, cube, "--out", tmp_path / "out").refused("config.json")
