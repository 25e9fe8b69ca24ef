"""Settings of a training, and the runs that leave conditions out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch")

from terradelta.errors import ConfigError, InputError
from terradelta.evaluate.training_curves import compare_curves, draw_losses
from terradelta.expected.conditions import GROUPS
from terradelta.expected.networks.registry import build_network
from terradelta.expected.training.data import SamplesConfig
from terradelta.expected.training.fit import FitConfig
from terradelta.learning.options import TrainingOptions
from terradelta.workflows.ablations import ablation_settings, run_ablations
from terradelta.workflows.config import TrainSettings, load_settings, to_yaml
from terradelta.workflows.config.train import FEATURES

GIVEN = {"data": "a.zarr", "run": "r"}


def test_the_settings_know_what_the_library_knows() -> None:
    assert tuple(GROUPS) == FEATURES
    default = load_settings(TrainSettings, given=GIVEN).config()
    assert default.options == TrainingOptions()
    assert default.samples == SamplesConfig()
    assert default.preparation == FitConfig().preparation
    assert default.loss_config == FitConfig().loss_config
    network = build_network("conditioned", default.network_config)
    assert network.config == type(network.config)()
    assert "\n# Which network. (one of conditioned, unet)\nnetwork: conditioned\n" in to_yaml(TrainSettings)


def test_the_published_network_from_settings() -> None:
    given = {"network": "unet", "unet.preset": "tiny", "samples.size": 32, "ablate": "satellite,temperature"}
    config = load_settings(TrainSettings, given={**GIVEN, **given}).config()
    assert config.loss_config.kind == "mse"
    assert config.without == ("temperature", "satellite")
    assert build_network("unet", config.network_config).config.size == 32


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ablate": "colour"}, "no condition is called 'colour'"),
        ({"data": ""}, "no data; name a cube"),
        ({"resume_weights_only": True}, "resume names no run"),
        ({"samples.split_time": "2020-01-01,2021-01-01,2022-01-01"}, "at most two times"),
        ({"loss.kind": "gauss"}, r"loss\.kind is 'gauss'"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_settings(TrainSettings, given={**GIVEN, **given})


def test_eight_runs_of_one_configuration(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump({**GIVEN, "ablate": ["satellite"], "epochs": 3}))
    cases = ablation_settings(file, tmp_path)
    assert [case.run.name for case in cases] == [
        "all",
        *(f"without-{name}" for name in FEATURES),
        "no-weather",
    ]
    assert [case.ablate for case in cases] == [[], *([name] for name in FEATURES), []]
    assert [case.no_weather for case in cases] == [False] * 7 + [True]
    assert {case.epochs for case in cases} == {3}


def _run(folder: Path, losses: list[float]) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("network: toy\n")
    rows = [f"{epoch},{2 * loss},{loss}" for epoch, loss in enumerate(losses, 1)]
    (folder / "log.csv").write_text("\n".join(["epoch,train_loss,val_loss", *rows, ""]))
    return folder


def test_runs_are_gathered_in_one_plot_and_table(tmp_path: Path) -> None:
    runs = [_run(tmp_path / "all", [0.5, 0.3, 0.4]), _run(tmp_path / "dry", [0.6, 0.55])]
    table = run_ablations(runs, tmp_path / "out")
    assert "| all | 3 | 2 | 0.3 | +0 |" in table
    assert "| dry | 2 | 2 | 0.55 | +0.25 |" in table
    assert (tmp_path / "out" / "ablations.md").read_text() == table + "\n"
    found = json.loads((tmp_path / "out" / "ablations.json").read_text())["runs"]
    assert found[0]["val_loss"] == [0.5, 0.3, 0.4]
    assert (tmp_path / "out" / "ablations.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder"):
        run_ablations([tmp_path], tmp_path / "out")
    with pytest.raises(InputError, match="the run empty has no finished epoch"):
        run_ablations([_run(tmp_path / "empty", [])], tmp_path / "out")
    with pytest.raises(InputError, match="two runs have the same name"):
        run_ablations([_run(tmp_path / "a" / "x", [1]), _run(tmp_path / "b" / "x", [1])], tmp_path / "out")
    with pytest.raises(InputError, match="no epoch to draw"):
        draw_losses([], tmp_path / "a.png")
    with pytest.raises(InputError, match="has no finished epoch"):
        compare_curves({"a": []}, tmp_path)


def test_sources_of_different_kinds_are_refused_by_name() -> None:
    from terradelta.expected.training.data import open_data
    from terradelta.simulate import place

    tree = place(seed=0, size=40, years=0.3, changes=0, optical_days=0)
    radar = tree["sar"].to_dataset()
    groups = {path: node.to_dataset() for path, node in tree.subtree_with_keys}
    one = type(tree).from_dict({**groups, "sar": radar.isel(band=[0])})
    config = SamplesConfig(count=1, size=16)
    with pytest.raises(InputError, match=r"bands VV, VH in sample .*, VV in sample"):
        open_data([tree, one], config, validation=tree)
