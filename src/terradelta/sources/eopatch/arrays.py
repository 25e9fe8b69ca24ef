"""Arrays of EOPatches, `.npy`, `.npy.gz` and Zarr folders: shapes without pixels, pixels of one time."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import SourceError
from terradelta.sources.layers import RawLayer

__all__ = ["ENDINGS", "VALID", "Header", "read_header", "read_window"]

ENDINGS = (".npy", ".npy.gz", ".zarr")

VALID = "valid"
"""Tag of an image that names the array which is 0 where the image has no data."""

_KEPT = 512 * 2**20
"""Room for images of one time that were unpacked (bytes): those of one block of a cube fit."""

_STREAMS = 32
_ZARR_FILES = (".zarray", "zarr.json")


class Header(NamedTuple):
    """What is known of an array before its pixels are read.

    Attributes
    ----------
    shape : tuple of int
        Time, rows, columns and channels; or without time.
    dtype : numpy.dtype
        Type of the numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[-1]


def read_header(path: Path) -> Header:
    """Read shape and type of an array.

    Parameters
    ----------
    path : pathlib.Path
        ``.npy``, ``.npy.gz`` or a Zarr folder.

    Raises
    ------
    SourceError
        It cannot be read, is cut off, or holds pickled objects.
    """
    with _reading(path):
        if path.suffix == ".zarr":
            array = _zarr(path)
            return _plain(path, Header(tuple(array.shape), np.dtype(array.dtype)))
        with _opened(path) as file:
            header, _, start = _npy_header(file)
        _plain(path, header)
        if path.suffix == ".npy" and path.stat().st_size < start + _nbytes(header):
            raise SourceError(f"{_name(path)}: truncated; copy it again")
        return header


def read_window(layer: RawLayer, rows: slice, columns: slice) -> NDArray[Any]:
    """Read stored numbers (y, x) of a window that lies inside an image.

    Parameters
    ----------
    layer : RawLayer
        Its `key` counts channels, then times, from 1.
    rows, columns : slice
        Window.

    Returns
    -------
    array (y, x)
        Floats with NaN where the tag "valid" names an array that is 0 there.

    Raises
    ------
    SourceError
        The pixels cannot be read.
    """
    if not isinstance(layer.key, int):
        raise SourceError(f"{_name(layer.path)}: {layer.key!r} is no number of an image")
    with _reading(layer.path):
        time, channel = divmod(layer.key - 1, layer.count)
        values: NDArray[Any] = np.array(_UNPACKED.image(layer.path, time)[rows, columns, channel])
        if VALID not in layer.tags:
            return values
        seen = _UNPACKED.image(Path(layer.tags[VALID]), time)[rows, columns, 0] != 0
        return np.where(seen, values, np.asarray(np.nan, np.result_type(values, np.float32)))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn every failure to read an array into one line."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error, RuntimeError) as error:
        if isinstance(error, SourceError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(
            f"{_name(path)}: cannot be read, truncated or damaged ({reason}); copy it again"
        ) from error


def _name(path: Path) -> str:
    return "/".join(path.parts[-3:])


def _plain(path: Path, header: Header) -> Header:
    """Refuse what is no array of numbers."""
    if header.dtype.kind not in "biuf":
        raise SourceError(
            f"{_name(path)}: holds {header.dtype}, not numbers; save it again as an array of numbers"
        )
    return header


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _npy_header(file: Any) -> tuple[Header, bool, int]:
    """Shape and type, whether columns come first, and where the numbers begin."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"npy version {version}")
    shape, fortran, dtype = read[version](file)
    return Header(tuple(shape), dtype), fortran, file.tell()


def _nbytes(header: Header) -> int:
    return int(np.prod(header.shape, dtype=np.int64)) * header.dtype.itemsize


def _zarr(path: Path) -> Any:
    """Open a Zarr array; codecs that would unpickle are refused."""
    import zarr

    described = [json.loads((path / name).read_text()) for name in _ZARR_FILES if (path / name).exists()]
    if "pickle" in json.dumps(described).lower():
        raise SourceError(f"{_name(path)}: holds pickled objects; save it again as an array of numbers")
    return zarr.open_array(str(path), mode="r")


class _Unpacked:
    """Images of one time of packed arrays, unpacked once and kept while there is room."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.images: OrderedDict[tuple[Any, ...], NDArray[Any]] = OrderedDict()
        self.streams: OrderedDict[tuple[Any, ...], _Stream] = OrderedDict()

    def image(self, path: Path, time: int) -> NDArray[Any]:
        """All channels (y, x, channel) at one time."""
        if path.suffix == ".npy":
            whole: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return _at(whole, time)
        status = (path / "zarr.json" if (path / "zarr.json").exists() else path).stat()
        key = (path, status.st_mtime_ns, status.st_ino)
        with self.lock:
            if (*key, time) not in self.images:
                image = _at(_zarr(path), time) if path.suffix == ".zarr" else self._from_stream(key, time)
                self._keep((*key, time), np.asarray(image))
            self.images.move_to_end((*key, time))
            return self.images[*key, time]

    def _keep(self, key: tuple[Any, ...], image: NDArray[Any]) -> None:
        self.images[key] = image
        while len(self.images) > 1 and sum(one.nbytes for one in self.images.values()) > _KEPT:
            self.images.popitem(last=False)

    def _from_stream(self, key: tuple[Any, ...], time: int) -> NDArray[Any]:
        """Go on in a gzip stream, which is open still if an earlier time was read from it."""
        stream = self.streams.pop(key, None) or _Stream.of(key[0])
        self.streams[key] = stream
        while len(self.streams) > _STREAMS:
            self.streams.popitem(last=False)[1].file.close()
        return stream.image(time)


class _Stream(NamedTuple):
    """A gzip file of an array, read from front to back."""

    file: Any
    header: Header
    by_columns: bool
    start: int

    @classmethod
    def of(cls, path: Path) -> _Stream:
        """Open a file and read its header."""
        file = _opened(path)
        return cls(file, *_npy_header(file))

    def image(self, time: int) -> NDArray[Any]:
        """All channels (y, x, channel) at one time."""
        shape, dtype = self.header
        if self.by_columns or len(shape) == 3:
            self.file.seek(self.start)
            numbers = np.frombuffer(self.file.read(_nbytes(self.header)), dtype)
            return _at(numbers.reshape(shape, order="F" if self.by_columns else "C"), time)
        size = _nbytes(Header(shape[1:], dtype))
        self.file.seek(self.start + time * size)
        return np.frombuffer(self.file.read(size), dtype).reshape(shape[1:])


def _at(array: Any, time: int) -> NDArray[Any]:
    """One time of an array; the whole where it has no time."""
    image: NDArray[Any] = array[time] if array.ndim == 4 else array[...]
    return image


_UNPACKED = _Unpacked()
