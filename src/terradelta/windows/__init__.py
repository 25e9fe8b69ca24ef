"""Pure index arithmetic: blocks and tiles of a raster, weights to blend tiles, and windows in time."""

from __future__ import annotations

from terradelta.windows.blending import Blender, blend, cosine_weights
from terradelta.windows.blocks import Block, Slices, blocks, tiles
from terradelta.windows.grids import grid_tiles, mosaic
from terradelta.windows.tile_lists import (
    Tile,
    TileGrid,
    TileLists,
    checkerboard,
    format_tiles,
    parse_tiles,
    split_tiles,
    versions,
)
from terradelta.windows.times import TimeWindow, complete, kept_times, time_windows

__all__ = [
    "Blender",
    "Block",
    "Slices",
    "Tile",
    "TileGrid",
    "TileLists",
    "TimeWindow",
    "blend",
    "blocks",
    "checkerboard",
    "complete",
    "cosine_weights",
    "format_tiles",
    "grid_tiles",
    "kept_times",
    "mosaic",
    "parse_tiles",
    "split_tiles",
    "tiles",
    "time_windows",
    "versions",
]
