"""The timeline of changed area, as a picture for the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from io import BytesIO
from itertools import pairwise
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from terradelta.products.layers import LAYERS
from terradelta.products.summary import DateSummary

__all__ = ["timeline"]

_INK, _FAINT, _LINE = "#22282d", "#5d666d", "#d9dee1"


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
