"""The picture of the experiment: how well each method does against what it costs."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from terradelta.evaluate.opera.report import MethodFigures
from terradelta.evaluate.peers.cost import Cost
from terradelta.evaluate.peers.report import PeersReport, SeriesFigures
from terradelta.evaluate.peers.table import TITLES

__all__ = ["draw"]

_INK, _FAINT, _LINE = "#22282d", "#6b747b", "#dfe3e6"
_COLOURS = {
    "robust": "#c2410c",
    "network": "#3f7f5f",
    "plain": "#5b7c99",
    "test": "#7c6a9c",
    "peer": "#8a6d1f",
}
_LEAST_MISS = 1e-4


def draw(report: PeersReport) -> bytes:
    """Draw three measures per method for each set of series, beside the time that the method takes.

    Parameters
    ----------
    report : PeersReport
        From `run`.

    Returns
    -------
    bytes
        A PNG file.
    """
    rows = max(len(one.methods) for one in report.series)
    figure = Figure(figsize=(13.5, len(report.series) * (0.24 * rows + 1.1)), facecolor="white")
    figure.set_layout_engine("constrained")
    grid = figure.subplots(len(report.series), 4, squeeze=False, sharey="row")
    for line, one in zip(grid, report.series, strict=True):
        _draw_series(line, one, report)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def _draw_series(line: np.ndarray, series: SeriesFigures, report: PeersReport) -> None:
    methods = list(series.methods.values())
    _misses(line[0], methods, [one.mean_auc for one in methods], "AUC of discs, log scale")
    rain = [100 * one.mean_rain for one in methods]
    _bars(line[1], methods, np.array(rain), [f"{value:.1f}" for value in rain], "alarms in rain, %")
    _misses(line[2], methods, [one.mean_large for one in methods], "AUC of large change, log scale")
    _times(line[3], series, report)
    line[0].set_yticks(range(len(methods)), [one.label for one in methods], fontsize=8, color=_INK)
    line[0].invert_yaxis()
    line[0].set_ylabel(TITLES[series.name], fontsize=9, color=_INK, weight="bold")


def _misses(axes: Axes, methods: list[MethodFigures], values: list[float], title: str) -> None:
    """Draw areas so that 0.9, 0.99 and 0.999 are as far apart; 0.5 is at zero."""

    def stretched(areas: np.ndarray) -> np.ndarray:
        return np.asarray(np.log10(0.5) - np.log10(np.clip(1 - areas, _LEAST_MISS, 0.5)))

    ticks = np.array([0.5, 0.9, 0.99, 0.999])
    _bars(axes, methods, stretched(np.array(values)), [f"{value:.4f}" for value in values], title)
    axes.set_xticks(stretched(ticks), [f"{tick:g}" for tick in ticks])


def _times(axes: Axes, series: SeriesFigures, report: PeersReport) -> None:
    costs: list[Cost | None] = [
        report.costs.get(key) or report.costs.get(key.removesuffix("-median")) for key in series.methods
    ]
    seconds = np.array([np.nan if cost is None else cost.seconds for cost in costs])
    texts = ["" if cost is None else f"{cost.seconds:.2f}" for cost in costs]
    lengths = np.log10(np.maximum(np.nan_to_num(seconds, nan=0.01), 0.01)) + 2
    _bars(axes, list(series.methods.values()), lengths, texts, "seconds per megapixel, log scale")
    axes.set_xticks([0, 1, 2, 3, 4], ["0.01", "0.1", "1", "10", "100"])
    axes.axvline(np.log10(1.5) + 2, color=_INK, linewidth=0.8, linestyle=":")


def _bars(
    axes: Axes, methods: list[MethodFigures], lengths: np.ndarray, texts: list[str], title: str
) -> None:
    rows = np.arange(len(methods))
    axes.barh(
        rows, lengths, height=0.72, color=[_COLOURS.get(one.group, _FAINT) for one in methods], zorder=2
    )
    for row, length, text in zip(rows, lengths, texts, strict=True):
        axes.annotate(
            text, (length, row), (3, 0), textcoords="offset points", va="center", fontsize=7.5, color=_INK
        )
    axes.set_xlim(0, max(float(lengths.max()), 1e-3) * 1.25)
    axes.set_title(title, fontsize=9, color=_INK, loc="left")
    axes.tick_params(labelsize=8, colors=_INK, length=0)
    axes.grid(axis="x", color=_LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
