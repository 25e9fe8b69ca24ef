from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import terradelta as td
from terradelta.errors import InputError
from terradelta.expected.classifiers.streaming import ScoreStream

_FLOATS = st.floats(-1e6, 1e6, width=32)


def _diff(*, chunks: int | None = None, sigma: bool = True) -> xr.Dataset:
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (2, 40, 50)).astype(np.float32)
    values[:, :5, :5] = np.nan
    coords = {"band": ["VV", "VH"], "y": np.arange(40.0), "x": np.arange(50.0), "spatial_ref": 32631}
    diff = xr.Dataset({"difference": (("band", "y", "x"), values)}, coords)
    diff["difference"].attrs["kind"] = "subtraction"
    diff["length"] = np.sqrt((diff["difference"] ** 2).sum("band", skipna=False))
    if sigma:
        diff["strength"] = 2 * diff["length"]
    return diff if chunks is None else diff.chunk({"y": chunks, "x": chunks})


@pytest.mark.parametrize("chunks", [None, 16])
def test_threshold_keeps_the_rate_of_false_alarms(chunks: int | None) -> None:
    diff = _diff(chunks=chunks)
    alarm = td.Threshold.fit(diff, false_alarm_rate=0.1)
    scores = np.sort(_diff()["strength"].values[np.isfinite(_diff()["strength"].values)])
    assert alarm.value == pytest.approx(np.quantile(scores.astype(float), 0.9))
    found = alarm.predict(diff)
    assert isinstance(found.data, da.Array) == (chunks is not None)
    values = found.values
    assert values.dtype == np.uint8 and found.dims == ("y", "x") and found.name == "change"
    assert (values == 255).sum() == 25 and (values[:5, :5] == 255).all()
    assert (values == 1).sum() == round(0.1 * (2000 - 25))
    assert int(found["spatial_ref"]) == 32631


def test_threshold_leaves_changed_pixels_out_and_takes_several() -> None:
    quiet, truth = _diff(), np.zeros((40, 50), int)
    loud = quiet.copy(deep=True)
    truth[10:20, 10:20] = 1
    loud["strength"] = loud["strength"].where(truth == 0, 100.0)
    part = quiet["strength"].values[truth == 0]
    expected = np.nanquantile(part.astype(float), 0.95)
    for one, mask in ((loud, truth), (loud.chunk({"y": 7}), xr.DataArray(truth, dims=("y", "x")))):
        assert td.Threshold.fit(one, false_alarm_rate=0.05, truth=mask).value == pytest.approx(expected)
    both = td.Threshold.fit([quiet, loud], false_alarm_rate=0.05)
    pooled = np.concatenate([quiet["strength"].values.ravel(), loud["strength"].values.ravel()])
    assert both.value == pytest.approx(np.nanquantile(pooled.astype(float), 0.95))


def test_a_threshold_belongs_to_its_layer(tmp_path) -> None:
    alarm = td.Threshold.fit(_diff(), false_alarm_rate=0.1)
    assert alarm.layer == "strength"
    with pytest.raises(InputError, match="threshold is of strength, but diff has difference, length"):
        alarm.predict(_diff(sigma=False))
    alarm.save(tmp_path / "a.json")
    assert td.Threshold.load(tmp_path / "a.json") == alarm
    assert td.Threshold(1.0).predict(_diff(sigma=False)).sum() > 0


@given(hnp.arrays(np.float32, st.integers(1, 60), elements=_FLOATS), st.integers(0, 30))
@settings(max_examples=30, deadline=None)
def test_a_histogram_holds_what_was_given(scores: np.ndarray, exact: int) -> None:
    stream = ScoreStream(exact=exact)
    for part in np.array_split(scores, 3):
        stream.add(part)
    assert stream.number == scores.size and stream.is_exact == (scores.size <= exact)
    first, counts = stream.bins()
    assert counts.sum() == scores.size
    lower, upper = stream.edges(first, len(counts)), stream.edges(first + 1, len(counts))
    for place in np.flatnonzero(counts):
        assert ((scores >= lower[place]) & (scores < upper[place])).sum() == counts[place]
    value = stream.quantile(0.9)
    if not stream.is_exact:
        assert (scores > value).sum() <= 0.1 * scores.size + 1e-6


