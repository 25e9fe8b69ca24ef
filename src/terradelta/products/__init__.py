"""Results as files: one table of layers and everything that is written from it."""

from __future__ import annotations

from terradelta.products.background import background_of
from terradelta.products.charts import draw_timelines
from terradelta.products.compare import compare
from terradelta.products.expected_pictures import draw_expected, draw_what_if
from terradelta.products.export import FORMATS, export
from terradelta.products.extras import Extra
from terradelta.products.layers import LAYERS, Layer
from terradelta.products.overlay import draw_overlay
from terradelta.products.provenance import Provenance
from terradelta.products.summary import Summary, read_summary
from terradelta.products.timelines import timelines, write_timelines
from terradelta.products.video import write_video
from terradelta.products.writing import write

__all__ = [
    "FORMATS",
    "LAYERS",
    "Extra",
    "Layer",
    "Provenance",
    "Summary",
    "background_of",
    "compare",
    "draw_expected",
    "draw_overlay",
    "draw_timelines",
    "draw_what_if",
    "export",
    "read_summary",
    "timelines",
    "write",
    "write_timelines",
    "write_video",
]
