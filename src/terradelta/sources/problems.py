"""What is wrong with single files: stop at the first, or collect and go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from terradelta.errors import InputError, SourceError

__all__ = ["OnError", "Problems"]

OnError = Literal["stop", "skip"]


class Problems:
    """Lines about what went wrong or is worth knowing.

    Parameters
    ----------
    on_error : {"stop", "skip"}
        Raise the first problem, or note it and go on without that file or date.

    Examples
    --------
    >>> problems = Problems("skip")
    >>> with problems.collect():
    ...     raise SourceError("a.tif: truncated")
    >>> problems.failures
    ['a.tif: truncated']
    """

    def __init__(self, on_error: OnError = "stop") -> None:
        if on_error not in ("stop", "skip"):
            raise InputError(f"on_error={on_error!r} is unknown; take 'stop' or 'skip'")
        self.on_error = on_error
        self.failures: list[str] = []
        self.warnings: list[str] = []

    def warn(self, line: str) -> None:
        """Note something that is not wrong but worth knowing; once."""
        if line not in self.warnings:
            self.warnings.append(line)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Note a `SourceError` raised inside and go on, or let it pass."""
        try:
            yield
        except SourceError as error:
            if self.on_error == "stop":
                raise
            self.failures.append(str(error))
