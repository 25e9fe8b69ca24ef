from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terradelta.errors import InputError
from terradelta.types import Size
from terradelta.windows import Blender, Block, blend, blocks, cosine_weights, tiles

sizes = st.builds(Size, st.integers(1, 40), st.integers(1, 40))


@st.composite
def tilings(draw) -> tuple[Size, Size, int]:
    tile = draw(st.builds(Size, st.integers(1, 20), st.integers(1, 20)))
    return draw(sizes), tile, draw(st.integers(0, min(tile) - 1))


def owners(size: Size, parts: tuple[Block, ...]) -> np.ndarray:
    count = np.zeros(size, int)
    for part in parts:
        count[part.core] += 1
    return count


def check(size: Size, parts: tuple[Block, ...]) -> None:
    assert (owners(size, parts) == 1).all()
    image = np.arange(size.y * size.x).reshape(size)
    for part in parts:
        assert image[part.read].shape == part.read_size
        np.testing.assert_array_equal(image[part.read][part.inner], image[part.core])
        assert Block.from_dict(json.loads(json.dumps(part.to_dict()))) == part


@settings(deadline=None)
@given(sizes, sizes, st.integers(0, 10))
def test_blocks_own_every_pixel_once(size: Size, block: Size, halo: int) -> None:
    parts = blocks(size, block, halo=halo)
    check(size, parts)
    for part in parts:
        (y, x), (read_y, read_x) = part.core, part.read
        assert (read_y.start, read_y.stop) == (max(y.start - halo, 0), min(y.stop + halo, size.y))
        assert (read_x.start, read_x.stop) == (max(x.start - halo, 0), min(x.stop + halo, size.x))
        assert part.core_size.y <= block.y and part.core_size.x <= block.x


@settings(deadline=None)
@given(tilings())
def test_tiles_have_one_size_and_own_every_pixel_once(tiling) -> None:
    size, tile, overlap = tiling
    parts = tiles(size, tile, overlap)
    check(size, parts)
    assert {part.read_size for part in parts} == {Size(min(tile.y, size.y), min(tile.x, size.x))}
    assert len({part.read_offset for part in parts}) == len(parts)
    # inside the raster, a tile owns nothing closer to its border than half the overlap
    for part in parts:
        for axis in (0, 1):
            core, read = part.core[axis], part.read[axis]
            assert read.start == 0 or core.start - read.start >= overlap // 2
            assert read.stop == size[axis] or read.stop - core.stop >= overlap // 2


@settings(deadline=None)
@given(tilings(), st.floats(-1e6, 1e6, width=32), st.booleans())
def test_a_constant_model_gives_a_constant_map(tiling, value: float, stacked: bool) -> None:
    size, tile, overlap = tiling
    lead = (2,) if stacked else ()
    parts = [np.full((*lead, *part.read_size), value, np.float32) for part in tiles(size, tile, overlap)]
    result = blend(parts, size, tile, overlap)
    assert result.dtype == np.float32 and result.shape == (*lead, *size)
    assert (result == np.float32(value)).all()
    doubled = blend([p.astype(np.float64) / 3 for p in parts], size, tile, overlap)
    np.testing.assert_allclose(doubled, np.float64(np.float32(value)) / 3, rtol=1e-14)


@settings(deadline=None)
@given(tilings(), st.randoms(use_true_random=False), st.integers(0, 2**31))
def test_the_order_of_tiles_does_not_matter(tiling, random, seed: int) -> None:
    size, tile, overlap = tiling
    rng = np.random.default_rng(seed)
    parts = list(enumerate(rng.normal(size=part.read_size) for part in tiles(size, tile, overlap)))
    for _, part in parts:
        part[rng.random(part.shape) < 0.05] = np.nan
    wanted = blend(parts, size, tile, overlap)
    random.shuffle(parts)
    np.testing.assert_array_equal(blend(iter(parts), size, tile, overlap), wanted)


@settings(deadline=None)
@given(tilings())
def test_a_model_of_the_pixel_alone_gives_its_own_map(tiling) -> None:
    size, tile, overlap = tiling
    image = np.random.default_rng(0).normal(size=size)
    parts = [image[part.read] for part in tiles(size, tile, overlap)]
    np.testing.assert_allclose(blend(parts, size, tile, overlap), image, rtol=1e-12)


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(0, 15))
def test_weights_of_neighbours_sum_to_one(half: int, overlap: int) -> None:
    tile, overlap = 2 * half + 1, min(overlap, half)
    line = cosine_weights(tile, overlap)[tile // 2]
    line = line / line.max()
    both = np.zeros(2 * tile - overlap)
    both[:tile] += line
    both[-tile:] += line
    np.testing.assert_allclose(both[overlap : len(both) - overlap], 1, rtol=1e-12)
    assert (cosine_weights(tile, overlap) > 0).all()


def test_no_data_of_one_tile_is_filled_by_the_other_and_of_all_stays() -> None:
    parts = [np.ones(part.read_size, np.float32) for part in tiles((4, 10), 4, 2)]
    parts[0][:, 2:] = np.nan
    parts[1][:, :1] = np.nan
    result = blend(parts, (4, 10), 4, 2)
    assert np.isnan(result[:, 2]).all()
    assert (np.delete(result, 2, axis=1) == 1).all()


def test_a_reused_buffer_does_no_harm() -> None:
    blender = Blender((4, 10), 4, 2)
    buffer = np.empty((4, 4), np.float32)
    for index in reversed(range(len(blender.tiles))):
        buffer[:] = index
        blender.add(index, buffer)
    wanted = blend([np.full((4, 4), i, np.float32) for i in range(len(blender.tiles))], (4, 10), 4, 2)
    np.testing.assert_array_equal(blender.result(), wanted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: blocks((0, 4), 4), "size is 0 x 4"),
        (lambda: blocks((4, 4), 0), "block is 0 x 0"),
        (lambda: blocks((4, 4), 2, halo=-1), "halo is -1"),
        (lambda: tiles((4, 4), 2, 2), "overlap is 2; give 0 to 1"),
        (lambda: Block.from_dict({"core_offset": [0, 0]}), "pairs named"),
        (lambda: blend([np.ones((2, 2))], (2, 4), 2, 0), "1 of 2 tiles"),
        (lambda: blend([(0, np.ones((2, 2))), (0, np.ones((2, 2)))], (2, 4), 2, 0), "added before"),
        (lambda: blend([(7, np.ones((2, 2)))], (2, 4), 2, 0), "index is 7"),
        (lambda: blend([np.ones((2, 3))], (2, 4), 2, 0), "shape"),
        (lambda: blend([np.ones((2, 2)), np.ones((3, 2, 2))], (2, 4), 2, 0), "before"),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
