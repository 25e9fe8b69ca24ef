"""The experiment on images with simulated change: differences to the expected and to previous images."""

from __future__ import annotations

from terradelta.evaluate.images.experiment import run
from terradelta.evaluate.images.report import ImagesReport

__all__ = ["ImagesReport", "run"]
