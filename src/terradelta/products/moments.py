"""Mean, spread and range of values that arrive block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.products.summary import BandSummary

__all__ = ["Moments"]


@dataclass
class Moments:
    """Figures of one band, block by block (Chan's pairwise update of the variance)."""

    count: int = 0
    minimum: float = np.inf
    maximum: float = -np.inf
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Take in the valid values of one block."""
        if not values.size:
            return
        values = values.astype("float64")
        mean, total = float(values.mean()), self.count + values.size
        shift = mean - self.mean
        self.squares += float(((values - mean) ** 2).sum()) + shift**2 * self.count * values.size / total
        self.mean += shift * values.size / total
        self.count = total
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))

    def summary(self, name: str) -> BandSummary:
        """Give the figures under the band's name."""
        if not self.count:
            return BandSummary(name=name, valid_pixels=0)
        deviation = float(np.sqrt(self.squares / self.count))
        return BandSummary(
            name=name, valid_pixels=self.count, minimum=self.minimum, maximum=self.maximum,
            mean=self.mean, deviation=deviation,
        )  # fmt: skip
