"""Mappings between the distributions of two classes, against the oracle and slow densities."""

import numpy as np
import pytest
from scipy.special import ndtr

from terradelta.errors import InputError
from terradelta.simulate.injected import KernelMapping, QuantileMapping

CASES = ("continuous", "nearest_repeats", "small_forest_800", "quantised_half_db")


@pytest.fixture(scope="module", params=CASES)
def case(request, shared):
    with np.load(shared / "reference/sar/statistical_mapping.npz") as oracle:
        return {k: oracle[f"{request.param}_{k}"] for k in ("forest", "target", "x", "y")}


def test_published_equals_the_oracle(case):
    found = QuantileMapping.fit(case["forest"], case["target"], published=True)(case["x"])
    finite = np.isfinite(case["y"])
    np.testing.assert_array_equal(found[~finite], case["y"][~finite])
    np.testing.assert_allclose(found[finite], case["y"][finite], rtol=0, atol=1e-6)


def test_default_is_finite_and_rises(case):
    mapping = QuantileMapping.fit(case["forest"], case["target"])
    values = np.sort(np.concatenate([case["x"], [-200.0, 200.0]]))
    mapped = mapping(values)
    assert np.isfinite(mapped).all()
    assert (np.diff(mapped) >= -1e-9).all()
    assert abs(mapping(case["forest"]).mean() - case["target"].mean()) < 0.02


def test_default_equals_the_published_one_inside_the_range(shared):
    with np.load(shared / "reference/sar/statistical_mapping.npz") as oracle:
        forest, target, x = (oracle[f"continuous_{k}"] for k in ("forest", "target", "x"))
    published, mapping = (QuantileMapping.fit(forest, target, published=p) for p in (True, False))
    inside = x[(x > published.forest[0]) & (x < published.forest[-1])]
    assert len(inside) > 250
    np.testing.assert_allclose(mapping(inside), published(inside), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pixels", [1, 2, 5, 1000])
@pytest.mark.parametrize("target", [1, 3, 1000])
def test_default_bears_few_and_constant_values(pixels, target):
    rng = np.random.default_rng(pixels)
    for forest in (rng.normal(-10, 1, pixels), np.full(pixels, -10.0)):
        for wanted in (rng.normal(-14, 1, target), np.full(target, -14.0)):
            mapped = QuantileMapping.fit(forest, wanted)(np.array([-50.0, -10.0, -10.0, 3.0]))
            assert np.isfinite(mapped).all()
    np.testing.assert_allclose(QuantileMapping.fit([-10.0], [-14.0])(np.array([-10.0, -9.0])), [-14, -13])


def test_repeated_values_take_the_mean_of_their_share():
    forest, target = np.repeat([0.0, 1.0], 5000), np.linspace(0, 1, 10000)
    mapped = QuantileMapping.fit(forest, target)(np.array([0.0, 1.0]))
    np.testing.assert_allclose(mapped, [0.25, 0.75], atol=2e-3)


def test_missing_values_are_left_out_and_stay_missing():
    x = np.arange(500.0)
    holes = np.concatenate([x, [np.nan, np.inf, -np.inf]])
    for kind in (QuantileMapping, KernelMapping):
        a, b = kind.fit(holes, holes - 3), kind.fit(x, x - 3)
        np.testing.assert_array_equal(a(x), b(x))
        assert np.isnan(a(np.array([np.nan]))).all()


def slow_kernel(forest, target, value):
    """Bandwidths by Silverman's rule, sums of all kernels, bisection."""

    def share(x, values):
        spread = min(values.std(ddof=1), np.subtract(*np.percentile(values, [75, 25])) / 1.349)
        return ndtr((x - values) / (1.0592238 * spread * len(values) ** -0.2)).mean()

    wanted, low, high = share(value, forest), target.min() - 9, target.max() + 9
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle, target) < wanted else (low, middle)
    return low


def test_kernels_equal_slow_densities():
    rng = np.random.default_rng(2)
    forest = rng.normal(-10, 1.5, 700)
    target = np.concatenate([rng.normal(-15, 1, 300), rng.gamma(3, 1, 200) - 16])
    mapping = KernelMapping.fit(forest, target)
    for value in (-15.0, -13.0, -10.0, -8.5, -6.0):
        assert abs(mapping(np.array([value]))[0] - slow_kernel(forest, target, value)) < 2e-3
    assert np.isfinite(mapping(np.array([-500.0, 500.0]))).all()


def test_bandwidth_is_that_of_the_oracle(shared):
    import json

    from terradelta.simulate.injected.mappings import _bandwidth

    notes = json.loads((shared / "reference/sar/statistical_mapping.json").read_text())
    with np.load(shared / "reference/sar/statistical_mapping.npz") as oracle:
        for name in CASES:
            width = _bandwidth(oracle[f"{name}_forest"].astype(float), "forest")
            assert width == pytest.approx(notes[name]["bandwidth_forest"], rel=1e-9)


def test_kernels_refuse_a_constant_class():
    values = np.random.default_rng(0).normal(size=50)
    with pytest.raises(InputError, match=r"forest has the constant value -10.*mapping='quantile'"):
        KernelMapping.fit(np.full(50, -10.0), values)
    with pytest.raises(InputError, match=r"target has the constant value 3\.5.*mapping='quantile'"):
        KernelMapping.fit(values, np.array([3.5]))


def test_a_class_without_values_is_named():
    for kind in (QuantileMapping, KernelMapping):
        with pytest.raises(InputError, match="forest has no finite value"):
            kind.fit([np.nan], [1.0, 2.0])
        with pytest.raises(InputError, match="target has no finite value"):
            kind.fit([1.0, 2.0], [])
