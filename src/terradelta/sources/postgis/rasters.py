"""PostGIS rasters as bytes: well-known binary of single tiles, to the last bit."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from affine import Affine

from terradelta.errors import InputError, SourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Tile", "from_wkb", "pack", "to_wkb", "unpack"]

_HEADER = struct.Struct("<BHHddddddiHH")
_CODES = {"|i1": 3, "|u1": 4, "<i2": 5, "<u2": 6, "<i4": 7, "<u4": 8, "<f4": 10, "<f8": 11}
_TYPES = {code: np.dtype(name) for name, code in _CODES.items()}
_LIKE = {"|b1": "|u1", "<f2": "<u2"}
_PIXTYPE, _OFFLINE = 0x0F, 0x80


class Tile(NamedTuple):
    """A raster out of the database.

    Attributes
    ----------
    values : array, (band, y, x)
        Pixels.
    affine : Affine
        Pixel corners to coordinates.
    """

    values: NDArray[Any]
    affine: Affine


def pack(values: NDArray[Any]) -> NDArray[Any]:
    """Bring values into a type that PostGIS rasters have, without loss.

    Parameters
    ----------
    values : array, (band, y, x)
        Numbers or bool; 64-bit integers become two bands of their halves, half floats and bool keep their
        bits in unsigned integers.

    Returns
    -------
    array, (band, y, x)
        Little endian.

    Raises
    ------
    InputError
        The type cannot be kept.

    Examples
    --------
    >>> pack(np.full((1, 2, 2), 2**40, np.int64))[:, 0, 0].tolist()
    [0, 256]
    """
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    kind = values.dtype.str
    if kind in _CODES:
        return values
    if kind in _LIKE:
        return values.view(_LIKE[kind])
    if kind in ("<i8", "<u8"):
        band, y, x = values.shape
        return np.ascontiguousarray(
            values.view("<u4").reshape(band, y, x, 2).transpose(0, 3, 1, 2).reshape(2 * band, y, x)
        )
    raise InputError(f"values of type {values.dtype} cannot be kept in PostGIS; convert them to float64")


def unpack(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Undo :func:`pack`.

    Parameters
    ----------
    values : array, (band, y, x)
        From :func:`pack`.
    dtype : numpy.dtype
        Type before packing.

    Returns
    -------
    array, (band, y, x)
        As before.

    Examples
    --------
    >>> unpack(pack(np.full((1, 2, 2), 2**40, np.int64)), np.dtype("int64"))[0, 0, 0] == 2**40
    np.True_
    """
    little = dtype.newbyteorder("<")
    if little.str in ("<i8", "<u8"):
        halves, y, x = values.shape
        joined = values.reshape(halves // 2, 2, y, x).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(joined).view(little)[..., 0].astype(dtype, copy=False)
    return np.ascontiguousarray(values).view(little).astype(dtype, copy=False)


def to_wkb(values: NDArray[Any], affine: Affine, srid: int) -> bytes:
    """Write a tile as well-known binary, without a no-data value: NaN stays NaN.

    Parameters
    ----------
    values : array, (band, y, x)
        From :func:`pack`.
    affine : Affine
        Pixel corners to coordinates.
    srid : int
        Reference system in the database, 0 if it knows none.

    Returns
    -------
    bytes
        For ``ST_RastFromWKB``.

    Examples
    --------
    >>> tile = from_wkb(to_wkb(np.full((2, 1, 3), np.nan, "f4"), Affine(10, 0, 5, 0, -10, 9), 0))
    >>> tile.values.shape, tile.affine.c
    ((2, 1, 3), 5.0)
    """
    bands, height, width = values.shape
    a = affine
    head = _HEADER.pack(1, 0, bands, a.a, a.e, a.c, a.f, a.b, a.d, srid, width, height)
    band = struct.pack("<B", _CODES[values.dtype.str]) + bytes(values.dtype.itemsize)
    return head + b"".join(band + plane.tobytes() for plane in values)


def from_wkb(blob: bytes) -> Tile:
    """Read a tile from well-known binary.

    Parameters
    ----------
    blob : bytes
        From ``ST_AsBinary``, little endian, all bands of one type.

    Returns
    -------
    Tile
        Pixels and their place.

    Raises
    ------
    SourceError
        The raster lies outside the database, or its bands are of several types.
    """
    order, _, bands, *georeference, _, width, height = _HEADER.unpack_from(blob)
    if order != 1:
        raise SourceError("the database sends rasters in big endian; only little endian is read")
    scale_x, scale_y, corner_x, corner_y, skew_x, skew_y = georeference
    planes: list[NDArray[Any]] = []
    offset = _HEADER.size
    for _ in range(bands):
        if blob[offset] & _OFFLINE:
            raise SourceError("a raster lies in a file outside the database; load it without -R")
        dtype = _TYPES[blob[offset] & _PIXTYPE]
        offset += 1 + dtype.itemsize
        planes.append(np.frombuffer(blob, dtype, height * width, offset).reshape(height, width))
        offset += height * width * dtype.itemsize
    if len({plane.dtype for plane in planes}) > 1:
        raise SourceError("a raster has bands of several types; expected one")
    values = np.stack(planes) if planes else np.empty((0, height, width))
    return Tile(values, Affine(scale_x, skew_x, corner_x, skew_y, scale_y, corner_y))
