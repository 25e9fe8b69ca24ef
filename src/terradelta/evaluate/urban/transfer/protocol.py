"""Sizes of the experiment: places, network, windows and trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from terradelta.simulate import Orbit
from terradelta.urban.era import S1S2, Era
from terradelta.urban.training.visits import Visits

__all__ = ["FULL", "QUICK", "TransferProtocol"]

_KINDS = ("building", "demolition", "building", "harvest", "building", "demolition", "clear_cut", "building")
_PLACE: Mapping[str, Any] = MappingProxyType(
    {"years": 3.0, "clouds": 0.6, "kinds": _KINDS, "largest_change": 8.0}
)
_HOMES: tuple[Mapping[str, Any], ...] = ({}, {"urban": 0.6, "haze": 1.2})
_ELSEWHERE: Mapping[str, Any] = MappingProxyType({
    "urban": 0.3, "relief": 200.0, "haze": 1.5, "start": "2019-06-01", "mean_temperature": 12.0,
    "orbits": (Orbit(15, "ascending", 33.9, 6), Orbit(139, "descending", 36.0, 6)),
})  # fmt: skip


@dataclass(frozen=True)
class TransferProtocol:
    """What is simulated, taught and judged.

    The two places for pre-training are towns of the same country with the same orbits; the third one lies
    elsewhere: other orbits and incidence angles, hills, more haze, warmer, less built-up, begun in June.

    Attributes
    ----------
    size, target_size : int
        Rows and columns of the two places for pre-training, and of the third one.
    changes, target_changes : int
        Changes in each of them, not all of which are built or torn down.
    step_days : int
        Of the observations within so many days the last is kept.
    fewest, most : int
        Observations of a window.
    filters : tuple of int
        Width of the radar and of the optical branch.
    every : int
        One in so many windows is labelled and taught.
    epochs, batch, learning_rate : int, int, float
        Of the pre-training.
    gain : float
        Of the rule of the synthetic labels.
    norm_momentum : float
        Share of each batch in the running statistics of the normalisation. In a transfer, whose few tiles
        come with many windows each, it stays as published.
    transfer_epochs, transfer_batch, transfer_learning_rate : int, int, float
        Of the transfer.
    fresh_epochs, fresh_learning_rate : int, float
        Of the trainings from random weights with the same labels.
    published_epochs : int
        Of the transfer from published weights, whose branches are wider.
    visits : Visits
        Windows that a tile shows at once.
    tiles : tuple of int
        Tiles to train on, to validate with, and to judge by.
    seeds : int
        How often all is taught, with other weights, order and windows each time.
    stride : int
        Kept observations from one window to the next where networks are judged.
    precision : str
        Arithmetic of the trainings.
    """

    size: int = 256
    target_size: int = 320
    changes: int = 60
    target_changes: int = 110
    step_days: int = 12
    fewest: int = 8
    most: int = 16
    filters: tuple[int, int] = (6, 12)
    every: int = 5
    epochs: int = 12
    batch: int = 16
    learning_rate: float = 0.05
    gain: float = 6.0
    norm_momentum: float = 0.1
    transfer_epochs: int = 24
    transfer_batch: int = 4
    transfer_learning_rate: float = 0.015
    fresh_epochs: int = 24
    fresh_learning_rate: float = 0.05
    published_epochs: int = 4
    visits: Visits = field(default_factory=lambda: Visits(count=5, first=2, steps=(13, 16)))
    tiles: tuple[int, int, int] = (20, 6, 24)
    seeds: int = 3
    stride: int = 3
    precision: str = "bfloat16"

    @property
    def era(self) -> Era:
        """Sentinel-1 and -2, with fewer observations and narrower branches."""
        return replace(self.published_era, sar_filters=self.filters[0], optical_filters=self.filters[1])

    @property
    def published_era(self) -> Era:
        """The same observations, for networks of the published width."""
        step = np.timedelta64(self.step_days, "D")
        return replace(S1S2, step=step, fewest=self.fewest, most=self.most)

    @property
    def homes(self) -> tuple[dict[str, Any], ...]:
        """Settings of the places for pre-training."""
        own = {"size": self.size, "changes": self.changes}
        return tuple({**_PLACE, **own, **home} for home in _HOMES)

    @property
    def elsewhere(self) -> dict[str, Any]:
        """Settings of the place of the transfer."""
        return {**_PLACE, "size": self.target_size, "changes": self.target_changes, **_ELSEWHERE}


FULL = TransferProtocol()
"""Three seeds, in the order of an hour on two cores."""

QUICK = TransferProtocol(
    size=192,
    target_size=256,
    changes=36,
    target_changes=60,
    every=3,
    epochs=3,
    transfer_epochs=3,
    fresh_epochs=3,
    published_epochs=1,
    visits=Visits(count=4, first=6, steps=(16, 20)),
    tiles=(8, 3, 9),
    seeds=1,
    stride=12,
)
"""One seed, in a few minutes."""
