from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terradelta.errors import InputError
from terradelta.expected import Persistence
from terradelta.types import Size

THRESHOLD = 3.0


def slow_persistence(strengths, differences, confirm):
    """One pixel: score, first, count, difference, and which acquisitions may serve as history."""
    score, first, count, difference = None, -1, 0, None
    use = [True] * len(strengths)
    seen = []
    for time, strength in enumerate(strengths):
        if np.isnan(strength):
            continue
        seen.append(time)
        use[time] = not strength > THRESHOLD
        last = seen[-confirm:]
        if len(last) < confirm:
            continue
        held = min(strengths[t] for t in last)
        if score is None or held > score:
            score, difference = held, np.mean([differences[t] for t in last])
        if held > THRESHOLD:
            count += 1
            first = last[0] if first < 0 else first
            for t in range(time + 1):
                use[t] = t >= last[0]
            seen = []
    return score, first, count, difference, use


sequences = st.lists(
    st.lists(st.sampled_from([np.nan, 0.0, 1.0, 2.5, 3.5, 4.0, 9.0]), min_size=12, max_size=12),
    min_size=1,
    max_size=6,
)


@given(pixels=sequences, confirm=st.integers(1, 4), remember=st.integers(4, 12))
def test_equals_the_loop_over_pixels(pixels, confirm, remember):
    strengths = np.array(pixels, np.float32)
    number, images = strengths.shape
    differences = np.arange(strengths.size, dtype=np.float32).reshape(strengths.shape)
    watch = Persistence(Size(1, number), bands=1, remember=remember, threshold=THRESHOLD, confirm=confirm)
    for time in range(images):
        watch.update(time, strengths[None, :, time], differences[None, None, :, time])
    found = watch.result()
    latest = range(images - remember, images)
    for pixel in range(number):
        score, first, count, difference, use = slow_persistence(strengths[pixel], differences[pixel], confirm)
        assert (found.first[0, pixel], found.count[0, pixel]) == (first, count)
        np.testing.assert_equal(found.score[0, pixel], np.nan if score is None else score)
        expected = np.nan if difference is None else difference
        np.testing.assert_allclose(found.difference[0, 0, pixel], expected, rtol=1e-6)
        assert [watch.use[t % remember, 0, pixel] for t in latest] == [use[t] for t in latest]


def test_images_before_the_first_target_are_history_until_a_change():
    watch = Persistence(Size(1, 2), bands=1, remember=5, threshold=1.0, confirm=2)
    assert watch.use[:3].all()
    for time in (3, 4):
        watch.update(time, np.array([[2.0, 0.0]]), np.zeros((1, 1, 2)))
    assert watch.use[:, 0, 0].tolist() == [False, False, False, True, True]
    assert watch.use[:, 0, 1].all()


@pytest.mark.parametrize("numbers", [{"confirm": 0, "remember": 3}, {"confirm": 1, "remember": 0}])
def test_numbers_below_one_are_refused(numbers):
    with pytest.raises(InputError, match="at least 1 acquisition"):
        Persistence(Size(1, 1), bands=1, threshold=1.0, **numbers)
