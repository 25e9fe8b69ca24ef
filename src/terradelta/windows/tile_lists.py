"""Lists of tiles: which ones train, which ones validate, which ones test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.types import Size
from terradelta.windows.blocks import Slices, as_size

__all__ = [
    "Tile",
    "TileGrid",
    "TileLists",
    "checkerboard",
    "format_tiles",
    "parse_tiles",
    "split_tiles",
    "versions",
]

_NAMED, _ATTEMPTS = 5, 4


class Tile(NamedTuple):
    """Row and column of a tile on the grid of whole tiles, from the top left.

    Examples
    --------
    >>> str(Tile(3, 7)), Tile.parse(" 3:7 ")
    ('3:7', Tile(row=3, column=7))
    """

    row: int
    column: int

    def __str__(self) -> str:
        """Give it as lists of tiles write it."""
        return f"{self.row}:{self.column}"

    @classmethod
    def parse(cls, text: str) -> Tile:
        """Read a tile.

        Parameters
        ----------
        text : str
            Row and column with a colon between them.

        Returns
        -------
        Tile
            The tile.

        Raises
        ------
        InputError
            If it is anything else.
        """
        parts = [part.strip() for part in text.split(":")]
        if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
            raise InputError(f"{text.strip()!r} is no tile; write row:column, such as 3:7")
        return cls(*(int(part) for part in parts))


@dataclass(frozen=True)
class TileGrid:
    """Whole tiles of a raster, side by side from the top left; the rest belongs to none.

    Attributes
    ----------
    size : Size
        Rows and columns of the raster, pixels.
    tile : int
        Rows and columns of a tile, pixels.

    Raises
    ------
    InputError
        If a size is not positive, or the raster is smaller than a tile.

    Examples
    --------
    >>> grid = TileGrid(Size(70, 100), 32)
    >>> grid.rows, grid.columns, Tile(1, 2) in grid, Tile(2, 0) in grid
    (2, 3, True, False)
    >>> grid.part(Tile(1, 2))
    (slice(32, 64, None), slice(64, 96, None))
    """

    size: Size
    tile: int

    def __post_init__(self) -> None:
        """Refuse a raster without a whole tile."""
        size, tile = as_size(self.size, "size"), as_size(self.tile, "tile").y
        if tile > min(size):
            raise InputError(
                f"a tile of {tile} x {tile} is larger than the area of {size.y} x {size.x} pixels; "
                "give smaller tiles"
            )

    @property
    def rows(self) -> int:
        """Number of tiles from top to bottom."""
        return self.size[0] // self.tile

    @property
    def columns(self) -> int:
        """Number of tiles from left to right."""
        return self.size[1] // self.tile

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles, row by row."""
        return tuple(Tile(row, column) for row in range(self.rows) for column in range(self.columns))

    def part(self, tile: Tile) -> Slices:
        """Give the rows and columns of a tile in the raster.

        Parameters
        ----------
        tile : Tile
            One of the grid.

        Returns
        -------
        tuple of slice
            Rows, columns.

        Raises
        ------
        InputError
            If the grid has no such tile.
        """
        if tile not in self:
            raise InputError(self._lacks([tile]))
        top, left = tile[0] * self.tile, tile[1] * self.tile
        return slice(top, top + self.tile), slice(left, left + self.tile)

    def require(self, tiles: Iterable[Tile]) -> None:
        """Refuse tiles that are not on the grid.

        Parameters
        ----------
        tiles : iterable of Tile
            Tiles.

        Raises
        ------
        InputError
            With their names and what the grid has.
        """
        missing = [tile for tile in tiles if tile not in self]
        if missing:
            raise InputError(self._lacks(missing))

    def __contains__(self, tile: object) -> bool:
        """Tell whether a tile is on the grid."""
        match tile:
            case (int() | np.integer() as row, int() | np.integer() as column):
                return bool(0 <= row < self.rows and 0 <= column < self.columns)
        return False

    def _lacks(self, tiles: Sequence[Tile]) -> str:
        return (
            f"tiles {_listed(tiles)} do not exist: the area of {self.size[0]} x {self.size[1]} pixels has "
            f"{self.rows} rows and {self.columns} columns of tiles of {self.tile}, counted from 0; "
            "correct the list, or the side or order (row:column) that it is for"
        )


