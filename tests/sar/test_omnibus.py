from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from terradelta.errors import InputError
from terradelta.sar import OmnibusState, omnibus, omnibus_stream


def slow_p(before: list[np.ndarray], new: np.ndarray, looks: float) -> float:
    """P-value of one step, straight from the formula."""
    j, p = len(before) + 1, len(new)
    old = np.sum(before, axis=0)
    log_r = looks * (
        p * (j * np.log(j) - (j - 1) * np.log(j - 1))
        + (j - 1) * np.log(old.prod())
        + np.log(new.prod())
        - j * np.log((old + new).prod())
    )
    rho = 1 - (1 + 1 / (j * (j - 1))) / (6 * looks)
    w = -p / 4 * (1 - 1 / rho) ** 2
    z = -2 * rho * log_r
    return float((1 - w) * chi2.sf(z, p) + w * chi2.sf(z, p + 4))


def slow_overall(seen: list[np.ndarray], looks: float) -> float:
    k, p = len(seen), len(seen[0])
    log_q = looks * (
        p * k * np.log(k) + np.log([s.prod() for s in seen]).sum() - k * np.log(np.sum(seen, axis=0).prod())
    )
    rho = 1 - (1 + 1 / k) / (6 * looks)
    f = p * (k - 1)
    w = -f / 4 * (1 - 1 / rho) ** 2
    z = -2 * rho * log_q
    return float((1 - w) * chi2.sf(z, f) + w * chi2.sf(z, f + 4))


def slow_pixel(series: np.ndarray, looks: float, alpha: float) -> tuple[list[int], list[float], float, int]:
    """Steps of change, p-value of each step, overall p-value, number of observations of one pixel."""
    changes, p_values, run, seen = [], [], [], []
    for step, value in enumerate(series.astype(float)):
        p = np.nan
        if np.isfinite(value).all() and (value > 0).all():
            if run:
                p = slow_p(run, value, looks)
            if p <= alpha:
                changes.append(step)
                run = []
            run.append(value)
            seen.append(value)
        p_values.append(p)
    return changes, p_values, slow_overall(seen, looks) if len(seen) > 1 else np.nan, len(seen)


def speckle(rng: np.random.Generator, looks: float, shape: tuple[int, ...], level: float = 0.1) -> np.ndarray:
    return level * rng.standard_gamma(looks, shape) / looks


def changing(bands: int, seed: int = 3) -> np.ndarray:
    """Twenty-five dates with changes up and down, missing values of every kind, and pixels never seen."""
    rng = np.random.default_rng(seed)
    series = speckle(rng, 4, (25, bands, 9, 11)).astype(np.float32)
    series[8:, :, 2:6] *= 8
    series[15:, :, 4:8] /= 20
    series[rng.random(series.shape) < 0.1] = np.nan
    series[rng.random(series.shape) < 0.02] = 0
    series[rng.random(series.shape) < 0.02] = -0.1
    series[rng.random(series.shape) < 0.01] = np.inf
    series[:, :, 0, 0] = np.nan
    series[:-1, :, 0, 1] = 0
    return series


@pytest.mark.parametrize("bands", [1, 2])
def test_equals_the_slow_per_pixel_version(bands: int) -> None:
    series = changing(bands)
    found = omnibus(series, 4, 0.01, steps=True, step_p_values=True)
    assert found.steps is not None and found.step_p_values is not None
    for y, x in np.ndindex(series.shape[2:]):
        changes, p_values, overall, seen = slow_pixel(series[:, :, y, x], 4, 0.01)
        assert np.flatnonzero(found.steps[:, y, x]).tolist() == changes
        assert found.count[y, x] == len(changes)
        assert found.first[y, x] == (changes[0] if changes else -1)
        assert found.last[y, x] == (changes[-1] if changes else -1)
        assert found.observations[y, x] == seen
        np.testing.assert_allclose(found.step_p_values[:, y, x], p_values, rtol=1e-5, atol=1e-12)
        np.testing.assert_allclose(found.p_value[y, x], overall, rtol=1e-5, atol=1e-12)
    assert found.count.max() >= 2


