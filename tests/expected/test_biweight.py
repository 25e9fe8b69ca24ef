from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terradelta.errors import InputError
from terradelta.expected import biweight_regression
from terradelta.expected.biweight import biweight_regressions


def slow_biweight(design, values, cutoff=2.5, iterations=8):
    """The same by loops and weighted least squares."""
    rows = [(x, y) for x, y in zip(design, values, strict=True) if np.isfinite(y) and np.isfinite(x).all()]
    x, y = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    starts = (y, y - x @ np.linalg.lstsq(x, y, rcond=None)[0])
    fits = [slow_reweighting(x, y, start, cutoff, iterations) for start in starts]
    return fits[1] if fits[1][1] < 0.7 * fits[0][1] else fits[0]


def slow_reweighting(x, y, start, cutoff, iterations):
    ordered = sorted(start)
    half = len(y) // 2
    widths = [ordered[i + half] - ordered[i] for i in range(len(y) - half)]
    first = widths.index(min(widths))
    dense = ordered[first : first + half + 1]
    residuals, scale = start - np.mean(dense), (dense[-1] - dense[0]) / 2 * 1.4826
    for _ in range(iterations):
        weights = [
            (1 - (r / (cutoff * scale)) ** 2) ** 2 if abs(r) < cutoff * scale else 0 for r in residuals
        ]
        root = np.sqrt(weights)
        coefficients = np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0]
        residuals = y - x @ coefficients
        scale = 1.4826 * np.median(np.abs(residuals))
    return coefficients, scale


@pytest.fixture
def line():
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 600)
    design = np.stack([np.ones(600), x, x**2], axis=1)
    return design, design @ [1.0, 2.0, -0.5] + rng.normal(0, 0.2, 600), rng


def test_equals_the_plain_version(line):
    design, values, rng = line
    values[rng.random(600) < 0.2] -= 4
    values[:5], design[5:9, 1] = np.nan, np.nan
    found = biweight_regression(design, values)
    coefficients, scale = slow_biweight(design, values)
    np.testing.assert_allclose(found.coefficients, coefficients, atol=1e-6)
    assert found.scale == pytest.approx(scale, abs=1e-6)


@pytest.mark.parametrize("shift", [-6.0, 5.0])
@pytest.mark.parametrize("where", ["anywhere", "one side"])
def test_structured_outliers_take_no_part(line, shift, where):
    """Two fifths of all, or a third that lies all on one side of the cover: the worst for least squares."""
    design, values, rng = line
    changed = rng.random(600) < 0.4 if where == "anywhere" else design[:, 1] > 0.4
    values[changed] += shift + design[changed, 1]
    clean = ~changed
    fit = biweight_regression(design, values)
    plain = np.linalg.lstsq(design, values, rcond=None)[0]
    residuals, bent = values - design @ fit.coefficients, values - design @ plain
    assert np.abs(residuals[clean]).mean() < 0.2
    assert np.abs(bent[clean]).mean() > 0.5
    np.testing.assert_allclose(residuals[changed], shift + design[changed, 1], atol=1.2)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_too_few_rows_change_nothing(rows):
    fit = biweight_regression(np.ones((rows, 3)), np.ones(rows))
    assert fit.coefficients.tolist() == [0, 0, 0]
    assert fit.scale == 0


@given(value=st.floats(-30, 30), terms=st.integers(1, 4))
def test_constant_values_are_met_exactly(value, terms):
    rng = np.random.default_rng(0)
    design = np.concatenate([np.ones((40, 1)), rng.normal(size=(40, terms - 1))], axis=1)
    fit = biweight_regression(design, np.full(40, value))
    np.testing.assert_allclose(design @ fit.coefficients, value, atol=1e-6)


def test_equal_columns_do_not_fail():
    fit = biweight_regression(np.ones((50, 3)), np.linspace(0, 1, 50))
    assert np.isfinite(fit.coefficients).all()
    assert fit.coefficients.sum() == pytest.approx(0.5, abs=0.01)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"design \(4, 2\) and values \(5,\)"):
        biweight_regression(np.ones((4, 2)), np.ones(5))
    with pytest.raises(InputError, match="iterations is 0"):
        biweight_regression(np.ones((4, 2)), np.ones(4), iterations=0)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_many_sets_equal_one_by_one(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    rng = np.random.default_rng(5)
    design = np.concatenate([np.ones((9000, 1)), rng.normal(size=(9000, 3))], axis=1)
    values = rng.normal(size=(5, 4)) @ design.T + rng.normal(0, 0.3, (5, 9000))
    values[1, :3000] -= 6
    values[2, rng.random(9000) < 0.2] = np.nan
    values[3, 7:], values[4] = np.nan, 2.0
    design[:20, 2] = np.nan
    for one, fit in zip(values, biweight_regressions(design, values), strict=True):
        alone = biweight_regression(design, one)
        np.testing.assert_allclose(fit.coefficients, alone.coefficients, atol=1e-9)
        assert fit.scale == pytest.approx(alone.scale, abs=1e-9)
    known = np.isfinite(values[2]) & np.isfinite(design).all(axis=1)
    x, y = design[known], values[2, known]
    starts = (y, y - x @ np.linalg.lstsq(x, y, rcond=None)[0])
    first, second = (slow_reweighting(x, y, one, 2.5, 8) for one in starts)
    slow, scale = second if second[1] < 0.7 * first[1] else first
    found = biweight_regressions(design, values)[2]
    np.testing.assert_allclose(found.coefficients, slow, atol=1e-6)
    assert found.scale == pytest.approx(scale, abs=1e-6)


def test_no_set_gives_no_fit():
    assert biweight_regressions(np.ones((4, 2)), np.ones((0, 4))) == []
    with pytest.raises(InputError, match=r"values \(4,\) do not fit; expected \(n, k\), \(m, n\)"):
        biweight_regressions(np.ones((4, 2)), np.ones(4))
