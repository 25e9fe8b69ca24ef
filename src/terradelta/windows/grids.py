"""Tiles of one size with a dead zone around what they own, and the map that is put together from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.types import Offset, Size
from terradelta.windows.blocks import Block, as_size

__all__ = ["grid_tiles", "mosaic"]


def grid_tiles(
    size: Size | tuple[int, int], tile: Size | tuple[int, int] | int, dead_zone: int = 0
) -> tuple[Block, ...]:
    """Cut a raster into whole tiles that own all but a dead zone along their border.

    Neighbours share twice the dead zone, so that what they own meets without a gap. Nothing is shifted or
    cut: the dead zone along the raster's edge and what does not fill a tile on the right and at the bottom
    belong to none. This is the tiling of the published method; `tiles` covers a raster wholly.

    Parameters
    ----------
    size : Size
        Rows and columns of the raster.
    tile : Size or int
        Rows and columns of a tile.
    dead_zone : int
        Pixels along each border of a tile that it does not own.

    Returns
    -------
    tuple of Block
        Row by row from the top left; ``read`` is the whole tile, ``core`` what it owns.

    Raises
    ------
    InputError
        If a size is not positive, the dead zones leave nothing of a tile, or the raster is smaller than one.

    Examples
    --------
    >>> [t.read[1] for t in grid_tiles(Size(40, 75), 40, dead_zone=4)]
    [slice(0, 40, None), slice(32, 72, None)]
    >>> [t.core[1] for t in grid_tiles(Size(40, 75), 40, dead_zone=4)]
    [slice(4, 36, None), slice(36, 68, None)]
    """
    raster, whole = as_size(size, "size"), as_size(tile, "tile")
    if not 0 <= 2 * dead_zone < min(whole):
        raise InputError(
            f"dead zone is {dead_zone}; give 0 to {(min(whole) - 1) // 2} pixels "
            f"for tiles of {whole.y} x {whole.x}"
        )
    if whole.y > raster.y or whole.x > raster.x:
        raise InputError(
            f"a tile of {whole.y} x {whole.x} is larger than the area of {raster.y} x {raster.x} pixels; "
            "give smaller tiles"
        )
    owned = Size(whole.y - 2 * dead_zone, whole.x - 2 * dead_zone)
    rows, columns = (
        range(0, (length - 2 * dead_zone) // step * step, step)
        for length, step in zip(raster, owned, strict=True)
    )
    return tuple(
        Block(Offset(y + dead_zone, x + dead_zone), owned, Offset(y, x), whole) for y in rows for x in columns
    )


def mosaic(
    size: Size | tuple[int, int],
    parts: Iterable[tuple[Block, ArrayLike]],
    fill: float = np.nan,
) -> NDArray[Any]:
    """Put a raster together from what its tiles own.

    Parameters
    ----------
    size : Size
        Rows and columns of the raster.
    parts : iterable of (Block, array_like)
        A tile, and its values (..., y, x) of the tile's ``read`` size; leading dimensions alike in all.
    fill : float
        Value of pixels that no tile owns.

    Returns
    -------
    ndarray
        (..., y, x), of the type of the values; float32 if there are no tiles.

    Raises
    ------
    InputError
        If values do not have their tile's size or each other's leading dimensions, a tile leaves the raster,
        or the type of the values cannot hold `fill`.

    Examples
    --------
    >>> parts = [(tile, np.full((4, 4), number)) for number, tile in enumerate(grid_tiles((4, 7), 4, 1))]
    >>> mosaic((4, 7), parts, fill=-1).tolist()[1]
    [-1, 0, 0, 1, 1, -1, -1]
    """
    raster = as_size(size, "size")
    result: NDArray[Any] | None = None
    for block, values in parts:
        array = np.asarray(values)
        if result is None:
            result = _empty((*array.shape[:-2], *raster), array.dtype, fill)
        _check_part(block, array, result)
        result[(..., *block.core)] = array[(..., *block.inner)]
    return np.full(raster, fill, np.float32) if result is None else result


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any], fill: float) -> NDArray[Any]:
    if dtype.kind in "iub" and not (np.isfinite(fill) and np.asarray(fill).astype(dtype) == fill):
        raise InputError(f"values of type {dtype} cannot hold the fill {fill}; give another fill, or floats")
    return np.full(shape, fill, dtype)


def _check_part(block: Block, array: NDArray[Any], result: NDArray[Any]) -> None:
    expected = (*result.shape[:-2], *block.read_size)
    if array.shape != expected:
        raise InputError(f"a tile's values have the shape {array.shape}; expected {expected}")
    if any(part.start < 0 or part.stop > n for part, n in zip(block.core, result.shape[-2:], strict=True)):
        raise InputError(
            f"a tile owns rows and columns {block.core}, outside the raster of {result.shape[-2:]} pixels"
        )
