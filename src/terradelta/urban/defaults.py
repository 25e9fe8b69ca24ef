"""What `monitor` and `whole_period` do unless told otherwise; here alone, for library and command line."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

__all__ = [
    "DEAD_ZONE",
    "MEMORY",
    "ORIGINAL_TILE",
    "PRECISIONS",
    "STRIDE",
    "THRESHOLD",
    "TILINGS",
    "Precision",
    "Tiling",
]

Precision: TypeAlias = Literal["float32", "bfloat16"]
"""Arithmetic of the convolutions; sums and everything else are float32."""

Tiling: TypeAlias = Literal["seamless", "original"]
"""Blocks that share a dead zone and leave no seam, or the tiles of the original programs."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
TILINGS: tuple[Tiling, ...] = get_args(Tiling)

STRIDE: Final = 5
"""Kept observations from the start of one window to the start of the next."""

THRESHOLD: Final = 0.5
"""A pixel counts as changed in a window where its value is above this."""

MEMORY: Final = 2 * 10**9
"""Bytes to stay within."""

DEAD_ZONE: Final = 8
"""Pixels at each side of a block that are computed but not kept; from here on no seam is seen."""

ORIGINAL_TILE: Final = 32
"""Side in pixels of a tile of the original programs."""
