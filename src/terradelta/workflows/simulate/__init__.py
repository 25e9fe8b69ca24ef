"""Simulated places and simulated changes, wired."""

from __future__ import annotations

from terradelta.workflows.simulate.change import run_change
from terradelta.workflows.simulate.place import run_place

__all__ = ["run_change", "run_place"]
