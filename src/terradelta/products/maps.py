"""Quick looks: one PNG per layer with frame, legend, scale bar and north arrow."""

from __future__ import annotations

import math
import textwrap
from io import BytesIO
from typing import Any, TypeAlias, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from odc.geo.geobox import GeoBox

from terradelta.products.area import epsg_of
from terradelta.products.decorations import INK, inches, north_arrow, scale_bar
from terradelta.products.layers import LAYERS
from terradelta.products.preview import Preview
from terradelta.products.summary import iso_date

__all__ = ["draw_map"]

_Extent: TypeAlias = tuple[float, float, float, float]
_FAINT = "#6b747b"
_NARROWEST = 5.0
_NO_DATA = "#ffffff"
_DATES_IN_LEGEND = 7


def draw_map(preview: Preview, *, title: str = "", note: str = "", base: Preview | None = None) -> bytes:
    """Draw one layer as a map.

    Parameters
    ----------
    preview : Preview
        What to show.
    title : str
        Heading; the layer's own title goes below it.
    note : str
        Small line at the foot: method, period, tool.
    base : Preview, optional
        A change layer: its valid area is laid under dates, so that "unchanged" and "no data" differ.

    Returns
    -------
    bytes
        A PNG file.
    """
    bounds = preview.geobox.extent.boundingbox
    stretch = _stretch(preview.geobox)
    ratio = (bounds.top - bounds.bottom) * stretch / (bounds.right - bounds.left)
    width, height = _frame(ratio)
    side = max(1.25 if preview.layer.kind != "class" else 0.35, _NARROWEST - width)
    heading = _subtitle(preview, title, width + side)
    size = (width + 0.85 + side, height + 1.3 + 0.15 * len(heading))
    figure = Figure(figsize=size, facecolor="white")
    axes = figure.add_axes((0.75 / size[0], 0.72 / size[1], width / size[0], height / size[1]))
    extent = (bounds.left, bounds.right, bounds.bottom, bounds.top)
    _fill(axes, preview, base, extent)
    axes.set_aspect(stretch)
    _frame_ticks(axes, preview.geobox)
    _heading(figure, axes, preview, title, heading, note)
    _legend(figure, axes, preview, base is not None)
    scale_bar(axes, preview.geobox)
    north_arrow(axes)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def _frame(ratio: float) -> tuple[float, float]:
    """Width and height in inches of a map with this shape; long strips stay readable."""
    width = 6.0 if ratio <= 1 else max(6.0 / ratio, 2.4)
    return width, min(max(width * ratio, 0.9), 7.5)


def _stretch(geobox: GeoBox) -> float:
    """How much longer a unit of y is than a unit of x on the ground."""
    if geobox.crs is None or not geobox.crs.geographic:
        return 1.0
    box = geobox.extent.boundingbox
    return 1.0 / max(math.cos(math.radians((box.bottom + box.top) / 2)), 0.05)


def _fill(
    axes: Axes, preview: Preview, base: Preview | None, extent: tuple[float, float, float, float]
) -> None:
    axes.set_facecolor(_NO_DATA)
    if base is not None:
        ground = LAYERS["change"].classes[0].colour
        shown = np.where(np.isfinite(base.values), 0.0, np.nan)
        axes.imshow(shown, cmap=ListedColormap([ground]), extent=extent, interpolation="nearest")
    low, high = preview.limits()
    if preview.layer.classes:
        cmap: Any = ListedColormap([entry.colour for entry in preview.layer.classes])
        low, high = -0.5, len(preview.layer.classes) - 0.5
    else:
        cmap = LinearSegmentedColormap.from_list(preview.layer.name, preview.layer.ramp)
    axes.imshow(preview.values, cmap=cmap, vmin=low, vmax=high, extent=extent, interpolation="nearest")
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])


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
    axes.tick_params(labelsize=7.5, colors=_FAINT, length=3.5, width=0.8, top=True, right=True)
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


