"""Pure index arithmetic: blocks and tiles of a raster, weights to blend tiles, and windows in time."""

from __future__ import annotations

from terradelta.windows.blending import Blender, blend, cosine_weights
from terradelta.windows.blocks import Block, Slices, blocks, tiles
from terradelta.windows.grids import grid_tiles, mosaic
from terradelta.windows.times import TimeWindow, complete, kept_times, time_windows

__all__ = [
    "Blender",
    "Block",
    "Slices",
    "TimeWindow",
    "blend",
    "blocks",
    "complete",
    "cosine_weights",
    "grid_tiles",
    "kept_times",
    "mosaic",
    "tiles",
    "time_windows",
]
