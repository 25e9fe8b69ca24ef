"""`terradelta pretrain` and `terradelta transfer` as a user types them: from a cube to maps of a place."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pytest
import shapely
import yaml

pytest.importorskip("lightning")

from terradelta.cli import main
from terradelta.cube import geobox_of, write_cube
from terradelta.learning.log import read_log
from terradelta.simulate import urban_place
from terradelta.urban import ERCNN, S1S2, load_network
from terradelta.urban.labels.series import synthetic_labels

ERA = replace(
    S1S2, step=np.timedelta64(6, "D"), window=np.timedelta64(48, "D"), fewest=4, most=20, sar_filters=2,
    optical_filters=3,
)  # fmt: skip
WIDTH = {"sar_filters": 2, "optical_filters": 3}
WINDOWS = {"step_days": 6, "window_days": 48, "fewest": 4, "most": 20}
QUICK = {"epochs": 2, "batch": 2, "device": "cpu", "pictures_every": 0}
PRETRAIN = {**QUICK, "tile": 16, "every": 4, "era": WIDTH}
TRANSFER = {
    **QUICK,
    "versions": [1, 2],
    "augment": "random",
    "visits": {"count": 3, "first": 1, "shortest": 2, "longest": 4},
}


class Town(NamedTuple):
    """What both verbs read, and the run of the first."""

    cube: Path
    labels: Path
    weak: Path
    run: Path


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A simulated town of 4 x 4 tiles, its labels, a network taught with them; not to be changed."""
    folder = tmp_path_factory.mktemp("town")
    tree = urban_place(seed=0, size=64, years=0.7, changes=3)
    write_cube(tree, folder / "town.zarr")
    found = Town(folder / "town.zarr", folder / "labels", folder / "weak", folder / "runs" / "pretrained")
    synthetic_labels(found.cube, ERA, found.labels / "labels.zarr", stride=2)
    left, bottom, right, top = geobox_of(tree).boundingbox
    boxes = [
        shapely.box(left, top - 130, left + 130, top),
        shapely.box(left + 300, bottom, right, bottom + 200),
    ]
    gpd.GeoDataFrame(geometry=boxes, crs=geobox_of(tree).crs).to_file(folder / "changes.gpkg")
    _run("label", found.cube, found.weak, "--method", "polygons", "--source", folder / "changes.gpkg",
         "--tile", 16, "--counts", "6,2,1", "--guard", 0)  # fmt: skip
    given = {"data": str(found.cube), "labels": str(found.labels), "run": str(found.run), **PRETRAIN}
    (folder / "pretrain.yaml").write_text(yaml.safe_dump(given))
    _run("pretrain", folder / "pretrain.yaml")
    return found


def _run(*arguments: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(one) for one in arguments])
    assert not stop.value.code


def _pretrain(tmp_path: Path, town: Town, **more: Any) -> Path:
    file = tmp_path / "pretrain.yaml"
    given = {"data": str(town.cube), "labels": str(town.labels), "run": str(tmp_path / "run")}
    file.write_text(yaml.safe_dump({**given, **PRETRAIN, **more}))
    return file


def _transfer(tmp_path: Path, town: Town, **more: Any) -> Path:
    file = tmp_path / "transfer.yaml"
    given = {"data": str(town.cube), "labels": str(town.weak), "run": str(tmp_path / "place")}
    start = {} if "ab_initio" in more else {"weights": str(town.run)}
    file.write_text(yaml.safe_dump({**given, **TRANSFER, **start, **more}))
    return file


