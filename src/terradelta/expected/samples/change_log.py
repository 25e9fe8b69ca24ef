"""What simulated changes were put into samples, counted."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from terradelta.expected.samples.wanted import OWN

if TYPE_CHECKING:
    from terradelta.expected.samples.sample import Sample

__all__ = ["ChangeLog"]

_LOG = logging.getLogger(__name__)


class ChangeLog:
    """Counts what was made, for one line at the end instead of one per sample.

    Attributes
    ----------
    samples, changed, changes, pixels : int
        Samples, those with changes, changes, their pixels.
    """

    def __init__(self) -> None:
        self.samples = self.changed = self.changes = self.pixels = 0
        self._own = 0
        self._total: list[float] = []
        self._whys: dict[str, int] = {}

    @property
    def strength(self) -> tuple[float, ...]:
        """Mean change per band over all changed pixels, dB; empty if nothing changed."""
        return tuple(total / self.pixels for total in self._total) if self.pixels else ()

    def take(self, sample: Sample, origin: str, why: str) -> None:
        """Count one sample.

        Parameters
        ----------
        sample : Sample
            With its changes.
        origin : str
            Where the pixels are from that it shall look like.
        why : str
            Why there are no changes.
        """
        self.samples += 1
        self._own += origin == OWN
        if why:
            self._whys[why] = self._whys.get(why, 0) + 1
        self.add(sample.truth or ())

    def add(self, truth: Iterable[dict[str, Any]]) -> None:
        """Count the changes of one sample.

        Parameters
        ----------
        truth : iterable of dict
            As `Sample.truth`.
        """
        changes = list(truth)
        self.changed += bool(changes)
        for change in changes:
            self.changes += 1
            if change["strength"] is not None:
                self.pixels += change["pixels"]
                weighted = [value * change["pixels"] for value in change["strength"]]
                self._total = [
                    a + b for a, b in zip(self._total or [0.0] * len(weighted), weighted, strict=True)
                ]

    def tell(self) -> None:
        """Log what a user should know."""
        if self._own:
            _LOG.warning("no land given: in %d of %d samples forest is made to look like the %s",
                         self._own, self.samples, OWN)  # fmt: skip
        for why, times in self._whys.items():
            _LOG.warning("%d of %d samples get no changes (%s)", times, self.samples, why)
