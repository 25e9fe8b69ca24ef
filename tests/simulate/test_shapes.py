"""Discs and offset changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from terradelta.errors import InputError
from terradelta.simulate import discs, offset_change
from terradelta.types import Size


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_discs_are_whole_apart_inside_and_allowed(seed: int, count: int) -> None:
    size = Size(90, 110)
    allowed = np.ones(size, bool)
    allowed[:, :20] = False
    mask = discs(size, count, (4, 8), np.random.default_rng(seed), allowed)
    assert not mask[[0, -1]].any()
    assert not mask[:, -1].any()
    assert not (mask & ~allowed).any()
    labels, found = ndimage.label(mask, structure=np.ones((3, 3)))
    assert found == count
    for number in range(1, count + 1):
        rows, columns = np.nonzero(labels == number)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert height == width
        assert 9 <= height <= 17
        assert rows.size == pytest.approx(np.pi * (height / 2) ** 2, rel=0.25)


def test_discs_are_seeded() -> None:
    first, again, other = (discs(Size(80, 80), 3, (6, 11), np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_room_and_wrong_mask_are_refused() -> None:
    with pytest.raises(InputError, match="no room for disc 1 of 3"):
        discs(Size(20, 20), 3, (15, 15), np.random.default_rng(0))
    with pytest.raises(InputError, match="raster's size"):
        discs(Size(20, 20), 1, (3, 4), np.random.default_rng(0), np.ones((5, 5), bool))
    with pytest.raises(InputError, match="image's size"):
        offset_change(np.ones((2, 4, 4)), np.ones((3, 3), bool), -2.5)


def test_offset_change_is_exact_and_local() -> None:
    rng = np.random.default_rng(0)
    image = rng.gamma(4, 0.02, (3, 2, 20, 20)).astype(np.float32)
    image[0, 0, 0, 0] = np.nan
    mask = rng.random((20, 20)) < 0.3
    changed = offset_change(image, mask, -2.5)
    assert changed.dtype == np.float32
    np.testing.assert_array_equal(changed[..., ~mask], image[..., ~mask])
    np.testing.assert_allclose(changed[..., mask], image[..., mask] * 10**-0.25, rtol=1e-6)
    assert changed is not image
