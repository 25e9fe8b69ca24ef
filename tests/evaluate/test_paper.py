from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from terradelta.cube import write_cube
from terradelta.errors import ConflictError, InputError
from terradelta.evaluate import paper
from terradelta.evaluate.paper.jobs import Cost, Judged
from terradelta.evaluate.paper.lessons import lessons
from terradelta.evaluate.paper.material import PUBLISHED_SPLIT, gather
from terradelta.evaluate.paper.protocol import PaperProtocol, scenario
from terradelta.evaluate.paper.report import Figure, PaperReport, losses_of, outcomes
from terradelta.evaluate.paper.tables import markdown
from terradelta.evaluate.paper.what_if import expectations_of, telling_sample
from terradelta.expected.conditions import GROUPS
from terradelta.expected.samples.files import SampleFile
from terradelta.simulate import place
from terradelta.workflows.progress import no_progress

TINY = PaperProtocol(
    places=1, place_size=64, size=16, train=10, validation=4, test=6, seeds=2, filters=4, epochs=1, width=4,
    conditioned_epochs=1, conditioned_crop=16, ablations=0, areas=5,
)  # fmt: skip
NAMES = {"dry": "unet-dry", **{name: f"conditioned-without-{name}" for name in GROUPS}}


def judged(key: str, seed: int, areas: dict[str, float], seconds: float = 10.0) -> Judged:
    """Results as a job gives them, with the same area for both changes."""
    curve = list(np.linspace(0, 1, 201))
    threshold = {
        change: {
            way: {"auc": area, "auc_balanced": area - 0.01, "true_positive_rates": curve}
            for way, area in areas.items()
        }
        for change in ("stored", "shift")
    }
    classifiers = [
        {"kind": "subtraction", "change": change, "way": way, "accuracy": 0.8 + seed / 10}
        for change in threshold
        for way in ("prediction", "previous")
    ]
    return Judged(
        key, seed, {"threshold": threshold, "svc": {"classifiers": classifiers}}, Cost(12.0, seconds, 500.0)
    )


def made(**areas: float) -> PaperReport:
    """A report of two seeds; the networks' areas differ by 0.02 between them."""
    plain = {"nearest-geometry": 0.79, "same-direction": 0.75, "latest": 0.71}
    found = []
    for key, area in areas.items():
        for seed in (0, 1):
            own = {"prediction": area - 0.01 + 0.02 * seed}
            if key == "conditioned" or key in GROUPS:
                own["standardised"] = own["prediction"] + 0.01
            found.append(judged(NAMES.get(key, key), seed, {**own, **plain}))
    return PaperReport("made", {}, {one.key: one.key for one in found}, tuple(found), 60.0)


def test_figures_are_mean_and_spread_over_the_seeds() -> None:
    report = made(unet=0.87, dry=0.83, conditioned=0.90)
    area = report.auc("unet", "shift")
    assert area is not None
    assert area.mean == pytest.approx(0.87)
    assert area.spread == pytest.approx(np.std([0.86, 0.88], ddof=1))
    assert report.auc("unet", "shift", "standardised") is None
    best = report.best("conditioned", "shift")
    assert best is not None and best.mean == pytest.approx(0.91)
    assert Figure.of([0.5]).spread == 0
    accuracy = report.accuracy("unet", "stored", "prediction")
    assert accuracy is not None and accuracy.mean == pytest.approx(0.85)


def test_what_came_out_is_judged_by_the_figures() -> None:
    good = {one.statement: one for one in outcomes(made(unet=0.88, dry=0.83, conditioned=0.90))}
    assert len(good) == 9 and all(one.holds for one in good.values())
    bad = outcomes(made(unet=0.84, dry=0.85, conditioned=0.84))
    assert [one.holds for one in bad if "in AUC" in one.statement] == [False, False]
    gains = {one.statement: one.holds for one in bad if "gains" in one.statement}
    assert gains["offset change: unet gains 0.08 over conventional 1"] is False
    assert gains["statistical change: unet gains 0.06 over conventional 1"] is False
    leads = [one for one in bad if "leads" in one.statement]
    assert [one.holds for one in leads] == [False, False] and leads[0].found == "+0.010"


def test_the_conditions_that_cost_most_come_first() -> None:
    areas = {
        "precipitation": 0.83,
        "orbit_direction": 0.84,
        "incidence": 0.86,
    }
    report = made(conditioned=0.86, **areas)
    assert list(losses_of(report, "shift")) == ["precipitation", "orbit_direction", "incidence"]
    assert losses_of(report, "shift")["precipitation"] == pytest.approx(0.03)
    assert losses_of(made(conditioned=0.9), "shift") == {}
    costly = [one for one in outcomes(report) if "cost most" in one.statement]
    assert [one.holds for one in costly] == [True, True]
    dear = {
        **areas,
        "temperature": 0.80,
        "snow_depth": 0.81,
        "satellite": 0.82,
    }
    costly = [one for one in outcomes(made(conditioned=0.86, **dear)) if "cost most" in one.statement]
    assert [one.holds for one in costly] == [False, False]


def test_tables_show_the_published_figures_beside_ours() -> None:
    text = markdown(made(unet=0.87, dry=0.83, conditioned=0.90, precipitation=0.85))
    assert "| previous image nearest in geometry (1) | 0.790 ± 0.000 | 0.790 ± 0.000 | 0.79 |" in text
    assert "| unet | 0.870 ± 0.014 | 0.860 ± 0.014 | 0.87 | 0.870 ± 0.014 | 0.860 ± 0.014 | 0.73 |" in text
    assert "| unet-dry | 0.830 ± 0.014 | 0.820 ± 0.014 | 0.83 |" in text
    assert "| precipitation | 0.860 ± 0.014 | +0.0500 | 0.850 ± 0.071 | 0.87 |" in text
    assert "| unet | 10 ± 0 | 500 |" in text


