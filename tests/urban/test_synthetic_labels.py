"""Synthetic labels: the published ones against their oracle, ours on data whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.optical import LANDSAT5, SENTINEL2, beta_sums
from terradelta.sar import OmnibusState, omnibus
from terradelta.simulate import urban_place
from terradelta.urban.era import ERS12LS5, S1S2
from terradelta.urban.labels import (
    RULES,
    LabelRule,
    change_activity,
    label_of_means,
    label_of_window,
    mean_frame,
    rule_of,
    synthetic_label,
    window_activity,
)

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
CASES = ("clean", "edges", "long", "zeros", "no_optical_before")


@pytest.fixture(scope="module", params=["s1s2", "ers12ls5"])
def oracle(request: pytest.FixtureRequest, shared: Path) -> Iterator[tuple[Any, LabelRule]]:
    with np.load(shared / "reference" / "ercnn" / f"labels_{request.param}.npz") as file:
        yield file, replace(rule_of(request.param, as_published=True), shift=float(file["shift_A"]))


def frames(file: Any, case: str, name: str) -> np.ndarray:
    return np.moveaxis(file[f"{case}_{name}"].astype(np.float32), -1, 1)


# as published


@pytest.mark.parametrize("case", CASES)
def test_published_labels_equal_the_oracle(oracle: tuple[Any, LabelRule], case: str) -> None:
    file, rule = oracle
    images = [frames(file, case, name) for name in ("asc", "dsc", "before", "after")]
    for ending, betas in (
        ("", file["betas_used"]),
        ("_own_tile_betas", file[f"{case}_betas_own_tile"]),
    ):
        label = label_of_window(*images, betas, rule)
        assert label.dtype == np.float32
        np.testing.assert_allclose(label, file[f"{case}_label{ending}"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_published_means_and_activity_equal_the_oracle(oracle: tuple[Any, LabelRule], case: str) -> None:
    file, rule = oracle
    for name in ("before", "after"):
        with np.errstate(invalid="ignore"):
            mean = mean_frame(frames(file, case, name), as_published=True)
        np.testing.assert_array_equal(mean, np.moveaxis(file[f"{case}_mean_{name}"], -1, 0))
    both, tests = [frames(file, case, name) for name in ("asc", "dsc")], []
    for name, series in zip(("asc", "dsc"), both, strict=True):
        state = OmnibusState(
            series.shape[2:], series.shape[1], rule.looks, rule.significance, as_published=True
        )
        steps = state.extend(list(series))
        wanted = np.unpackbits(file[f"{case}_steps_{name}"], axis=-1, count=32).astype(bool)
        np.testing.assert_array_equal(steps[1:], wanted)
        tests.append(state.result())
        np.testing.assert_array_equal(tests[-1].count, file[f"{case}_count_{name}"])
    wanted = (tests[0].count.astype(float) + tests[1].count) / len(both[0]) / 2
    np.testing.assert_allclose(change_activity(*tests, rule), wanted, rtol=1e-6)
    np.testing.assert_array_equal(window_activity(*both, rule), change_activity(*tests, rule))


# the default


def speckle(shape: tuple[int, ...], seed: int = 0, looks: float = 4) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_gamma(looks, shape) / looks


@pytest.mark.parametrize(("era", "bands", "dates"), [("s1s2", 2, 30), ("ers12ls5", 1, 12)])
def test_false_alarms_of_the_activity_are_the_significance(era: str, bands: int, dates: int) -> None:
    rule = rule_of(era)
    quiet = [speckle((dates, bands, 100, 100), seed, rule.looks) for seed in (1, 2)]
    active = window_activity(*quiet, rule)
    spread = np.sqrt(rule.significance / active.size / 2)
    assert abs(active.mean() - rule.significance) < 4 * spread
    changed = [series.copy() for series in quiet]
    for series in changed:
        series[dates // 2 :] *= 10**0.6
    assert window_activity(*changed, rule).mean() > 0.8


def test_activity_is_the_mean_of_the_directions_that_saw_the_pixel() -> None:
    ascending, descending = np.full((2, 10, 2, 1, 6), 0.1)
    ascending[5:, :, :, [1, 3, 4]] *= 20
    descending[5:, :, :, [1, 2]] *= 20
    descending[:, 0, :, [3, 5]] = np.nan
    descending[1:, :, :, 4] = np.nan
    ascending[:, :, :, 5] = 0
    rule = rule_of("s1s2")
    assert window_activity(ascending, descending, rule).tolist() == [[0, 1, 0.5, 1, 1, 0]]


def test_repeated_values_would_not_add_observations() -> None:
    series = speckle((12, 2, 20, 20))
    gaps = np.full((24, 2, 20, 20), np.nan)
    gaps[::2] = series
    rule = rule_of("s1s2")
    np.testing.assert_array_equal(window_activity(gaps, gaps, rule), window_activity(series, series, rule))


def test_mean_leaves_out_what_was_not_observed() -> None:
    random = np.random.default_rng(5)
    images = random.uniform(0.01, 0.6, (9, 13, 4, 5)).astype(np.float32)
    images[:4, :, 0] = 0
    images[2, 7, 1] = np.nan
    images[:, :, 3, 4] = 0
    found = mean_frame(iter(images))
    for y, x in np.ndindex(4, 5):
        seen = [i for i in images[:, :, y, x].astype(float) if np.isfinite(i).all() and i.any()]
        np.testing.assert_allclose(found[:, y, x], np.mean(seen, axis=0) if seen else np.zeros(13), rtol=1e-6)


def test_label_is_zero_where_there_is_nothing_to_compare() -> None:
    grass, roof = np.full((13, 1, 3), 0.1), np.full((13, 1, 3), 0.2)
    grass[11], grass[:, 0, 1] = 0.3, 0
    roof[12, 0, 2] = np.nan
    rule, active = rule_of("s1s2"), np.ones((1, 3))
    label = label_of_means(grass, roof, (0.1, 0.2), active, rule)
    assert label.tolist() == [[0.75, 0, 0]]
    published = label_of_means(grass, roof, (0.1, 0.2), active, replace(rule, as_published=True))
    assert published[0, 1] == 0.75


def test_label_is_the_product() -> None:
    random = np.random.default_rng(1)
    before, after, activity = random.random((3, 6, 7))
    before[0, 0] = np.nan
    wanted = np.minimum(3 * abs(after - before) * activity, 1)
    wanted[0, 0] = 0
    found = synthetic_label(before, after, activity, 3)
    assert found.dtype == np.float32 and (found == 1).any()
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_array_equal(synthetic_label(after, before, activity, 3), found)


def parts_of(town: Any, start: np.datetime64) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Radar images of both directions in the half-year from a start, optical images half a year around it."""
    radar, optical = town["sar"].to_dataset(), town["optical"].to_dataset()
    clear = optical["reflectance"].where(optical["clear"])
    half = np.timedelta64(182, "D")

    def during(times: np.ndarray, begin: np.datetime64) -> np.ndarray:
        return (times >= begin) & (times < begin + half)

    inside = during(radar["time"].values, start)
    orbits = [inside & (radar["orbit_direction"].values == each) for each in ("ascending", "descending")]
    series = [radar["backscatter"].values[chosen] for chosen in orbits]
    images = [clear.values[during(optical["time"].values, begin)] for begin in (start - half, start + half)]
    return series, images


