"""The paper that maps are drawn on: size, frame with coordinates, heading, legend of patches."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from odc.geo.geobox import GeoBox

from terradelta.products.area import epsg_of
from terradelta.products.decorations import INK, inches

__all__ = ["FAINT", "frame_size", "new_sheet", "patch_legend", "png_of", "write_heading"]

FAINT = "#6b747b"


def frame_size(geobox: GeoBox) -> tuple[float, float]:
    """Give width and height in inches of a map of this grid; long strips stay readable."""
    bounds = geobox.extent.boundingbox
    ratio = (bounds.top - bounds.bottom) * _stretch(geobox) / (bounds.right - bounds.left)
    width = 6.0 if ratio <= 1 else max(6.0 / ratio, 2.4)
    return width, min(max(width * ratio, 0.9), 7.5)


def new_sheet(geobox: GeoBox, side: float, lines: int) -> tuple[Figure, Axes]:
    """Start a map.

    Parameters
    ----------
    geobox : GeoBox
        Its grid.
    side : float
        Room at the right, inches.
    lines : int
        Lines of text between title and map.

    Returns
    -------
    figure, axes
        The axes have a frame with coordinates; their range is that of the grid.
    """
    width, height = frame_size(geobox)
    size = (width + 0.85 + side, height + 1.3 + 0.15 * lines)
    figure = Figure(figsize=size, facecolor="white")
    axes = figure.add_axes((0.75 / size[0], 0.72 / size[1], width / size[0], height / size[1]))
    bounds = geobox.extent.boundingbox
    axes.set_xlim(bounds.left, bounds.right)
    axes.set_ylim(bounds.bottom, bounds.top)
    axes.set_aspect(_stretch(geobox))
    _frame_ticks(axes, geobox)
    return figure, axes


def _stretch(geobox: GeoBox) -> float:
    """How much longer a unit of y is than a unit of x on the ground."""
    if geobox.crs is None or not geobox.crs.geographic:
        return 1.0
    box = geobox.extent.boundingbox
    return 1.0 / max(math.cos(math.radians((box.bottom + box.top) / 2)), 0.05)


def _frame_ticks(axes: Axes, geobox: GeoBox) -> None:
    geographic = geobox.crs is not None and geobox.crs.geographic
    sides = (
        (axes.xaxis, ("E", "W"), ("left", "center", "right")),
        (axes.yaxis, ("N", "S"), ("bottom", "center", "top")),
    )
    for (axis, marks, names), length in zip(sides, inches(axes), strict=True):
        axis.set_major_locator(MaxNLocator(nbins=max(1, int(length / 1.3)), steps=[1, 2, 5, 10]))
        ticks = axis.get_majorticklocs()
        axis.set_major_formatter(FuncFormatter(_degrees(ticks, marks) if geographic else _metres))
        low, high = axis.get_view_interval()
        for place, label in zip(ticks, axis.get_ticklabels(), strict=True):
            share = (place - low) / (high - low)
            text = names[0 if share < 0.05 else 2 if share > 0.95 else 1]  # stay clear of the corners
            label.set(**({"ha": text} if axis is axes.xaxis else {"va": text, "rotation": 90}))
    axes.tick_params(labelsize=7.5, colors=FAINT, length=3.5, width=0.8, top=True, right=True)
    for spine in axes.spines.values():
        spine.set(color=INK, linewidth=0.9)


def _metres(value: float, _: Any) -> str:
    return f"{value:,.0f}".replace(",", "\u2009")


def _degrees(ticks: Any, marks: tuple[str, str]) -> Any:
    step = float(np.diff(ticks).min()) if len(ticks) > 1 else 0.01
    digits = max(0, math.ceil(-math.log10(step) - 1e-9))

    def text(value: float, _: Any) -> str:
        return f"{abs(value):.{digits}f}°\u2009{marks[0] if value >= 0 else marks[1]}"

    return text


def write_heading(
    figure: Figure, axes: Axes, title: str, below: Sequence[str], geobox: GeoBox, note: str
) -> None:
    """Write title, lines below it, and CRS and note at the foot.

    Parameters
    ----------
    figure, axes
        From ``new_sheet``.
    title : str
        Cut where it is too long.
    below : sequence of str
        Lines between title and map.
    geobox : GeoBox
        Grid whose CRS is named.
    note : str
        More text at the foot.
    """
    box = axes.get_position()
    inch = 1 / figure.get_size_inches()[1]
    top = box.y1 + (0.19 + 0.15 * len(below)) * inch
    figure.text(box.x0, top, _fit(title, figure), fontsize=12, weight="bold", color=INK, va="bottom")
    figure.text(box.x0, box.y1 + 0.11 * inch, "\n".join(below), fontsize=8.5, color=FAINT, va="bottom")
    code = epsg_of(geobox)
    foot = " · ".join(part for part in (f"EPSG:{code}" if code else "", note) if part)
    figure.text(box.x0, 0.1 * inch, foot, fontsize=6.5, color=FAINT, va="bottom")


def _fit(text: str, figure: Figure) -> str:
    return textwrap.shorten(text, max(12, int((figure.get_size_inches()[0] - 0.8) * 9.5)), placeholder=" …")


def patch_legend(figure: Figure, axes: Axes, entries: Sequence[tuple[str, str]]) -> None:
    """Explain colours below a map.

    Parameters
    ----------
    figure, axes
        From ``new_sheet``.
    entries : sequence of (str, str)
        Colour and what it means; nothing is drawn without any.
    """
    patches = [
        Patch(facecolor=colour, edgecolor=INK, linewidth=0.4, label=label) for colour, label in entries
    ]
    if patches:
        corner = (axes.get_position().x0, 0.25 / figure.get_size_inches()[1])
        figure.legend(
            handles=patches, loc="lower left", bbox_to_anchor=corner, borderpad=0, borderaxespad=0, ncols=3,
            frameon=False, fontsize=8, labelcolor=INK, handlelength=1.2, handleheight=1, columnspacing=1.2,
        )  # fmt: skip


def png_of(figure: Figure) -> bytes:
    """Give a figure as a PNG file of 150 dots per inch."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()