@pytest.mark.parametrize("case", ["clean", "edges", "long", "zeros", "no_optical_before"])
@pytest.mark.parametrize(
    ("name", "looks", "significance"), [("labels_s1s2", 4, 0.001), ("labels_ers12ls5", 3, 0.1)]
)
def test_as_published_equals_the_published_counts(shared, case, name, looks, significance) -> None:
    with np.load(shared / "reference" / "ercnn" / f"{name}.npz") as oracle:
        for orbit in ("asc", "dsc"):
            series = np.moveaxis(oracle[f"{case}_{orbit}"].astype(np.float32), -1, 1)
            wanted = np.unpackbits(oracle[f"{case}_steps_{orbit}"], axis=-1, count=series.shape[-1]).astype(
                bool
            )
            found = omnibus(series, looks, significance, as_published=True, steps=True)
            assert found.steps is not None and not found.steps[0].any()
            np.testing.assert_array_equal(found.steps[1:], wanted)
            np.testing.assert_array_equal(found.count, oracle[f"{case}_count_{orbit}"])
            streamed = omnibus_stream(iter(series), looks, significance, as_published=True)
            np.testing.assert_array_equal(streamed.count, found.count)


@pytest.mark.parametrize("bands", [1, 2])
@pytest.mark.parametrize("looks", [4, 12])
def test_p_values_are_uniform_where_nothing_changes(bands: int, looks: int) -> None:
    series = speckle(np.random.default_rng(11), looks, (20, bands, 60, 100))
    found = omnibus(series, looks, 1e-12, step_p_values=True)
    assert found.step_p_values is not None and found.count.max() == 0
    assert kstest(found.p_value.ravel(), "uniform").pvalue > 0.01
    p_values = [kstest(step.ravel(), "uniform").pvalue for step in found.step_p_values[1:]]
    assert min(p_values) > 0.01 / len(p_values)
    assert kstest(found.step_p_values[1:].ravel(), "uniform").pvalue > 0.01
    # the tests of different steps are independent: so is their distribution within a pixel
    correlation = np.corrcoef(found.step_p_values[1:].reshape(19, -1))
    assert np.abs(correlation[~np.eye(19, dtype=bool)]).max() < 0.06


@pytest.mark.parametrize("looks", [4, 12])
@pytest.mark.parametrize("rate", [0.01, 0.001])
def test_rate_of_false_alarms_is_the_significance(looks: int, rate: float) -> None:
    series = speckle(np.random.default_rng(5), looks, (11, 2, 200, 200))
    found = omnibus(series, looks, 1e-12, step_p_values=True)
    assert found.step_p_values is not None
    tests = found.step_p_values[1:]
    spread = np.sqrt(rate * (1 - rate) / tests.size)
    assert abs((tests <= rate).mean() - rate) < 4 * spread
    found = omnibus(series, looks, rate)
    once = 1 - (1 - rate) ** 10
    assert abs((found.count > 0).mean() - once) < 4 * np.sqrt(once / found.count.size)
    # a run that starts with a false alarm starts from an extreme value, so there are some more after it
    assert found.count.mean() / 10 < 1.4 * rate


def test_finds_the_date_of_a_change() -> None:
    rng = np.random.default_rng(2)
    series = speckle(rng, 12, (30, 2, 20, 20))
    series[17:, :, :10] *= 10**0.6
    found = omnibus(series, 12, 1e-4)
    assert (found.first[:10] == 17).mean() > 0.9
    assert (found.count[10:] == 0).mean() > 0.98
    assert (found.p_value[:10] < 1e-6).all()


