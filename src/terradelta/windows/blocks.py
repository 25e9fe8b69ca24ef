"""Blocks and tiles of a raster as pure index arithmetic: every pixel is owned exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple, TypeAlias

from terradelta.errors import InputError
from terradelta.types import Offset, Size

__all__ = ["Block", "Slices", "as_size", "blocks", "tiles"]

Slices: TypeAlias = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a raster: what it owns, and what must be read to compute that.

    Attributes
    ----------
    core_offset, core_size : Offset, Size
        The pixels this block owns; the cores of all blocks cover the raster exactly once.
    read_offset, read_size : Offset, Size
        The pixels to read; they contain the core and never leave the raster.

    Examples
    --------
    >>> import numpy as np
    >>> block = Block(Offset(0, 4), Size(4, 4), Offset(0, 2), Size(6, 8))
    >>> block.core
    (slice(0, 4, None), slice(4, 8, None))
    >>> image = np.arange(80).reshape(8, 10)
    >>> bool((image[block.read][block.inner] == image[block.core]).all())
    True
    """

    core_offset: Offset
    core_size: Size
    read_offset: Offset
    read_size: Size

    @property
    def core(self) -> Slices:
        """Rows and columns that this block owns, in the raster."""
        return _slices(self.core_offset, self.core_size)

    @property
    def read(self) -> Slices:
        """Rows and columns to read, in the raster."""
        return _slices(self.read_offset, self.read_size)

    @property
    def inner(self) -> Slices:
        """Rows and columns of the core within what was read."""
        offset = Offset(self.core_offset.y - self.read_offset.y, self.core_offset.x - self.read_offset.x)
        return _slices(offset, self.core_size)

    def to_dict(self) -> dict[str, list[int]]:
        """Give plain lists, fit for JSON.

        Examples
        --------
        >>> block = blocks(Size(4, 6), 4)[1]
        >>> block.to_dict()["core_offset"], block == Block.from_dict(block.to_dict())
        ([0, 4], True)
        """
        return {name: list(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Block:
        """Build a block from what `to_dict` gave.

        Raises
        ------
        InputError
            If a key is missing, unknown, or not a pair of integers.
        """
        try:
            pairs = {name: tuple(int(v) for v in values[name]) for name in cls.__slots__}  # type: ignore[attr-defined]
            if set(values) != set(pairs):
                raise KeyError
            return cls(
                Offset(*pairs["core_offset"]), Size(*pairs["core_size"]),
                Offset(*pairs["read_offset"]), Size(*pairs["read_size"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"a block needs pairs named {', '.join(cls.__slots__)}; got {values!r}"
            ) from None


def blocks(
    size: Size | tuple[int, int], block: Size | tuple[int, int] | int, *, halo: int = 0
) -> tuple[Block, ...]:
    """Cut a raster into blocks that own every pixel exactly once.

    Parameters
    ----------
    size : Size
        Rows and columns of the raster.
    block : Size or int
        Rows and columns of a block's core; the last ones in a row or column are smaller.
    halo : int
        Pixels to read around the core on every side, cut at the raster's edge.

    Returns
    -------
    tuple of Block
        Row by row from the top left.

    Raises
    ------
    InputError
        If a size is not positive or `halo` is negative.

    Examples
    --------
    >>> [b.core for b in blocks(Size(4, 5), 4)]
    [(slice(0, 4, None), slice(0, 4, None)), (slice(0, 4, None), slice(4, 5, None))]
    >>> blocks(Size(4, 5), 4, halo=2)[1].read
    (slice(0, 4, None), slice(2, 5, None))
    """
    raster, core = as_size(size, "size"), as_size(block, "block")
    if halo < 0:
        raise InputError(f"halo is {halo}; give 0 or more pixels")
    rows, columns = (
        [_Span.around(start, min(start + step, length), halo, length) for start in range(0, length, step)]
        for length, step in zip(raster, core, strict=True)
    )
    return _grid(rows, columns)


def tiles(
    size: Size | tuple[int, int], tile: Size | tuple[int, int] | int, overlap: int = 0
) -> tuple[Block, ...]:
    """Cover a raster with tiles of one size that overlap; the last ones are shifted inward.

    Each tile is a `Block`: ``read`` is the whole tile, ``core`` the part it owns if tiles are not blended
    (the line runs through the middle of each overlap). Nothing is dropped and every pixel is owned once.
    Where the raster is smaller than a tile, the tile is as large as the raster.

    Parameters
    ----------
    size : Size
        Rows and columns of the raster.
    tile : Size or int
        Rows and columns of a tile.
    overlap : int
        Pixels that neighbours share at least; the shifted last ones share more.

    Returns
    -------
    tuple of Block
        Row by row from the top left.

    Raises
    ------
    InputError
        If a size is not positive, or `overlap` is negative or not smaller than a tile.

    Examples
    --------
    >>> [t.read[1] for t in tiles(Size(4, 10), 4, overlap=1)]
    [slice(0, 4, None), slice(3, 7, None), slice(6, 10, None)]
    >>> [t.core[1] for t in tiles(Size(4, 9), 4, overlap=2)]
    [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None), slice(7, 9, None)]
    """
    raster, wanted = as_size(size, "size"), as_size(tile, "tile")
    check_overlap(wanted, overlap)
    rows, columns = (_spans(length, step, overlap) for length, step in zip(raster, wanted, strict=True))
    return _grid(rows, columns)


def as_size(value: Size | tuple[int, int] | int, name: str) -> Size:
    """Give a positive `Size`; one number stands for a square.

    Parameters
    ----------
    value : Size or int
        Rows and columns.
    name : str
        What the error calls it.

    Returns
    -------
    Size
        Rows and columns.

    Raises
    ------
    InputError
        If either is not positive.

    Examples
    --------
    >>> as_size(32, "tile")
    Size(y=32, x=32)
    """
    size = Size(value, value) if isinstance(value, int) else Size(*(int(v) for v in value))
    if min(size) < 1:
        raise InputError(f"{name} is {size.y} x {size.x}; give at least 1 x 1 pixels")
    return size


def check_overlap(tile: Size, overlap: int) -> None:
    """Refuse an overlap that is negative or as large as the tile.

    Raises
    ------
    InputError
        With the value and the largest that fits.
    """
    if not 0 <= overlap < min(tile):
        raise InputError(
            f"overlap is {overlap}; give 0 to {min(tile) - 1} pixels for tiles of {tile.y} x {tile.x}"
        )


class _Span(NamedTuple):
    """Start and stop of the owned and of the read pixels along one axis."""

    start: int
    stop: int
    read_start: int
    read_stop: int

    @classmethod
    def around(cls, start: int, stop: int, halo: int, length: int) -> _Span:
        return cls(start, stop, max(start - halo, 0), min(stop + halo, length))


def _spans(length: int, tile: int, overlap: int) -> list[_Span]:
    tile = min(tile, length)
    step = max(tile - overlap, 1)
    starts = [*range(0, length - tile, step), length - tile]
    # the border between two tiles runs through the middle of what they share
    borders = [(after + before + tile + 1) // 2 for before, after in pairwise(starts)]
    edges = [0, *borders, length]
    return [_Span(edges[i], edges[i + 1], s, s + tile) for i, s in enumerate(starts)]


def _grid(rows: list[_Span], columns: list[_Span]) -> tuple[Block, ...]:
    return tuple(
        Block(
            Offset(y.start, x.start),
            Size(y.stop - y.start, x.stop - x.start),
            Offset(y.read_start, x.read_start),
            Size(y.read_stop - y.read_start, x.read_stop - x.read_start),
        )
        for y, x in product(rows, columns)
    )


def _slices(offset: Offset, size: Size) -> Slices:
    return slice(offset.y, offset.y + size.y), slice(offset.x, offset.x + size.x)
