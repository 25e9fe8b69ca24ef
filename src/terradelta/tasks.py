"""The same work on many items, a few of them at once: in this process, in others, or on other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar, runtime_checkable

__all__ = ["Crowd", "mapped"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2


@runtime_checkable
class Crowd(Protocol):
    """What an executor on other machines has besides `concurrent.futures.Executor`."""

    @property
    def hands(self) -> int:
        """Tell how many calls run at once."""
        ...

    def shared(self, function: Callable[..., Any]) -> AbstractContextManager[Callable[..., Any]]:
        """Send a function to every worker once; a small stand-in for it is submitted instead."""
        ...


def mapped(
    executor: Executor | None,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int | None = None,
    ordered: bool = False,
) -> Iterator[tuple[Item, Result]]:
    """Call a function for every item; few calls wait at a time, however many items there are.

    Parameters
    ----------
    executor : Executor or None
        Who calls it; None: this process, when the result is asked for.
    function : callable
        Takes an item. Other processes are sent it, so it can be pickled; other machines are sent it once.
    items : iterable
        Taken one by one as there is room.
    ahead : int, optional
        Calls that are submitted and whose results were not taken yet, at most; by default twice as many as
        run at once.
    ordered : bool
        Give results in the order of the items, instead of as they are ready.

    Yields
    ------
    item, result
        An item and what the function gave.

    Raises
    ------
    Exception
        What the function raised; what was submitted and did not begin is cancelled.

    Examples
    --------
    >>> list(mapped(None, abs, [-1, 2]))
    [(-1, 1), (2, 2)]
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as threads:
    ...     list(mapped(threads, abs, [-1, 2, -3], ordered=True))
    [(-1, 1), (2, 2), (-3, 3)]
    """
    if executor is None:
        for item in items:
            yield item, function(item)
        return
    pending: dict[Future[Result], Item] = {}
    crowd = executor if isinstance(executor, Crowd) else None
    with nullcontext(function) if crowd is None else crowd.shared(function) as call:
        try:
            for item in items:
                pending[executor.submit(call, item)] = item
                while len(pending) >= (ahead or _AHEAD * _hands(executor)):
                    yield from _taken(pending, ordered)
            while pending:
                yield from _taken(pending, ordered)
        finally:
            for future in pending:
                future.cancel()


def _hands(executor: Executor) -> int:
    if isinstance(executor, Crowd):
        return max(executor.hands, 1)
    return int(getattr(executor, "_max_workers", 1))


def _taken(pending: dict[Future[Result], Item], ordered: bool) -> Iterator[tuple[Item, Result]]:
    """Wait for a result and take what is ready."""
    done = [next(iter(pending))] if ordered else wait(pending, return_when=FIRST_COMPLETED).done
    for future in done:
        yield pending.pop(future), future.result()