def test_a_quantile_of_a_histogram_is_a_little_high_never_low() -> None:
    scores = np.random.default_rng(1).gamma(2, 1, 200_000).astype(np.float32)
    stream = ScoreStream(exact=1000)
    for part in np.array_split(scores, 7):
        stream.add(part)
    for share in (0.5, 0.9, 0.99):
        true = np.quantile(scores.astype(float), share)
        assert true <= stream.quantile(share) * (1 + 1e-4)
        assert stream.quantile(share) <= true * (1 + 1.5e-3)
        assert (scores > stream.quantile(share)).mean() <= 1 - share


def _pixels(number: int = 600, images: int = 6):
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], number // 2)
    X = rng.normal(0, [1.0, 3.0], (number, 2)) - np.outer(y, [1.5, 3.0])
    return X.astype(np.float32), y, np.arange(number) * images // number


def test_svc_equals_scikit_learn_and_maps() -> None:
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    X, y, _ = _pixels()
    svc = td.LinearSVC.fit(X, y, kind="subtraction")
    scaler = StandardScaler().fit(X)
    machine = LinearSVC(dual=False).fit(scaler.transform(X), y)
    np.testing.assert_allclose(svc.coefficients, machine.coef_[0])
    np.testing.assert_allclose(
        svc.decision_function(X), machine.decision_function(scaler.transform(X)), atol=1e-5
    )
    np.testing.assert_array_equal(svc.predict(X), machine.predict(scaler.transform(X)))
    plain, lazy = (svc.predict(_diff(chunks=chunks)) for chunks in (None, 16))
    assert isinstance(lazy.data, da.Array)
    np.testing.assert_array_equal(plain, lazy)
    rows = _diff()["difference"].values.reshape(2, -1).T
    np.testing.assert_array_equal(plain.values.ravel(), svc.predict(rows))
    assert (plain.values == 255).sum() == 25


def test_svc_holds_out_whole_images() -> None:
    X, y, images = _pixels()
    svc = td.LinearSVC.fit(X, y, images, seed=3)
    assert svc.report["0"]["support"] + svc.report["1"]["support"] == 200
    held = next(
        (a, b)
        for a in range(6)
        for b in range(a)
        if td.LinearSVC.fit(*(v[~np.isin(images, (a, b))] for v in (X, y))).coefficients == svc.coefficients
    )
    use = np.isin(images, held)
    assert svc.report["accuracy"] == pytest.approx((svc.predict(X[use]) == y[use]).mean())


def test_svc_saves_numbers_not_code(tmp_path) -> None:
    X, y, images = _pixels()
    X[5] = np.nan
    svc = td.LinearSVC.fit(X, y, images, kind="ratio")
    svc.save(tmp_path / "svc.json")
    again = td.LinearSVC.load(tmp_path / "svc.json")
    assert again == svc and again.report == svc.report
    with pytest.raises(InputError, match="trained on a ratio, diff is a subtraction"):
        again.predict(_diff())
    document = json.loads((tmp_path / "svc.json").read_text())
    for change, message in (
        ({"format": "terradelta Threshold"}, "is no saved LinearSVC"),
        ({"format_version": 9}, "newer terradelta"),
        ({"scale": [1.0]}, "different bands"),
        ({"intercept": None}, "damaged"),
    ):
        (tmp_path / "bad.json").write_text(json.dumps(document | change))
        with pytest.raises(InputError, match=message):
            td.LinearSVC.load(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        td.LinearSVC.load(tmp_path / "bad.json")


def test_refusals_name_the_value(tmp_path) -> None:
    X, y, images = _pixels()
    for call, message in (
        (lambda: td.Threshold(np.nan), "threshold is nan"),
        (lambda: td.Threshold.fit(_diff(), false_alarm_rate=1.5), "false_alarm_rate is 1.5"),
        (lambda: td.Threshold.fit(np.full(3, np.nan)), "no valid score"),
        (lambda: td.Threshold.fit(_diff(), truth=np.zeros((2, 2))), r"truth \(2, 2\) and scores \(40, 50\)"),
        (lambda: td.Threshold.fit([_diff(), _diff()], truth=np.zeros((40, 50))), "one difference"),
        (lambda: td.Threshold.load(tmp_path / "none.json"), "no classifier at"),
        (lambda: td.LinearSVC.fit(X, y * 0), "only one class"),
        (lambda: td.LinearSVC.fit(X, y[:5]), "do not fit"),
        (lambda: td.LinearSVC.fit(X, y, images * 0), "groups name 1 image"),
        (lambda: td.LinearSVC.fit(X, y).predict(X[:, :1]), "1 bands, the classifier knows 2"),
        (lambda: ScoreStream(bits=40), "bits is 40"),
    ):
        with pytest.raises(InputError, match=message):
            call()
