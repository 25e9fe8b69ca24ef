"""Tasks on one or several processes, each with its own handle on the cube."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import xarray as xr
from threadpoolctl import threadpool_limits

from terradelta.errors import TerradeltaError
from terradelta.tasks import mapped
from terradelta.workflows.config import DetectSettings
from terradelta.workflows.detect.series import OrbitSeries, orbit_series

__all__ = ["Context", "Crew"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Context:
    """What every task may use: settings, and orbits by name; and why others are left out."""

    settings: DetectSettings
    series: dict[str, OrbitSeries]
    left_out: list[str]

    @classmethod
    def of(cls, tree: xr.DataTree, settings: DetectSettings) -> Context:
        """Split a cube into its orbits."""
        series, left_out = orbit_series(tree, settings)
        return cls(settings, {one.name: one for one in series}, left_out)


class Crew(AbstractContextManager["Crew"]):
    """Runs tasks in this process, or in several when the cube lies on disk.

    The other processes end when the context does: without finishing their tasks after an error or Ctrl-C, and
    also when this process is killed, as each watches a pipe that closes then.

    Parameters
    ----------
    context : Context
        For tasks in this process.
    cube : Path or None
        Where other processes find the cube; None keeps everything in this one.
    workers : int
        Number of processes.
    executor : Executor, optional
        Who runs the tasks instead; it opens the cube by its path.
    """

    def __init__(
        self, context: Context, cube: Path | None, workers: int, executor: Executor | None = None
    ) -> None:
        self._context, self._cube, self._executor = context, cube, executor
        self._pool: ProcessPoolExecutor | None = None
        self._ahead = 2 * workers
        # threads on matrices as small as these spend their time waiting for each other
        self._limits = threadpool_limits(limits=1, user_api="blas")
        if executor is None and cube is not None and workers > 1:
            processes = multiprocessing.get_context("spawn")
            self._life, self._lifeline = processes.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(
                workers,
                mp_context=processes,
                initializer=_begin,
                initargs=(self._life, str(cube), context.settings),
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limits.restore_original_limits()
        if self._pool is None:
            return
        if kind is not None:
            self._lifeline.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._lifeline.close()
        self._life.close()

    def run(
        self, task: Callable[[Context, Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Run a task for every item; results come as they are ready, few at a time.

        Parameters
        ----------
        task : callable
            Takes the context and an item; a function of a module.
        items : iterable
            What to do.

        Yields
        ------
        item, result
            In any order.

        Raises
        ------
        TerradeltaError
            From a task, or if a process was killed from outside.
        """
        if self._executor is not None and self._cube is not None:
            yield from mapped(self._executor, _Elsewhere(task, self._cube, self._context.settings), items)
            return
        if self._pool is None:
            yield from mapped(None, partial(task, self._context), items)
            return
        pending: dict[Future[Result], Item] = {}
        try:
            for item in items:
                with _interrupts_held():
                    pending[self._pool.submit(_in_worker, task, item)] = item
                if len(pending) >= self._ahead:
                    yield from _finished(pending)
            while pending:
                yield from _finished(pending)
        except BrokenProcessPool:
            raise TerradeltaError(
                "a worker process was killed, perhaps for want of memory; "
                "run the same command again with a smaller memory or workers"
            ) from None


@dataclass(frozen=True)
class _Elsewhere:
    """A task on another machine, which opens the cube once."""

    task: Callable[[Context, Any], Any]
    cube: Path
    settings: DetectSettings

    @cached_property
    def _context(self) -> Context:
        from terradelta.cube import open_cube

        return Context.of(open_cube(self.cube), self.settings)

    def __call__(self, item: Any) -> Any:
        return self.task(self._context, item)


def _finished(pending: dict[Future[Result], Item]) -> Iterator[tuple[Item, Result]]:
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        yield pending.pop(future), future.result()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let processes be born deaf to Ctrl-C, which is this process's to answer."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_GRACE = 5.0
_CONTEXT: list[Context] = []
_STOPPING, _BUSY = threading.Event(), threading.Event()


def _begin(life: Connection, cube: str, settings: DetectSettings) -> None:
    from terradelta.cube import open_cube

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    threadpool_limits(limits=1, user_api="blas")
    _CONTEXT[:] = [Context.of(open_cube(cube), settings)]


def _end_with(life: Connection) -> None:
    """Wait until the other end of a pipe closes, and end this process: in order, or else after a while."""
    life.poll(None)
    _STOPPING.set()
    _thread.interrupt_main(signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def _stop(number: int, frame: object) -> None:
    """Leave a task; between tasks there is nothing to leave, and the pool ends the process."""
    if _BUSY.is_set():
        raise SystemExit(1)


def _in_worker(task: Callable[[Context, Item], Result], item: Item) -> Result:
    if _STOPPING.is_set():
        raise SystemExit(1)
    _BUSY.set()
    try:
        return task(_CONTEXT[0], item)
    finally:
        _BUSY.clear()
