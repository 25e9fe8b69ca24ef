"""The shift α from the histogram of the index."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terradelta.errors import InputError
from terradelta.optical import beta_sums, endisi, shift_histogram, suggest_shift, unshifted
from terradelta.simulate import urban_place
from terradelta.simulate.covers import Cover

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


def within(values: np.ndarray, threshold: float) -> float:
    """Variance within the two classes, which Otsu's threshold makes least."""
    return sum(
        part.size * part.var()
        for part in (values[values < threshold], values[values >= threshold])
        if part.size
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(-1.4, -0.5), st.floats(0.2, 0.8), st.floats(0.05, 0.95))
def test_threshold_leaves_the_least_variance_within(
    seed: int, low: float, apart: float, share: float
) -> None:
    random = np.random.default_rng(seed)
    high = random.random(400) < share
    exact = np.clip(random.normal(np.where(high, low + apart, low), 0.1), -1.99, 0.99)
    found = shift_histogram(exact, 60)
    centred = (found.edges[:-1] + 0.025)[np.digitize(exact, found.edges) - 1]
    least = min(within(centred, edge) for edge in found.edges[1:-1])
    assert within(centred, found.threshold) <= least * (1 + 1e-9)
    assert found.shift == np.clip(-found.threshold, 0, 1)
    assert found.counts.sum() == 400 and len(found.edges) == 61


def test_two_humps_are_cut_between_them() -> None:
    random = np.random.default_rng(0)
    low, high = random.normal(-0.7, 0.06, 3000), random.normal(-0.2, 0.06, 1000)
    values = np.r_[low, high, np.full(500, np.nan)]
    shift = suggest_shift(values)
    assert 0.35 < shift < 0.55
    assert (low < -shift).mean() > 0.99 and (high > -shift).mean() > 0.99


def test_shift_stays_between_zero_and_one() -> None:
    assert suggest_shift([0.5, 0.6, 0.1, 0.15]) == 0
    assert suggest_shift([-1.9, -1.8, -1.3, -1.2]) == 1


def test_land_is_impervious_above_minus_the_shift() -> None:
    image = np.random.default_rng(4).uniform(0.05, 0.4, (13, 30, 30))
    beta = beta_sums(image).beta
    values = unshifted(image, beta)
    shift = suggest_shift(values)
    land = np.isfinite(values)
    assert 0.2 < land.mean() < 0.8
    np.testing.assert_array_equal(endisi(image, beta, shift)[land] > 0, values[land] > -shift)


def test_shift_tells_buildings_from_the_rest_in_a_simulated_town() -> None:
    town = urban_place(0, size=64, years=0.5, changes=0)
    optical = town["optical"].to_dataset()
    image = optical["reflectance"].where(optical["clear"]).mean("time").to_numpy()
    built = town["static"]["land_cover"].to_numpy() == Cover.URBAN
    beta = beta_sums(image).beta
    found = endisi(image, beta, suggest_shift(unshifted(image, beta)))
    assert ((found > 0) == built).mean() > 0.95
    assert np.median(found[built]) > 0.2 and found[~built].mean() < 0.02


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [0.1, 0.1, np.nan]])
def test_no_threshold_without_two_values(values: list[float]) -> None:
    with pytest.raises(InputError, match=r"a threshold needs two or more.*set the shift yourself"):
        suggest_shift(values)


def test_too_few_bins_are_refused() -> None:
    with pytest.raises(InputError, match="bins is 1"):
        shift_histogram([0.1, 0.2], 1)
