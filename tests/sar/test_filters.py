from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from terradelta.errors import InputError
from terradelta.sar import (
    TV_HALO,
    border_noise_mask,
    despeckle_tv,
    equivalent_looks,
    log_ratio,
    refined_lee,
    to_db,
    to_linear,
)
from terradelta.windows import blocks


def field(looks: float = 4, shape: tuple[int, int] = (60, 70), seed: int = 0) -> np.ndarray:
    """Two fields with a slanted border and a bright point, in linear power, with speckle."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    level = np.where(x > 0.6 * y + 20, 0.2, 0.03)
    level[10, 12] = 20
    return level * rng.gamma(looks, 1 / looks, shape)


def holes(image: np.ndarray, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = image.copy()
    out[rng.random(image.shape) < 0.03] = np.nan
    out[30:38, 20:45] = 0
    out[:, :4] = -1
    return out


def slow_refined_lee(image: np.ndarray, looks: float, window: int = 7) -> np.ndarray:
    """The refined Lee filter pixel by pixel, written out."""
    r, side = window // 2, (window // 2) | 1
    step = (window - side) // 2
    out = np.full(image.shape, np.nan)
    data = np.pad(np.where((image > 0) & np.isfinite(image), image, np.nan), r, constant_values=np.nan)
    for y, x in np.ndindex(image.shape):
        near = data[y : y + window, x : x + window]
        if np.isnan(near[r, r]):
            continue
        m = np.full((3, 3), np.nan)
        for i, j in np.ndindex(3, 3):
            area = near[i * step : i * step + side, j * step : j * step + side]
            if not np.isnan(area).all():
                m[i, j] = np.nanmean(area)
        m[np.isnan(m)] = m[1, 1]
        gradients = [
            abs(m[:, 2].sum() - m[:, 0].sum()),
            abs(m[0, 1] + m[0, 2] + m[1, 2] - m[1, 0] - m[2, 0] - m[2, 1]),
            abs(m[0].sum() - m[2].sum()),
            abs(m[0, 0] + m[0, 1] + m[1, 0] - m[1, 2] - m[2, 1] - m[2, 2]),
        ]
        edge = int(np.argmax(gradients))
        sides = [((1, 0), (1, 2)), ((2, 0), (0, 2)), ((2, 1), (0, 1)), ((2, 2), (0, 0))][edge]
        second = abs(m[sides[1]] - m[1, 1]) < abs(m[sides[0]] - m[1, 1])
        chosen = []
        for dy in range(-r, r + 1):
            for dx in range(-r, r + 1):
                inside = [
                    (dx <= 0, dx >= 0),  # vertical edge: west, east
                    (dx <= dy, dx >= dy),  # from top left to bottom right: south-west, north-east
                    (dy >= 0, dy <= 0),  # horizontal edge: south, north
                    (dx >= -dy, dx <= -dy),  # from bottom left to top right: south-east, north-west
                ][edge][int(second)]
                value = near[dy + r, dx + r]
                if inside and not np.isnan(value):
                    chosen.append(value)
        mean, variance = np.mean(chosen), np.var(chosen)
        b = max((variance - mean**2 / looks) / ((1 + 1 / looks) * variance), 0) if variance > 0 else 0
        out[y, x] = mean + b * (near[r, r] - mean)
    return out


@pytest.mark.parametrize("window", [5, 7, 9])
def test_refined_lee_equals_the_slow_version(window: int) -> None:
    image = holes(field(shape=(48, 50)))
    np.testing.assert_allclose(refined_lee(image, 4, window), slow_refined_lee(image, 4, window), rtol=1e-9)


@pytest.mark.parametrize("smooth", [lambda v: refined_lee(v, 4), lambda v: to_linear(despeckle_tv(to_db(v)))])
def test_filters_never_smear_no_data(smooth) -> None:
    image = holes(field())
    valid = np.isfinite(to_db(image))
    result = smooth(image)
    np.testing.assert_array_equal(np.isfinite(result), valid)
    # what stands where there is no data must not matter
    other = np.where(valid, image, np.nan)
    np.testing.assert_array_equal(smooth(other), result)
    assert np.nanmin(result) >= np.nanmin(np.where(valid, image, np.nan)) * 0.999
    assert np.nanmax(result) <= np.nanmax(np.where(valid, image, np.nan)) * 1.001


def test_refined_lee_keeps_constants_means_and_edges() -> None:
    np.testing.assert_allclose(refined_lee(np.full((20, 21), 0.3), 4), 0.3, rtol=1e-12)
    flat = np.random.default_rng(0).gamma(4, 0.25, (200, 200))
    smooth = refined_lee(flat, 4)
    assert smooth.mean() == pytest.approx(1, rel=0.03)
    assert smooth.std() < 0.5 * flat.std()
    step = np.where(np.arange(40) < 20, 0.02, 0.5) * np.ones((40, 1))
    np.testing.assert_allclose(refined_lee(step, 4), step, rtol=1e-9)


def test_refined_lee_handles_images_smaller_than_the_window_and_stacks() -> None:
    assert refined_lee(np.full((1, 1), 0.2), 4).tolist() == [[0.2]]
    stack = np.stack([field(seed=s)[:20, :20] for s in range(4)]).reshape(2, 2, 20, 20).astype(np.float32)
    result = refined_lee(stack, 4)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[1, 0], refined_lee(stack[1, 0], 4))


@pytest.mark.parametrize(("halo", "tolerance"), [(16, 1e-3), (TV_HALO, 1e-4)])
def test_tv_of_blocks_equals_tv_of_the_whole(halo: int, tolerance: float) -> None:
    image = to_db(holes(field(shape=(170, 190)))).astype(np.float32)
    whole = despeckle_tv(image)
    parts = np.full_like(whole, np.nan)
    for block in blocks(image.shape, 64, halo=halo):
        parts[block.core] = despeckle_tv(image[block.read])[block.inner]
    np.testing.assert_allclose(parts, whole, atol=tolerance, rtol=0)


def test_tv_treats_each_image_alone_and_keeps_the_type() -> None:
    stack = np.stack([to_db(field(seed=s)) for s in range(4)]).reshape(2, 2, 60, 70)
    result = despeckle_tv(stack)
    for index in np.ndindex(2, 2):
        np.testing.assert_array_equal(result[index], despeckle_tv(stack[index]))
    single = despeckle_tv(stack.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, result, atol=1e-4)


def test_tv_keeps_the_mean_and_large_steps() -> None:
    rng = np.random.default_rng(0)
    step = np.where(np.arange(80) < 40, -18.0, -8.0) * np.ones((80, 1))
    smooth = despeckle_tv(step + rng.normal(0, 2, step.shape))
    assert abs(smooth.mean() - step.mean()) < 0.15
    assert np.abs(smooth[:, 45:] - step[:, 45:]).mean() < 1.2
    weak, strong = despeckle_tv(step + rng.normal(0, 2, step.shape), 2.0), smooth
    assert ndimage.laplace(weak).std() > ndimage.laplace(strong).std()


def test_tv_of_thin_and_empty_images() -> None:
    assert np.isnan(despeckle_tv(np.full((5, 5), np.nan))).all()
    assert despeckle_tv(np.full((1, 6), -10.0)).shape == (1, 6)
    assert despeckle_tv(np.full((3, 1, 1), -10.0)).tolist() == [[[-10.0]]] * 3


def test_decibel_there_and_back() -> None:
    linear = np.geomspace(1e-6, 1e3, 50).astype(np.float32)
    assert to_db(linear).dtype == np.float32
    np.testing.assert_allclose(to_linear(to_db(linear)), linear, rtol=3e-6)
    bad = [0.0, -1.0, np.nan, np.inf, -np.inf]
    assert np.isnan(to_db(bad)).all()
    assert np.isnan(to_linear([np.nan, np.inf, -np.inf, 4000.0, -4000.0])).all()
    assert to_db(100).shape == () and to_db(np.int16(100)) == 20
    assert log_ratio(1.0, 10.0) == -10
    with pytest.raises(InputError, match="one grid"):
        log_ratio(np.ones(3), np.ones(4))


def test_border_noise_is_found_and_dark_water_kept() -> None:
    rng = np.random.default_rng(0)
    scene = rng.gamma(4, 0.05 / 4, (80, 90)) + 1e-3
    y, x = np.mgrid[:80, :90]
    outside, fringe = x < 10 + y // 4, x < 14 + y // 4
    scene[fringe] = rng.uniform(1e-7, 1e-4, fringe.sum())
    scene[outside] = 0
    scene[40:50, 60:75] = 1e-5
    scene[20, 70], scene[21, 70] = 0, np.nan
    mask = border_noise_mask(scene)
    wanted = fringe.copy()
    wanted[20:22, 70] = True
    np.testing.assert_array_equal(mask, wanted)
    grown = border_noise_mask(np.stack([scene, np.ones_like(scene)]), grow=2)
    assert grown[0].sum() > mask.sum() and not grown[1].any() and not grown[0, 45, 65]


@pytest.mark.parametrize("looks", [1, 4, 12])
def test_looks_of_simulated_speckle(looks: int) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        flat = rng.gamma(looks, 0.1 / looks, (400, 400)).astype(np.float32)
        assert equivalent_looks(flat) == pytest.approx(looks, rel=0.1)
        patchy = flat * np.kron(rng.choice([0.02, 0.1, 0.5], (8, 8)), np.ones((50, 50)))
        patchy[:150, :150] *= rng.gamma(3, 1 / 3, (150, 150))
        patchy[rng.random(patchy.shape) < 0.002] = np.nan
        assert equivalent_looks(patchy) == pytest.approx(looks, rel=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: despeckle_tv(np.ones(3)), "shape"),
        (lambda: despeckle_tv(np.ones((3, 3)), 0.0), "weight is 0.0"),
        (lambda: despeckle_tv(np.ones((3, 3)), iterations=0), "iterations is 0"),
        (lambda: refined_lee(np.ones(3), 4), "shape"),
        (lambda: refined_lee(np.ones((3, 3)), 0), "looks is 0"),
        (lambda: refined_lee(np.ones((3, 3)), 4, 6), "window is 6"),
        (lambda: equivalent_looks(np.ones((3, 30))), "no window"),
        (lambda: equivalent_looks(np.ones((30, 30)), 2), "window is 2"),
        (lambda: border_noise_mask(np.ones((3, 3)), threshold=0), "threshold is 0"),
        (lambda: border_noise_mask(np.ones((3, 3)), grow=-1), "grow is -1"),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
