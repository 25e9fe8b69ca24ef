"""Frames of tiles over time, read from a cube in groups that lie together and kept while memory lasts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.cube.layout import layout_for
from terradelta.errors import InputError
from terradelta.learning.loading import stream
from terradelta.urban.stack import Stack
from terradelta.windows import Slices, Tile, TileGrid

__all__ = ["GroupCache", "GroupedOrder", "TileFrames", "TileGroups", "frame_bytes", "read_frames"]

_Value = TypeVar("_Value")


class GroupCache:
    """What was read last, up to a number of bytes.

    Copies of it, pickled ones too, start empty: each process that reads has one of its own.

    Parameters
    ----------
    memory : int
        Bytes.

    Examples
    --------
    >>> cache, read = GroupCache(10), []
    >>> for key in ("a", "b", "a", "c", "a", "b"):
    ...     _ = cache.get(key, 5, lambda: read.append(key))
    >>> read
    ['a', 'b', 'c', 'b']
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self._held: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()

    def get(self, key: Hashable, size: int, read: Callable[[], _Value]) -> _Value:
        """Give what is held under a key; if nothing, make room and read it.

        Parameters
        ----------
        key : hashable
            What is wanted.
        size : int
            Its bytes.
        read : callable
            Reads it.

        Returns
        -------
        object
            What was read; it stays here until others need its room.
        """
        if key in self._held:
            self._held.move_to_end(key)
            found: _Value = self._held[key][1]
            return found
        while self._held and sum(held for held, _ in self._held.values()) + size > self.memory:
            self._held.popitem(last=False)
        value = read()
        self._held[key] = (size, value)
        return value

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is held."""
        return {"memory": self.memory, "_held": OrderedDict()}


@dataclass(frozen=True)
class TileGroups:
    """Tiles of a grid put together so that each chunk of a cube is read as few times as possible.

    Attributes
    ----------
    grid : TileGrid
        Where the tiles lie.
    groups : tuple of tuple of Tile
        Tiles that are read together.

    Examples
    --------
    >>> from terradelta.types import Size
    >>> grid = TileGrid(Size(512, 512), 128)
    >>> groups = TileGroups.of(grid, (Tile(3, 3), Tile(0, 0), Tile(1, 1), Tile(0, 1)), most=2)
    >>> [" ".join(map(str, group)) for group in groups.groups], groups.box(1)
    (['0:0', '0:1 1:1', '3:3'], (slice(0, 256, None), slice(128, 256, None)))
    """

    grid: TileGrid
    groups: tuple[tuple[Tile, ...], ...]

    @classmethod
    def of(cls, grid: TileGrid, tiles: Sequence[Tile], *, most: int) -> TileGroups:
        """Put tiles together.

        Parameters
        ----------
        grid : TileGrid
            Where the tiles lie.
        tiles : sequence of Tile
            Those that are wanted; twice counts once.
        most : int
            Tiles in a group at most.

        Returns
        -------
        TileGroups
            Chunk by chunk, within a chunk row by row.

        Raises
        ------
        InputError
            If a tile is not on the grid.
        """
        edges = layout_for(grid.size).chunk

        def chunk(tile: Tile) -> tuple[int, ...]:
            return tuple(axis.start // edge for axis, edge in zip(grid.part(tile), edges, strict=True))

        groups: list[tuple[Tile, ...]] = []
        for _, found in groupby(sorted(set(tiles), key=lambda tile: (chunk(tile), tile)), chunk):
            together = tuple(found)
            count = -(-len(together) // most)
            cuts = [len(together) * number // count for number in range(count + 1)]
            groups += [together[first:last] for first, last in pairwise(cuts)]
        return cls(grid, tuple(groups))

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles, group by group."""
        return tuple(tile for group in self.groups for tile in group)

    @cached_property
    def _places(self) -> dict[Tile, tuple[int, int]]:
        return {
            tile: (number, place)
            for number, group in enumerate(self.groups)
            for place, tile in enumerate(group)
        }

    def place(self, tile: Tile) -> tuple[int, int]:
        """Tell the group of a tile, and its number in it.

        Raises
        ------
        InputError
            If it is in none.
        """
        if tile not in self._places:
            raise InputError(f"tile {tile} is not among those to read; name it when the reader is made")
        return self._places[tile]

    def box(self, group: int) -> Slices:
        """Give the rows and columns around all tiles of a group."""
        parts = [self.grid.part(tile) for tile in self.groups[group]]
        rows, columns = (
            slice(min(part[axis].start for part in parts), max(part[axis].stop for part in parts))
            for axis in (0, 1)
        )
        return rows, columns

    def within(self, group: int) -> list[Slices]:
        """Give the rows and columns of each tile of a group within its box."""
        top, left = (axis.start for axis in self.box(group))
        parts = [self.grid.part(tile) for tile in self.groups[group]]
        return [
            (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
            for rows, columns in parts
        ]


def frame_bytes(stack: Stack, tile: int, frames: int) -> int:
    """Count the bytes of the frames of one tile.

    Parameters
    ----------
    stack : Stack
        What is read.
    tile : int
        Rows and columns of the tile.
    frames : int
        Number of frames.

    Returns
    -------
    int
        Bytes, in float32.
    """
    return 4 * frames * stack.channels * tile**2


def tiles_that_fit(memory: int, each: int) -> int:
    """Count the tiles that fit into the memory.

    Parameters
    ----------
    memory : int
        Bytes to stay within.
    each : int
        Bytes per tile.

    Returns
    -------
    int
        1 or more.

    Raises
    ------
    InputError
        If not even one fits.
    """
    if each > memory:
        raise InputError(
            f"memory is {memory / 2**20:.0f} MiB, but the frames of one tile take {-(-each // 2**20)} MiB; "
            "give more memory, smaller tiles or a shorter period"
        )
    return memory // each


def read_frames(
    stack: Stack, groups: TileGroups, group: int, *, first: int = 0, last: int | None = None
) -> NDArray[np.float32]:
    """Read the frames of the tiles of one group, in one walk over the images.

    Parameters
    ----------
    stack : Stack
        What is read.
    groups : TileGroups
        The tiles.
    group : int
        Which group.
    first, last : int
        The first kept time, and the one to stop before; to the end if None.

    Returns
    -------
    ndarray of float32
        (tile, time, channel, y, x).

    Raises
    ------
    CubeError
        If an image cannot be read.
    """
    last = len(stack.times) if last is None else last
    parts, side = groups.within(group), groups.grid.tile
    values = np.empty((len(parts), last - first, stack.channels, side, side), np.float32)
    for number, frame in enumerate(stack.frames(*groups.box(group), first=first, last=last)):
        for tile, part in zip(values, parts, strict=True):
            tile[number] = frame[:, *part]
    return values


class TileFrames:
    """Frames of some tiles of a cube at all kept times; what was read last stays in memory.

    Parameters
    ----------
    stack : Stack
        What is read.
    grid : TileGrid
        Where the tiles lie.
    tiles : sequence of Tile
        Those that will be asked for. They are read in groups, chunk by chunk of the cube.
    memory : int
        Bytes to keep at most, in each process that reads.

    Attributes
    ----------
    stack : Stack
        What is read.
    groups : TileGroups
        The tiles, group by group.
    memory : int
        Bytes to keep.
    tile_bytes : int
        Bytes of one tile.

    Raises
    ------
    InputError
        If a tile is not on the grid, the grid is not that of the stack, or the memory does not hold one tile.

    Examples
    --------
    >>> from terradelta.simulate import place
    >>> stack = Stack.of(place(seed=0, size=64, years=0.2, changes=0, optical_days=10), "s1s2")
    >>> frames = TileFrames(stack, TileGrid(stack.size, 32), (Tile(0, 0), Tile(1, 1)), memory=10**8)
    >>> frames(Tile(1, 1)).shape == (len(stack.times), 17, 32, 32)
    True
    """

    def __init__(self, stack: Stack, grid: TileGrid, tiles: Sequence[Tile], *, memory: int) -> None:
        check_grid(stack, grid)
        self.stack, self.memory = stack, memory
        self.tile_bytes = frame_bytes(stack, grid.tile, len(stack.times))
        self.groups = TileGroups.of(grid, tiles, most=tiles_that_fit(memory, self.tile_bytes))
        self._cache = GroupCache(memory)

    def __call__(self, tile: Tile) -> NDArray[np.float32]:
        """Give the frames of a tile.

        Parameters
        ----------
        tile : Tile
            One of those that were named.

        Returns
        -------
        ndarray of float32
            (time, channel, y, x) at all kept times of the stack; a view of what is kept: do not change it.

        Raises
        ------
        InputError
            If it was not named.
        CubeError
            If an image cannot be read.
        """
        group, place = self.groups.place(tile)
        size = len(self.groups.groups[group]) * self.tile_bytes
        read = self._cache.get(group, size, lambda: read_frames(self.stack, self.groups, group))
        frames: NDArray[np.float32] = read[place]
        return frames


def check_grid(stack: Stack, grid: TileGrid) -> None:
    """Refuse tiles of another raster.

    Raises
    ------
    InputError
        With both sizes.
    """
    if tuple(grid.size) != tuple(stack.size):
        raise InputError(
            f"the tiles are of a raster of {grid.size[0]} x {grid.size[1]} pixels, the cube has "
            f"{stack.size.y} x {stack.size.x}; make the grid of tiles from the cube's size"
        )


class GroupedOrder:
    """A random order of samples in which those whose data are read together come near each other.

    In each epoch the groups are put together at random into sets that fit the memory, and the samples of a
    set are mixed. Each group is thus read once per epoch.

    Parameters
    ----------
    samples : sequence of array
        Numbers of the samples of each group.
    sizes : sequence of int
        Bytes of each group.
    memory : int
        Bytes that a set may have.
    seed : int
        Of all orders.

    Examples
    --------
    >>> order = GroupedOrder([[0, 1], [2, 3], [4, 5]], [5, 5, 5], memory=10, seed=1)
    >>> order.set_epoch(3)
    >>> sorted(order) == [0, 1, 2, 3, 4, 5], list(order) == list(order)
    (True, True)
    """

    def __init__(
        self,
        samples: Sequence[ArrayLike],
        sizes: Sequence[int],
        memory: int,
        seed: int,
    ) -> None:
        self._samples = [np.asarray(group) for group in samples]
        self._sizes, self._memory, self._seed, self._epoch = list(sizes), memory, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; a resumed training goes on with the order it would have had."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Give the numbers of the samples."""
        random = np.random.default_rng(stream(self._seed, self._epoch))
        together: list[int] = []
        for group in random.permutation(len(self._samples)).tolist():
            if together and sum(self._sizes[one] for one in (*together, group)) > self._memory:
                yield from self._mixed(together, random)
                together = []
            together.append(group)
        yield from self._mixed(together, random)

    def _mixed(self, groups: Sequence[int], random: np.random.Generator) -> list[int]:
        if not groups:
            return []
        mixed: list[int] = random.permutation(np.concatenate([self._samples[one] for one in groups])).tolist()
        return mixed
