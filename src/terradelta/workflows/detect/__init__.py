"""Finding change in a cube: orbit by orbit, block by block, within a memory setting, resumable."""

from __future__ import annotations

from terradelta.workflows.detect.run import detect, run_detect

__all__ = ["detect", "run_detect"]
