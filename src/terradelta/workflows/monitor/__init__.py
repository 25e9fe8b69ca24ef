"""Urban monitoring of a cube: window maps that grow with it, and the products made of them."""

from __future__ import annotations

from terradelta.workflows.monitor.run import run_monitor, windows_at

__all__ = ["run_monitor", "windows_at"]
