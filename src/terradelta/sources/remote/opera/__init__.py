"""OPERA RTC-S1: terrain-corrected Sentinel-1 bursts at the Alaska Satellite Facility."""

from __future__ import annotations

from terradelta.sources.remote.opera.credentials import Login
from terradelta.sources.remote.opera.source import OperaSource

__all__ = ["Login", "OperaSource"]
