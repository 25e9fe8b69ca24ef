"""Experiments with networks of urban monitoring: real image pairs, real series, simulated towns."""

from __future__ import annotations

from terradelta.evaluate.urban import oscd, simulated, worldcereal

__all__ = ["oscd", "simulated", "worldcereal"]