def _complaint(result: Any, *words: str) -> None:
    """See that one line came on stderr, but for progress and notes, and exit code 2."""
    lines = [line for line in result.err.splitlines() if not line.startswith(("training", "note: "))]
    assert result.code == 2, result
    assert len(lines) == 1, result.err
    assert lines[0].startswith("terradelta: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.usefixtures("plain_pictures")
def test_from_labels_to_maps(tmp_path: Path, town: Town, cli: Any) -> None:
    names = {path.name for path in town.run.iterdir() if not path.name.startswith(".")}
    assert names >= {
        "config.yaml", "provenance.json", "log.csv", "losses.png", "tensorboard", "checkpoints", "model",
    }  # fmt: skip
    net = load_network(town.run / "model")
    assert net.era == ERA
    assert net.origin == "taught with synthetic labels of town, best of 2 epochs"
    config = _transfer(tmp_path, town)
    line = cli("transfer", config).done("V1: 2 epochs, best validation loss", "; V2: 2 epochs", ", F1 0.")
    assert len(line.splitlines()) == 1
    place = tmp_path / "place"
    for version in ("V1", "V2"):
        assert (place / version / "losses.png").read_bytes().startswith(b"\x89PNG")
        assert load_network(place / version / "model").origin.startswith(
            f"{net.origin}, taught with weak labels"
        )
    assert (place / "versions.png").read_bytes().startswith(b"\x89PNG")
    assert "| V2 | 2 |" in (place / "versions.md").read_text()
    models = ["--weights", place / "V1" / "model", "--weights", place / "V2" / "model"]
    cli("monitor", town.cube, tmp_path / "maps", *models, "--video", "none", "--stride", 8).done("windows")


def test_the_same_command_goes_on_with_the_versions_that_are_missing(
    tmp_path: Path, town: Town, cli: Any
) -> None:
    config = _transfer(tmp_path, town)
    cli("transfer", config, "--versions", 2).done("V2: 2 epochs")
    written = (tmp_path / "place" / "V2" / "log.csv").read_bytes()
    cli("transfer", config).done("V1: 2 epochs", "V2: finished before, nothing to do: 2 epochs")
    assert (tmp_path / "place" / "V2" / "log.csv").read_bytes() == written
    found = json.loads((tmp_path / "place" / "versions.json").read_text())["runs"]
    assert [one["name"] for one in found] == ["V1", "V2"]
    refused = cli("transfer", config, "--momentum", 0.5)
    _complaint(refused, "momentum is 0.8 there and 0.5 here", "--overwrite")
    cli("transfer", config, "--momentum", 0.5, "--overwrite", "--epochs", 1).done("V1: 1 epoch,")
    assert len(read_log(tmp_path / "place" / "V1" / "log.csv")) == 1


def test_ab_initio_with_one_sensor(tmp_path: Path, town: Town, cli: Any) -> None:
    config = _transfer(tmp_path, town, ab_initio=True, era={**WINDOWS, **WIDTH}, branches="sar", versions=[1])
    cli("transfer", config, "--parts", "all", "--epochs", 1).done("V1: 1 epoch")
    net = load_network(tmp_path / "place" / "V1" / "model")
    assert (net.branches, net.era) == ("sar", ERA)
    assert net.origin.startswith("random weights of seed 0")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, town: Town) -> dict[str, Path]:
    """What does not fit the town."""
    folder = tmp_path_factory.mktemp("others")
    made = {name: folder / name for name in ("overlapping", "nowhere", "old", "sar", "unfinished")}
    for name in ("overlapping", "nowhere"):
        shutil.copytree(town.weak, made[name])
    first = (town.weak / "tiles_V1_train.txt").read_text().splitlines()[0]
    for name, tile in (("overlapping", first), ("nowhere", "9:9")):
        with (made[name] / "tiles_V1_validation.txt").open("a") as file:
            file.write(f"{tile}\n")
    ERCNN("ers12ls5").eval().save_pretrained(made["old"])
    ERCNN(ERA, "sar").eval().save_pretrained(made["sar"])
    shutil.copytree(town.run, made["unfinished"])
    shutil.rmtree(made["unfinished"] / "model")
    other = urban_place(seed=1, size=80, years=0.2, changes=0)
    write_cube(other, folder / "other.zarr")
    return made | {"other": folder / "other.zarr"}


