"""Threads for reading that nobody waits for at the end: a read in flight may take minutes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeAlias, TypeVar

__all__ = ["ReadingThreads"]

Given = ParamSpec("Given")
Result = TypeVar("Result")
_Job: TypeAlias = tuple[Future[Any], Callable[[], Any]]


class ReadingThreads(Executor):
    """As :class:`concurrent.futures.ThreadPoolExecutor`, whose threads do not keep the process alive.

    Parameters
    ----------
    number : int
        Threads.

    Examples
    --------
    >>> with ReadingThreads(2) as threads:
    ...     list(threads.map(abs, [-1, 2]))
    [1, 2]
    """

    def __init__(self, number: int) -> None:
        self._max_workers = number
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._work, name=f"terradelta-read-{index}", daemon=True) for index in range(number)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, function: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Call a function in one of the threads."""
        future: Future[Result] = Future()
        self._jobs.put((future, partial(function, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more; `wait` for what was taken, or leave reads in flight to themselves."""
        with suppress(Empty):
            while cancel_futures:
                job = self._jobs.get_nowait()
                if job is not None:
                    job[0].cancel()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
            del job, future, call