@dataclass(frozen=True)
class TileLists:
    """Tiles to train on, to validate with, and to test with.

    Attributes
    ----------
    train, validation, test : tuple of Tile
        Disjoint.

    Examples
    --------
    >>> lists = TileLists((Tile(0, 0), Tile(0, 1)), (Tile(0, 1),), (Tile(5, 0),))
    >>> lists.check(TileGrid(Size(64, 64), 32))
    Traceback (most recent call last):
    terradelta.errors.InputError: tiles 0:1 are among both train and validation; keep them in one list
    """

    train: tuple[Tile, ...]
    validation: tuple[Tile, ...]
    test: tuple[Tile, ...] = ()

    def check(self, grid: TileGrid) -> None:
        """Refuse lists that cannot be used together.

        Parameters
        ----------
        grid : TileGrid
            The tiles that there are.

        Raises
        ------
        InputError
            If a tile is in two lists, twice in one, or not on the grid: its name and the cure.
        """
        lists = {"train": self.train, "validation": self.validation, "test": self.test}
        for name, tiles in lists.items():
            twice = [tile for tile, number in Counter(tiles).items() if number > 1]
            if twice:
                raise InputError(f"tiles {_listed(twice)} are twice in {name}; keep each once")
        for (first, some), (second, others) in combinations(lists.items(), 2):
            both = sorted(set(some) & set(others))
            if both:
                raise InputError(
                    f"tiles {_listed(both)} are among both {first} and {second}; keep them in one list"
                )
        for tiles in lists.values():
            grid.require(tiles)


def parse_tiles(text: str) -> tuple[Tile, ...]:
    r"""Read a list of tiles.

    Parameters
    ----------
    text : str
        One tile a line, row:column; blank lines and what follows ``#`` do not count.

    Returns
    -------
    tuple of Tile
        In the order of the lines.

    Raises
    ------
    InputError
        If a line is anything else: its number and text.

    Examples
    --------
    >>> parse_tiles("# north\n0:38\n\n10:30  # harbour")
    (Tile(row=0, column=38), Tile(row=10, column=30))
    """
    tiles = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        try:
            tiles.append(Tile.parse(words))
        except InputError as error:
            raise InputError(f"line {number}: {error}") from None
    return tuple(tiles)


def format_tiles(tiles: Iterable[Tile]) -> str:
    r"""Write a list of tiles.

    Parameters
    ----------
    tiles : iterable of Tile
        Tiles.

    Returns
    -------
    str
        One tile a line, row:column, as `parse_tiles` reads it.

    Examples
    --------
    >>> format_tiles([Tile(0, 38), Tile(10, 30)])
    '0:38\n10:30\n'
    """
    return "".join(f"{Tile(*tile)}\n" for tile in tiles)


def checkerboard(grid: TileGrid) -> TileLists:
    """Divide the tiles of an area as the published pre-training does.

    In row i and column j a tile trains if (j + i/2) mod 2 = 0 and validates if (j + (i + 1)/2 + 1) mod 4 = 0.
    Halves are real numbers here, so that only even rows train and only odd rows validate: a quarter and an
    eighth of all tiles. With halves rounded down, tiles of odd rows would do both.

    Parameters
    ----------
    grid : TileGrid
        The tiles.

    Returns
    -------
    TileLists
        Disjoint, row by row; none to test.

    References
    ----------
    Zitzlsberger et al., Remote Sensing 13(15) 3000, 2021.

    Examples
    --------
    >>> lists = checkerboard(TileGrid(Size(96, 160), 32))
    >>> " ".join(map(str, lists.train)), " ".join(map(str, lists.validation))
    ('0:0 0:2 0:4 2:1 2:3', '1:2')
    """
    train = tuple(t for t in grid.tiles if (t.column + t.row / 2) % 2 == 0)
    validation = tuple(t for t in grid.tiles if (t.column + (t.row + 1) / 2 + 1) % 4 == 0)
    return TileLists(train, validation)


