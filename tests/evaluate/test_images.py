from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.evaluate.curves import balanced_pixels
from terradelta.evaluate.images import run
from terradelta.evaluate.images.differences import changed_image, expectations, features, scores
from terradelta.evaluate.images.experiment import open_samples
from terradelta.evaluate.images.svc import SVC_KINDS
from terradelta.evaluate.scores import auc
from terradelta.expected.conditions import Conditions
from terradelta.expected.samples.sample import Sample

_PUBLISHED = {"subtraction": "-", "scaled-ratio": "/", "scaled-log-ratio": "log"}
_SHORT = {"subtraction": "sub", "scaled-ratio": "div", "scaled-log-ratio": "log"}
_CHANGES = {"stored": "stored_change", "shift": "shift_-2.5dB"}


@pytest.fixture(scope="module")
def oracle(shared: Path, tmp_path_factory) -> SimpleNamespace:
    folder = shared / "reference/sar"
    out = tmp_path_factory.mktemp("images")
    file = folder / "simulated_change_with_prediction.tfrecord.GZIP"
    report = run(file, out)
    results = json.loads((folder / "results.json").read_text())
    return SimpleNamespace(out=out, file=file, folder=folder, report=report, results=results)


@pytest.mark.slow
@pytest.mark.parametrize("change", _CHANGES)
@pytest.mark.parametrize(("method", "choice"), [(1, "nearest-geometry"), (2, "same-direction")])
def test_areas_equal_the_published_ones(
    oracle: SimpleNamespace, change: str, method: int, choice: str
) -> None:
    told = oracle.results["threshold_classifier"][f"previous_image_method_{method}/{_CHANGES[change]}"]
    grid = np.array(oracle.results["fpr_grid"])
    for way, key in (("prediction", "prediction"), (choice, "previous")):
        roc, curves = oracle.report.rocs[change][way], oracle.report.curves[change][way]
        expected = told["all_pixels"][key]
        assert roc.area.bound == 0 and roc.area.auc == pytest.approx(expected["auc"], abs=1e-9)
        assert roc.changed == told["all_pixels"]["n_change_pixels"]
        assert roc.changed + roc.unchanged == told["all_pixels"]["n_pixels"]
        np.testing.assert_allclose(roc.true_at(grid), expected["tpr_at_fpr_grid"], atol=2e-6)
        seeded = told["balanced_sampling_seed0_one_worker"][f"auc_{key}"]
        assert curves.balanced.area().auc == pytest.approx(seeded, abs=1e-9)


@pytest.mark.slow
def test_classifiers_equal_the_published_ones(oracle: SimpleNamespace) -> None:
    assert len(oracle.report.svc) == 12
    for one in oracle.report.svc:
        key = f"di_{_PUBLISHED[one.kind]}/{_CHANGES[one.change]}"
        told = oracle.results["svm_classifier"][key]["seed0_one_worker"]
        assert list(oracle.report.test) == told["test_samples"]
        expected, made = told[one.way], one.classifier
        assert one.trained == expected["n_train"]
        np.testing.assert_allclose(made.mean, expected["scaler_mean"], atol=1e-6)
        np.testing.assert_allclose(made.scale, expected["scaler_scale"], atol=1e-6)
        primal = expected["primal_solver"]
        np.testing.assert_allclose(made.coefficients, primal["coef"], atol=1e-4)
        assert made.intercept == pytest.approx(primal["intercept"], abs=1e-4)
        assert one.accuracy == pytest.approx(expected["report"]["accuracy"], abs=5e-4)
        for mine, other in (("0", "0.0"), ("1", "1.0")):
            for name in ("precision", "recall", "f1-score"):
                assert made.report[mine][name] == pytest.approx(primal["report"][other][name], abs=5e-4)


@pytest.mark.slow
def test_classifiers_see_the_published_pixels(oracle: SimpleNamespace) -> None:
    rows = np.load(oracle.folder / "svm_seeded_rows.npz")
    samples = open_samples(oracle.file)
    stream = random.Random(0)
    stream.shuffle(list(range(12)))
    sample = samples[10]
    places = balanced_pixels(np.asarray(sample.change_mask) > 0, stream)[:400]
    for change, name in (("stored", "stat"), ("shift", "shift")):
        image = changed_image(sample, change)
        for kind in SVC_KINDS:
            for way, bands in features(sample, image, sample.prediction, kind).items():
                expected = rows[f"{_SHORT[kind]}_{name}_train_{way}"]
                np.testing.assert_allclose(bands.reshape(2, -1)[:, places].T, expected, atol=1e-6)


