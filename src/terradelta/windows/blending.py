"""Weights that let overlapping tiles fade into each other, and the map they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.types import FloatArray, Size
from terradelta.windows.blocks import Block, as_size, check_overlap, tiles

__all__ = ["Blender", "blend", "cosine_weights"]


def cosine_weights(tile: Size | tuple[int, int] | int, overlap: int) -> NDArray[np.float64]:
    """Weights of a tile that rise from its border by a squared sine over the overlap.

    In two tiles that share exactly `overlap` pixels they sum to one; `Blender` divides by the sum of all that
    meet at a pixel, so that the raster's border and the shifted last tiles are right too.

    Parameters
    ----------
    tile : Size or int
        Rows and columns of a tile.
    overlap : int
        Pixels that neighbours share, smaller than a tile.

    Returns
    -------
    ndarray of float64
        (tile.y, tile.x), above 0 and at most 1.

    Raises
    ------
    InputError
        If `overlap` is negative or not smaller than a tile.

    Examples
    --------
    >>> cosine_weights((1, 6), 0).tolist()
    [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    >>> weights = cosine_weights((8, 8), 3)[4]
    >>> (weights[:3] + weights[-3:]).round(12).tolist()
    [1.0, 1.0, 1.0]
    """
    size = as_size(tile, "tile")
    check_overlap(size, overlap)
    return np.outer(_ramps(size.y, overlap), _ramps(size.x, overlap))


class Blender:
    """A map to which overlapping tiles are added one by one, in any order.

    Each pixel becomes the weighted mean of the tiles that hold a value for it; NaN in a tile is left out.
    The result does not depend on the order of the tiles, to the last bit: one that comes too early waits
    until the tiles before it have come. In the order of `tiles` nothing waits, and memory is two float64 maps
    and one tile. A constant comes out as that constant, to the last bit in float32.

    Parameters
    ----------
    size : Size
        Rows and columns of the raster.
    tile : Size or int
        Rows and columns of a tile.
    overlap : int
        Pixels that neighbours share at least.

    Attributes
    ----------
    tiles : tuple of Block
        What to read; the index in it names a tile.

    Raises
    ------
    InputError
        As `tiles`.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(70, dtype=np.float32).reshape(7, 10)
    >>> blender = Blender(Size(7, 10), tile=4, overlap=2)
    >>> for index in reversed(range(len(blender.tiles))):
    ...     blender.add(index, image[blender.tiles[index].read])
    >>> bool(np.allclose(blender.result(), image))
    True
    """

    def __init__(
        self, size: Size | tuple[int, int], tile: Size | tuple[int, int] | int, overlap: int
    ) -> None:
        self.size = as_size(size, "size")
        self.tiles: tuple[Block, ...] = tiles(self.size, tile, overlap)
        shape = self.tiles[0].read_size
        self._weights = np.outer(*(_ramps(n, min(overlap, n - 1)) for n in shape))
        self._sum: NDArray[np.float64] | None = None
        self._total = np.zeros(self.size)
        self._type: np.dtype[np.floating] = np.dtype(np.float32)
        self._waiting: dict[int, FloatArray] = {}
        self._next = 0

    def add(self, index: int, values: ArrayLike) -> None:
        """Add one tile.

        Parameters
        ----------
        index : int
            Which of `tiles`.
        values : array_like
            (..., y, x) of the tile's ``read`` size; leading dimensions alike in all tiles.

        Raises
        ------
        InputError
            If the tile is unknown, was added before, or has the wrong shape.
        """
        array = np.asarray(values)
        if not 0 <= index < len(self.tiles):
            raise InputError(f"tile index is {index}; there are {len(self.tiles)} tiles, counted from 0")
        if index < self._next or index in self._waiting:
            raise InputError(f"tile {index} was added before; add each tile once")
        self._check(index, array)
        self._waiting[index] = array if index == self._next else array.copy()
        while self._next in self._waiting:
            self._accumulate(self._next, self._waiting.pop(self._next))
            self._next += 1

    def result(self) -> FloatArray:
        """Give the map.

        Returns
        -------
        ndarray
            (..., y, x), float32 unless the tiles were float64; NaN where no tile has a value.

        Raises
        ------
        InputError
            If tiles are missing.
        """
        if self._sum is None or self._next < len(self.tiles):
            have = self._next + len(self._waiting)
            raise InputError(
                f"{have} of {len(self.tiles)} tiles were added, first missing: {self._next}; add all"
            )
        with np.errstate(invalid="ignore"):
            return np.asarray(self._sum / self._total, dtype=self._type)

    def _check(self, index: int, array: NDArray[np.generic]) -> None:
        wanted = tuple(self.tiles[index].read_size)
        if array.shape[-2:] != wanted:
            raise InputError(
                f"tile {index} has shape {array.shape}; expected (..., {wanted[0]}, {wanted[1]})"
            )
        if self._sum is None:
            self._sum = np.zeros((*array.shape[:-2], *self.size))
            self._total = np.zeros_like(self._sum)
            self._type = np.dtype(np.float64 if array.dtype == np.float64 else np.float32)
        elif array.shape[:-2] != self._sum.shape[:-2]:
            raise InputError(
                f"tile {index} has shape {array.shape}; the tiles before have {self._sum.shape[:-2]} first"
            )

    def _accumulate(self, index: int, array: FloatArray) -> None:
        if self._sum is None:
            return
        window = (..., *self.tiles[index].read)
        weights = np.where(np.isnan(array), 0, self._weights)
        self._sum[window] += weights * np.nan_to_num(
            array.astype(np.float64), nan=0, posinf=np.inf, neginf=-np.inf
        )
        self._total[window] += weights


def blend(
    values: Iterable[tuple[int, ArrayLike]] | Sequence[ArrayLike],
    size: Size | tuple[int, int],
    tile: Size | tuple[int, int] | int,
    overlap: int,
) -> FloatArray:
    """Put the results of overlapping tiles together into one map; see `Blender`.

    Parameters
    ----------
    values : sequence of array_like, or iterable of (int, array_like)
        Results (..., y, x), in the order of `tiles` or each with its index there.
    size, tile, overlap
        As for `tiles`.

    Returns
    -------
    ndarray
        (..., y, x) map, float32 unless the tiles are float64.

    Raises
    ------
    InputError
        If a tile is missing, twice there, or of the wrong shape.

    Examples
    --------
    >>> import numpy as np
    >>> parts = [np.full(t.read_size, 0.3) for t in tiles(Size(5, 5), 3, 1)]
    >>> blend(parts, Size(5, 5), 3, 1).round(12).max()
    np.float64(0.3)
    """
    blender = Blender(size, tile, overlap)
    for position, item in enumerate(values):
        index, array = item if isinstance(item, tuple) else (position, item)
        blender.add(index, array)
    return blender.result()


def _ramps(length: int, overlap: int) -> NDArray[np.float64]:
    weights = np.ones(length)
    rise = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / max(overlap, 1)) ** 2
    weights[:overlap] *= rise
    weights[length - overlap :] *= rise[::-1]
    return weights
