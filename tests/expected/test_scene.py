from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terradelta.expected import RobustParameters, fit_scene_states
from terradelta.expected.scene import (
    SAMPLE,
    cover_design,
    fit_scene_state,
    scene_offsets,
    thinned,
    usual,
    usual_ground,
)

PARAMETERS = RobustParameters()


def rain(level):
    """More on dark ground than on bright: a polynomial of the cover."""
    first = (level[:1] + 12) / 4
    return (2.5 - 1.0 * first + 0.3 * first**2).astype(np.float32)


def departure(series, first, image):
    """What is left of an image against its history, after the states are taken off, (band, pixel)."""
    states = fit_scene_states(series, first, PARAMETERS)
    mean, spread = usual(series[:first])
    levels = [series[t] - states[t].offset(mean, spread, PARAMETERS.degree) for t in (*range(first), image)]
    return levels[-1] - np.mean(levels[:-1], axis=0)


def flat(images):
    return images.reshape(*images.shape[:2], -1)


def test_rain_by_cover_is_taken_off(scene):
    made = scene()
    target = made.target + rain(made.level)
    series = flat(np.concatenate([made.history, target[None]]))
    left = departure(series, 10, 10)
    assert np.abs(flat(rain(made.level)[None])).max() > 4
    assert np.abs(np.nanmean(left)) < 0.05
    by_cover = left.reshape(2, 6, 10, 6, 10).mean(axis=(2, 4))
    assert np.abs(by_cover).max() < 0.5


def test_rain_of_the_history_does_not_widen_its_spread(scene):
    made = scene()
    wet = made.history.copy()
    wet[4] += rain(made.level)
    series = flat(np.concatenate([wet, made.target[None]]))
    states = fit_scene_states(series, 10, PARAMETERS)
    mean, spread = usual(series[:10])
    levels = np.stack([series[t] - states[t].offset(mean, spread, 2) for t in range(10)])
    assert np.median(spread) > 0.9
    assert np.median(usual(levels)[1]) < 0.65


@pytest.mark.parametrize("weather", [0.0, 3.0])
def test_change_of_thirty_percent_is_not_absorbed(scene, weather):
    made = scene()
    changed = np.zeros((60, 60), bool)
    changed[:, :18] = True
    target = made.target + np.float32(weather) - np.where(changed, np.float32(4), np.float32(0))
    series = flat(np.concatenate([made.history, target[None]]))
    left = departure(series, 10, 10)
    assert np.median(left[:, changed.ravel()]) == pytest.approx(-4, abs=0.3)
    assert np.median(left[:, ~changed.ravel()]) == pytest.approx(0, abs=0.1)


def test_a_noisy_image_is_told_as_such(scene):
    made = scene()
    noisy = made.level + np.random.default_rng(0).normal(0, 1.5, made.level.shape).astype(np.float32)
    quiet, loud = (
        fit_scene_states(flat(np.concatenate([made.history, last[None]])), 10, PARAMETERS)[-1]
        for last in (made.target, noisy)
    )
    np.testing.assert_allclose(quiet.inflation, 1, atol=0.1)
    np.testing.assert_allclose(loud.inflation, 3, rtol=0.15)


def test_missing_pixels_do_not_matter(scene):
    made = scene()
    series = flat(np.concatenate([made.history, made.target[None] + 2]))
    holes = series.copy()
    rng = np.random.default_rng(5)
    holes[:, :, :300] = np.nan
    holes[np.broadcast_to(rng.random((11, 1, 3600)) < 0.05, holes.shape)] = np.nan
    mean, spread = usual(series[:10])
    whole, partial = (
        fit_scene_states(one, 10, PARAMETERS)[-1].offset(mean, spread, 2) for one in (series, holes)
    )
    assert np.abs(whole - partial).max() < 0.4
    assert np.abs(np.median(whole - partial)) < 0.05


@pytest.mark.parametrize("pixels", [400, 3, 0])
def test_without_data_nothing_is_taken_off(pixels):
    series = np.full((7, 2, pixels), np.nan, np.float32)
    states = fit_scene_states(series, 4, PARAMETERS)
    assert len(states) == 7
    assert all((state.coefficients == 0).all() and (state.inflation == 1).all() for state in states)


def test_one_band(scene):
    made = scene(bands=1)
    series = flat(np.concatenate([made.history, made.target[None] + rain(made.level)]))
    left = departure(series, 10, 10)
    assert left.shape == (1, 3600)
    assert np.abs(left.mean()) < 0.05


def test_a_lasting_change_does_not_become_a_cover_of_its_own(scene):
    made = scene(images=19)
    changed = np.zeros((60, 60), bool)
    changed[:, :18] = True
    series = np.concatenate([made.history, made.target[None]])
    series[10:, :, changed] -= 5
    states = fit_scene_states(flat(series), 10, PARAMETERS)
    mean, spread = usual(flat(series)[:10])
    for image in range(10, 20):
        assert np.abs(states[image].offset(mean, spread, 2)).max() < 1


