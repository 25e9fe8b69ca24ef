"""How pixels lie on disk: chunks, shards and compression, chosen by measurement (see the decision record)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zarr.codecs import BloscCodec, BloscShuffle

if TYPE_CHECKING:
    from terradelta.types import Size

__all__ = ["CHUNK", "SHARD", "Layout", "codec", "layout_for"]

CHUNK = 256
"""Edge of a chunk in pixels: the smallest piece that is read."""

SHARD = 1024
"""Edge of a shard in pixels: the piece that is one file, and the piece that is written at once."""


@dataclass(frozen=True)
class Layout:
    """Edges of chunks and shards for one grid.

    Attributes
    ----------
    chunk : tuple of int
        Rows and columns of a chunk.
    shard : tuple of int
        Rows and columns of a shard, multiples of the chunk's.

    Examples
    --------
    >>> Layout((256, 256), (1024, 1024)).shapes(bands=2)
    ((1, 2, 256, 256), (1, 2, 1024, 1024))
    """

    chunk: tuple[int, int]
    shard: tuple[int, int]

    def shapes(self, bands: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Give chunk and shard shapes of a variable with one image per time.

        A shard holds exactly one time, so that a file is written once and never touched again.

        Parameters
        ----------
        bands : int or None
            Number of bands, None for a variable without bands.

        Returns
        -------
        tuple of tuple of int
            Shape of a chunk and of a shard.
        """
        head = (1,) if bands is None else (1, bands)
        return (*head, *self.chunk), (*head, *self.shard)


def layout_for(size: Size) -> Layout:
    """Choose chunks and shards for a grid; a small grid gets pieces no larger than itself.

    Parameters
    ----------
    size : Size
        Rows and columns of the grid.

    Returns
    -------
    Layout
        Edges of chunks and shards.

    Examples
    --------
    >>> from terradelta.types import Size
    >>> layout_for(Size(100, 300))
    Layout(chunk=(100, 256), shard=(100, 512))
    """
    chunk_y, shard_y = _edges(size.y)
    chunk_x, shard_x = _edges(size.x)
    return Layout((chunk_y, chunk_x), (shard_y, shard_x))


def _edges(length: int) -> tuple[int, int]:
    chunk = min(CHUNK, length)
    return chunk, min(SHARD, -(-length // chunk) * chunk)


def codec() -> BloscCodec:
    """Give the compression of pixels.

    Returns
    -------
    zarr.codecs.BloscCodec
        LZ4 after putting equal bits of neighbouring values together.
    """
    return BloscCodec(cname="lz4", clevel=5, shuffle=BloscShuffle.bitshuffle)
