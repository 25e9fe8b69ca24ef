"""Images cut into tiles on their way into the database, and put together on their way out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from affine import Affine
from psycopg import sql

from terradelta.cube.layout import layout_for
from terradelta.errors import SourceError
from terradelta.sources.postgis.rasters import from_wkb, pack, to_wkb, unpack
from terradelta.types import Size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from terradelta.sources.postgis.connection import Connection, Database

__all__ = ["TILE", "Frame", "StoredImage", "image_digest", "write_tiles"]

TILE = 256
"""Edge of a tile in pixels, as of a chunk of a cube (measured: 128 reads at a third of the speed)."""

Window = tuple[slice, slice]


class _Image(Protocol):
    """Something with pixels: NumPy, dask or Zarr."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: Any) -> Any: ...


class Frame(NamedTuple):
    """Where the tiles of an image lie.

    Attributes
    ----------
    table : str
        Name of their table.
    owner : str
        Column that tells images apart.
    geobox : GeoBox
        Grid of the image.
    srid : int
        Its reference system in the database, 0 if it knows none.
    """

    table: str
    owner: str
    geobox: GeoBox
    srid: int = 0


def write_tiles(connection: Connection, database: Database, frame: Frame, key: int, image: _Image) -> None:
    """Write all tiles of an image, one block of a cube in memory at a time.

    Parameters
    ----------
    connection : Connection
        Within a transaction.
    database : Database
        Names the tables.
    frame : Frame
        Where to.
    key : int
        Which image.
    image : array, (band, y, x) or (y, x)
        NumPy, dask or Zarr.
    """
    statement = sql.SQL(
        "INSERT INTO {table} ({owner}, y, x, rast) VALUES (%s, %s, %s, ST_RastFromWKB(%b))"
    ).format(table=database.table(frame.table), owner=sql.Identifier(frame.owner))
    with connection.cursor() as cursor:
        cursor.executemany(statement, ((key, *row) for row in _cut(image, frame)))


def _cut(image: _Image, frame: Frame) -> Iterator[tuple[int, int, bytes]]:
    for window in _blocks(Size(*frame.geobox.shape)):
        block = _block(image, window)
        top, left = window[0].start, window[1].start
        for y in range(0, block.shape[1], TILE):
            for x in range(0, block.shape[2], TILE):
                values = block[:, y : y + TILE, x : x + TILE]
                affine = frame.geobox.affine @ Affine.translation(left + x, top + y)
                yield top + y, left + x, to_wkb(pack(values), affine, frame.srid)


def _blocks(size: Size) -> Iterator[Window]:
    edge_y, edge_x = (-(-edge // TILE) * TILE for edge in layout_for(size).shard)
    for y in range(0, size.y, edge_y):
        for x in range(0, size.x, edge_x):
            yield slice(y, min(y + edge_y, size.y)), slice(x, min(x + edge_x, size.x))


def _block(image: _Image, window: Window) -> NDArray[Any]:
    part = image[(..., *window)]
    values = np.asarray(part.compute() if hasattr(part, "compute") else part)
    return values if values.ndim == 3 else values[None]


def image_digest(image: _Image) -> str:
    """Sum an image up.

    Parameters
    ----------
    image : array, (band, y, x) or (y, x)
        NumPy, dask or Zarr.

    Returns
    -------
    str
        Hexadecimal, of the values and their type.

    Examples
    --------
    >>> image_digest(np.zeros((2, 2))) == image_digest(np.zeros((2, 2), "f4"))
    False
    """
    digest = hashlib.sha256()
    for window in _blocks(Size(*image.shape[-2:])):
        block = _block(image, window)
        digest.update(block.dtype.str.encode())
        digest.update(np.ascontiguousarray(block).tobytes())
    return digest.hexdigest()


class StoredImage:
    """An image in the database that reads only the tiles that are asked for.

    Parameters
    ----------
    database : Database
        Where it is.
    frame : Frame
        Where its tiles lie.
    key : int
        Which image.
    dtype : str or numpy.dtype
        Type of its values.
    bands : int, optional
        Number of bands; None for an image (y, x).
    """

    def __init__(
        self, database: Database, frame: Frame, key: int, dtype: Any, bands: int | None = None
    ) -> None:
        self._database, self._frame, self._key = database, frame, key
        self._bands = bands
        self.dtype = np.dtype(dtype)
        self.shape = (*(() if bands is None else (bands,)), *(int(n) for n in frame.geobox.shape))
        self.ndim = len(self.shape)

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        rows, columns = (
            slice(*part.indices(length)[:2]) for part, length in zip(key[-2:], self.shape[-2:], strict=True)
        )
        values = self._database.run(lambda connection: self._read(connection, (rows, columns)))
        return values[0] if self._bands is None else values

    def _read(self, connection: Connection, window: Window) -> NDArray[Any]:
        rows, columns = window
        out = np.empty((self._bands or 1, rows.stop - rows.start, columns.stop - columns.start), self.dtype)
        found = 0
        for y, x, blob in self._tiles(connection, window):
            tile = unpack(from_wkb(blob).values, self.dtype)
            top, left = max(y, rows.start), max(x, columns.start)
            bottom = min(y + tile.shape[1], rows.stop)
            right = min(x + tile.shape[2], columns.stop)
            piece = tile[:, top - y : bottom - y, left - x : right - x]
            out[:, top - rows.start : bottom - rows.start, left - columns.start : right - columns.start] = (
                piece
            )
            found += piece[0].size
        if found != out[0].size:
            raise SourceError(
                f"the {self._database.address} lacks tiles of {self._frame.owner} {self._key} in table "
                f"{self._frame.table}; delete that row and load the cube again"
            )
        return out

    def _tiles(self, connection: Connection, window: Window) -> Iterator[tuple[int, int, bytes]]:
        statement = sql.SQL(
            "SELECT y, x, ST_AsBinary(rast) FROM {table} "
            "WHERE {owner} = %s AND y > %s AND y < %s AND x > %s AND x < %s"
        ).format(table=self._database.table(self._frame.table), owner=sql.Identifier(self._frame.owner))
        rows, columns = window
        values = (self._key, rows.start - TILE, rows.stop, columns.start - TILE, columns.stop)
        with connection.cursor(binary=True) as cursor:
            yield from cursor.execute(statement, values)
