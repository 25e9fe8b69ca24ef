"""Speckle against the gamma law."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from terradelta.errors import InputError
from terradelta.simulate import speckle
from terradelta.simulate.speckle import correlated_normal


@pytest.mark.parametrize("looks", [1.0, 4.4, 20.0])
@pytest.mark.parametrize("resolution", [0.0, 20.0])
def test_mean_looks_and_law(looks: float, resolution: float) -> None:
    grain = speckle(np.random.default_rng(1), (3, 400, 400), looks, resolution=resolution, spacing=10.0)
    assert grain.dtype == np.float32
    assert grain.min() > 0
    assert grain.mean() == pytest.approx(1.0, rel=0.005)
    assert 1 / grain.var() == pytest.approx(looks, rel=0.05)
    thinned = grain[:, ::5, ::5].ravel()
    assert stats.kstest(thinned, stats.gamma(looks, scale=1 / looks).cdf).pvalue > 0.001


def neighbours(grain: np.ndarray, lag: int, axis: int) -> float:
    rolled = np.moveaxis(grain, axis, -1)
    return float(np.corrcoef(rolled[..., :-lag].ravel(), rolled[..., lag:].ravel())[0, 1])


def test_independent_pixels_are_independent() -> None:
    grain = speckle(np.random.default_rng(2), (400, 400), 4.4)
    assert abs(neighbours(grain, 1, -1)) < 0.01


@pytest.mark.parametrize("axis", [-1, -2])
def test_correlation_follows_the_resolution(axis: int) -> None:
    field = correlated_normal(np.random.default_rng(3), (500, 500), 20.0, 10.0)
    assert neighbours(field, 1, axis) == pytest.approx(np.sinc(0.5) ** 2, abs=0.02)
    assert neighbours(field, 2, axis) == pytest.approx(0.0, abs=0.02)
    grain = speckle(np.random.default_rng(3), (500, 500), 4.4, resolution=20.0, spacing=10.0)
    assert 0.3 < neighbours(grain, 1, axis) < 0.5


def test_averaging_two_by_two_grd_pixels_gives_the_default_looks() -> None:
    grain = speckle(np.random.default_rng(4), (600, 600), 4.4, resolution=20.0, spacing=10.0)
    block = grain.reshape(300, 2, 300, 2).mean((1, 3))
    assert 1 / block.var() == pytest.approx(8.5, rel=0.1)


def test_looks_must_be_positive() -> None:
    with pytest.raises(InputError, match="looks is 0"):
        speckle(np.random.default_rng(0), (4, 4), 0.0)