def _subtitle(preview: Preview, title: str, inches: float) -> list[str]:
    layer = preview.layer.title + (f" {preview.label}" if preview.label else "")
    text = f"{layer}: {preview.layer.description}" if title else preview.layer.description
    return textwrap.wrap(text, max(20, int(inches * 14)))


def _heading(figure: Figure, axes: Axes, preview: Preview, title: str, below: list[str], note: str) -> None:
    box = axes.get_position()
    inch = 1 / figure.get_size_inches()[1]
    layer = preview.layer.title + (f" {preview.label}" if preview.label else "")
    top = box.y1 + (0.19 + 0.15 * len(below)) * inch
    figure.text(box.x0, top, _fit(title or layer, figure), fontsize=12, weight="bold", color=INK, va="bottom")
    figure.text(box.x0, box.y1 + 0.11 * inch, "\n".join(below), fontsize=8.5, color=_FAINT, va="bottom")
    code = epsg_of(preview.geobox)
    foot = " · ".join(part for part in (f"EPSG:{code}" if code else "", note) if part)
    figure.text(box.x0, 0.1 * inch, foot, fontsize=6.5, color=_FAINT, va="bottom")


def _fit(text: str, figure: Figure) -> str:
    return textwrap.shorten(text, max(12, int((figure.get_size_inches()[0] - 0.8) * 9.5)), placeholder=" …")


def _legend(figure: Figure, axes: Axes, preview: Preview, unchanged: bool) -> None:
    entries = [(entry.colour, entry.label) for entry in preview.layer.classes]
    if unchanged:
        entries.append((LAYERS["change"].classes[0].colour, LAYERS["change"].classes[0].label))
    if not np.isfinite(preview.values).all() and (preview.layer.kind != "date" or unchanged):
        entries.append((_NO_DATA, "no data"))
    patches = [
        Patch(facecolor=colour, edgecolor=INK, linewidth=0.4, label=label) for colour, label in entries
    ]
    if patches:
        corner = (axes.get_position().x0, 0.25 / figure.get_size_inches()[1])
        figure.legend(
            handles=patches, loc="lower left", bbox_to_anchor=corner, borderpad=0, borderaxespad=0, ncols=3,
            frameon=False, fontsize=8, labelcolor=INK, handlelength=1.2, handleheight=1, columnspacing=1.2,
        )  # fmt: skip
    if not preview.layer.classes and np.isfinite(preview.values).any():
        _colour_bar(figure, axes, preview)


def _colour_bar(figure: Figure, axes: Axes, preview: Preview) -> None:
    inch = 1 / figure.get_size_inches()[0]
    box = axes.get_position()
    place = figure.add_axes((box.x1 + 0.18 * inch, box.y0 + 0.1 * box.height, 0.15 * inch, 0.8 * box.height))
    extend = "both" if preview.layer.kind == "measure" else "neither"
    bar = figure.colorbar(axes.images[-1], cax=place, extend=extend)
    cast(Patch, bar.outline).set(edgecolor=INK, linewidth=0.6)
    place.tick_params(labelsize=7.5, colors=INK, length=3, width=0.6)
    if preview.layer.kind == "date":
        days = _date_ticks(preview)
        bar.set_ticks(days, labels=[iso_date(int(day)) for day in days])
    elif preview.layer.kind == "count":
        place.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    elif preview.unit not in ("", "1"):
        place.set_title(_short(preview.unit), fontsize=7.5, color=INK, loc="left", pad=6)


def _short(unit: str) -> str:
    return {"standard deviations": "std. dev."}.get(unit, unit)


def _date_ticks(preview: Preview) -> list[float]:
    low, high = preview.limits()
    days = np.unique(preview.values[np.isfinite(preview.values)])
    if days.size <= _DATES_IN_LEGEND and (days.size < 2 or np.diff(days).min() > (high - low) / 20):
        return [float(day) for day in days]
    return [float(day) for day in np.linspace(low, high, _DATES_IN_LEGEND - 1).round()]