def test_labels_of_a_simulated_town_show_what_was_built_and_torn_down() -> None:
    town = urban_place(1, size=64, years=2.5, changes=2)
    truth, rule = town["truth"], replace(rule_of("s1s2"), shift=0.5)
    for number, date in enumerate(town["truth/changes"]["date"].values, start=1):
        series, images = parts_of(town, date - np.timedelta64(91, "D"))
        means = [mean_frame(each) for each in images]
        label = label_of_window(*series, *images, [beta_sums(mean).beta for mean in means], rule)
        assert np.median(label[truth["label"].values == number]) > 0.5
        assert label[truth["changed"].values == 0].mean() < 0.005


# rules


def test_rules_of_the_eras() -> None:
    assert set(RULES) == {"s1s2", "ers12ls5"}
    assert (rule_of(S1S2).bands, rule_of(ERS12LS5).bands) == (SENTINEL2, LANDSAT5)
    published = [rule_of(era, as_published=True) for era in ("s1s2", "ers12ls5")]
    assert [(one.looks, one.significance, one.gain) for one in published] == [(4, 0.001, 10), (3, 0.1, 30)]
    assert all(one.as_published and one.shift == 0.25 for one in published)
    assert not any(rule.as_published for rule in RULES.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"looks": 0.5}, "looks is 0.5"),
        ({"significance": 1.0}, "significance is 1.0"),
        ({"gain": 0.0}, "gain is 0.0"),
        ({"gain": float("nan")}, "gain is nan"),
        ({"shift": 1.5}, "shift is 1.5"),
    ],
)
def test_bad_rules_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(rule_of("s1s2"), **change)


def test_what_does_not_fit_is_refused() -> None:
    small, large = omnibus(np.ones((3, 2, 2, 2)), 4), omnibus(np.ones((3, 2, 2, 3)), 4)
    with pytest.raises(InputError, match="one grid"):
        change_activity(small, large, rule_of("s1s2"))
    with pytest.raises(InputError, match="at least one frame"):
        mean_frame([])
    with pytest.raises(InputError, match="the era 'other' has no rule"):
        rule_of(replace(S1S2, name="other"))