@pytest.mark.parametrize(
    ("more", "options", "words"),
    [
        ({"data": "other"}, [], ("of another grid", "64 x 64 pixels", "80 x 80 pixels")),
        ({"labels": "overlapping"}, [], ("among both train and validation",)),
        ({"labels": "nowhere"}, [], ("tiles 9:9 do not exist", "4 rows and 4 columns")),
        ({"labels": "sar"}, [], ("holds no weak labels", "terradelta label")),
        (
            {"weights": "old"},
            ["--set", "era.name=s1s2"],
            ("a network of ers12ls5, but era.name asks for s1s2",),
        ),
        ({"weights": "old"}, [], ("the cube",)),
        ({"weights": "sar"}, ["--branches", "both"], ("a network of sar, but branches asks for both",)),
        ({"weights": "unfinished"}, [], ("a run that is not finished",)),
        ({}, ["--set", "era.sar_filters=5"], ("sar_filters of the weights is 2, but 5 is asked for",)),
        ({}, ["--set", "visits.count=90"], ("windows, but visits of 90 windows", "give a longer period")),
        ({}, ["--set", "visits.longest=1"], ("shortest 2 is above longest 1",)),
        ({}, ["--versions", "1,9"], ("no tile lists of version 9, only 3",)),
        ({}, ["--versions", "0"], ("versions are counted from 1",)),
        ({}, ["--ab-initio"], ("weights and ab_initio are both given",)),
        ({}, ["--weights", "nowhere.hdf5"], ("no network at nowhere.hdf5",)),
        ({}, ["--processes", 2, "--devices", 2], ("give one of both",)),
        ({}, ["--precision", "float16"], ("float16, which needs a GPU",)),
    ],
)
def test_what_transfer_cannot_do_is_said_in_one_line(
    tmp_path: Path, town: Town, others: dict[str, Path], cli: Any, more: dict[str, str], options: list[Any],
    words: tuple[str, ...],
) -> None:  # fmt: skip
    config = _transfer(tmp_path, town, **{name: str(others[what]) for name, what in more.items()})
    _complaint(cli("transfer", config, *options), *words)
    assert not (tmp_path / "place" / "V1" / "model").exists()


def test_transfer_needs_a_start_and_a_folder_of_its_own(tmp_path: Path, town: Town, cli: Any) -> None:
    config = _transfer(tmp_path, town)
    given = yaml.safe_load(config.read_text())
    del given["weights"]
    config.write_text(yaml.safe_dump(given))
    _complaint(cli("transfer", config), "there are no weights; give weights to begin from, or ab_initio")
    config = _transfer(tmp_path, town, run=str(town.run))
    _complaint(cli("transfer", config), "is the folder of a single run")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--labels", "nowhere"], ("nowhere holds no synthetic labels; make them with terradelta label",)),
        (["--labels", "a,b"], ("data names 1 cubes and labels 2 folders",)),
        (["--data", "nowhere"], ("nowhere",)),
        (["--data", "other"], ("of another grid", "64 x 64", "80 x 80")),
        (["--set", "era.name=ers12ls5"], ("labels of the era s1s2, but era.name asks for ers12ls5",)),
        (["--tile", 64], ("no tile of 64 pixels is for validation",)),
        (["--memory", "1 MiB"], ("frames of one tile take",)),
        (["--every", 0], ("every is '0'",)),
        (["--resume-weights-only"], ("resume names no run to begin from",)),
        (["--resume", "nowhere"], ("no checkpoint at nowhere",)),
    ],
)
def test_what_pretrain_cannot_do_is_said_in_one_line(
    tmp_path: Path, town: Town, others: dict[str, Path], cli: Any, options: list[Any], words: tuple[str, ...]
) -> None:
    config = _pretrain(tmp_path, town)
    given = [others["other"] if one == "other" else one for one in options]
    _complaint(cli("pretrain", config, *given), *words)


def test_pretrain_goes_on_only_with_the_same(tmp_path: Path, town: Town, cli: Any) -> None:
    config = _pretrain(tmp_path, town, run=str(town.run))
    cli("pretrain", config).done("finished before, nothing to do: 2 epochs", f"model in {town.run / 'model'}")
    cli("pretrain", config, "--memory", "1 GB", "--save-minutes", 1).done("finished before")
    _complaint(cli("pretrain", config, "--epochs", 9), "options.epochs is 2 there and 9 here")


@pytest.mark.parametrize("verb", ["pretrain", "transfer"])
def test_a_missing_extra_is_named(
    tmp_path: Path, town: Town, cli: Any, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from terradelta.learning import fitting

    monkeypatch.setattr(fitting, "find_spec", lambda name: None)
    config = _pretrain(tmp_path, town) if verb == "pretrain" else _transfer(tmp_path, town)
    _complaint(cli(verb, config), "install terradelta with the extra 'train'")