@pytest.mark.slow
def test_files_hold_the_figures(oracle: SimpleNamespace) -> None:
    figures = json.loads((oracle.out / "images.json").read_text())
    told = figures["threshold"]["shift"]["prediction"]
    assert (
        told["samples"] == 10
        and round(told["auc"], 6) == 0.945777
        and len(told["true_positive_rates"]) == 201
    )
    text = (oracle.out / "images.md").read_text()
    assert "| expected image | 0.7816 | 0.7806 | 0.9458 | 0.9458 |" in text
    assert "10 of 12 samples" in text and "6 degrees of incidence" in text
    assert (oracle.out / "images.png").read_bytes().startswith(b"\x89PNG")


def _sample(number: int, *, hole: bool = False) -> Sample:
    rng = np.random.default_rng(number)
    images = rng.normal(-12, 1, (4, 2, 24, 24)).astype(np.float32)
    target = rng.normal(-12, 1, (2, 24, 24)).astype(np.float32)
    mask = np.zeros((24, 24), np.int32)
    mask[4:9, 5:12] = 1
    changed = np.where(mask > 0, target - 3, target).astype(np.float32)
    if hole:
        target[:, :6, :7] = changed[:, :6, :7] = np.nan
    unknown = np.zeros(5)
    conditions = Conditions(
        temperature=unknown,
        snow_depth=unknown,
        heading=np.array([-13, -167, -13, -167, -13.0]),
        incidence=np.array([33.2, 41.0, 38.9, 44.1, 33.5]),
        precipitation=np.zeros((5, 4)),
        platform=("S1A",) * 5,
        age=np.array([24, 18, 12, 6, 0.0]),
    )
    return Sample(
        name=f"made {number}",
        images=images,
        target=target,
        conditions=conditions,
        change_mask=mask,
        changed=changed,
        prediction=np.full_like(target, -12),
    )


def test_figures_equal_all_pixels_in_one_array(tmp_path) -> None:
    samples = [_sample(number, hole=number == 1) for number in range(4)]
    report = run(samples, tmp_path)
    truth = np.concatenate([np.asarray(one.change_mask).ravel() > 0 for one in samples])
    for change in ("stored", "shift"):
        for way in ("prediction", "nearest-geometry", "same-direction", "latest", "mean"):
            plain = []
            for one in samples:
                image = changed_image(one, change)
                other = {
                    "prediction": one.prediction,
                    "nearest-geometry": one.images[0],
                    "same-direction": one.images[2],
                    "latest": one.images[3],
                    "mean": one.images[[0, 2]].mean(axis=0),
                }[way]
                plain.append(np.sqrt(((image - other) ** 2).sum(axis=0)).ravel())
            expected = auc(truth, np.concatenate(plain))
            assert report.rocs[change][way].area.auc == pytest.approx(expected, abs=1e-9)
    assert len(report.svc) == 12 and len(report.test) == 1
    assert report.rocs["shift"]["mean"].changed == truth.sum() - 4


def test_a_network_stands_in_for_the_predictions(tmp_path) -> None:
    samples = [_sample(number) for number in range(3)]

    def expect(sample: Sample):
        return np.full_like(sample.target, -12), np.full_like(sample.target, 2.0)

    report = run(samples, tmp_path, expect=expect)
    both = report.rocs["stored"]
    assert both["standardised"].area.auc == pytest.approx(both["prediction"].area.auc)
    one = scores(changed_image(samples[0], "stored"), expectations(samples[0], expect))
    np.testing.assert_allclose(one["standardised"], one["prediction"] / 2, rtol=1e-6)


def test_what_cannot_be_judged_is_named(tmp_path) -> None:
    from dataclasses import replace

    plain = replace(_sample(0), change_mask=None)
    with pytest.raises(InputError, match="made 0 has no simulated change"):
        run([plain], tmp_path)
    lost = replace(_sample(0), conditions=replace(_sample(0).conditions, heading=np.full(5, np.nan)))
    with pytest.raises(InputError, match="sample made 0: the heading of image 0 is unknown"):
        run([lost], tmp_path)
    far = replace(_sample(0), conditions=replace(_sample(0).conditions, incidence=np.arange(30.0, 45.0, 3)))
    with pytest.raises(InputError, match=r"none of the 1 samples .*degrees"):
        run([far], tmp_path)
    assert run([far], tmp_path, fair=False).svc == ()
    assert "Too few images" in (tmp_path / "images.md").read_text()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no samples"):
        open_samples(tmp_path / "empty")
    report = run([replace(one, changed=None) for one in (_sample(0), _sample(1))], tmp_path)
    assert list(report.rocs) == ["shift"]
