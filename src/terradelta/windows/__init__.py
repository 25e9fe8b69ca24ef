"""Pure index arithmetic: blocks and tiles of a raster, and weights to blend tiles."""

from __future__ import annotations

from terradelta.windows.blending import Blender, blend, cosine_weights
from terradelta.windows.blocks import Block, Slices, blocks, tiles

__all__ = ["Blender", "Block", "Slices", "blend", "blocks", "cosine_weights", "tiles"]
