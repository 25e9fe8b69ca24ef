"""Keeping the advertisements and advice of Lightning off the screen."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["hush", "quiet"]

_NOISY = (
    "lightning",
    "lightning.pytorch",
    "lightning.fabric",
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
)
_ADVICE = (".*does not have many workers.*", ".*smaller than the logging interval.*", ".*LeafSpec.*",
           ".*weights_only. was not set.*")  # fmt: skip


def hush() -> None:
    """Be quiet from now on, in a process that does nothing but train."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    for message in _ADVICE:
        warnings.filterwarnings("ignore", message=message)


@contextmanager
def quiet() -> Iterator[None]:
    """Be quiet for a while."""
    before = {name: logging.getLogger(name).level for name in _NOISY}
    try:
        with warnings.catch_warnings():
            hush()
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
