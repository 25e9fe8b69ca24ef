"""Radar science on plain arrays: values in linear power or dB, as each name says; NaN is no data."""

from __future__ import annotations

from terradelta.sar._omnibus_state import OmnibusResult, OmnibusState
from terradelta.sar.borders import border_noise_mask
from terradelta.sar.decibel import log_ratio, to_db, to_linear
from terradelta.sar.lee import refined_lee
from terradelta.sar.looks import equivalent_looks
from terradelta.sar.omnibus import omnibus, omnibus_stream
from terradelta.sar.variation import TV_HALO, despeckle_tv

__all__ = [
    "TV_HALO",
    "OmnibusResult",
    "OmnibusState",
    "border_noise_mask",
    "despeckle_tv",
    "equivalent_looks",
    "log_ratio",
    "omnibus",
    "omnibus_stream",
    "refined_lee",
    "to_db",
    "to_linear",
]
