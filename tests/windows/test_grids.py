from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terradelta.errors import InputError
from terradelta.types import Size
from terradelta.windows import Block, blocks, grid_tiles, mosaic, tiles


@st.composite
def tilings(draw) -> tuple[Size, Size, int]:
    tile = draw(st.builds(Size, st.integers(1, 20), st.integers(1, 20)))
    size = Size(*(n + draw(st.integers(0, 40)) for n in tile))
    return size, tile, draw(st.integers(0, (min(tile) - 1) // 2))


def slow_starts(length: int, tile: int, dead: int) -> list[int]:
    """Lay one tile behind the other until the next does not fit."""
    starts, start = [], 0
    while start + tile <= length:
        starts.append(start)
        start += tile - 2 * dead
    return starts


@settings(deadline=None)
@given(tilings())
def test_tiles_lie_where_the_published_ones_do(tiling) -> None:
    size, tile, dead = tiling
    parts = grid_tiles(size, tile, dead)
    rows, columns = (slow_starts(n, t, dead) for n, t in zip(size, tile, strict=True))
    assert len(rows) == (size.y - 2 * dead) // (tile.y - 2 * dead)
    assert [tuple(part.read_offset) for part in parts] == [(y, x) for y in rows for x in columns]
    owned = np.zeros(size, int)
    for part in parts:
        assert part.read_size == tile
        assert part.inner == (slice(dead, tile.y - dead), slice(dead, tile.x - dead))
        owned[part.core] += 1
        assert Block.from_dict(part.to_dict()) == part
    bottom, right = rows[-1] + tile.y - dead, columns[-1] + tile.x - dead
    assert (owned[dead:bottom, dead:right] == 1).all() and owned.sum() == (bottom - dead) * (right - dead)


@settings(deadline=None)
@given(tilings(), st.booleans())
def test_a_mosaic_gives_the_image_back(tiling, stacked: bool) -> None:
    size, tile, dead = tiling
    image = np.random.default_rng(1).normal(size=(3, *size) if stacked else size).astype(np.float32)
    parts = grid_tiles(size, tile, dead)
    result = mosaic(size, ((part, image[(..., *part.read)]) for part in parts))
    assert result.dtype == np.float32 and result.shape == image.shape
    owned = np.zeros(size, bool)
    for part in parts:
        owned[part.core] = True
    np.testing.assert_array_equal(result, np.where(owned, image, np.nan))
    np.testing.assert_array_equal(
        mosaic(size, [(part, image[(..., *part.read)]) for part in blocks(size, tile, halo=2)]), image
    )
    np.testing.assert_array_equal(
        mosaic(size, [(part, image[(..., *part.read)]) for part in tiles(size, tile, dead)]), image
    )


def test_fill_and_type() -> None:
    (tile,) = grid_tiles((4, 5), 4)
    whole = mosaic((4, 5), [(tile, np.ones((4, 4), np.uint8))], fill=255)
    assert whole.dtype == np.uint8 and (whole[:, 4] == 255).all() and (whole[:, :4] == 1).all()
    assert np.isnan(mosaic((4, 5), [])).all() and mosaic((4, 5), []).shape == (4, 5)
    for fill in (np.nan, -1, 256, 0.5):
        with pytest.raises(InputError, match="uint8 cannot hold the fill"):
            mosaic((4, 5), [(tile, np.ones((4, 4), np.uint8))], fill=fill)


def test_wrong_tiles_are_named() -> None:
    with pytest.raises(InputError, match="tile of 32 x 32 is larger than the area of 31 x 40"):
        grid_tiles((31, 40), 32)
    with pytest.raises(InputError, match="dead zone is 16; give 0 to 15"):
        grid_tiles((64, 64), 32, 16)
    with pytest.raises(InputError, match="dead zone is -1"):
        grid_tiles((64, 64), 32, -1)
    with pytest.raises(InputError, match="tile is 0 x 0"):
        grid_tiles((64, 64), 0)


def test_wrong_parts_are_named() -> None:
    one, two = grid_tiles((4, 8), 4)
    with pytest.raises(InputError, match=r"shape \(3, 4\); expected \(4, 4\)"):
        mosaic((4, 8), [(one, np.zeros((3, 4)))])
    with pytest.raises(InputError, match=r"expected \(2, 4, 4\)"):
        mosaic((4, 8), [(one, np.zeros((2, 4, 4))), (two, np.zeros((3, 4, 4)))])
    with pytest.raises(InputError, match="outside the raster"):
        mosaic((4, 6), [(two, np.zeros((4, 4)))])