def test_missing_values_are_left_out() -> None:
    rng = np.random.default_rng(7)
    whole = speckle(rng, 4, (15, 2, 5, 5))
    whole[6:, :, :, 2:] *= 6
    gaps = np.full((30, 2, 5, 5), np.nan)
    gaps[::2] = whole
    a, b = omnibus(whole, 4, 0.01), omnibus(gaps, 4, 0.01)
    np.testing.assert_array_equal(a.count, b.count)
    np.testing.assert_array_equal(np.where(a.first < 0, -1, 2 * a.first), b.first)
    np.testing.assert_array_equal(a.p_value, b.p_value)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 2), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_streaming_threads_and_strips_change_nothing(dates, bands, rows, columns, seed) -> None:
    rng = np.random.default_rng(seed)
    series = speckle(rng, 3, (dates, bands, rows, columns)).astype(np.float32)
    series[rng.random(series.shape) < 0.05] = np.nan
    whole = omnibus(series, 3, 0.05, threads=2)
    streamed = omnibus_stream(iter(series), 3, 0.05, threads=2)
    half = [omnibus(series[:, :, part], 3, 0.05) for part in (slice(0, rows // 2), slice(rows // 2, rows))]
    for name in ("count", "first", "last", "p_value", "observations"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(streamed, name))
        np.testing.assert_array_equal(getattr(whole, name), np.concatenate([getattr(h, name) for h in half]))


def test_many_strips_equal_one_pixel_at_a_time() -> None:
    series = speckle(np.random.default_rng(1), 4, (6, 1, 40, 1000)).astype(np.float32)
    whole, turned = omnibus(series, 4, 0.05), omnibus(series.swapaxes(2, 3), 4, 0.05)
    np.testing.assert_array_equal(whole.count, turned.count.T)
    np.testing.assert_array_equal(whole.p_value, turned.p_value.T)


def test_long_series_and_scale_do_not_matter() -> None:
    series = speckle(np.random.default_rng(1), 4, (300, 1, 4, 5))
    found = omnibus(series, 4, 0.001, step_p_values=True)
    changes, p_values, overall, _ = slow_pixel(series[:, :, 1, 1], 4, 0.001)
    assert found.count[1, 1] == len(changes)
    assert found.step_p_values is not None
    np.testing.assert_allclose(found.step_p_values[:, 1, 1], p_values, rtol=1e-4, atol=1e-9)
    assert found.p_value[1, 1] == pytest.approx(overall, rel=1e-5)
    tiny = omnibus(series * 1e-30, 4, 0.001)
    np.testing.assert_array_equal(tiny.count, found.count)


def test_state_can_be_stored_and_fed_on() -> None:
    series = changing(2)
    state = OmnibusState(series.shape[2:], 2, 4, 0.01)
    steps = [state.update(image) for image in series[:10]]
    state = pickle.loads(pickle.dumps(state))
    steps += [state.update(image) for image in series[10:]]
    found = omnibus(series, 4, 0.01, steps=True)
    assert found.steps is not None
    np.testing.assert_array_equal(np.stack(steps), found.steps)
    np.testing.assert_array_equal(state.result().p_value, found.p_value)


def test_one_date_and_no_data_at_all() -> None:
    for series in (np.full((1, 2, 3, 3), 0.1), np.full((5, 2, 3, 3), np.nan)):
        found = omnibus(series, 4)
        assert found.count.max() == 0 and found.first.max() == -1
        assert np.isnan(found.p_value).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"series": np.ones((3, 4, 4))}, "four dimensions"),
        ({"series": np.ones((3, 3, 4, 4))}, "3 bands"),
        ({"looks": 0.5}, "looks is 0.5"),
        ({"significance": 0.0}, "significance is 0.0"),
        ({"series": np.ones((3, 1, 4, 4), complex)}, "complex"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        omnibus(**{"series": np.ones((3, 2, 4, 4)), "looks": 4.0, **change})


def test_bad_images_are_named() -> None:
    with pytest.raises(InputError, match="empty"):
        omnibus_stream([], 4)
    with pytest.raises(InputError, match="three dimensions"):
        omnibus_stream([np.ones((2, 2))], 4)
    with pytest.raises(InputError, match="expected \\(1, 2, 2\\)"):
        omnibus_stream([np.ones((1, 2, 2)), np.ones((1, 2, 3))], 4)
