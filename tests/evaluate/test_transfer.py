"""The experiment of the transfer: its quick form from end to end, that it learns, and what it counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from terradelta.cube import open_cube
from terradelta.errors import InputError
from terradelta.evaluate.urban.site.labels import SiteLabels
from terradelta.evaluate.urban.site.networks import Judged
from terradelta.evaluate.urban.site.scoring import urban_scores
from terradelta.evaluate.urban.transfer import FULL, QUICK, run
from terradelta.evaluate.urban.transfer.judging import Dates, Figures, _dates
from terradelta.evaluate.urban.transfer.material import weak_labels
from terradelta.evaluate.urban.transfer.report import _order
from terradelta.simulate import KINDS
from terradelta.types import Size
from terradelta.windows import Tile, TileGrid


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("transfer")
    return out, run(out, protocol=QUICK, workers=2)


def test_every_network_is_judged(done: tuple[Path, str]) -> None:
    out, text = done
    found = json.loads((out / "urban-transfer.json").read_text())["seed 0"]
    kinds = [(each["kind"], each["name"].startswith("mean of")) for each in found]
    assert kinds == [
        ("pre-trained", False),
        *[("ab initio", mean) for mean in (False, False, False, True)],
        *[("transferred", mean) for mean in (False, False, False, True)],
    ]
    assert all(0 <= each["auc"] <= 1 for each in found)
    assert f"{found[-1]['auc']:.3f}" in text and "transferred, mean of all − transferred" in text
    assert (out / "urban-transfer.png").stat().st_size > 10_000
    assert (out / "urban-transfer-losses.png").is_file()


def test_each_step_of_the_teaching_brings_something(done: tuple[Path, str]) -> None:
    """On a place that none of the networks was pre-trained on, and tiles that none was taught with."""
    found = json.loads((done[0] / "urban-transfer.json").read_text())["seed 0"]
    pretrained, *_, fresh = found[:5]
    transferred = found[-1]
    assert [each["kind"] for each in (pretrained, fresh, transferred)] == [
        "pre-trained", "ab initio", "transferred",
    ]  # fmt: skip
    assert pretrained["auc"] > 0.65
    assert transferred["auc"] > fresh["auc"] + 0.05
    assert transferred["auc"] > pretrained["auc"] - 0.03
    assert len(transferred["dates"]["days"]) == transferred["dates"]["changes"] > 0


def test_the_same_call_again_trains_nothing_and_tells_the_same(done: tuple[Path, str]) -> None:
    out, text = done
    models = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/checkpoints/best.ckpt")}
    assert len(models) == 7
    assert run(out, protocol=QUICK, workers=1) == text
    assert models == {path: path.stat().st_mtime_ns for path in models}


def test_lists_are_apart_and_labels_are_what_was_built_or_torn_down(done: tuple[Path, str]) -> None:
    truth = open_cube(done[0] / "places" / "elsewhere.zarr")["truth"].to_dataset()
    weak = weak_labels(done[0] / "places" / "elsewhere.zarr", QUICK)
    urban = [KINDS[kind].code for kind in ("building", "demolition")]
    assert np.array_equal(weak.truth == 1, np.isin(truth["kind"].values, urban))
    assert len(weak.versions) == 3
    for lists in weak.versions:
        taught = [*lists.train, *lists.validation]
        assert all(max(abs(a.row - b.row), abs(a.column - b.column)) > 1 for a in taught for b in lists.test)


def test_no_training_at_a_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 trainings at a time"):
        run(tmp_path, protocol=FULL, workers=0)


# what is counted


def test_peaks_are_compared_with_the_works_change_by_change() -> None:
    """Three changes: a building found 10 days after its works, one found within them, one missed."""
    label = np.zeros((4, 8), np.uint16)
    label[0], label[1], label[2, :4], label[3, :2] = 1, 2, 3, 4
    codes = np.array([0, *(KINDS[kind].code for kind in ("building", "building", "demolition", "harvest"))])
    begun = np.array([-1, 18262, 18322, 18414, 18414])
    layers = {"label": label, "kind": codes[label].astype(np.uint8), "date": begun[label].astype(np.int32)}
    truth = xr.Dataset({name: (("y", "x"), layer) for name, layer in layers.items()})
    cube = xr.DataTree.from_dict({"truth": truth})
    changed = np.isin(label, (1, 2, 3)).astype(np.uint8)
    score, day = np.where(label > 0, 0.9, 0.0)[None], np.zeros((1, 4, 8), np.int64)
    score[0, 2] = 0.1
    day[0, 0], day[0, 1] = begun[1] + 70, begun[2] + 30
    grid = TileGrid(Size(4, 8), 4)
    labels = SiteLabels(changed, grid, (Tile(0, 0), Tile(0, 1)))
    judged = Judged(
        "transferred",
        "a",
        labels.cut(score[0]),
        labels.cut(day[0]),
        urban_scores(changed, score[0]),
        (),
        1,
        8,
        8,
    )
    found = _dates(judged, 0.5, cube, labels)
    assert found.days == (10.0, 0.0)
    assert found.share_within(5) == 0.5 and found.share_within(10) == 1.0
    assert np.isnan(Dates(0, ()).share_within(5))


def test_the_order_is_told_seed_by_seed() -> None:
    def one(kind: str, name: str, auc: float) -> Figures:
        return Figures(kind, name, auc, 0.5, auc - 0.1, 0.5, 0.5, Dates(0, ()))

    figures = [
        one("pre-trained", "V0", 0.7),
        one("ab initio", "V1", 0.6),
        one("ab initio", "mean of 1", 0.6),
        one("transferred", "V1", 0.8),
        one("transferred", "V2", 0.84),
        one("transferred", "mean of 2", 0.9),
    ]
    lines = _order({"seed 0": figures}).splitlines()
    assert lines[2] == "| transferred, mean of all − transferred | +0.080 | +0.080 |"
    assert lines[3] == "| transferred − pre-trained | +0.120 | +0.120 |"
    assert lines[4] == "| transferred − ab initio | +0.220 | +0.220 |"
