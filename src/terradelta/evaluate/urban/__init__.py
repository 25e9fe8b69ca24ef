"""Experiments with urban networks: image pairs, real series, simulated towns, labelled places."""

from __future__ import annotations

from terradelta.evaluate.urban import oscd, simulated, site, worldcereal

__all__ = ["oscd", "simulated", "site", "worldcereal"]
