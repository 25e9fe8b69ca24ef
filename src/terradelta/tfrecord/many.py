"""Many files at once: threads read ahead, what comes out is in the order of the names."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, TypeVar

from terradelta.errors import InputError
from terradelta.types import PathType

__all__ = ["ahead", "read_many"]

Item = TypeVar("Item")
_DEPTH = 2
"""Samples that a file's reader is ahead."""

_WAIT = 0.1
_END = object()


def read_many(
    paths: Iterable[PathType], reader: Callable[[Path], Iterator[Item]], *, workers: int = 2
) -> Iterator[Item]:
    """Read several files in parallel.

    Decompression, checksums and copies run outside Python's lock, so threads suffice.

    Parameters
    ----------
    paths : iterable of path-like
        Files, taken in the order of their paths.
    reader : callable
        For instance `terradelta.tfrecord.read_raw`, or a `functools.partial` of it.
    workers : int
        Files that are read at the same time; each keeps at most three samples in memory.

    Yields
    ------
    object
        Whatever `reader` yields: all of the first file, then all of the second, and so on; the order does
        not depend on `workers`.

    Raises
    ------
    InputError
        `workers` is less than 1.
    SourceError
        Whatever `reader` raises, where its turn comes.

    Examples
    --------
    >>> list(read_many(["b", "a"], lambda path: iter([path.name, path.name.upper()])))
    ['a', 'A', 'b', 'B']
    """
    if workers < 1:
        raise InputError(f"workers={workers} must be 1 or more")
    waiting = deque(sorted(Path(path) for path in paths))
    stop = threading.Event()
    open_files: deque[Queue[Any]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="terradelta-read")
    try:
        while waiting or open_files:
            while waiting and len(open_files) < workers:
                queue: Queue[Any] = Queue(_DEPTH)
                pool.submit(_produce, reader, waiting.popleft(), queue, stop)
                open_files.append(queue)
            yield from _consume(open_files[0])
            open_files.popleft()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def ahead(items: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """Let a thread prepare the next item while the last one is used.

    Parameters
    ----------
    items : callable
        Gives the iterator; it is called and used within the thread.

    Yields
    ------
    object
        The same items; an error comes where it arose.

    Examples
    --------
    >>> list(ahead(lambda: iter("abc")))
    ['a', 'b', 'c']
    """
    return read_many([""], lambda _: items(), workers=1)


def _produce(reader: Callable[[Path], Iterator[Any]], path: Path, queue: Queue[Any], stop: Any) -> None:
    """Fill the queue of one file; its last entry is the end or an error."""
    last: Any = _END
    try:
        for item in reader(path):
            if not _put(queue, (item,), stop):
                return
    except BaseException as error:
        last = error
    _put(queue, last, stop)


def _put(queue: Queue[Any], entry: Any, stop: Any) -> bool:
    while not stop.is_set():
        try:
            queue.put(entry, timeout=_WAIT)
        except Full:
            continue
        return True
    return False


def _consume(queue: Queue[Any]) -> Iterator[Any]:
    while True:
        try:
            entry = queue.get(timeout=_WAIT)
        except Empty:
            continue
        if entry is _END:
            return
        if isinstance(entry, BaseException):
            raise entry
        yield entry[0]
