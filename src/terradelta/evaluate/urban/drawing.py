"""What the pictures of urban monitoring share: rows of maps, natural colours, one scale of values."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from terradelta.types import FloatArray

__all__ = [
    "FAINT", "INK", "SENTINEL2_RGB", "TITLES", "VALUE", "colours", "picture_rows", "png", "stretch_of",
    "value_scale",
]  # fmt: skip

INK, FAINT = "#22282d", "#6b747b"
"""Colours of text: what is to be read, and what stands beside."""

TITLES = {"size": 9, "color": INK}
"""Style of headings."""

VALUE = LinearSegmentedColormap.from_list("value", ["#f7f7f5", "#f6dcc3", "#e9a178", "#c2410c", "#6b1d04"])
"""Colours of the networks' values from 0 to 1."""

SENTINEL2_RGB = (3, 2, 1)
"""Places of red, green and blue among the bands of Sentinel-2."""


def picture_rows(count: int, titles: Sequence[str]) -> tuple[Figure, Any]:
    """Make a figure of square maps without ticks.

    Parameters
    ----------
    count : int
        Rows.
    titles : sequence of str
        Above the columns.

    Returns
    -------
    tuple
        The figure, and its axes by row and column.
    """
    figure = Figure(
        figsize=(2.35 * len(titles) + 0.6, 2.6 * count + 0.5), facecolor="white", layout="constrained"
    )
    grid = figure.subplots(count, len(titles), squeeze=False)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, **TITLES)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=FAINT, linewidth=0.6)
    return figure, grid


def stretch_of(image: FloatArray, bands: Sequence[int] = SENTINEL2_RGB) -> tuple[float, float]:
    """Give the values of an image (band, y, x) that are shown as black and as white; NaN is no data."""
    low, high = np.nanquantile(image[list(bands)], (0.01, 0.985))
    return float(low), float(high)


def colours(
    image: FloatArray, stretch: tuple[float, float], bands: Sequence[int] = SENTINEL2_RGB
) -> FloatArray:
    """Turn an image (band, y, x) into colours (y, x, 3) from 0 to 1; no data is black."""
    low, high = stretch
    shown = (image[list(bands)] - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(np.nan_to_num(shown), 0, 1).transpose(1, 2, 0))


def value_scale(figure: Figure, grid: Any) -> None:
    """Draw the scale of `VALUE` right of the last column."""
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), VALUE), ax=list(grid[:, -1]), shrink=0.6, pad=0.02)
    bar.set_label("value of the network", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)


def png(figure: Figure) -> bytes:
    """Give a figure as PNG file; the same figure gives the same bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
