"""Tile lists: how they are read and written, what is refused, and how they are drawn."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.types import Size
from terradelta.windows import (
    Tile,
    TileGrid,
    TileLists,
    checkerboard,
    format_tiles,
    parse_tiles,
    split_tiles,
    versions,
)

GRID = TileGrid(Size(32 * 20 + 5, 32 * 30 + 31), 32)
SITE = TileGrid(Size(67 * 32, 74 * 32), 32)


def nearest(first: tuple[Tile, ...], second: tuple[Tile, ...]) -> int:
    """Give the number of steps, diagonals too, between the two nearest tiles."""
    return min(max(abs(a.row - b.row), abs(a.column - b.column)) for a, b in product(first, second))


# tiles and their grid


def test_grid_cuts_like_the_published_method() -> None:
    from terradelta.windows import grid_tiles

    size = Size(75, 110)
    grid = TileGrid(size, 32)
    assert [grid.part(tile) for tile in grid.tiles] == [block.core for block in grid_tiles(size, 32)]
    assert (grid.rows, grid.columns) == (2, 3)
    assert all(tile in grid for tile in grid.tiles) and (1, 2) in grid
    for absent in (Tile(2, 0), Tile(0, 3), Tile(-1, 0), "0:0", (0, 0, 0)):
        assert absent not in grid
    with pytest.raises(InputError, match=r"tiles 2:0 do not exist.*2 rows and 3 columns"):
        grid.part(Tile(2, 0))
    with pytest.raises(InputError, match="tile of 32 x 32 is larger than the area of 31 x 99"):
        TileGrid(Size(31, 99), 32)


def test_tiles_of_numpy_integers_are_tiles() -> None:
    tile = Tile(*np.array([19, 3]))
    assert tile in GRID and GRID.part(tile) == GRID.part(Tile(19, 3))
    assert Tile(*np.array([20, 3])) not in GRID


def test_lists_are_read_as_they_were_written() -> None:
    assert parse_tiles(format_tiles(GRID.tiles)) == GRID.tiles
    assert parse_tiles("\n# all\n 3:7 # here\r\n12 : 0\n") == (Tile(3, 7), Tile(12, 0))
    assert parse_tiles("") == () and format_tiles([]) == ""


@pytest.mark.parametrize("line", ["3", "3:7:1", "3;7", "-1:2", "a:b", "3:", "1.0:2", "²:1"])
def test_wrong_lines_are_named(line: str) -> None:
    with pytest.raises(InputError, match=r"^line 2: .* is no tile; write row:column") as error:
        parse_tiles(f"0:0\n{line}\n")
    assert repr(line) in str(error.value)


@pytest.mark.parametrize(
    ("lists", "problem"),
    [
        (TileLists(((Tile(0, 0)), Tile(0, 1)), (Tile(0, 1),)), "0:1 are among both train and validation"),
        (TileLists((Tile(0, 0),), (), (Tile(0, 0),)), "0:0 are among both train and test"),
        (TileLists((), (Tile(1, 1),), (Tile(1, 1),)), "1:1 are among both validation and test"),
        (TileLists((Tile(0, 0), Tile(0, 0)), ()), "0:0 are twice in train"),
        (TileLists((Tile(0, 0),), (Tile(20, 0),)), "20:0 do not exist: the area of 645 x 991 pixels has 20"),
        (TileLists((Tile(0, 0),), (), tuple(Tile(0, 30 + n) for n in range(9))), "0:34 and 4 more do not"),
    ],
)
def test_lists_that_cannot_be_used_together(lists: TileLists, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        lists.check(GRID)


def test_published_lists(shared: Path) -> None:
    folder = shared / "reference" / "ercnn" / "published"

    def read(name: str) -> tuple[Tile, ...]:
        return parse_tiles((folder / f"tiles_{name}.txt").read_text())

    test, unused = read("V3_testing"), read("V3_not_used")
    found = [TileLists(read(f"V{n}_train"), read(f"V{n}_val"), test) for n in (1, 2, 3)]
    for lists in found:
        lists.check(SITE)
        assert (len(lists.train), len(lists.validation)) == (120, 32)
        assert {*lists.train, *lists.validation} == {*found[0].train, *found[0].validation}
    assert (len(test), len(unused)) == (32, 8)
    assert not {*unused} & {*found[0].train, *found[0].validation, *test}
    for some, others in combinations([lists.validation for lists in found], 2):
        assert not set(some) & set(others)
    with pytest.raises(InputError, match="do not exist"):
        found[0].check(TileGrid(Size(66 * 32, 74 * 32), 32))


# the checkerboard


def test_checkerboard_after_the_formula() -> None:
    lists = checkerboard(GRID)
    for row, column in GRID.tiles:
        # halves as whole numbers: (j + i/2) mod 2 = 0 is (2j + i) mod 4 = 0, and so on
        assert (Tile(row, column) in lists.train) == ((2 * column + row) % 4 == 0)
        assert (Tile(row, column) in lists.validation) == ((2 * column + row + 3) % 8 == 0)
    lists.check(GRID)
    assert {tile.row % 2 for tile in lists.train} == {0}
    assert {tile.row % 2 for tile in lists.validation} == {1}
    assert len(lists.train) == len(GRID.tiles) / 4
    assert len(lists.validation) == pytest.approx(len(GRID.tiles) / 8, rel=0.02)


def test_halves_rounded_down_would_overlap() -> None:
    train = {t for t in GRID.tiles if (t.column + t.row // 2) % 2 == 0}
    assert train & {t for t in GRID.tiles if (t.column + (t.row + 1) // 2 + 1) % 4 == 0}


# drawn lists


@pytest.mark.parametrize("guard", [0, 1, 2])
def test_drawn_lists_lie_apart(guard: int) -> None:
    lists = split_tiles(SITE, (120, 32, 32), seed=3, guard=guard)
    lists.check(SITE)
    assert [len(tiles) for tiles in (lists.train, lists.validation, lists.test)] == [120, 32, 32]
    for some, others in combinations((lists.train, lists.validation, lists.test), 2):
        assert nearest(some, others) > guard
    assert lists == split_tiles(SITE, (120, 32, 32), seed=3, guard=guard)
    assert lists != split_tiles(SITE, (120, 32, 32), seed=4, guard=guard)
    assert np.ptp([tile.row for tile in lists.test]) > SITE.rows / 2  # scattered where there is room


def test_versions_divide_the_same_tiles() -> None:
    found = versions(SITE, (120, 32, 32), seed=0)
    assert len(found) == 3
    for lists in found:
        lists.check(SITE)
        assert [len(tiles) for tiles in (lists.train, lists.validation, lists.test)] == [120, 32, 32]
        assert {*lists.train, *lists.validation} == {*found[0].train, *found[0].validation}
        assert lists.test == found[0].test
        assert nearest(lists.train, lists.validation) > 1
        assert nearest(lists.test, lists.train + lists.validation) > 1
    for some, others in combinations(found, 2):
        assert not set(some.validation) & set(others.validation)


@pytest.mark.parametrize("seed", range(5))
def test_what_has_little_room_lies_together(seed: int) -> None:
    grid = TileGrid(Size(8 * 16, 8 * 16), 16)
    lists = split_tiles(grid, (24, 8, 8), seed=seed)
    lists.check(grid)
    for some, others in combinations((lists.train, lists.validation, lists.test), 2):
        assert nearest(some, others) > 1
    small = versions(TileGrid(Size(64, 64), 16), (2, 1, 1), seed=seed)
    assert len({tile for lists in small for tile in lists.validation}) == 3


def test_each_list_has_tiles_with_and_without_change() -> None:
    random = np.random.default_rng(0)
    share = dict.fromkeys(GRID.tiles, 0.0) | {
        GRID.tiles[n]: 0.1 for n in random.choice(len(GRID.tiles), 60, replace=False)
    }
    lists = split_tiles(GRID, (40, 10, 10), seed=1, share=share)
    for tiles in (lists.train, lists.validation, lists.test):
        assert sum(share[tile] > 0 for tile in tiles) == len(tiles) // 2
    few = {tile: value * (index % 7 == 0) for index, (tile, value) in enumerate(share.items())}
    assert 4 <= sum(value > 0 for value in few.values()) < 20
    lists = split_tiles(GRID, (40, 10, 10), seed=1, share=few)
    for tiles in (lists.train, lists.validation, lists.test):
        assert 0 < sum(few[tile] > 0 for tile in tiles) < len(tiles)


def test_only_tiles_with_labels_are_drawn() -> None:
    share = {Tile(row, column): float(row % 2) for row in range(10) for column in range(10)}
    lists = split_tiles(GRID, (20, 5, 5), seed=0, share=share)
    assert {*lists.train, *lists.validation, *lists.test} <= set(share)
    every = split_tiles(GRID, (60, 20, 20), seed=0, share=share, guard=0)
    assert {*every.train, *every.validation, *every.test} == set(share)


@pytest.mark.parametrize(
    ("counts", "choices", "problem"),
    [
        ((0, 1, 1), {}, "0 to train, 1 to validate and 1 to test; give at least 1"),
        ((1, -1, 0), {}, "-1 to validate"),
        ((4, 1, 1), {"guard": -1}, "guard is -1"),
        ((4, 3, 1), {"count": 3}, "4 tiles to train are fewer than the 6 that the other 2 of 3 versions"),
        ((500, 99, 99), {}, "698 tiles are asked for, but only 600 have labels"),
        ((400, 100, 100), {}, "600 of 600 tiles with 1 between the lists do not fit; ask for fewer"),
        ((2, 1, 1), {"share": {Tile(0, 99): 0.0}}, "tiles 0:99 do not exist"),
        ((2, 1, 1), {"share": {}}, "4 tiles are asked for, but only 0 have labels"),
    ],
)
def test_what_cannot_be_drawn(counts: tuple[int, int, int], choices: dict[str, object], problem: str) -> None:
    choices = {"seed": 0, "count": 1} | choices
    with pytest.raises(InputError, match=problem):
        versions(GRID, counts, **choices)  # type: ignore[arg-type]


def test_few_tiles_without_change_are_no_reason_to_refuse() -> None:
    grid = TileGrid(Size(96, 96), 32)
    share = {tile: float(tile != Tile(1, 1)) for tile in grid.tiles}
    found = versions(grid, (3, 2, 1), seed=0, guard=0, share=share, count=2)
    for lists in found:
        lists.check(grid)
        assert (len(lists.train), len(lists.validation), len(lists.test)) == (3, 2, 1)
