"""How a place is cut for the networks, so that the work stays within the memory setting."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.types import FloatArray, Size
from terradelta.urban.defaults import DEAD_ZONE, Tiling
from terradelta.windows.blocks import Block, Slices, blocks
from terradelta.windows.grids import grid_tiles

__all__ = ["Budget", "Cut", "Piece", "choose_core", "pieces_of"]

PROCESS_BYTES = 512 * 2**20
"""What Python, the libraries, the networks and one chunk of the cube take whatever the size of a block."""

_LOG = logging.getLogger(__name__)
_STEP, _LARGEST_CORE = 16, 256


@dataclass(frozen=True)
class Budget:
    """What the memory setting allows.

    Attributes
    ----------
    memory : int
        The setting, bytes.
    per_pixel : int
        Bytes that one pixel of a block needs.

    Examples
    --------
    >>> Budget(PROCESS_BYTES + 10**6, 100).pixels
    10000
    """

    memory: int
    per_pixel: int

    @property
    def pixels(self) -> int:
        """Pixels that fit."""
        return max(self.memory - PROCESS_BYTES, 0) // self.per_pixel

    def require(self, pixels: int, what: str) -> None:
        """Refuse a piece that does not fit.

        Raises
        ------
        InputError
            With the least memory that would do.
        """
        if pixels > self.pixels:
            least = math.ceil((PROCESS_BYTES + pixels * self.per_pixel) / 2**20)
            raise InputError(
                f"memory is {self.memory / 2**20:.0f} MiB, but {what} needs at least {least} MiB; "
                "give more memory, a smaller tile or fewer networks"
            )


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a place that is read once and run at once.

    Attributes
    ----------
    read, core : slices
        Rows and columns to read, and those whose maps come out.
    tile : int
        Side of the tiles that it holds; 0 where the whole piece is one tile.
    dead_zone : int
        Pixels that are dropped on each side of such a tile.
    beyond : pairs of int
        Rows and columns beyond the edge of the place, before and after, that a mirror image fills.

    Examples
    --------
    >>> part = Piece((slice(0, 4), slice(0, 6)), (slice(0, 4), slice(0, 6)), tile=2)
    >>> frame = np.arange(24.0).reshape(1, 4, 6)
    >>> part.cut(frame).shape
    (6, 1, 2, 2)
    >>> bool((part.join(part.cut(frame)[:, 0][None])[0] == frame[0]).all())
    True
    """

    read: Slices
    core: Slices
    tile: int = 0
    dead_zone: int = 0
    beyond: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    @property
    def pixels(self) -> int:
        """Pixels that go through the networks, apart from where tiles overlap."""
        return math.prod(
            part.stop - part.start + sum(more) for part, more in zip(self.read, self.beyond, strict=True)
        )

    def cut(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut a frame (channel, y, x) into tiles (tile, channel, y, x)."""
        if not self.tile:
            return np.pad(frame, ((0, 0), *self.beyond), mode="symmetric")[None]
        step = self.tile - 2 * self.dead_zone
        every = sliding_window_view(frame, (self.tile, self.tile), axis=(1, 2))[:, ::step, ::step]
        return every.transpose(1, 2, 0, 3, 4).reshape(-1, len(frame), self.tile, self.tile)

    def join(self, maps: FloatArray) -> FloatArray:
        """Join the maps (net, tile, y, x) of the tiles to those of the core, (net, y, x)."""
        if not self.tile:
            rows, columns = (
                slice(core.start - read.start + more[0], core.stop - read.start + more[0])
                for core, read, more in zip(self.core, self.read, self.beyond, strict=True)
            )
            return maps[:, 0, rows, columns]
        kept = slice(self.dead_zone, self.tile - self.dead_zone)
        step = self.tile - 2 * self.dead_zone
        height, width = ((core.stop - core.start) // step for core in self.core)
        parts = maps[..., kept, kept].reshape(len(maps), height, width, step, step)
        return parts.swapaxes(2, 3).reshape(len(maps), height * step, width * step)


@dataclass(frozen=True)
class Cut:
    """How a place is cut.

    Attributes
    ----------
    size : Size
        Rows and columns of the place.
    tile : int or None
        Side of a tile with its dead zone; None takes what fits (seamless only).
    dead_zone : int
        Pixels dropped on each side.
    tiling : {"seamless", "original"}
        Which tiles.
    budget : Budget
        Memory.
    """

    size: Size
    tile: int | None
    dead_zone: int
    tiling: Tiling
    budget: Budget

    def core(self) -> int:
        """Choose the side of a piece, see `choose_core`."""
        return choose_core(self.size, self.tile, self.dead_zone, self.tiling, self.budget)

    def pieces(self, core: int) -> tuple[Piece, ...]:
        """Cut the place, and make sure that the pieces of a store that is continued fit, too.

        Parameters
        ----------
        core : int
            Side of a piece.

        Raises
        ------
        InputError
            If they do not fit.
        """
        pieces = pieces_of(self.size, core, self.tile or 0, self.dead_zone, self.tiling)
        self.budget.require(max(piece.pixels for piece in pieces), "a block of the maps that are there")
        if self.tiling == "seamless" and self.dead_zone < DEAD_ZONE and len(pieces) > 1:
            _LOG.warning(
                "dead zone %d: seams may be seen between tiles; from %d on there are none",
                self.dead_zone,
                DEAD_ZONE,
            )
        return pieces


def choose_core(size: Size, tile: int | None, dead_zone: int, tiling: Tiling, budget: Budget) -> int:
    """Choose the side of what comes out of one piece.

    Parameters
    ----------
    size : Size
        Rows and columns of the place.
    tile : int or None
        Side of a tile with its dead zone; None takes what fits (seamless only).
    dead_zone : int
        Pixels dropped on each side.
    tiling : {"seamless", "original"}
        Which tiles.
    budget : Budget
        Memory.

    Returns
    -------
    int
        Pixels.

    Raises
    ------
    InputError
        If nothing fits, or the place is smaller than a tile of the original tiling.

    Examples
    --------
    >>> choose_core(Size(900, 900), None, 8, "seamless", Budget(2 * 10**9, 30_000))
    192
    >>> choose_core(Size(900, 900), 32, 0, "original", Budget(2 * 10**9, 30_000))
    192
    """
    if tiling == "original":
        return _tiles_together(size, tile or 0, dead_zone, budget)
    core = _STEP if tile is None else tile - 2 * dead_zone
    pixels = math.prod(min(core, length) + 2 * dead_zone for length in size)
    if tile is not None:
        budget.require(pixels, f"a tile of {tile} pixels")
        return core
    budget.require(pixels, f"the smallest block ({core + 2 * dead_zone} pixels)")
    side = math.isqrt(budget.pixels) - 2 * dead_zone
    return min(max(side // _STEP, 1) * _STEP, _LARGEST_CORE)


def _tiles_together(size: Size, tile: int, dead_zone: int, budget: Budget) -> int:
    """Give the pixels along the side of a square of tiles that are run together."""
    if tile > min(size):
        raise InputError(
            f"tile is {tile}, larger than the place of {size.y} x {size.x} pixels; give at most {min(size)}"
        )
    budget.require(tile**2, f"a tile of {tile} pixels")
    step = tile - 2 * dead_zone
    fitting = math.isqrt(budget.pixels) // tile
    return step * max(1, min(fitting, _LARGEST_CORE // step))


def pieces_of(size: Size, core: int, tile: int, dead_zone: int, tiling: Tiling) -> tuple[Piece, ...]:
    """Cut a place into pieces.

    Parameters
    ----------
    size : Size
        Rows and columns of the place.
    core : int
        From `choose_core`.
    tile, dead_zone : int
        Side of a tile, and pixels dropped on each side of it.
    tiling : {"seamless", "original"}
        Which tiles.

    Returns
    -------
    tuple of Piece
        Row by row from the top left; their cores do not overlap.

    Examples
    --------
    >>> [piece.core for piece in pieces_of(Size(70, 40), 64, 32, 0, "original")]
    [(slice(0, 64, None), slice(0, 32, None))]
    >>> [piece.read[0] for piece in pieces_of(Size(70, 40), 64, 80, 8, "seamless")]
    [slice(0, 70, None), slice(56, 70, None)]
    """
    if tiling == "seamless":
        return tuple(_mirrored(block, dead_zone) for block in blocks(size, core, halo=dead_zone))
    tiles = grid_tiles(size, tile, dead_zone)
    step = tile - 2 * dead_zone
    rows, columns = (
        _runs(sorted({block.core[axis].start for block in tiles}), step, core // step) for axis in (0, 1)
    )
    return tuple(
        Piece((_wider(row, dead_zone), _wider(column, dead_zone)), (row, column), tile, dead_zone)
        for row in rows
        for column in columns
    )


def _mirrored(block: Block, dead_zone: int) -> Piece:
    """Give a piece whose dead zone reaches beyond the edge of the place where the core touches it."""
    rows, columns = (
        (dead_zone - (core.start - read.start), dead_zone - (read.stop - core.stop))
        for core, read in zip(block.core, block.read, strict=True)
    )
    return Piece(block.read, block.core, beyond=(rows, columns))


def _runs(starts: list[int], step: int, together: int) -> list[slice]:
    """Put neighbouring tiles together, given the first pixel of each core."""
    edges = [*starts[::together], starts[-1] + step]
    return [slice(first, last) for first, last in pairwise(edges)]


def _wider(part: slice, margin: int) -> slice:
    return slice(part.start - margin, part.stop + margin)
