from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terradelta.errors import InputError
from terradelta.expected.differences.choice import (
    CHOICES,
    choose,
    is_descending,
    latest,
    nearest_geometry,
    same_direction,
    why_unfair,
    wrap_heading,
)


def test_every_published_case_is_kept_or_not_and_chosen_alike(shared: Path) -> None:
    cases = json.loads((shared / "reference/sar/filter_cases.json").read_text())["cases"]
    assert len(cases) == 57
    for case in cases:
        incidence = [*case["input_incidence_angles"], np.float32(case["target_incidence_angle"])]
        heading = [*case["input_platform_headings"], np.float32(case["target_platform_heading"])]
        chosen = [choose(one, incidence, heading, as_published=True) for one in CHOICES[:2]]
        assert chosen == [case["method1"], case["method2"]], case["note"]
        kept = why_unfair(incidence, heading, as_published=True) is None
        assert kept == case["keep"], case["note"]


@given(
    st.lists(
        st.tuples(st.integers(290, 460), st.sampled_from([-13, -14, -166, -167])), min_size=2, max_size=6
    )
)
@settings(max_examples=60, deadline=None)
def test_nearest_geometry_equals_a_loop(images: list[tuple[int, int]]) -> None:
    angles, headings = [one[0] / 10 for one in images], [float(one[1]) for one in images]
    best, least = -1, math.inf
    for place in range(len(images) - 1):
        far = 0.0
        for values in (angles, headings):
            width = max(values) - min(values)
            far += ((values[place] - values[-1]) / width) ** 2 if width else 0.0
        if far <= least + 1e-12:
            best, least = place, min(far, least)
    chosen = nearest_geometry(angles, headings)
    assert 0 <= chosen < len(images) - 1
    assert chosen == best or images[chosen] == images[best] or _as_far(angles, headings, chosen, least)


def _as_far(angles: list[float], headings: list[float], place: int, least: float) -> bool:
    scaled = [(v[place] - v[-1]) / (max(v) - min(v) or 1) for v in (angles, headings)]
    return abs(sum(one**2 for one in scaled) - least) < 1e-9


def test_nearest_geometry_may_choose_the_other_direction() -> None:
    angles, headings = [30.0, 45.0, 45.0], [-13.0, -167.0, -90.5]
    assert nearest_geometry(angles, headings) == 1
    assert same_direction(is_descending(headings)) == 1
    assert nearest_geometry([30.0, 45.0, 44.0], [-13.0, -20.0, -14.0]) == 1


def test_equal_headings_decide_nothing_but_make_the_published_way_blind() -> None:
    angles, headings = [30.0, 40.0, 41.0], [-13.0] * 3
    assert nearest_geometry(angles, headings) == 1
    assert nearest_geometry(angles, headings, as_published=True) == 0
    assert nearest_geometry([40.0] * 3, headings) == 1


def test_headings_from_0_to_360_are_wrapped() -> None:
    assert is_descending([346.0, 194.0, 180.0, 90.0]).tolist() == [False, True, True, False]
    inner = np.array([-166.51888327242023, -14.5, 180.0, -180.0])
    assert (wrap_heading(inner) == inner).all()
    with pytest.raises(InputError, match=r"heading 400 .*-180\.\.180"):
        wrap_heading([400.0])
    same = choose("same-direction", [30.0] * 3, [346.0, 194.0, 346.0])
    assert same == choose("same-direction", [30.0] * 3, [-14.0, -166.0, -14.0]) == 0


def test_time_decides_not_the_position() -> None:
    ways = [True, False, True, False, True]
    assert same_direction(ways) == 2
    assert same_direction(ways, [3, 1, 20, 30]) == 0
    assert same_direction([True, False], [3]) is None
    assert latest(4, [9, 2, 3, 4]) == 1
    assert latest(3, [5, np.nan, 1]) == 2


def test_a_degree_exactly_is_fair() -> None:
    assert why_unfair([34.0, 45.0, 33.0], [-13.0, -167.0, -13.0]) is None
    assert "1.5 degrees" in str(why_unfair([34.5, 45.0, 33.0], [-13.0, -167.0, -13.0]))
    assert "orbit direction" in str(why_unfair([33.0, 33.0], [-13.0, -167.0]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choose("best", [1.0, 2.0], [1.0, 2.0]), "'best'; give one of nearest-geometry"),
        (lambda: nearest_geometry([np.nan, 30.0], [-13.0, -13.0]), "incidence angle of image 0 is unknown"),
        (lambda: is_descending([np.nan]), "heading of image 0 is unknown"),
        (lambda: nearest_geometry([30.0], [-13.0]), "at least one"),
        (lambda: nearest_geometry([30.0, 31.0], [-13.0]), "one value per previous image"),
        (lambda: latest(0), "no previous image"),
        (lambda: latest(2, [1.0]), "2 previous images"),
    ],
)
def test_refusals_name_the_value(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
