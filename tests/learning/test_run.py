"""The folder of a run: begun once, gone on with, never mixed up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from terradelta.errors import ConflictError, InputError, LockedError
from terradelta.learning.log import Log, read_log
from terradelta.learning.run import Run

SETTINGS = {"network": "toy", "options": {"epochs": 2, "workers": 0}, "without": ["a"]}
DATA = {"digest": "abc"}


def test_begun_and_gone_on_with(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "a")
    assert run.begin(SETTINGS, DATA, seed=3) is False
    assert yaml.safe_load(run.config.read_text()) == SETTINGS == run.settings
    told = json.loads(run.provenance.read_text())
    assert (told["data"], told["seed"]) == (DATA, 3)
    assert {"terradelta", "python", "packages", "git_commit", "command"} <= set(told)
    assert told["packages"]["torch"]
    assert run.begin({**SETTINGS, "options": {"epochs": 2, "workers": 4}}, DATA, seed=3) is True


def test_other_settings_and_other_data_are_named(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.begin(SETTINGS, DATA, seed=0)
    with pytest.raises(ConflictError, match=r"options\.epochs is 2 there and 5 here \(and in without\)"):
        run.begin({**SETTINGS, "options": {"epochs": 5}, "without": []}, DATA, seed=0)
    with pytest.raises(ConflictError, match=r"other data \(digest is 'abc' there and 'xyz' here\)"):
        run.begin(SETTINGS, {"digest": "xyz"}, seed=0)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "checkpoints").mkdir()
    assert run.begin({"network": "other"}, DATA, seed=0, overwrite=True) is False
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.yaml", "notes.txt", "provenance.json"]


def test_a_run_from_before_a_setting_was_known_had_its_default(tmp_path: Path) -> None:
    run = Run(tmp_path)
    old = {"network": "toy", "options": {"epochs": 2, "workers": 0}}
    run.begin(old, DATA, seed=0)
    defaults = {"network": "other", "augment": False, "options": {"clip": 0.0, "epochs": 50}, "gone": 1}
    new = {**old, "augment": False, "options": {"epochs": 2, "clip": 0.0}}
    assert run.begin(new, DATA, seed=0, defaults=defaults) is True
    with pytest.raises(ConflictError, match=r"options\.clip is None there and 0\.0 here \(and in augment\)"):
        run.begin(new, DATA, seed=0)
    with pytest.raises(ConflictError, match=r"options\.clip is 0\.0 there and 1\.0 here; "):
        run.begin({**new, "options": {"epochs": 2, "clip": 1.0}}, DATA, seed=0, defaults=defaults)
    with pytest.raises(ConflictError, match="network is 'toy' there and 'other' here"):
        run.begin({**new, "network": "other"}, DATA, seed=0, defaults=defaults)


def test_folders_of_other_things_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds files that are no run"):
            Run(tmp_path).begin(SETTINGS, DATA, seed=0, overwrite=overwrite)
    assert (tmp_path / "holiday.jpg").exists()


def test_one_training_at_a_time(tmp_path: Path) -> None:
    with Run(tmp_path / "a").held(), pytest.raises(LockedError), Run(tmp_path / "a").held():
        pass


def test_rows_of_a_resumed_epoch_are_replaced(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.csv")
    for epoch, loss in ((1, 0.5), (2, 1 / 3), (3, 0.2), (2, 0.4)):
        log.add({"epoch": epoch, "val_loss": loss})
    log.add({"epoch": 3, "val_loss": 0.1, "val_rmse_db": 2.5})
    assert log.rows == [
        {"epoch": 1, "val_loss": 0.5},
        {"epoch": 2, "val_loss": 0.4},
        {"epoch": 3, "val_loss": 0.1, "val_rmse_db": 2.5},
    ]
    assert (tmp_path / "log.csv").read_text().startswith("epoch,val_loss,val_rmse_db\n1,0.5,\n")
    assert read_log(tmp_path / "none.csv") == []
    (tmp_path / "log.csv").write_text("epoch,val_loss\n1,many\n")
    with pytest.raises(InputError, match="is no log of a training"):
        read_log(tmp_path / "log.csv")
