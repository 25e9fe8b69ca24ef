"""ENDISI and β: against the formula pixel by pixel, and the published variant against its oracle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.optical import LANDSAT5, SENTINEL2, Bands, BetaSums, beta_sums, defined, endisi, unshifted

CASES = ("clean", "edges", "long", "zeros", "no_optical_before")
SIDES = ("before", "after")


@pytest.fixture(scope="module", params=[("s1s2", SENTINEL2), ("ers12ls5", LANDSAT5)], ids=lambda p: p[0])
def oracle(request: pytest.FixtureRequest, shared: Path) -> Iterator[tuple[Any, Bands]]:
    era, bands = request.param
    with np.load(shared / "reference" / "ercnn" / f"labels_{era}.npz") as file:
        yield file, bands


def mean_of(file: Any, case: str, side: str) -> np.ndarray:
    return np.moveaxis(file[f"{case}_mean_{side}"], -1, 0)


# as published


@pytest.mark.parametrize("case", CASES)
def test_published_sums_equal_the_oracle(oracle: tuple[Any, Bands], case: str) -> None:
    file, bands = oracle
    for side, name in enumerate(SIDES):
        sums = beta_sums(mean_of(file, case, name), bands, as_published=True)
        np.testing.assert_allclose(
            [sums.blue, sums.ratio, sums.water], file[f"{case}_coeffs"][side], rtol=1e-6, atol=0
        )
        np.testing.assert_allclose(sums.beta, file[f"{case}_betas_own_tile"][side], rtol=1e-6, atol=0)


def test_published_beta_of_several_tiles_equals_the_oracle(oracle: tuple[Any, Bands]) -> None:
    file, bands = oracle
    for side, name in enumerate(SIDES):
        total = BetaSums()
        for case in ("clean", "long", "zeros"):
            total += beta_sums(mean_of(file, case, name), bands, as_published=True)
        assert total.count == 3
        np.testing.assert_allclose(total.beta, file["betas_multi"][side], rtol=1e-6, atol=0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ending", ["", "_own_tile_betas"])
def test_published_endisi_equals_the_oracle(oracle: tuple[Any, Bands], case: str, ending: str) -> None:
    file, bands = oracle
    betas = file[f"{case}_betas_own_tile"] if ending else file["betas_used"]
    for side, name in enumerate(SIDES):
        image = mean_of(file, case, name)
        found = endisi(image, betas[side], float(file["shift_A"]), bands, as_published=True)
        np.testing.assert_allclose(found, file[f"{case}_endisi_{name}{ending}"], rtol=0, atol=1e-6)


# the default


def noisy(seed: int = 1) -> np.ndarray:
    """An image with pixels of every undefined kind: zero, NaN, infinite, negative bands."""
    random = np.random.default_rng(seed)
    image = random.uniform(0.02, 0.5, (13, 12, 14))
    for number, value in enumerate((0.0, np.nan, np.inf, -0.1)):
        for band in SENTINEL2:
            image[band, number, band % 14] = value
    image[:, 5, :3] = 0
    image[3, 6, 6] = np.nan
    return image


def slow_parts(blue: float, green: float, swir1: float, swir2: float) -> tuple[float, float] | None:
    """MNDWI and SWIR1 / SWIR2 of a pixel, None where undefined."""
    if not all(np.isfinite(v) and v > 0 for v in (blue, green, swir1, swir2)):
        return None
    return (green - swir1) / (green + swir1), swir1 / swir2


def slow(image: np.ndarray, bands: Bands, shift: float) -> tuple[float, np.ndarray, np.ndarray]:
    """β, ENDISI and the index before the shift, pixel by pixel."""
    sums, size = [0.0, 0.0, 0], image.shape[1:]
    for y, x in np.ndindex(size):
        four = [image[band, y, x] for band in bands]
        parts = slow_parts(*four)
        if parts is not None:
            sums = [sums[0] + four[0], sums[1] + parts[1] + parts[0] ** 2, sums[2] + 1]
    beta = 2 * (sums[0] / sums[2]) / (sums[1] / sums[2])
    found, before = np.zeros(size), np.full(size, np.nan)
    for y, x in np.ndindex(size):
        blue, green, swir1, swir2 = (image[band, y, x] for band in bands)
        parts = slow_parts(blue, green, swir1, swir2)
        if parts is None:
            continue
        dry = beta * (parts[1] + parts[0] ** 2)
        index, soil = (blue - dry) / (blue + dry), max((swir1 - blue) / (swir1 + blue), 0)
        found[y, x] = min(max(max(index + shift, 0) - 2 * max(parts[0], 0) - soil, 0), 1)
        if parts[0] <= 0:
            before[y, x] = index - soil
    return beta, found, before


def test_default_is_the_formula_pixel_by_pixel() -> None:
    image = noisy()
    beta, found, before = slow(image, SENTINEL2, 0.5)
    assert beta_sums(image).beta == pytest.approx(beta, rel=1e-12)
    np.testing.assert_allclose(endisi(image, beta, 0.5), found, atol=1e-12)
    np.testing.assert_allclose(unshifted(image, beta), before, atol=1e-12)
    assert (found[:4] > 0).any() and np.isnan(before).sum() > 20


def test_undefined_pixels_give_zero_and_are_left_out_of_beta() -> None:
    image = noisy()
    known = defined(image)
    assert (~known).sum() == 4 * 4 + 3
    assert known[6, 6], "other bands do not matter"
    assert (endisi(image, 0.2, 1.0)[~known] == 0).all()
    whole = beta_sums(image)
    assert whole.count == known.sum()
    assert whole.beta == beta_sums(image[:, known][:, None]).beta


def test_one_pixel_without_swir2_ruins_beta_only_as_published() -> None:
    image = np.random.default_rng(3).uniform(0.02, 0.5, (7, 8, 8))
    good = beta_sums(image, LANDSAT5).beta
    image[6, 2, 3] = 0
    assert beta_sums(image, LANDSAT5).beta == pytest.approx(good, rel=0.1)
    assert beta_sums(image, LANDSAT5, as_published=True).beta < 1e-30


def test_beta_does_not_depend_on_the_tiling() -> None:
    image = noisy()
    pieces = [image[:, y : y + 5, x : x + 3] for y in range(0, 12, 5) for x in range(0, 14, 3)]
    parts = sum((beta_sums(piece) for piece in pieces), BetaSums())
    assert parts.count == beta_sums(image).count
    assert parts.beta == pytest.approx(beta_sums(image).beta, rel=1e-12)


def test_nothing_defined_gives_no_beta_and_zero() -> None:
    for value in (0.0, np.nan):
        image = np.full((13, 2, 3), value)
        for published in (False, True):
            beta = beta_sums(image, as_published=published).beta
            assert np.isnan(beta)
            assert (endisi(image, beta, 0.5, as_published=published) == 0).all()
    ordinary = np.full((13, 2, 3), 0.2)
    assert (endisi(ordinary, np.nan, 0.5) == 0).all()
    assert np.isnan(unshifted(ordinary, np.nan)).all()


def test_single_precision_is_read_in_double() -> None:
    image = noisy().astype(np.float32)
    np.testing.assert_array_equal(endisi(image, 0.2, 0.3), endisi(image.astype(np.float64), 0.2, 0.3))


@pytest.mark.parametrize("function", [defined, beta_sums, lambda *a: endisi(a[0], 1, 0.5, a[1])])
def test_wrong_images_are_refused(function: Any) -> None:
    with pytest.raises(InputError, match="the image has 7 bands, but the index reads bands 1, 2, 11, 12"):
        function(np.ones((7, 2, 2)), SENTINEL2)
    with pytest.raises(InputError, match=r"image has shape \(7, 2\)"):
        function(np.ones((7, 2)), LANDSAT5)