@given(st.integers(1, 6), st.integers(1, 3), st.booleans(), st.integers(0, 2**31))
def test_usual_equals_numpy(images, bands, chosen, seed):
    rng = np.random.default_rng(seed)
    history = rng.normal(-12, 3, (images, bands, 4, 5))
    history[rng.random(history.shape) < 0.3] = np.nan
    use = rng.random((images, 4, 5)) < 0.7 if chosen else None
    masked = history if use is None else np.where(use[:, None], history, np.nan)
    mean, spread = usual(history, use)
    for band, y, x in np.ndindex(bands, 4, 5):
        values = masked[:, band, y, x]
        values = values[np.isfinite(values)]
        np.testing.assert_allclose(mean[band, y, x], values.mean() if len(values) else np.nan)
        np.testing.assert_allclose(
            spread[band, y, x], values.std(ddof=1) if len(values) > 1 else np.nan, atol=1e-12
        )


def test_usual_ground_falls_back_to_all_images_pixel_by_pixel():
    history = np.random.default_rng(0).normal(size=(5, 2, 3, 3))
    use = np.ones((5, 3, 3), bool)
    use[1:, 0, 0] = False
    use[0, 1, 1] = False
    mean, spread = usual_ground(history, use)
    everything, some = usual(history), usual(history, use)
    for found, of_all, of_some in zip((mean, spread), everything, some, strict=True):
        np.testing.assert_array_equal(found[:, 0, 0], of_all[:, 0, 0])
        np.testing.assert_array_equal(found[:, 1:], of_some[:, 1:])


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("bands", [1, 2])
def test_design_holds_every_product_of_features_once(degree, bands):
    from itertools import product

    rng = np.random.default_rng(1)
    mean, spread = rng.normal(size=(bands, 7)), rng.uniform(0.5, 2, (bands, 7))
    design = cover_design(mean, spread, np.zeros(2 * bands), np.ones(2 * bands), degree)
    features = np.concatenate([mean, np.log(spread + 0.1)])
    powers = [p for p in product(range(degree + 1), repeat=2 * bands) if sum(p) <= degree]
    expected = [np.prod(features ** np.array(p)[:, None], axis=0) for p in powers]
    assert len(design) == len(expected)
    np.testing.assert_allclose(np.sort(design, axis=0), np.sort(expected, axis=0), atol=1e-12)


def test_offset_does_not_depend_on_how_pixels_are_cut(scene):
    rng = np.random.default_rng(2)
    made = scene()
    state = fit_scene_states(flat(made.history), 9, PARAMETERS)[-1]
    mean, spread = rng.normal(-12, 2, (2, 40_000)), rng.uniform(0.3, 2, (2, 40_000))
    whole = state.offset(mean.reshape(2, 200, 200), spread.reshape(2, 200, 200), 2)
    np.testing.assert_allclose(
        whole.reshape(2, -1)[:, 20_000:], state.offset(mean[:, 20_000:], spread[:, 20_000:], 2)
    )


@pytest.mark.parametrize("threads", ["1", "3"])
def test_offsets_of_all_images_equal_those_of_each(scene, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    made = scene(images=13)
    states = fit_scene_states(flat(made.history), 10, PARAMETERS)
    rng = np.random.default_rng(2)
    mean, spread = rng.normal(-12, 2, (2, 130, 140)), rng.uniform(0.3, 2, (2, 130, 140))
    together = scene_offsets(states, mean, spread, 2)
    for state, offset in zip(states, together, strict=True):
        design = cover_design(mean, spread, state.centre, state.width, 2)
        expected = np.einsum("bk,kyx->byx", state.coefficients, design)
        np.testing.assert_allclose(offset, expected, atol=1e-9)
        np.testing.assert_array_equal(state.offset(mean, spread, 2), offset)


def test_one_image_by_itself_equals_the_last_of_a_series(scene):
    made = scene()
    series = flat(np.concatenate([made.history, made.target[None] + rain(made.level)]))
    series[3, :, 40:60] = np.nan
    states = fit_scene_states(series, 10, PARAMETERS)
    levels = series[:10] - scene_offsets(states[:10], *usual(series[:10]), PARAMETERS.degree)
    alone = fit_scene_state(series[10], series[:10], levels, PARAMETERS)
    np.testing.assert_allclose(alone.coefficients, states[10].coefficients)
    np.testing.assert_allclose(alone.inflation, states[10].inflation)


def test_a_sample_tells_the_state_of_a_large_scene(scene):
    """A sixteenth of the pixels gives the same state within a few hundredths of a dB."""
    made = scene(size=480)
    series = np.concatenate([made.history, made.target[None] + rain(made.level)])
    some = thinned(series)
    assert SAMPLE <= some.shape[2] < 2 * SAMPLE
    mean, spread = usual(series[:10])
    whole, partial = (
        fit_scene_states(each, 10, PARAMETERS)[-1].offset(mean, spread, 2) for each in (flat(series), some)
    )
    assert np.sqrt(np.mean((whole - partial) ** 2)) < 0.05


def test_a_sample_is_as_dense_as_the_data_are_scarce():
    images = np.zeros((2, 1, 300, 400))
    assert thinned(images).shape == (2, 1, 100 * 133)
    images[1, :, :200] = np.nan
    assert thinned(images).shape == (2, 1, 150 * 200)
    assert thinned(images, images[0]).shape == (2, 1, 100 * 133)
    assert thinned(images[:, :, 200:260, :50]).shape == (2, 1, 3000)
