"""The bytes inside a file, whatever it is compressed with: gzip, zlib or not at all."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal, Protocol

from terradelta.errors import SourceError, StorageError
from terradelta.types import PathType

__all__ = ["Compression", "Stream", "compressed_writer", "open_stream", "replaced"]

Compression = Literal["gzip", "zlib", "none"]
_PIECE = 256 * 1024
_LEVEL = 2
"""Of ISA-L (0 to 3); zlib is used with its own default."""


class _Source(Protocol):
    def readinto(self, buffer: Any, /) -> int | None: ...


class Stream:
    """Bytes of a file after decompression, in order.

    Parameters
    ----------
    source : file-like
        With ``readinto``.
    compression : {"gzip", "zlib", "none"}
        What it is.

    Attributes
    ----------
    compression : str
        What the file is compressed with.
    """

    def __init__(self, source: _Source, compression: Compression) -> None:
        self.compression = compression
        self._source = source

    def fill(self, buffer: memoryview) -> int:
        """Read until a buffer is full or the stream ends.

        Parameters
        ----------
        buffer : memoryview
            Of bytes, writable.

        Returns
        -------
        int
            Number of bytes read.

        Raises
        ------
        SourceError
            The compressed data are damaged or cut; the message tells no file.
        """
        done = 0
        try:
            while done < len(buffer):
                step = self._source.readinto(buffer[done:])
                if not step:
                    break
                done += step
        except EOFError:
            raise SourceError(f"the {self.compression} stream is cut") from None
        except _errors() as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SourceError(f"the {self.compression} stream is damaged ({error})") from error
        return done


def _errors() -> tuple[type[Exception], ...]:
    fast = _fast()
    return (zlib.error, OSError, *(() if fast is None else (fast.isal_zlib.error,)))


def _fast() -> ModuleType | None:
    """ISA-L, which is several times faster than zlib, where it is installed."""
    try:
        import isal
        import isal.igzip
        import isal.isal_zlib
    except ImportError:
        return None
    module: ModuleType = isal
    return module


class _Inflater:
    """Reader of a zlib stream."""

    def __init__(self, file: BinaryIO) -> None:
        fast = _fast()
        self._file = file
        self._engine: Any = (zlib if fast is None else fast.isal_zlib).decompressobj(15)
        self._rest: bytes = b""

    def readinto(self, buffer: memoryview, /) -> int:
        while True:
            if self._engine.eof:
                if self._engine.unused_data or self._file.read(1):
                    raise zlib.error("there is more behind its end")
                return 0
            fresh = self._rest or self._file.read(_PIECE)
            # a full buffer may leave output inside the engine: it comes out with no further input
            piece = self._engine.decompress(fresh, len(buffer))
            self._rest = self._engine.unconsumed_tail
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
            if not fresh and not self._engine.eof:
                raise EOFError


@contextmanager
def open_stream(path: PathType, is_plain: Any) -> Iterator[Stream]:
    """Open a file for reading; its compression is told by its first bytes, not by its name.

    Parameters
    ----------
    path : path-like
        The file.
    is_plain : callable
        Takes the first 12 bytes, tells whether they are those of an uncompressed file.

    Yields
    ------
    Stream

    Raises
    ------
    SourceError
        It is missing, a folder, or none of the three.
    """
    path = Path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise SourceError(
            f"{path} cannot be opened ({error.strerror or error}); check the path and its rights"
        ) from error
    with file:
        head = file.read(12)
        file.seek(0)
        compression = _kind(head, is_plain)
        if compression is None:
            raise SourceError(
                f"{path} is no TFRecord file, or its first bytes are damaged: neither gzip nor zlib nor the "
                "length of a record; give another file or copy it again"
            )
        if compression == "gzip":
            with _gzip().open(file, "rb") as inner:
                yield Stream(inner, compression)
        else:
            yield Stream(file if compression == "none" else _Inflater(file), compression)


def _kind(head: bytes, is_plain: Any) -> Compression | None:
    if not head or is_plain(head):
        return "none"
    if head[:3] == b"\x1f\x8b\x08":
        return "gzip"
    if len(head) > 1 and head[0] & 0x8F == 0x08 and int.from_bytes(head[:2], "big") % 31 == 0:
        return "zlib"
    return None


def _gzip() -> Any:
    import gzip

    fast = _fast()
    return gzip if fast is None else fast.igzip


@contextmanager
def compressed_writer(file: BinaryIO, compression: Compression) -> Iterator[Any]:
    """Give a function that writes bytes into a file, compressed.

    Parameters
    ----------
    file : binary file
        Open for writing.
    compression : {"gzip", "zlib", "none"}
        How.

    Yields
    ------
    callable
        Takes bytes. The same bytes give the same file: no time is stored.
    """
    fast = _fast()
    if compression == "none":
        yield file.write
    elif compression == "gzip":
        options = {"mtime": 0, "compresslevel": 6 if fast is None else _LEVEL}
        opened = (_gzip().GzipFile if fast is None else fast.igzip.IGzipFile)(
            filename="", mode="wb", fileobj=file, **options
        )
        with opened as inner:
            yield inner.write
    else:
        engine = zlib.compressobj(6) if fast is None else fast.isal_zlib.compressobj(_LEVEL)
        yield lambda data: file.write(engine.compress(data))
        file.write(engine.flush())


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Write a file beside its place and move it there at the end: it is there whole or not at all.

    Parameters
    ----------
    path : Path
        Its place.

    Yields
    ------
    binary file
        Open for writing.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; choose another place or make room"
        ) from error
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