def split_tiles(
    grid: TileGrid,
    counts: tuple[int, int, int],
    *,
    seed: int,
    guard: int = 1,
    share: Mapping[Tile, float] | None = None,
) -> TileLists:
    """Draw tiles to train, to validate and to test that lie apart.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    counts : tuple of int
        How many to train, to validate and to test.
    seed : int
        Which draw.
    guard : int
        Tiles that lie between tiles of different lists at least, diagonals included; 0: they may touch.
    share : mapping, optional
        From tile to its share of changed pixels. Only these tiles are drawn. As far as there are enough, half
        of each list has changes; else each list has the same proportion, and at least one tile with and one
        without if it has two tiles.

    Returns
    -------
    TileLists
        Disjoint, each row by row. Tiles of one list are scattered; the less room there is, the more of them
        lie together.

    Raises
    ------
    InputError
        If so many tiles do not exist, do not fit with the guard, or one is not on the grid.

    Examples
    --------
    >>> lists = split_tiles(TileGrid(Size(320, 320), 32), (12, 4, 4), seed=0)
    >>> len(lists.train), len(lists.validation), len(lists.test)
    (12, 4, 4)
    """
    return versions(grid, counts, seed=seed, guard=guard, share=share, count=1)[0]


def versions(
    grid: TileGrid,
    counts: tuple[int, int, int],
    *,
    seed: int,
    guard: int = 1,
    share: Mapping[Tile, float] | None = None,
    count: int = 3,
) -> tuple[TileLists, ...]:
    """Draw the versions of a partial cross-validation.

    All versions divide the same tiles into those to train and those to validate. No tile validates in two
    versions, and the test tiles, the same in all, are in no other list.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    counts : tuple of int
        How many to train, to validate and to test, in each version.
    seed, guard, share
        As in `split_tiles`.
    count : int
        How many versions.

    Returns
    -------
    tuple of TileLists
        One for each version.

    Raises
    ------
    InputError
        As `split_tiles`, or if the tiles to train are fewer than what the other versions validate with.

    References
    ----------
    Zitzlsberger et al., Int. J. Remote Sensing 44(17) 5172-5206, 2023: three versions, 120 + 32 + 32 tiles.

    Examples
    --------
    >>> first, second = versions(TileGrid(Size(320, 320), 32), (12, 4, 4), seed=0, count=2)
    >>> set(first.validation) <= set(second.train), first.test == second.test
    (True, True)
    """
    train, validation, test = counts
    _check_counts(counts, guard, count)
    sizes = (test, *[validation] * count, train - (count - 1) * validation)
    pool = dict.fromkeys(grid.tiles, 0.0) if share is None else {Tile(*t): float(s) for t, s in share.items()}
    grid.require(pool)
    testing, *parts = _draw(pool, sizes, guard, seed)
    return tuple(
        TileLists(
            tuple(sorted(tile for other in parts if other is not held for tile in other)),
            tuple(sorted(held)),
            tuple(sorted(testing)),
        )
        for held in parts[:count]
    )


def _check_counts(counts: tuple[int, int, int], guard: int, count: int) -> None:
    train, validation, test = counts
    if train < 1 or validation < 0 or test < 0:
        raise InputError(
            f"tiles asked for are {train} to train, {validation} to validate and {test} to test; "
            "give at least 1 to train and no negative number"
        )
    if guard < 0 or count < 1:
        raise InputError(f"guard is {guard} and count {count}; give at least 0 tiles and 1 version")
    if train < (count - 1) * validation:
        raise InputError(
            f"{train} tiles to train are fewer than the {(count - 1) * validation} that the other "
            f"{count - 1} of {count} versions validate with; ask for more to train, or fewer to validate"
        )


