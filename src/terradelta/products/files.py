"""Whole files or none: a hidden folder beside the target, then one rename per file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from terradelta.errors import LockedError, StorageError, TerradeltaError
from terradelta.types import PathType

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["STAGING", "publish", "require_room", "staging", "storing", "whole_file"]

STAGING = ".terradelta-unfinished"
"""Folder inside the output that holds files until they are whole."""


@contextmanager
def storing(path: PathType) -> Iterator[None]:
    """Turn any failure to write below a path into one clear line.

    Parameters
    ----------
    path : path-like
        Named in the message.

    Raises
    ------
    StorageError
        The disk is full, the place is read-only, or a writer failed.
    """
    from pyogrio.errors import DataLayerError, DataSourceError
    from rasterio.errors import RasterioError

    try:
        yield
    except TerradeltaError:
        raise
    except (OSError, RasterioError, DataSourceError, DataLayerError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise StorageError(
            f"cannot write to {os.fspath(path)}: {' '.join(reason.split())}; "
            "free some room or choose another folder"
        ) from error


def require_room(folder: Path, needed: int) -> None:
    """Refuse to start what will not fit.

    Parameters
    ----------
    folder : Path
        An existing folder on the disk in question.
    needed : int
        Bytes.

    Raises
    ------
    StorageError
        Fewer bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            f"{folder} has {free / 1e6:.0f} MB free, {needed / 1e6:.0f} MB are needed; "
            "free some room or choose another folder"
        )


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """Lend an empty hidden folder inside ``out``; it is gone afterwards, whatever happens.

    Remains of a killed run are removed first. Only one process at a time gets it.

    Parameters
    ----------
    out : Path
        Output folder; made when missing.

    Yields
    ------
    Path
        The hidden folder, on the same disk as ``out``.

    Raises
    ------
    StorageError
        The folder cannot be made.
    LockedError
        Another process is writing into ``out``.
    """
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = _lock(out)
    stage = out / STAGING
    try:
        with storing(out):
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir()
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock(out: Path) -> int | None:
    if fcntl is None:
        return None
    handle = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise LockedError(f"another process is writing into {out}; wait or choose another folder") from error
    except OSError:  # file systems without locks
        os.close(handle)
        return None
    return handle


def publish(source: Path, target: Path) -> None:
    """Move a finished file or folder to its final name, so that a reader sees the old or the new one.

    Parameters
    ----------
    source : Path
        Finished; on the same disk.
    target : Path
        Final name; replaced when there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        if target.is_dir():
            shutil.rmtree(target)
        source.replace(target)
        return
    with source.open("rb") as handle:
        os.fsync(handle.fileno())
    source.replace(target)


@contextmanager
def whole_file(target: PathType) -> Iterator[Path]:
    """Lend a hidden name beside a file; what was written there gets the file's name at the end.

    Parameters
    ----------
    target : path-like
        The file to write; its folder is made when missing.

    Yields
    ------
    Path
        Name to write to; nothing stays there when the writing fails.

    Raises
    ------
    StorageError
        The file cannot be written: no room, no permission.
    """
    target = Path(target)
    hidden = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    with storing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield hidden
            publish(hidden, target)
        finally:
            hidden.unlink(missing_ok=True)
