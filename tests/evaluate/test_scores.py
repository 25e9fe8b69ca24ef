"""Scores against slow, obvious versions and against scikit-learn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from terradelta.errors import InputError
from terradelta.evaluate import auc, date_errors, map_scores, share_above, threshold_for

masks = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_map_scores_equal_those_of_scikit_learn(pairs):
    shown, truth = (np.array(column) for column in zip(*pairs, strict=True))
    if not (shown.any() or truth.any()):
        return
    found = map_scores(shown, truth)
    options = {"zero_division": 0}
    assert found.recall == pytest.approx(metrics.recall_score(truth, shown, **options))
    assert found.precision == pytest.approx(metrics.precision_score(truth, shown, **options))
    assert found.f1 == pytest.approx(metrics.f1_score(truth, shown, **options))
    assert found.iou == pytest.approx(metrics.jaccard_score(truth, shown, **options))
    if not (shown.all() and truth.all()):
        assert found.kappa == pytest.approx(metrics.cohen_kappa_score(truth, shown))


def test_map_scores_leave_no_data_and_invalid_pixels_out():
    changed = np.array([[1, 1, 0], [0, 255, 1]], np.uint8)
    truth = np.array([[1, 0, 0], [1, 1, 255]], np.uint8)
    valid = np.array([[1, 1, 1], [0, 1, 1]], bool)
    assert map_scores(changed, truth, valid) == map_scores([1, 1, 0], [1, 0, 0])
    assert map_scores(changed, truth) == map_scores([1, 1, 0, 0], [1, 0, 0, 1])


def test_map_scores_of_empty_and_of_perfect_maps():
    nothing = np.zeros((4, 4), bool)
    some = nothing.copy()
    some[1:3] = True
    for shown, truth in ((nothing, nothing), (some, some), (~nothing, ~nothing)):
        assert map_scores(shown, truth).f1 == map_scores(shown, truth).kappa == 1
    missed = map_scores(nothing, some)
    assert (missed.recall, missed.precision, missed.f1, missed.iou, missed.kappa) == (0, 0, 0, 0, 0)
    assert map_scores(~some, some).kappa == -1


def test_map_scores_fit_one_line():
    text = str(map_scores([1, 1, 0, 0], [1, 0, 0, 0]))
    assert text == "recall 1.000, precision 0.500, F1 0.667, IoU 0.500, kappa 0.500"


@pytest.mark.parametrize(
    "arguments",
    [([1, 0], [1]), ([1, 0], [1, 0], [True]), ([255, 255], [1, 0]), ([1, 0], [1, 0], [False, False])],
)
def test_map_scores_refuse_what_cannot_be_compared(arguments):
    with pytest.raises(InputError):
        map_scores(*arguments)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30))
def test_auc_is_the_chance_that_a_change_outscores_the_rest(pairs):
    truth = np.array([one for one, _ in pairs])
    score = np.array([float(value) for _, value in pairs])
    if truth.all() or not truth.any():
        with pytest.raises(InputError, match="both"):
            auc(truth, score)
        return
    wins = [(high > low) + 0.5 * (high == low) for high in score[truth] for low in score[~truth]]
    assert auc(truth, score) == pytest.approx(np.mean(wins))


def test_auc_ignores_missing_scores_and_pixels_that_are_not_asked_for():
    truth = np.array([True, False, True, False, True])
    score = np.array([3.0, 1.0, np.nan, 2.0, 0.0])
    assert auc(truth, score) == 0.5
    assert auc(truth, score, np.array([1, 1, 1, 1, 0])) == 1


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_the_threshold_for_a_rate_is_exceeded_at_that_rate(rate):
    score = np.random.default_rng(0).gamma(2, 1, (4, 50, 50))
    score[0, :20] = np.nan
    assert share_above(score, threshold_for(score, rate)) == pytest.approx(rate, abs=1e-3)


def test_rates_out_of_range_and_empty_scores_are_refused():
    with pytest.raises(InputError, match=r"rate is 1\.5"):
        threshold_for([1.0], 1.5)
    with pytest.raises(InputError, match="no valid pixel"):
        share_above([1.0, 2.0], 1, [False, False])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 90), st.integers(-1, 90)), min_size=1, max_size=30), st.integers(0, 40)
)
def test_date_errors_equal_the_slow_version(pairs, days):
    known = [(found, real) for found, real in pairs if real != -1]
    found, real = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    if not known:
        with pytest.raises(InputError):
            date_errors(found, real, days=days)
        return
    result = date_errors(found, real, days=days)
    errors = [one - other for one, other in known if one != -1]
    assert result.pixels == len(known)
    assert result.dated == pytest.approx(len(errors) / len(known))
    assert result.share_within == pytest.approx(sum(abs(error) <= days for error in errors) / len(known))
    if errors:
        assert (result.median, result.median_absolute) == (np.median(errors), np.median(np.abs(errors)))
    else:
        assert np.isnan(result.median)


def test_importing_evaluate_stays_light():
    heavy = "'sklearn', 'matplotlib', 'rasterio', 'scipy'"
    code = f"import sys, terradelta.evaluate; sys.exit(any(name in sys.modules for name in ({heavy})))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
