"""Overlapping tiles of a scene as a network reads them, and the weights that let their results fade."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from terradelta.types import FloatArray, Size
from terradelta.windows.blending import cosine_weights
from terradelta.windows.blocks import Block, Slices, blocks, tiles

__all__ = ["PIECE", "Tiling"]

PIECE = 256
"""Pixels on a side of the pieces in which results are written; each is written once, as a whole."""


@dataclass(frozen=True)
class Tiling:
    """How a scene is cut.

    Attributes
    ----------
    size : Size
        Rows and columns of the scene.
    tile : int
        Side of what comes out of a tile.
    overlap : int
        Pixels of it that neighbours share at least.
    margin : int
        Pixels around it that the network reads besides; dropped, as they do not see what is beyond.
    multiple : int
        What the first row and column that are read are multiples of.

    Examples
    --------
    >>> cut = Tiling(Size(40, 100), tile=32, overlap=8, margin=6, multiple=4)
    >>> [tile.read[1] for tile in cut.tiles[:3]], cut.seen(1)[1]
    ([slice(0, 32, None), slice(24, 56, None), slice(48, 80, None)], slice(16, 62, None))
    """

    size: Size
    tile: int
    overlap: int
    margin: int = 0
    multiple: int = 1

    @cached_property
    def tiles(self) -> tuple[Block, ...]:
        """What comes out of each tile (`read`)."""
        return tiles(self.size, self.tile, self._shared)

    @property
    def _shared(self) -> int:
        """The overlap, less than the shorter side of a tile."""
        return min(self.overlap, min(self.tile, *self.size) - 1)

    @cached_property
    def pieces(self) -> tuple[Slices, ...]:
        """Rows and columns of the pieces in which results are written; they do not overlap."""
        return tuple(block.core for block in blocks(self.size, PIECE))

    def seen(self, number: int) -> Slices:
        """Give the rows and columns that the network reads for a tile."""
        first, last = (
            slice(
                max(part.start - self.margin, 0) // self.multiple * self.multiple,
                min(part.stop + self.margin, length),
            )
            for part, length in zip(self.tiles[number].read, self.size, strict=True)
        )
        return first, last

    def inner(self, number: int) -> Slices:
        """Give the rows and columns of what comes out within what the network reads."""
        first, last = (
            slice(part.start - seen.start, part.stop - seen.start)
            for part, seen in zip(self.tiles[number].read, self.seen(number), strict=True)
        )
        return first, last

    def touching(self, part: Slices) -> list[int]:
        """List the tiles that hold pixels of a part."""
        return [number for number, tile in enumerate(self.tiles) if _common(part, tile.read) is not None]

    def freed(self, piece: int) -> list[int]:
        """List the tiles that no piece after this one needs."""
        return self._last_uses.get(piece, [])

    @cached_property
    def _last_uses(self) -> dict[int, list[int]]:
        last = {tile: number for number, piece in enumerate(self.pieces) for tile in self.touching(piece)}
        uses: dict[int, list[int]] = {}
        for tile, number in last.items():
            uses.setdefault(number, []).append(tile)
        return uses

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        return cosine_weights(self.tiles[0].read_size, self._shared)

    def blended(self, part: Slices, values: Callable[[int], FloatArray]) -> FloatArray:
        """Blend the results of tiles over a part of the scene; each pixel is their weighted mean.

        Parameters
        ----------
        part : slices
            Rows and columns.
        values : callable
            Gives the result (layer, y, x) of a tile by its number; NaN is left out.

        Returns
        -------
        ndarray
            (layer, y, x) float32; NaN where no tile has a value. It does not depend on the part.
        """
        total, weight = np.zeros(()), np.zeros(())
        shape = [piece.stop - piece.start for piece in part]
        for number in self.touching(part):
            common = _common(part, self.tiles[number].read)
            if common is None:
                continue
            inside, of_tile = common
            found = values(number)[..., *of_tile].astype(np.float64)
            if not total.shape:
                total = np.zeros((len(found), *shape))
                weight = np.zeros_like(total)
            known = np.isfinite(found)
            share = self._weights[of_tile] * known
            total[..., *inside] += share * np.where(known, found, 0)
            weight[..., *inside] += share
        with np.errstate(invalid="ignore"):
            return np.asarray(total / weight, dtype=np.float32)


def _common(part: Slices, tile: Slices) -> tuple[Slices, Slices] | None:
    """Give what both share, counted from the first pixel of each; None if nothing."""
    spans = [(max(p.start, t.start), min(p.stop, t.stop)) for p, t in zip(part, tile, strict=True)]
    if any(start >= stop for start, stop in spans):
        return None
    (rows, columns), (tile_rows, tile_columns) = (
        [slice(a - origin.start, b - origin.start) for (a, b), origin in zip(spans, whole, strict=True)]
        for whole in (part, tile)
    )
    return (rows, columns), (tile_rows, tile_columns)
