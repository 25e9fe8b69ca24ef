"""Optical science on plain arrays: reflectance 0..1 as (band, y, x)."""

from __future__ import annotations

from terradelta.optical.endisi import (
    LANDSAT5,
    SENTINEL2,
    Bands,
    BetaSums,
    beta_sums,
    defined,
    endisi,
    unshifted,
)
from terradelta.optical.shift import Histogram, shift_histogram, suggest_shift

__all__ = [
    "LANDSAT5",
    "SENTINEL2",
    "Bands",
    "BetaSums",
    "Histogram",
    "beta_sums",
    "defined",
    "endisi",
    "shift_histogram",
    "suggest_shift",
    "unshifted",
]
