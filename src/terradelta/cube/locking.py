"""One writer at a time: a lock beside the cube that the system itself lifts when its holder dies."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from terradelta.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["WAIT", "exclusive", "lock_path"]

WAIT = 60.0
"""Seconds to wait for another writer."""


def lock_path(path: Path) -> Path:
    """Tell where the lock of a cube lies: a hidden file beside it, so that Zarr never meets it.

    Parameters
    ----------
    path : Path
        The cube.

    Returns
    -------
    Path
        The lock's file.

    Examples
    --------
    >>> lock_path(Path("/data/liege.zarr")).name
    '.liege.zarr.lock'
    """
    path = path.resolve()
    return path.with_name(f".{path.name}.lock")


@contextmanager
def exclusive(path: Path, timeout: float = WAIT) -> Iterator[None]:
    """Hold the cube for writing.

    Parameters
    ----------
    path : Path
        The cube.
    timeout : float
        Seconds to wait while another process holds it.

    Yields
    ------
    None

    Raises
    ------
    LockedError
        If the other process does not finish in time; names it.
    """
    file = lock_path(path)
    lock = FileLock(file, timeout=timeout, poll_interval=0.02)
    try:
        file.touch()  # where no file can be made the lock would wait for nothing
        lock.acquire()
    except Timeout:
        raise LockedError(
            f"{path} is being written by {_holder(file)}; "
            f"waited {timeout:g} s, try again when it has finished"
        ) from None
    try:
        with suppress(OSError):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            command = Path(sys.argv[0]).name or "python"
            file.write_text(f"process {os.getpid()} ({command}) on {socket.gethostname()} since {now}")
        yield
    finally:
        with suppress(OSError):
            file.write_text("")
        lock.release()


def _holder(file: Path) -> str:
    with suppress(OSError):
        return file.read_text(errors="replace").strip() or "another process"
    return "another process"
