"""Networks judged on a labelled place: scores, tiles, loss of observations, what is written and refused."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as metrics
import xarray as xr

from terradelta.cube import geobox_of, open_cube, write_cube
from terradelta.errors import ConfigError, InputError
from terradelta.evaluate.scores import map_scores
from terradelta.evaluate.urban import site
from terradelta.evaluate.urban.networks import Watch
from terradelta.evaluate.urban.site.labels import SiteLabels
from terradelta.evaluate.urban.site.networks import judge_group, load_group, require_alike
from terradelta.evaluate.urban.site.scoring import THRESHOLDS, urban_scores
from terradelta.evaluate.urban.site.thinning import thin
from terradelta.simulate import urban_place
from terradelta.types import Size
from terradelta.urban import S1S2, Stack, monitor, whole_period
from terradelta.urban.labels.weak import WeakLabels
from terradelta.windows import Tile, TileGrid, TileLists
from terradelta.workflows.config import EvaluateSettings, load_settings
from terradelta.workflows.evaluate import run_evaluate

torch = pytest.importorskip("torch")
from terradelta.urban import ERCNN  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
TINY = replace(
    S1S2, name="tiny", sar_filters=2, optical_filters=3, step=np.timedelta64(12, "D"), fewest=12, most=20
)
HOW = Watch(stride=4, device="cpu")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube on disk of 64 x 64 pixels, with something built in some tiles of 16 and not in others."""
    path = tmp_path_factory.mktemp("town") / "town.zarr"
    write_cube(urban_place(1, size=64, years=1.1, changes=4, optical_days=10), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Networks whose maps are neither flat nor saturated; the first two are run folders with a log."""
    folder = tmp_path_factory.mktemp("runs")
    return [save(folder / f"V{seed}", seed, run=seed < 3) for seed in (1, 2, 3)]


def save(folder: Path, seed: int, era: Any = TINY, branches: Any = "both", *, run: bool = False) -> Path:
    torch.manual_seed(seed)
    net = ERCNN(era, branches).eval()
    with torch.no_grad():
        net.out.weight.mul_(3)
    net.save_pretrained(folder / "model" if run else folder)
    if run:
        (folder / "config.yaml").write_text("seed: 0\n")
        (folder / "log.csv").write_text(f"epoch,train_loss,val_loss\n1,0.5,0.6\n2,0.4,0.{seed + 3}\n")
    return folder


def weak(town: Path, **given: Any) -> WeakLabels:
    cube = open_cube(town)
    truth = site.labels_from_truth(cube).truth.copy()
    truth[:5, :7] = 255
    lists = TileLists(
        (Tile(0, 0), Tile(0, 1)), (Tile(1, 0),), (Tile(1, 1), Tile(1, 2), Tile(2, 1), Tile(2, 2))
    )
    other = replace(lists, train=(Tile(0, 0), Tile(1, 0)), validation=(Tile(0, 1),))
    days = {"start": np.datetime64("2018-01-20"), "end": np.datetime64("2018-12-31")}
    made = {"truth": truth, "tile": 16, "versions": (lists, other), "geobox": geobox_of(cube)} | days
    return WeakLabels(**(made | given))


# scores


def random_scores(seed: int, size: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 255], size, p=[0.6, 0.3, 0.1]).astype(np.uint8)
    score = np.clip(rng.normal(0.4 + 0.2 * (truth == 1), 0.2), 0, 1).round(2).astype(np.float32)
    score[rng.random(size) < 0.05] = np.nan
    return truth, score


def test_scores_are_those_of_scikit_learn() -> None:
    truth, score = random_scores(0)
    use = (truth != 255) & np.isfinite(score)
    real, values = truth[use], score[use]
    found = urban_scores(truth.reshape(20, 20), score.reshape(20, 20))
    assert (found.changed, found.unchanged) == ((real == 1).sum(), (real == 0).sum())
    assert found.thresholds == THRESHOLDS
    for level, one, false in zip(found.thresholds, found.maps, found.false, strict=True):
        shown = values > np.float32(level)
        names = ("precision_score", "recall_score", "f1_score")
        expected = [getattr(metrics, name)(real, shown, zero_division=0) for name in names]
        assert [one.precision, one.recall, one.f1] == pytest.approx(expected)
        assert one.kappa == pytest.approx(metrics.cohen_kappa_score(real, shown))
        assert false == pytest.approx(1 - metrics.recall_score(real, shown, pos_label=0))
    assert found.auc == pytest.approx(metrics.roc_auc_score(real, values))
    assert found.average_precision == pytest.approx(metrics.average_precision_score(real, values))
    false, true, _ = metrics.roc_curve(real, values, drop_intermediate=False)
    np.testing.assert_allclose([found.roc.false, found.roc.true], [false, true])
    precision, recall, _ = metrics.precision_recall_curve(real, values)
    mine = found.precision_recall()
    np.testing.assert_allclose(mine[0], precision[-2::-1])
    np.testing.assert_allclose(mine[1], recall[-2::-1])


def test_scores_are_what_counting_pixel_by_pixel_gives() -> None:
    truth, score = random_scores(1, 60)
    found = urban_scores(truth, score, [0.25, 0.5])
    for level in (0.25, 0.5):
        table = {(real, shown): 0 for real in (0, 1) for shown in (False, True)}
        for real, value in zip(truth.tolist(), score.tolist(), strict=True):
            if real != 255 and not np.isnan(value):
                table[(real, value > np.float32(level))] += 1
        hits, missed, alarms = table[1, True], table[1, False], table[0, True]
        total = sum(table.values())
        assert found.at(level).precision == pytest.approx(hits / (hits + alarms))
        assert found.at(level).f1 == pytest.approx(2 * hits / (2 * hits + missed + alarms))
        agreed = (hits + table[0, False]) / total
        chance = (hits + alarms) / total * (hits + missed) / total
        chance += (missed + table[0, False]) / total * (alarms + table[0, False]) / total
        assert found.at(level).kappa == pytest.approx((agreed - chance) / (1 - chance))
        assert found.at(level) == map_scores(np.where(np.isnan(score), 255, score > np.float32(level)), truth)
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a in score[(truth == 1) & np.isfinite(score)]
        for b in score[(truth == 0) & np.isfinite(score)]
    ]
    assert found.auc == pytest.approx(np.mean(pairs))
    assert found.best("f1") == max((found.at(level).f1, level) for level in (0.25, 0.5))


def test_scores_of_one_class_have_no_curve() -> None:
    found = urban_scores(np.zeros(4), np.array([0.1, 0.2, 0.3, 0.9]))
    assert np.isnan(found.auc) and np.isnan(found.average_precision) and found.roc is None
    assert found.false_at(0.5) == 0.25 and found.document()["auc"] is None
    assert found.precision_recall()[0].size == 0
    for given, message in (
        ((np.full(3, 255), np.zeros(3)), "no labelled pixel"),
        ((np.zeros(3), np.zeros(4)), "differ in shape"),
        ((np.zeros(3), np.zeros(3), []), "thresholds are empty"),
    ):
        with pytest.raises(InputError, match=message):
            urban_scores(*given)
    with pytest.raises(InputError, match=r"threshold 0\.123"):
        found.at(0.123)


# labels and tiles


def test_lists_of_tiles_are_those_of_the_labels(town: Path) -> None:
    made, cube = weak(town), open_cube(town)
    test = site.labels_from_weak(made, cube)
    assert test.tiles == made.versions[0].test and test.grid == made.grid
    assert (str(test.start), str(test.end)) == ("2018-01-20", "2019-01-01")
    both = replace(made, truth=np.where(np.eye(64) > 0, np.uint8(1), made.truth))
    assert site.labels_from_weak(both, cube, ["validation"]).tiles == (Tile(0, 1), Tile(1, 0))
    diagonal = TileLists((), (Tile(0, 0),), (Tile(1, 1),))
    spread = replace(both, versions=(diagonal, replace(diagonal, validation=(Tile(2, 2),))))
    assert site.labels_from_weak(spread, cube, ["V2", "test"]).tiles == (Tile(1, 1), Tile(2, 2))


def test_what_cannot_be_scored_is_told_in_one_line(town: Path) -> None:
    cube = open_cube(town)
    moved = geobox_of(cube).translate_pix(1, 0)
    quiet = np.zeros((64, 64), np.uint8)
    there = TileLists((), (), (Tile(9, 9),))
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"geobox": moved}, "test", "another grid .* than the cube .*terradelta label"),
        ({"geobox": None, "truth": quiet[:32]}, "test", "another grid"),
        ({"truth": quiet}, "test", "0 of 1024 labelled pixels .* are changed"),
        ({"truth": quiet + 1}, "test", "1024 of 1024"),
        ({"versions": (there,)}, "test", "tiles 9:9 do not exist"),
        ({}, "V3", "no list of tiles is called 'V3'; choose from test, validation, V1, V2"),
        ({"versions": ()}, "test", "there is no tile to score"),
    ]
    for given, name, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            site.labels_from_weak(weak(town, **given), cube, [name])
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="tells what changed; name labels"):
        site.labels_from_truth(xr.DataTree.from_dict({"sar": cube["sar"].to_dataset()}))
    with pytest.raises(InputError, match="twice"):
        SiteLabels(quiet, TileGrid(Size(64, 64), 16), (Tile(0, 0), Tile(0, 0)))


# networks


@pytest.fixture(scope="module")
def judged(town: Path, weights: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    labels = site.labels_from_truth(open_cube(town), 16)
    store = tmp_path_factory.mktemp("maps")
    return judge_group(open_cube(town), load_group("g", weights[:2]), labels, HOW, store)


def test_each_network_and_the_mean_are_those_of_monitor(
    town: Path, weights: list[Path], judged: list[Any]
) -> None:
    nets = [one.net for one in load_group("g", weights[:2]).networks]
    labels = site.labels_from_truth(open_cube(town), 16)
    assert [one.name for one in judged] == ["V1", "V2", "mean of 2"]
    for one, chosen in zip(judged, ([nets[0]], [nets[1]], nets), strict=True):
        period = whole_period(monitor(open_cube(town), chosen, stride=HOW.stride, device="cpu"))
        np.testing.assert_allclose(one.score, labels.cut(period["score"].values), atol=1e-6)
        assert (one.day == labels.cut(period["date"].values)).mean() > 0.99
        flat = urban_scores(labels.truth, period["score"].values)
        assert one.stitched.auc == pytest.approx(flat.auc, abs=1e-4)
    assert judged[0].score.std() > 0.01 and judged[0].windows >= 2 and judged[0].fewest >= TINY.fewest


def stitched(tiles: np.ndarray) -> np.ndarray:
    """Put the square tiles of a square place together."""
    count, side = int(len(tiles) ** 0.5), tiles.shape[-1]
    return tiles.reshape(count, count, side, side).swapaxes(1, 2).reshape(count * side, count * side)


def test_the_side_of_the_tiles_does_not_change_a_score(
    town: Path, weights: list[Path], tmp_path: Path, judged: list[Any]
) -> None:
    group = load_group("g", weights[:2])
    for side in (32, 64):
        labels = site.labels_from_truth(open_cube(town), side)
        every = judge_group(open_cube(town), group, labels, HOW, tmp_path / "maps")
        for one, reference in zip(every, judged, strict=True):
            assert one.score.shape == ((64 // side) ** 2, side, side)
            assert one.stitched.document() == reference.stitched.document()
            np.testing.assert_array_equal(stitched(one.score), stitched(reference.score))
    before = (tmp_path / "maps" / "0.zarr" / "zarr.json").stat().st_mtime_ns
    judge_group(open_cube(town), group, labels, HOW, tmp_path / "maps")
    assert (tmp_path / "maps" / "0.zarr" / "zarr.json").stat().st_mtime_ns == before


def test_rows_of_tiles_are_those_of_their_pixels(town: Path, judged: list[Any]) -> None:
    labels = site.labels_from_truth(open_cube(town), 16)
    for number, tile in enumerate(labels.tiles):
        own = judged[-1].tiles[number]
        truth = labels.truth[labels.grid.part(tile)]
        assert own.document() == urban_scores(truth, judged[-1].score[number]).document()
    assert sum(own.changed for own in judged[-1].tiles) == judged[-1].stitched.changed


def test_networks_that_do_not_go_together(town: Path, weights: list[Path], tmp_path: Path) -> None:
    labels, cube = site.labels_from_truth(open_cube(town)), open_cube(town)
    other = save(tmp_path / "other", 0, replace(TINY, name="other", most=21))
    longer = save(tmp_path / "longer", 0, replace(TINY, most=21))
    radar = save(tmp_path / "radar", 0, branches="sar")
    for given, message in (
        ({"after": [weights[0], other]}, r"V1 \(tiny\) and other \(other, after\) are of different eras"),
        ({"before": [weights[0]], "after": [other]}, "different eras; give networks of one era"),
        (
            {"after": [weights[0], longer]},
            r"V1 and longer \(after\) see different windows: most is \d+ and 21; give each kind",
        ),
        ({"after": [weights[0], radar]}, r"V1 \(both\) and radar \(sar\) after read different sensors"),
        ({"after": []}, "no networks are given"),
        ({"after": [tmp_path / "gone"]}, "no network at .*gone"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            site.run(cube, labels, tmp_path / "out", given, how=HOW)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    require_alike([load_group("before", [weights[0]]), load_group("after", [longer])])


# loss of observations


def test_thinning_leaves_out_a_share_and_nothing_else(town: Path) -> None:
    cube = open_cube(town)
    sizes = {name: cube[name].sizes["time"] for name in ("sar", "optical")}
    for what, groups in (("sar", ("sar",)), ("optical", ("optical",)), ("all", ("sar", "optical"))):
        last = {name: set(cube[name]["time"].values.tolist()) for name in groups}
        for share in (0.0, 0.25, 0.5, 0.75):
            less = thin(cube, share, what, seed=3)
            for name, size in sizes.items():
                lost = round(share * size) if name in groups else 0
                assert less[name].sizes["time"] == size - lost
                assert (np.diff(less[name]["time"].values.astype(np.int64)) > 0).all()
            for name in groups:
                kept = set(less[name]["time"].values.tolist())
                assert kept <= last[name]
                last[name] = kept
    both, one = thin(cube, 0.5, "all", seed=3), thin(cube, 0.5, "sar", seed=3)
    xr.testing.assert_identical(both["sar"].to_dataset(), one["sar"].to_dataset())
    assert thin(cube, 0.5, "sar", seed=4)["sar"]["time"].values.tolist() != one["sar"]["time"].values.tolist()
    assert one["sar"]["backscatter"].chunks is not None
    assert cube["sar"].sizes["time"] == sizes["sar"]
    full = cube["sar"]["backscatter"].sel(time=one["sar"]["time"].values)
    np.testing.assert_array_equal(one["sar"]["backscatter"].values, full.values)
    assert Stack.of(one, TINY).size == Size(64, 64)
    for share, what, message in (
        (1.0, "all", "share of 1"),
        (-0.1, "sar", "share of -0.1"),
        (0.5, "x", "what is 'x'"),
    ):
        with pytest.raises(InputError, match=message):
            thin(cube, share, what)


# the whole experiment


def test_the_experiment_writes_tables_and_pictures(town: Path, weights: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "tiles-07.png").write_bytes(b"of an earlier call")
    text = run_evaluate(
        EvaluateSettings(
            experiment="urban",
            data=town,
            out=out,
            weights=weights[:2],
            before=weights[2:],
            stride=4,
            drop=[0.5, 0.9],
            device="cpu",
        )
    )
    assert {path.name for path in out.iterdir()} == {
        "maps",
        "tiles-01.png",
        "urban.md",
        "urban.json",
        "urban.csv",
        "urban.png",
        "urban-drop.png",
        "urban-losses.png",
        "urban-losses.md",
        "urban-losses.json",
    }
    assert (out / "urban.md").read_text() == text + "\n"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    names = [row[:2] for row in rows if row and row[0] in ("before transfer", "after transfer")]
    assert names == [
        ["before transfer", "V3"],
        *(["after transfer", one] for one in ("V1", "V2", "mean of 2")),
    ]
    assert ["figure", "before transfer (V3)", "after transfer (mean of 2)"] in rows
    assert sum(row[0] in ("0:0", "0:1", "1:0", "1:1") for row in rows if row) == 4
    figures = json.loads((out / "urban.json").read_text())
    for result in figures["results"]:
        row = next(row for row in rows if row[:2] == [result["networks"], result["network"]])
        assert row[2] == f"{result['auc']:.3f}" and result["positive"] == "changed"
    table = list(csv.DictReader((out / "urban.csv").read_text().splitlines()))
    assert len(table) == 4 * len(THRESHOLDS)
    mean = [row for row in table if row["network"] == "mean of 2"]
    place = [float(row["threshold"]) for row in mean].index(0.5)
    assert float(mean[place]["kappa"]) == pytest.approx(figures["results"][-1]["kappa"][place], rel=1e-5)
    for picture in out.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    losses = {(row["what"], row["share"]): row for row in figures["losses"]}
    assert len(losses) == 9
    assert losses["all", 0.0]["auc"] == figures["results"][-1]["auc"] == losses["sar", 0.0]["auc"]
    assert losses["all", 0.5]["windows"] > 0 and losses["all", 0.5]["auc"] is not None
    assert losses["sar", 0.5]["optical"] == losses["sar", 0.0]["optical"]
    assert losses["sar", 0.9]["auc"] is not None and "auc" not in losses["all", 0.9]
    assert re.search(r"no window of 182 days has enough .* needed are 12", losses["all", 0.9]["reason"])
    assert f"| {losses['all', 0.9]['reason']} |" in text
    assert "| after transfer, V2 | 2 | 1 | 0.5 |" in text or "| after transfer, V2 | 2 | 2 | 0.5 |" in text


def test_weak_labels_count_in_their_tiles_and_period(
    town: Path, weights: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pytest.importorskip("terradelta.workflows.label.weak")
    made = weak(town)
    monkeypatch.setattr(reader, "read_weak", lambda folder: made)
    settings = EvaluateSettings(
        experiment="urban",
        data=town,
        out=tmp_path,
        weights=weights[:1],
        labels=tmp_path / "labels",
        stride=4,
        device="cpu",
    )
    text = run_evaluate(settings)
    assert "4 tiles of 16 pixels (test), 1024 labelled pixels" in text
    assert "period: 2018-01-20 to 2019-01-01" in text
    figures = json.loads((tmp_path / "urban.json").read_text())
    tiles = figures["results"][0]["tiles"]
    assert list(tiles) == ["1:1", "1:2", "2:1", "2:2"]
    maps = monitor(
        open_cube(town),
        load_group("g", weights[:1]).networks[0].net,
        stride=4,
        device="cpu",
        start=made.start,
        end="2019-01-01",
    )
    part = made.grid.part(Tile(2, 1))
    expected = urban_scores(made.truth[part], maps.max("window").values[part])
    assert tiles["2:1"]["f1"] == pytest.approx(expected.document()["f1"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": "a"}, "urban needs real data"),
        ({"data": "x"}, "urban runs networks"),
        ({"data": "x", "weights": "a", "drop": "0.5,1"}, "drop"),
        ({"data": "x", "weights": "a", "experiment": "oscd", "before": "b"}, "oscd knows no before"),
        ({"data": "x", "weights": "a", "experiment": "oscd", "labels": "b"}, "oscd knows no labels"),
    ],
)
def test_settings_that_make_no_experiment_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(EvaluateSettings, None, {"experiment": "urban", **values})
    assert "\n" not in str(caught.value)