def test_each_network_is_not_told_what_it_shall_not_know() -> None:
    known = lessons(replace(TINY, ablations=1))
    assert set(known) == {
        "unet",
        "conditioned",
        "conditioned-dry",
        *NAMES.values(),
    }
    assert [key for key, one in known.items() if not one.weather] == ["unet-dry", "conditioned-dry"]
    assert {one.without for one in known.values()} == {(), *((name,) for name in GROUPS)}
    assert not any(one.augment for one in known.values())
    assert len(known["unet"].numbers["encoder"]) == 4


def test_places_differ_in_their_orbits_and_show_edges() -> None:
    one, other = scenario(0, 64), scenario(1, 64)
    angles = [[orbit.incidence_angle for orbit in each.orbits] for each in (one, other)]
    assert angles[0] != angles[1] and scenario(0, 64) == one
    assert one.effects.edges and one.flattening == 0 and one.smoothing == "refined_lee"


def test_samples_are_made_once_and_share_nothing(tmp_path: Path) -> None:
    material = gather(None, replace(TINY, place_size=48), tmp_path, no_progress)
    assert [len(material.train), len(material.validation)] == [10, 4] and len(material.tests) == 2
    first, second = material.tests
    assert [one.name for one in first] == [one.name for one in second]
    assert max(one.times.max() for one in material.train) < min(one.times.min() for one in first)
    for one in first:
        assert one.change_mask is not None and one.changed is not None
        outside = one.change_mask == 0
        np.testing.assert_allclose(one.changed[:, outside], one.target[:, outside], atol=0.01)
        assert one.forest is not None and (one.forest[~outside] == 1).all()
    masks = [np.stack([one.change_mask for one in test]) > 0 for test in material.tests]
    assert masks[0].any() and (masks[0] != masks[1]).any()
    before = SampleFile(tmp_path / "train.zarr").digest
    times = (tmp_path / "train.zarr/zarr.json").stat().st_mtime_ns
    assert gather(None, replace(TINY, place_size=48), tmp_path, no_progress).train.digest == before
    assert (tmp_path / "train.zarr/zarr.json").stat().st_mtime_ns == times


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("paper") / "place.zarr"
    write_cube(place(3, scenario(3, 64), years=0.8, changes=0), path)
    return path


@pytest.mark.slow
def test_whole_experiment_on_a_cube(cube: Path, tmp_path: Path) -> None:
    protocol, networks = replace(TINY, seeds=1), ("conditioned", "unet")
    report = paper.run(tmp_path, cube, protocol=protocol, networks=networks, workers=2)
    text = (tmp_path / "paper.md").read_text(encoding="utf-8")
    assert "place.zarr" in text and "conditioned network, in standard deviations" in text
    figures = json.loads((tmp_path / "paper.json").read_text(encoding="utf-8"))
    assert [one["network"] for one in figures["judged"]] == ["unet", "conditioned"]
    own = json.loads((tmp_path / "judged/unet-0/images.json").read_text(encoding="utf-8"))
    assert figures["judged"][0]["threshold"] == own["threshold"]
    for name in ("paper.png", "what-if-unet.png", "what-if-conditioned.png", "losses/unet/ablations.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    costs = {one.key: one.cost for one in report.judged}
    assert all(cost is not None and cost.processor_seconds > 0 for cost in costs.values())
    again = paper.run(tmp_path, cube, protocol=protocol, networks=networks, workers=1)
    assert {one.key: one.cost for one in again.judged} == costs
    assert [one.figures for one in again.judged] == [one.figures for one in report.judged]
    with pytest.raises(ConflictError, match="another epochs; name another folder"):
        paper.run(tmp_path, cube, protocol=replace(protocol, epochs=2), networks=networks)


@pytest.mark.slow
def test_published_records_are_judged_by_their_own_predictions(shared: Path, tmp_path: Path) -> None:
    file = shared / "reference/sar/simulated_change_with_prediction.tfrecord.GZIP"
    times = [
        one.time
        for one in paper.experiment.gather(file, replace(TINY, seeds=1), tmp_path, no_progress).tests[0]
    ]
    assert all(time >= PUBLISHED_SPLIT for time in times)
    report = paper.run(tmp_path, file, protocol=replace(TINY, seeds=1), workers=1)
    results = json.loads((shared / "reference/sar/results.json").read_text())["threshold_classifier"]
    told = results["previous_image_method_1/stored_change"]["all_pixels"]
    if len(times) == 12:
        found = report.auc("stored", "stored"), report.conventional("stored", "nearest-geometry")
        assert [one.mean for one in found if one] == pytest.approx(
            [told["prediction"]["auc"], told["previous"]["auc"]], abs=1e-9
        )


def test_scene_is_expected_under_changed_conditions(tmp_path: Path) -> None:
    material = gather(None, replace(TINY, place_size=48, seeds=1), tmp_path, no_progress)
    sample = telling_sample(material.tests[0])
    told: list[Any] = []

    def expect(one: Any) -> tuple[np.ndarray, None]:
        told.append(one.conditions)
        return one.target, None

    titles = [one.title for one in expectations_of(sample, expect)]
    assert len(titles) == 4 and titles[2:] == ["expected, no rain", "expected, 20 mm of rain on the day"]
    assert told[1].heading[-1] != told[0].heading[-1] and told[1].incidence[-1] in told[0].incidence[:-1]
    assert told[2].precipitation[-1].sum() == 0 and told[3].precipitation[-1, 0] == 20


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no network is called 'unett'; choose from unet, "):
        paper.run(tmp_path, protocol=TINY, networks=("unett",))
