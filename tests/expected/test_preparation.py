"""Steps before images are compared: despeckling, and the state of the scene."""

from __future__ import annotations

import numpy as np
import pytest

from terradelta.errors import ConfigError, InputError
from terradelta.expected import RobustParameters
from terradelta.expected.preparation import (
    Preparation,
    PreparedSeries,
    despeckle,
    prepare,
    scene_departures,
)
from terradelta.expected.scene import fit_scene_states
from terradelta.sar import despeckle_tv, refined_lee, to_db, to_linear


def series(seed=0, images=6, size=40):
    """Ground of many levels, and rain in the last image that brightens bright ground more."""
    rng = np.random.default_rng(seed)
    ground = np.linspace(-16, -8, size * size).reshape(size, size)
    ground = np.stack([ground, ground - 6])
    stack = ground + rng.normal(0, 0.3, (images, 2, size, size))
    rain = 2 + 0.25 * (ground + 12)
    stack[-1] += rain
    return stack.astype(np.float32), rain


def test_nothing_is_done_by_default():
    stack, _ = series()
    ready = prepare(stack[:-1], stack[-1])
    np.testing.assert_array_equal(ready.images, stack[:-1])
    np.testing.assert_array_equal(ready.target, stack[-1])
    assert not ready.offset.any() and (ready.inflation == 1).all()


def test_the_median_takes_a_constant_off_each_image():
    stack, _ = series()
    stack[2] += 5
    ready = prepare(stack[:-1], stack[-1], Preparation(state="median"))
    reference = stack[:-1].mean(axis=0)
    for image, level in zip(stack, [*ready.images, ready.target], strict=True):
        middle = np.median(image - reference, axis=(-2, -1))
        np.testing.assert_allclose(
            image - level, np.broadcast_to(middle[:, None, None], image.shape), atol=1e-4
        )


def test_the_scene_takes_off_what_depends_on_the_ground():
    stack, rain = series()
    stack[-1, :, :10, :10] -= 4
    ready = prepare(stack[:-1], stack[-1], Preparation(state="scene"))
    np.testing.assert_allclose(ready.offset, rain, atol=0.5)
    left = ready.target - ready.images.mean(axis=0)
    assert abs(left[:, 10:, 10:]).mean() < 0.35
    assert left[:, :10, :10].mean() < -3.5
    np.testing.assert_allclose(ready.target + ready.offset, stack[-1], atol=1e-5)


def test_with_one_previous_image_the_median_stands_in_for_the_scene():
    stack, _ = series(images=2)
    offsets = [scene_departures(stack, Preparation(state=state))[0] for state in ("scene", "median")]
    np.testing.assert_array_equal(*offsets)


@pytest.mark.parametrize("way", ["none", "tv", "lee"])
def test_despeckling_is_that_of_the_radar_part(way):
    stack, _ = series(size=16)
    stack[0, :, 3, 4] = np.nan
    expected = {
        "none": stack,
        "tv": despeckle_tv(stack, 0.2, iterations=30),
        "lee": to_db(refined_lee(to_linear(stack), 4.4)),
    }[way]
    np.testing.assert_allclose(despeckle(stack, Preparation(despeckle=way)), expected, atol=1e-4)


def test_no_data_stays_no_data_and_is_no_state():
    stack, _ = series()
    stack[:, :, 5, 6] = np.nan
    stack[-1, 1, 7, 7] = np.nan
    ready = prepare(stack[:-1], stack[-1], Preparation(despeckle="tv", state="scene"))
    assert np.isnan(ready.target[:, 5, 6]).all() and np.isnan(ready.target[1, 7, 7])
    assert np.isfinite(ready.target[0, 7, 7])
    state = ready.state(20.0)
    assert state.shape == (4, 40, 40) and np.isfinite(state).all() and not state[:2, 5, 6].any()


def test_it_can_be_written_down():
    steps = Preparation("tv", "scene", 3.0, RobustParameters(tv_weight=0.1))
    assert Preparation.from_dict(steps.to_dict()) == steps


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"despeckle": "median"}, "despeckle is 'median'; give one of none, tv, lee"),
        ({"state": "rain"}, "state is 'rain'"),
        ({"stat": "none"}, "preparation has no 'stat'"),
    ],
)
def test_other_steps_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Preparation.from_dict(values)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="do not fit"):
        prepare(np.zeros((4, 2, 5, 5)), np.zeros((2, 5, 6)))


@pytest.mark.parametrize("state", ["none", "median", "scene"])
@pytest.mark.parametrize("way", ["none", "tv"])
def test_the_first_of_a_running_series_is_prepared_like_any_other(way, state):
    stack, _ = series()
    steps = Preparation(despeckle=way, state=state)
    running = PreparedSeries(stack[:-1], steps).add(stack[-1])
    for found, expected in zip(running, prepare(stack[:-1], stack[-1], steps), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_running_series_fits_each_scene_once():
    stack, _ = series(images=9, size=30)
    steps = Preparation(despeckle="tv", state="scene", robust=RobustParameters(history=5))
    running = PreparedSeries(stack[:5], steps)
    flat = despeckle(stack, steps).reshape(9, 2, -1)
    states = fit_scene_states(flat, 5, steps.robust)
    levels = []
    for time in range(5, 9):
        ready = running.add(stack[time])
        np.testing.assert_allclose(ready.inflation[:, 0, 0], states[time].inflation, rtol=1e-4)
        assert ready.images.shape == (5, 2, 30, 30)
        if levels:
            np.testing.assert_array_equal(ready.images[-1], levels[-1])
        np.testing.assert_allclose(ready.target + ready.offset, flat[time].reshape(2, 30, 30), atol=1e-4)
        levels.append(ready.target)


def test_a_running_series_can_grow():
    stack, _ = series(images=7, size=16)
    running = PreparedSeries(stack[:2], Preparation(state="median"), keep=4)
    assert [len(running.add(image).images) for image in stack[2:]] == [2, 3, 4, 4, 4]


@pytest.mark.parametrize(
    ("shape", "keep", "message"),
    [((2, 5, 5), None, r"shape \(2, 5, 5\)"), ((0, 2, 5, 5), None, "shape"), ((3, 2, 5, 5), 0, "keep is 0")],
)
def test_a_series_that_cannot_run_is_refused(shape, keep, message):
    with pytest.raises(InputError, match=message):
        PreparedSeries(np.zeros(shape), keep=keep)


def test_an_image_of_another_size_is_refused():
    with pytest.raises(InputError, match=r"image \(2, 5, 6\) does not fit"):
        PreparedSeries(np.zeros((3, 2, 5, 5))).add(np.zeros((2, 5, 6)))
