"""Total variation: the solver against its definition, another solver and itself without a compiler."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.restoration import denoise_tv_bregman

from terradelta.sar import TV_HALO, despeckle_tv, variation


def field(shape: tuple[int, int] = (90, 100), seed: int = 0) -> np.ndarray:
    """Steps, slopes and speckle, dB."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    level = -12 + 4.0 * ((x // 20 + y // 30) % 3) + np.where(x > 0.6 * y + 20, 6, 0) + 0.02 * y
    return level + rng.normal(0, 1.8, shape)


def plain_solver(image: np.ndarray, weight: float, iterations: int) -> np.ndarray:
    """Chambolle and Pock, over-relaxed, on whole arrays and in their own symbols."""
    sigma, tau, relaxation = weight, 1 / (8 * weight), 1.7
    u, ahead = image.copy(), image.copy()
    dual = np.zeros((2, *image.shape))
    for _ in range(iterations):
        moved = dual + sigma * gradient(ahead)
        length = np.sqrt((moved**2).sum(axis=0))
        # what makes h*(p) + |p - moved|**2 / (2 sigma) least, for h of the docstring
        nearest = moved * 2 / (1 + length + np.sqrt(1 + length**2))
        dual += relaxation * (nearest - dual)
        new = (u - tau * adjoint(dual) + tau * weight * image) / (1 + tau * weight)
        ahead = 2 * new - u
        u = u + relaxation * (new - u)
    return u


def gradient(u: np.ndarray) -> np.ndarray:
    """Forward differences, zero beyond the rim."""
    return np.stack([np.diff(u, axis=1, append=u[:, -1:]), np.diff(u, axis=0, append=u[-1:])])


def adjoint(dual: np.ndarray) -> np.ndarray:
    x, y = dual
    return -np.diff(x, axis=1, prepend=0) - np.diff(y, axis=0, prepend=0)


@pytest.fixture(params=["compiled", "numpy"])
def solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either way that the solver runs."""
    if request.param == "numpy":
        monkeypatch.setattr(variation, "_compiled_solver", lambda: None)
    elif variation._compiled_solver() is None:
        pytest.skip("there is no C++ compiler")
    return str(request.param)


@pytest.mark.parametrize("shape", [(40, 50), (1, 30), (30, 1), (1, 1), (3, 5000), (300, 17)])
@pytest.mark.parametrize("iterations", [1, 2, 30])
def test_equals_the_solver_on_whole_arrays(solver: str, shape: tuple[int, int], iterations: int) -> None:
    image = field(shape)
    expected = plain_solver(image, 0.2, iterations)
    np.testing.assert_allclose(despeckle_tv(image, iterations=iterations), expected, atol=1e-10)
    single = despeckle_tv(image.astype(np.float32), iterations=iterations)
    np.testing.assert_allclose(single, expected, atol=2e-5)


def test_more_steps_than_fit_in_the_cache_at_once(solver: str) -> None:
    image = field((12, 9000))
    np.testing.assert_allclose(despeckle_tv(image, iterations=40), plain_solver(image, 0.2, 40), atol=1e-10)


@pytest.mark.parametrize("weight", [0.05, 0.2, 0.5])
def test_another_solver_comes_to_the_same(solver: str, weight: float) -> None:
    """Split Bregman; its rim is another one, so inside only."""
    image = field()
    other = denoise_tv_bregman(image, weight=weight, max_num_iter=2000, eps=0.0)
    inner = np.s_[32:-32, 32:-32]
    np.testing.assert_allclose(despeckle_tv(image, weight, iterations=600)[inner], other[inner], atol=2e-3)


@pytest.mark.parametrize(("weight", "error"), [(0.05, 1e-2), (0.2, 1e-3), (0.5, 1e-3)])
def test_thirty_steps_are_enough(weight: float, error: float) -> None:
    image = field()
    left = despeckle_tv(image, weight) - despeckle_tv(image, weight, iterations=1000)
    assert np.sqrt(np.mean(left**2)) < error


def test_the_result_is_the_least_of_what_is_minimised() -> None:
    """The slope of the sum is zero: weight (u - f) = div p, with p = h' along the gradient."""
    image, weight = field(), 0.2
    smooth = despeckle_tv(image, weight, iterations=3000)
    step = gradient(smooth)
    length = np.sqrt((step**2).sum(axis=0))
    scaled = 2 * weight * length
    t = (scaled + np.sqrt(scaled**2 + 4 * scaled)) / 2
    dual = step * t / (1 + t) / np.maximum(length, 1e-300)
    np.testing.assert_allclose(weight * (smooth - image) + adjoint(dual), 0, atol=1e-4)


def test_a_block_with_its_halo_equals_the_whole(solver: str) -> None:
    image = field((120, 130))
    whole, part = despeckle_tv(image), despeckle_tv(image[:80, :90])
    inner = np.s_[: 80 - TV_HALO, : 90 - TV_HALO]
    np.testing.assert_allclose(part[inner], whole[inner], atol=1e-10)


def test_images_with_other_holes_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = np.stack([field((30, 40), seed) for seed in range(5)])
    stack[0, :5], stack[1, 10:12, 3:9], stack[2, :5], stack[4] = np.nan, np.nan, np.inf, np.nan
    alone = [despeckle_tv(image) for image in stack]
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        np.testing.assert_array_equal(despeckle_tv(stack), alone)
    assert [np.isnan(image).sum() for image in alone] == [200, 12, 200, 0, 1200]


def test_views_and_other_layouts() -> None:
    image = field((60, 50))
    np.testing.assert_array_equal(despeckle_tv(image.T), despeckle_tv(np.ascontiguousarray(image.T)))
    np.testing.assert_array_equal(despeckle_tv(image[::2, ::-3]), despeckle_tv(image[::2, ::-3].copy()))
