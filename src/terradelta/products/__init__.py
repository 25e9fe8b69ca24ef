"""Results as files: one table of layers and everything that is written from it."""

from __future__ import annotations

from terradelta.products.compare import compare
from terradelta.products.export import FORMATS, export
from terradelta.products.layers import LAYERS, Layer
from terradelta.products.provenance import Provenance
from terradelta.products.summary import Summary, read_summary
from terradelta.products.writing import write

__all__ = [
    "FORMATS",
    "LAYERS",
    "Layer",
    "Provenance",
    "Summary",
    "compare",
    "export",
    "read_summary",
    "write",
]
