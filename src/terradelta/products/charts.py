"""Pictures of change over time: changed area by date for the report, and timelines of places."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from terradelta.products.files import whole_file
from terradelta.products.layers import LAYERS
from terradelta.products.painting import check_threshold
from terradelta.products.sheets import png_of
from terradelta.products.summary import DateSummary
from terradelta.types import PathType

__all__ = ["draw_timelines", "timeline"]

_INK, _FAINT, _LINE = "#22282d", "#5d666d", "#d9dee1"
_MOST = 8
_CURVES = ("#c43c00", "#1b6ca8", "#2e8b57", "#8e44ad", "#b8860b", "#d6619e", "#5d666d", "#17a2b8")


def timeline(dates: Sequence[DateSummary], acquisitions: Sequence[str]) -> bytes:
    """Draw the area that changed on each date, its running total and the acquisitions.

    Parameters
    ----------
    dates : sequence of DateSummary
        Changed area by date, in order; at least one.
    acquisitions : sequence of str
        ISO dates of all acquisitions, shown as ticks at the foot.

    Returns
    -------
    bytes
        An SVG picture.
    """
    number: Any = date2num  # has no types
    days = [float(number(date.fromisoformat(entry.date))) for entry in dates]
    hectares = [entry.area_m2 / 1e4 for entry in dates]
    seen = [float(number(date.fromisoformat(day))) for day in acquisitions]
    with matplotlib.rc_context({"svg.hashsalt": "terradelta", "font.size": 9}):
        figure = Figure(figsize=(9.2, 3.1), facecolor="white")
        axes = figure.add_axes((0.075, 0.17, 0.855, 0.68))
        every = sorted({*days, *seen})
        gap = min((b - a for a, b in pairwise(every)), default=6.0)
        span = (every[-1] - every[0]) or 12.0
        colour = LAYERS["change"].classes[1].colour
        axes.bar(days, hectares, width=max(min(gap * 0.8, span / 30), span / 130), color=colour, zorder=3)
        _running_total(axes, days, hectares)
        if seen:
            zeros = [0.0] * len(seen)
            axes.plot(seen, zeros, "|", color=_INK, markersize=7, mew=0.9, clip_on=False, zorder=4)
        axes.set_xlim(every[0] - span * 0.03, every[-1] + span * 0.03)
        _dress(axes)
        figure.text(0.075, 0.93, "bars: changed on that date · line: all until then · ticks: acquisitions",
                    color=_FAINT, fontsize=8.5)  # fmt: skip
        buffer = BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _running_total(axes: Axes, days: Sequence[float], hectares: Sequence[float]) -> None:
    total, sums = 0.0, [0.0]
    for value in hectares:
        total += value
        sums.append(total)
    twin = axes.twinx()
    twin.step([days[0], *days], sums, where="post", color=_INK, linewidth=1.1, zorder=5)
    twin.set_ylim(0, total * 1.08 or 1)
    twin.set_ylabel("total, ha", color=_FAINT)
    twin.tick_params(colors=_FAINT, length=0)
    twin.spines[:].set_visible(False)


def _dress(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("changed area, ha", color=_INK)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=_LINE, linewidth=0.7, zorder=0)
    axes.tick_params(colors=_INK, length=3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_INK)


def draw_timelines(table: pd.DataFrame, path: PathType, *, threshold: float = 0.5, title: str = "") -> Path:
    """Draw the mean of a few places over time: all points first, then the polygons with most pixels.

    Parameters
    ----------
    table : DataFrame
        From ``timelines``.
    path : path-like
        PNG file to write; eight lines at most.
    threshold : float
        Shown as a dashed line.
    title : str
        Heading.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        The threshold is not from 0 to 1.
    StorageError
        The file cannot be written.
    """
    check_threshold(threshold)
    sizes = table.groupby("place", sort=False)["pixels"].max()
    points = [str(name) for name in sizes.index if str(name).startswith("point ")]
    others = sizes.drop(points).sort_values(ascending=False, kind="stable")
    shown = [*points, *map(str, others.index)][:_MOST]
    figure = Figure(figsize=(9.2, 3.9), facecolor="white")
    axes = figure.add_axes((0.065, 0.12, 0.735, 0.72))
    number: Any = date2num  # has no types
    for name, colour in zip(shown, _CURVES, strict=False):
        rows = table[table["place"] == name]
        size = f" · {sizes[name]:,} px" if name not in points else ""
        days = number(rows["time"].to_numpy())
        axes.plot(
            days, rows["mean"], color=colour, linewidth=1.8, marker="o", markersize=2.5, label=name + size
        )
    axes.axhline(threshold, color=_INK, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1)
    axes.annotate(
        "threshold", (1, threshold), (-4, 3), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
        ha="right", fontsize=8, color=_FAINT,
    )  # fmt: skip
    _dress_curves(axes, bool(shown))
    rest = len(sizes) - len(shown)
    more = f" · {rest:,} more in the table" if rest else ""
    left = axes.get_position().x0
    figure.text(left, 0.93, title or "Change over time", fontsize=12, weight="bold", color=_INK)
    note = f"mean change probability of each place's pixels, at the mid-point of each window{more}"
    figure.text(left, 0.875, note, fontsize=8.5, color=_FAINT)
    path = Path(path)
    with whole_file(path) as file:
        file.write_bytes(png_of(figure))
    return path


def _dress_curves(axes: Axes, filled: bool) -> None:
    axes.set_ylim(0, 1.02)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.grid(axis="y", color=_LINE, linewidth=0.7, zorder=0)
    axes.tick_params(labelsize=8.5, colors=_INK, length=3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_INK)
    if not filled:
        axes.set_xticks([])
        axes.text(0.5, 0.25, "no places", transform=axes.transAxes, ha="center", color=_FAINT)
        return
    locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8.5, labelcolor=_INK,
        handlelength=1.4, borderaxespad=0,
    )  # fmt: skip
