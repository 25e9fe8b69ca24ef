"""Progress of long work: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

__all__ = ["Advance", "Progress", "no_progress", "show_progress"]

Advance: TypeAlias = Callable[[int], None]
Progress: TypeAlias = Callable[[str, int], "_Step"]


class _Step:
    """One piece of long work, used as a context manager that gives the function to advance it."""

    def __enter__(self) -> Advance:
        return lambda _: None

    def __exit__(self, *error: object) -> None:
        return None


def no_progress(label: str, total: int) -> _Step:
    """Show nothing."""
    return _Step()


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Show bars with the time left on a terminal, and a line per quarter otherwise; both on stderr.

    Yields
    ------
    callable
        Takes a label and the number of steps; its result is a context manager that gives a function to
        advance by some steps.
    """
    if not sys.stderr.isatty():
        yield _Lines
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:

        class Bar(_Step):
            def __init__(self, label: str, total: int) -> None:
                self._task = bars.add_task(label, total=total)

            def __enter__(self) -> Advance:
                return lambda steps: bars.advance(self._task, steps)

        yield Bar


class _Lines(_Step):
    def __init__(self, label: str, total: int) -> None:
        self._label, self._total, self._done, self._shown = label, max(total, 1), 0, 0

    def __enter__(self) -> Advance:
        self._say()
        return self._advance

    def _advance(self, steps: int) -> None:
        self._done += steps
        if self._done * 4 // self._total > self._shown:
            self._shown = self._done * 4 // self._total
            self._say()

    def _say(self) -> None:
        sys.stderr.write(f"{self._label}: {self._done} of {self._total}\n")
        sys.stderr.flush()