_Pool = Mapping[Tile, float]
_Quota = tuple[int, int]
"""How many tiles without and with changes."""


def _draw(pool: _Pool, sizes: Sequence[int], guard: int, seed: int) -> list[list[Tile]]:
    """Draw groups of tiles that lie apart: scattered, or in patches as large as it takes to fit."""
    if sum(sizes) > len(pool):
        raise InputError(
            f"{sum(sizes)} tiles are asked for, but only {len(pool)} have labels; ask for fewer or label more"
        )
    extent = 1 + max((max(tile) for tile in pool), default=0)
    for quotas in _quotas(pool, sizes):
        for patch, attempt in product(_patches(extent), range(_ATTEMPTS)):
            order = _ordered(pool, patch, np.random.default_rng([seed, patch, attempt]))
            groups = _fill(pool, order, quotas, guard)
            if groups is not None:
                return groups
    raise InputError(
        f"{sum(sizes)} of {len(pool)} tiles with {guard} between the lists do not fit; "
        "ask for fewer tiles or versions, a smaller guard, or label a larger area"
    )


def _patches(extent: int) -> Iterator[int]:
    side = 1
    while side < 2 * extent:
        yield side
        side *= 2


def _quotas(pool: _Pool, sizes: Sequence[int]) -> Iterator[list[_Quota]]:
    """Give what each group should hold of tiles without and with changes: as wished, then at least."""
    changed = sum(share > 0 for share in pool.values())
    still = len(pool) - changed
    total, lists = max(sum(sizes), 1), sum(size > 1 for size in sizes)
    least = max(total - still, 0)
    for wanted in (min(total // 2, changed), round(total * changed / len(pool)) if pool else 0):
        part = max(min(wanted, changed), least) / total
        yield [_quota(size, part, changed >= lists, still >= lists) for size in sizes]


def _quota(size: int, part: float, some_changed: bool, some_still: bool) -> _Quota:
    """Give each list of more than one tile some of both kinds, where there are as many of a kind as lists."""
    changed = round(size * part)
    if size > 1:
        changed = min(max(changed, int(some_changed)), size - int(some_still))
    return size - changed, changed


def _ordered(pool: _Pool, patch: int, random: np.random.Generator) -> list[Tile]:
    """Put the tiles of a patch together, patches and the tiles in each in random order."""
    tiles = sorted(pool)
    where = np.array(tiles).reshape(-1, 2) // patch
    _, group = np.unique(where, axis=0, return_inverse=True)
    group = group.ravel()
    rank: NDArray[np.intp] = random.permutation(group.max(initial=0) + 1)[group]
    return [tiles[index] for index in np.lexsort((random.permutation(len(tiles)), rank))]


def _fill(pool: _Pool, order: list[Tile], quotas: Sequence[_Quota], guard: int) -> list[list[Tile]] | None:
    """Fill one group after the other; None if one cannot be filled."""
    groups: list[list[Tile]] = []
    closed: set[Tile] = set()
    for quota in quotas:
        left = list(quota)
        taken = []
        for tile in order:
            kind = int(pool[tile] > 0)
            if left[kind] and tile not in closed:
                left[kind] -= 1
                taken.append(tile)
        if any(left):
            return None
        groups.append(taken)
        closed.update(near for tile in taken for near in _around(tile, guard))
    return groups


def _around(tile: Tile, guard: int) -> Iterator[Tile]:
    reach = range(-guard, guard + 1)
    return (Tile(tile.row + down, tile.column + right) for down in reach for right in reach)


def _listed(tiles: Sequence[Tile]) -> str:
    more = f" and {len(tiles) - _NAMED} more" if len(tiles) > _NAMED else ""
    return ", ".join(str(Tile(*tile)) for tile in tiles[:_NAMED]) + more
