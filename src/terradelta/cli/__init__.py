"""The command line: one thin file per verb; heavy imports inside the functions."""

from __future__ import annotations

from terradelta.cli.app import main

__all__ = ["main"]
