"""Tasks on one or several processes, each with its own handle on the cube."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import xarray as xr

from terradelta.errors import TerradeltaError
from terradelta.workflows.config import DetectSettings
from terradelta.workflows.detect.series import OrbitSeries, orbit_series

__all__ = ["Context", "Crew"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Context:
    """What every task may use: settings, orbits by name, and a place to keep things between tasks."""

    settings: DetectSettings
    series: dict[str, OrbitSeries]
    kept: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, tree: xr.DataTree, settings: DetectSettings) -> Context:
        """Split a cube into its orbits."""
        return cls(settings, {one.name: one for one in orbit_series(tree, settings)})


class Crew(AbstractContextManager["Crew"]):
    """Runs tasks in this process, or in several when the cube lies on disk.

    Parameters
    ----------
    context : Context
        For tasks in this process.
    cube : Path or None
        Where other processes find the cube; None keeps everything in this one.
    workers : int
        Number of processes.
    """

    def __init__(self, context: Context, cube: Path | None, workers: int) -> None:
        self.context = context
        self._pool: ProcessPoolExecutor | None = None
        self._ahead = 2 * workers
        if cube is not None and workers > 1:
            self._pool = ProcessPoolExecutor(
                workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_open_in_worker,
                initargs=(str(cube), context.settings),
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        if kind is not None:
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(
        self, task: Callable[[Context, Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Run a task for every item; results come as they are ready, few at a time.

        Raises
        ------
        TerradeltaError
            From a task, or if a process was killed from outside.
        """
        if self._pool is None:
            for item in items:
                yield item, task(self.context, item)
            return
        pending: dict[Future[Result], Item] = {}
        queue = iter(items)
        try:
            for item in queue:
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


def _finished(pending: dict[Future[Result], Item]) -> Iterator[tuple[Item, Result]]:
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        yield pending.pop(future), future.result()


_CONTEXT: list[Context] = []


def _open_in_worker(cube: str, settings: DetectSettings) -> None:
    from terradelta.cube import open_cube

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _CONTEXT[:] = [Context.of(open_cube(cube), settings)]


def _in_worker(task: Callable[[Context, Item], Result], item: Item) -> Result:
    return task(_CONTEXT[0], item)
