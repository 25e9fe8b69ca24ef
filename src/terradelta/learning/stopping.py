"""Stopping in good order: the first signal asks, the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch.multiprocessing

__all__ = ["Halt", "Stop", "TrainingStopped"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingStopped(KeyboardInterrupt):
    """A signal stopped the training; the checkpoint is written, and the same command goes on."""


class Halt(Exception):  # noqa: N818  # no error: it only leaves the loop
    """Leaves the training loop after the last checkpoint."""


class Stop:
    """Whether somebody asked to stop; shared by all processes of a training."""

    def __init__(self) -> None:
        self._asked = torch.multiprocessing.get_context("spawn").RawValue("b", 0)

    @property
    def asked(self) -> bool:
        """Whether a signal came, in any of the processes that share this."""
        return bool(self._asked.value)

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Ask to stop; asked twice with Ctrl-C: stop at once."""
        if self._asked.value and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked.value = 1

    def listen(self) -> dict[int, Any]:
        """Take SIGINT and SIGTERM from now on, if this is the main thread.

        Returns
        -------
        dict
            Who took them before.
        """
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self.ask) for number in _SIGNALS}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals for a while."""
        before = self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
