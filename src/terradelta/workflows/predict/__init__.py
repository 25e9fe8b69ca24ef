"""The expected image of an acquisition, and what differs from it, as products."""

from __future__ import annotations

from terradelta.workflows.predict.run import run_predict

__all__ = ["run_predict"]
