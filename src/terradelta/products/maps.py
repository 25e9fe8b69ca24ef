"""Quick looks: one PNG per layer with frame, legend, scale bar and north arrow."""

from __future__ import annotations

import textwrap
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from terradelta.products.decorations import INK, north_arrow, scale_bar
from terradelta.products.layers import LAYERS
from terradelta.products.preview import Preview
from terradelta.products.sheets import frame_size, new_sheet, patch_legend, png_of, write_heading
from terradelta.products.summary import iso_date

__all__ = ["draw_map"]

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
    width, _ = frame_size(preview.geobox)
    side = max(1.25 if preview.layer.kind != "class" else 0.35, _NARROWEST - width)
    below = _subtitle(preview, title, width + side)
    figure, axes = new_sheet(preview.geobox, side, len(below))
    _fill(axes, preview, base)
    layer = preview.layer.title + (f" {preview.label}" if preview.label else "")
    write_heading(figure, axes, title or layer, below, preview.geobox, note)
    _legend(figure, axes, preview, base is not None)
    scale_bar(axes, preview.geobox)
    north_arrow(axes)
    return png_of(figure)


def _fill(axes: Axes, preview: Preview, base: Preview | None) -> None:
    axes.set_facecolor(_NO_DATA)
    extent = (*axes.get_xlim(), *axes.get_ylim())
    aspect = axes.get_aspect()
    if base is not None:
        ground = LAYERS["change"].classes[0].colour
        shown = np.where(np.isfinite(base.values), 0.0, np.nan)
        axes.imshow(
            shown, cmap=ListedColormap([ground]), extent=extent, aspect=aspect, interpolation="nearest"
        )
    low, high = preview.limits()
    if preview.layer.classes:
        cmap: Any = ListedColormap([entry.colour for entry in preview.layer.classes])
        low, high = -0.5, len(preview.layer.classes) - 0.5
    else:
        cmap = LinearSegmentedColormap.from_list(preview.layer.name, preview.layer.ramp)
    axes.imshow(
        preview.values, cmap=cmap, vmin=low, vmax=high, extent=extent, aspect=aspect, interpolation="nearest"
    )


def _subtitle(preview: Preview, title: str, inches: float) -> list[str]:
    layer = preview.layer.title + (f" {preview.label}" if preview.label else "")
    description = preview.description or preview.layer.description
    text = f"{layer}: {description}" if title else description
    return textwrap.wrap(text, max(20, int(inches * 14)))


def _legend(figure: Figure, axes: Axes, preview: Preview, unchanged: bool) -> None:
    entries = [(entry.colour, entry.label) for entry in preview.layer.classes]
    if unchanged:
        entries.append((LAYERS["change"].classes[0].colour, LAYERS["change"].classes[0].label))
    if not np.isfinite(preview.values).all() and (preview.layer.kind != "date" or unchanged):
        entries.append((_NO_DATA, "no data"))
    patch_legend(figure, axes, entries)
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
