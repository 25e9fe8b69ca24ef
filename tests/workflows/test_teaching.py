"""Settings of both trainings of urban monitoring, and versions that are trained one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from terradelta.errors import ConfigError
from terradelta.learning.fitting import FitResult
from terradelta.learning.log import Log
from terradelta.learning.run import Run
from terradelta.learning.stopping import TrainingStopped
from terradelta.urban import ERS12LS5, S1S2, PretrainConfig, TransferConfig
from terradelta.urban.labels.weak import WeakLabels
from terradelta.windows import Tile, TileLists
from terradelta.workflows.config import PretrainSettings, TransferSettings, load_settings, to_yaml
from terradelta.workflows.teaching import told_of
from terradelta.workflows.teaching.transfer import run_transfer, summary_line

PRETRAIN = {"data": "a.zarr", "labels": "b", "run": "r"}
TRANSFER = {"data": "a.zarr", "labels": "b", "run": "r"}


def test_the_settings_know_what_the_library_knows() -> None:
    assert load_settings(PretrainSettings, given=PRETRAIN).config(S1S2) == PretrainConfig()
    found = load_settings(TransferSettings, given=TRANSFER)
    assert found.config(S1S2) == replace(TransferConfig(), era=S1S2)
    assert found.versions == [1, 2, 3]
    for model in (PretrainSettings, TransferSettings):
        keys = [line.split(":")[0].lstrip("# ") for line in to_yaml(model).splitlines() if ": (req" in line]
        assert keys == ["data", "labels", "run"]
        assert to_yaml(model).index("# labels: (req") < to_yaml(model).index("\nepochs:")


def test_an_era_with_other_windows() -> None:
    given = {"era.step_days": 6, "era.window_days": 90.5, "era.most": 40, "era.sar_filters": 3}
    era = load_settings(PretrainSettings, given=PRETRAIN | given).config(ERS12LS5).era
    assert era == replace(
        ERS12LS5,
        step=np.timedelta64(6, "D"),
        window=np.timedelta64(181 * 12, "h"),
        most=40,
        sar_filters=3,
    )
    assert (
        load_settings(PretrainSettings, given=PRETRAIN).config(ERS12LS5).to_dict()["era"]["step"] == "1 days"
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": ""}, "data names nothing"),
        ({"data": "a,b"}, "data names 2 cubes and labels 1 folders; give one folder of labels for each"),
        ({"loss": "mse"}, "loss is 'mse'"),
        ({"era.name": "s3"}, r"era\.name is 's3'"),
        ({"era.fewes": 3}, "did you mean 'era.fewest'"),
        ({"devices": 2, "processes": 2}, "give one of both"),
        ({"momentum": 1}, "momentum is 1"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_settings(PretrainSettings, given=PRETRAIN | given)


# versions


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, TileLists]]:
    """Trainings that were begun; each writes two epochs, and the one of V3 is stopped then."""
    import terradelta.urban.training.fit as fit
    import terradelta.workflows.label.weak as weak
    import terradelta.workflows.teaching.transfer as verb

    begun: list[tuple[str, TileLists]] = []
    lists = tuple(TileLists((Tile(0, number),), (Tile(1, number),)) for number in range(3))
    truth = np.zeros((64, 96), np.uint8)
    labels = WeakLabels(truth, np.datetime64("2020-01-01"), np.datetime64("2020-12-31"), 32, lists)

    def training(
        cube: Any, weak: Any, chosen: TileLists, net: Any, config: Any, run: Run, **more: Any
    ) -> Any:
        begun.append((run.folder.name, chosen))
        rows = [
            {"epoch": epoch, "train_loss": 0.5, "val_loss": 0.6 / epoch, "val_f1": 0.2 * epoch}
            for epoch in (1, 2)
        ]
        for row in rows:
            Log(run.log).add(row)
        with more["progress"]("training", 2) as advance:
            advance(2)
        if run.folder.name == "V3":
            raise TrainingStopped
        return None, FitResult(2, 2, 0.3, run.checkpoints / "b", run.checkpoints / "l", rows)

    monkeypatch.setattr(fit, "transfer", training)
    monkeypatch.setattr(weak, "read_weak", lambda folder: labels)
    monkeypatch.setattr(verb, "open_cube", lambda path: path)
    return begun


def test_each_version_gets_its_lists_and_a_run_of_its_own(
    tmp_path: Path, started: list[tuple[str, TileLists]]
) -> None:
    given = {**TRANSFER, "run": tmp_path / "place", "ab_initio": True, "versions": "2,1"}
    settings = load_settings(TransferSettings, given=given)
    results = run_transfer(settings)
    assert [(name, lists.train[0].column) for name, lists in started] == [("V2", 1), ("V1", 0)]
    line = summary_line(settings, results)
    place, told = tmp_path / "place", "2 epochs, best validation loss 0.3 in epoch 2, F1 0.40"
    assert line == (
        f"{place}: V2: {told}; V1: {told}; models in {place / 'V2' / 'model'}, {place / 'V1' / 'model'}"
    )
    assert (tmp_path / "place" / "V1" / "losses.png").exists()
    assert "| V1 | 2 | 2 | 0.3 | +0 |" in (tmp_path / "place" / "versions.md").read_text()


def test_what_was_trained_is_drawn_when_a_version_is_stopped(
    tmp_path: Path, started: list[tuple[str, TileLists]]
) -> None:
    given = {**TRANSFER, "run": tmp_path, "ab_initio": True, "versions": "3,1"}
    with pytest.raises(TrainingStopped):
        run_transfer(load_settings(TransferSettings, given=given))
    assert [name for name, _ in started] == ["V3"]
    assert (tmp_path / "V3" / "losses.png").exists()
    assert (tmp_path / "versions.png").exists()


def test_a_finished_run_says_so() -> None:
    result = FitResult(1, 1, 0.51234, Path("a"), Path("b"), [{"epoch": 1, "val_f1": 0.0}], idle=True)
    assert told_of(result) == (
        "finished before, nothing to do: 1 epoch, best validation loss 0.5123 in epoch 1, F1 0.00"
    )
