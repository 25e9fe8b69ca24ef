from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray


class Scene(NamedTuple):
    """Cover classes and a noisy history of them, dB."""

    level: NDArray[np.float32]  # (band, y, x)
    history: NDArray[np.float32]  # (time, band, y, x)
    target: NDArray[np.float32]  # (band, y, x)


@pytest.fixture
def scene():
    """Make scenes of several covers, seen without change."""

    def make(bands: int = 2, images: int = 10, size: int = 60, noise: float = 0.5) -> Scene:
        rng = np.random.default_rng(11)
        cover = np.kron(rng.uniform(-18, -6, (6, 6)), np.ones((size // 6, size // 6)))
        level = np.stack([cover - 6 * band for band in range(bands)])
        series = level + rng.normal(0, noise, (images + 1, *level.shape))
        return Scene(*(part.astype(np.float32) for part in (level, series[:-1], series[-1])))

    return make
