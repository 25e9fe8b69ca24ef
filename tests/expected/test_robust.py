from __future__ import annotations

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.expected import RobustParameters, change_strength, robust_difference
from terradelta.expected.preparation import Preparation, PreparedSeries
from terradelta.expected.robust import compare_with_history


def slow_compare(level, history, offset, inflation, parameters, use):
    """Pixel by pixel; the smoothing of the variance as a plain sum over all pixels."""
    bands, height, width = level.shape
    expected, difference, variance = (np.full(level.shape, np.nan) for _ in range(3))
    for band, y, x in np.ndindex(bands, height, width):
        past = [
            history[t, band, y, x]
            for t in range(len(history))
            if use[t, y, x] and np.isfinite(history[t, band, y, x])
        ]
        if len(past) > 1:
            variance[band, y, x] = np.var(past, ddof=1)
        if len(past) >= parameters.fewest:
            expected[band, y, x] = np.mean(past) + offset[band, y, x]
            difference[band, y, x] = level[band, y, x] - np.mean(past)
    sigma = np.full(level.shape, np.nan)
    rows, columns = np.mgrid[:height, :width]
    for band, y, x in np.ndindex(bands, height, width):
        if not np.isfinite(variance[band, y, x]):
            continue
        weights = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * parameters.smoothing**2))
        weights[~np.isfinite(variance[band])] = 0
        smooth = np.nansum(weights * variance[band]) / weights.sum()
        sigma[band, y, x] = np.sqrt(smooth + parameters.floor**2) * inflation[band, 0, 0]
    return expected, sigma, difference


def test_equals_the_loop_over_pixels():
    rng = np.random.default_rng(4)
    parameters = RobustParameters(fewest=3, smoothing=1.0, floor=0.4)
    history = rng.normal(-12, 1, (6, 2, 24, 24))
    history[rng.random(history.shape) < 0.1] = np.nan
    level, offset = rng.normal(-12, 1, (2, 24, 24)), rng.normal(0, 1, (2, 24, 24))
    use = rng.random((6, 24, 24)) < 0.8
    inflation = np.array([1.0, 1.7])[:, None, None]
    found = compare_with_history(level, history, offset, inflation, parameters, use=use)
    expected, sigma, difference = slow_compare(level, history, offset, inflation, parameters, use)
    np.testing.assert_allclose(found.expected, expected)
    np.testing.assert_allclose(found.difference, difference)
    inner = np.s_[:, 5:-5, 5:-5]  # at the rim SciPy mirrors, the plain sum does not
    np.testing.assert_allclose(found.sigma[inner], sigma[inner], rtol=2e-3)
    np.testing.assert_allclose(found.standardised, found.difference / found.sigma)


def test_unchanged_ground_scatters_as_sigma_says(scene):
    made = scene(noise=1.0)
    found, strength = robust_difference(made.target, made.history)
    assert np.std(found.standardised) < 1.1
    assert (strength > 1.5).mean() < 0.01


def test_change_is_found_in_rain(scene):
    made = scene(noise=1.0)
    target = made.target + np.float32(3.0) - 0.2 * (made.level + 12)
    target[:, 20:40, 20:40] -= 4
    found, strength = robust_difference(target, made.history)
    changed = np.zeros((60, 60), bool)
    changed[20:40, 20:40] = True
    assert np.median(found.difference[:, changed]) == pytest.approx(-4, abs=0.6)
    assert np.percentile(strength[changed], 10) > 3
    assert np.percentile(strength[~changed], 95) < 1.5


def test_missing_data_stays_missing_and_does_not_smear(scene):
    made = scene()
    history, target = made.history.copy(), made.target.copy()
    target[:, :7], history[:, :, :, :5], history[3:, :, :, 55:] = np.nan, np.nan, np.nan
    _, strength = robust_difference(target, history)
    missing = np.zeros((60, 60), bool)
    missing[:7], missing[:, :5], missing[:, 55:] = True, True, True
    np.testing.assert_array_equal(np.isnan(strength), missing)


def test_strength_is_the_length_over_bands_and_regularised_smoother():
    rng = np.random.default_rng(0)
    standardised = rng.normal(size=(2, 30, 30))
    plain = change_strength(standardised, regularisation=0, iterations=1)
    np.testing.assert_allclose(plain, np.hypot(*standardised))
    assert change_strength(standardised, regularisation=0.2, iterations=30).mean() < 0.6 * plain.mean()


@pytest.mark.parametrize(
    ("target", "history", "words"),
    [((2, 5, 5), (4, 1, 5, 5), "do not fit"), ((2, 5, 5), (3, 2, 5, 5), "3 previous images; .* at least 4")],
)
def test_wrong_input_is_refused(target, history, words):
    with pytest.raises(InputError, match=words):
        robust_difference(np.zeros(target), np.zeros(history))


def test_a_running_series_gives_the_same(scene):
    made = scene(noise=1.0)
    parameters = RobustParameters()
    ready = PreparedSeries(made.history, Preparation("tv", "scene", robust=parameters)).add(made.target)
    found = compare_with_history(ready.target, ready.images, ready.offset, ready.inflation, parameters)
    expected, _ = robust_difference(made.target, made.history)
    np.testing.assert_allclose(found.standardised, expected.standardised, atol=1e-3)
    np.testing.assert_allclose(found.expected, expected.expected, atol=1e-3)
