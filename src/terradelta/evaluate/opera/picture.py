"""The picture of the experiment: figures of every method, and maps of three scenes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from terradelta.evaluate.opera.methods import METHODS
from terradelta.evaluate.opera.report import Example, MethodFigures, OperaReport
from terradelta.evaluate.opera.table import TITLE
from terradelta.evaluate.scores import auc, share_above

__all__ = ["draw"]

_INK, _FAINT, _LINE = "#22282d", "#6b747b", "#dfe3e6"
_COLOURS = {"robust": "#c2410c", "ablation": "#e9a178", "plain": "#5b7c99", "test": "#7c6a9c",
            "network": "#3f7f5f", "peer": "#8a6d1f"}  # fmt: skip
_GROUPS = {
    "robust": "robust",
    "network": "network, one seed each",
    "ablation": "robust, one part less",
    "plain": "plain",
    "test": "omnibus test",
    "peer": "pre-trained transformer",
}
_SHOWN = {
    "robust": "robust",
    "z-median": "z-score, despeckled,\nmedian removed",
    "mean10-smooth": "mean of 10,\ndespeckled",
    "last-raw": "last image, raw\n(log-ratio)",
    "omnibus": "omnibus test",
}
_TITLES = {
    "discs": "three discs of {decibel:g} dB",
    "rain": "wet scene, no change",
    "large": "large real change",
}
_MOST = 3.0
_LEAST_MISS = 1e-4
_STRENGTH = LinearSegmentedColormap.from_list(
    "strength",
    [(0, "#f7f7f5"), (1 / _MOST - 1e-6, "#b9c3c9"), (1 / _MOST, "#f3c9a5"), (1, "#9a2b06")],
)


def draw(report: OperaReport) -> bytes:
    """Draw figures and maps.

    Parameters
    ----------
    report : OperaReport
        From `run`.

    Returns
    -------
    bytes
        A PNG file.
    """
    bars, maps = 0.25 * len(report.methods) + 1.45, 2.0 * len(report.examples) + 0.75
    figure = Figure(figsize=(12.6, bars + maps), facecolor="white", layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(bars, maps))
    _draw_figures(parts[0], report)
    _draw_maps(parts[1], report)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def _draw_figures(part: SubFigure, report: OperaReport) -> None:
    methods = list(report.methods.values())
    rate = 100 * report.protocol.false_alarms
    axes = part.subplots(1, 4, sharey=True)
    part.suptitle(TITLE, x=0.01, ha="left", weight="bold", color=_INK)
    _curve_bars(axes[0], methods, [one.mean_auc for one in methods], "AUC of discs, log scale")
    worst = np.array([one.worst_auc for one in methods])
    axes[0].plot(_stretched(worst), range(len(methods)), "|", color=_INK, markersize=9, zorder=3)
    _share_bars(axes[1], methods, [one.mean_found for one in methods], f"found at {rate:g} % false alarms, %")
    _share_bars(axes[2], methods, [one.mean_rain for one in methods], "alarms in the wet scene, %")
    axes[2].axvline(rate, color=_INK, linewidth=0.8, linestyle=":")
    _curve_bars(axes[3], methods, [one.mean_large for one in methods], "AUC of large change, log scale")
    axes[0].set_yticks(range(len(methods)), [one.label for one in methods], fontsize=8.5, color=_INK)
    for label, one in zip(axes[0].get_yticklabels(), methods, strict=True):
        label.set_weight("bold" if one.group == "robust" else "normal")
    axes[0].invert_yaxis()
    drawn = {one.group for one in methods}
    handles = [
        Line2D([], [], color=_COLOURS[key], linewidth=6, label=text)
        for key, text in _GROUPS.items()
        if key in drawn
    ]
    handles.append(Line2D([], [], color=_INK, marker="|", linestyle="", label="worst date and patch"))
    style: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelcolor": _INK}
    part.legend(handles=handles, loc="outside lower right", ncols=len(handles), **style)


def _stretched(auc_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place curves' areas so that 0.9, 0.99 and 0.999 are as far apart; 0.5 is at zero."""
    return np.asarray(np.log10(0.5) - np.log10(np.clip(1 - auc_values, _LEAST_MISS, 0.5)))


def _curve_bars(axes: Axes, methods: list[MethodFigures], values: list[float], title: str) -> None:
    ticks = np.array([0.5, 0.9, 0.99, 0.999])
    _bars(axes, methods, _stretched(np.array(values)), [f"{value:.4f}" for value in values], title)
    axes.set_xticks(_stretched(ticks), [f"{tick:g}" for tick in ticks])


def _share_bars(axes: Axes, methods: list[MethodFigures], values: list[float], title: str) -> None:
    shares = 100 * np.array(values)
    _bars(axes, methods, shares, [f"{share:.1f}" for share in shares], title)


def _bars(
    axes: Axes, methods: list[MethodFigures], lengths: NDArray[np.float64], texts: list[str], title: str
) -> None:
    rows = np.arange(len(methods))
    axes.barh(rows, lengths, height=0.72, color=[_COLOURS[one.group] for one in methods], zorder=2)
    style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8, "color": _INK}
    for row, length, text in zip(rows, lengths, texts, strict=True):
        axes.annotate(text, (length, row), (3, 0), **style)
    axes.set_xlim(0, max(float(lengths.max()), 1e-3) * 1.24)
    axes.set_title(title, fontsize=9.5, color=_INK, loc="left")
    axes.tick_params(labelsize=8, colors=_INK, length=0)
    axes.grid(axis="x", color=_LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _draw_maps(part: SubFigure, report: OperaReport) -> None:
    grid = part.subplots(len(report.examples), len(_SHOWN) + 1, squeeze=False)
    for row, example in zip(grid, report.examples, strict=True):
        _seen(row[0], example, report)
        for axes, key in zip(row[1:], _SHOWN, strict=True):
            _strength(axes, example, key, report)
    grid[0][0].set_title("VH, despeckled, dB", fontsize=9, color=_INK)
    for axes, (key, label) in zip(grid[0][1:], _SHOWN.items(), strict=True):
        weight = "bold" if METHODS[key].group == "robust" else "normal"
        axes.set_title(label, fontsize=9, color=_INK, weight=weight)
    shade = ScalarMappable(Normalize(0, _MOST), _STRENGTH)
    bar = part.colorbar(shade, ax=list(grid[:, 1:].flat), shrink=0.6, aspect=30, pad=0.01, extend="max")
    rate = f"{100 * report.protocol.false_alarms:g} %"
    bar.set_label(f"score / its threshold for {rate} false alarms", fontsize=8, color=_INK)
    bar.ax.tick_params(labelsize=8, colors=_INK)


def _seen(axes: Axes, example: Example, report: OperaReport) -> None:
    low, high = np.nanquantile(example.seen, (0.01, 0.99))
    axes.imshow(example.seen, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    _outline(axes, example, "#ffb000")
    title = _TITLES[example.kind].format(decibel=report.protocol.decibel).replace("-", "−")
    axes.set_ylabel(f"{title}\n{example.patch}\n{example.day}", fontsize=8.5, color=_INK)
    axes.set_xlabel(f"{low:.0f} … {high:.0f} dB".replace("-", "−"), fontsize=8, color=_FAINT)
    _bare(axes)


def _strength(axes: Axes, example: Example, key: str, report: OperaReport) -> None:
    score = example.relative[key]
    axes.imshow(score, cmap=_STRENGTH, vmin=0, vmax=_MOST, interpolation="nearest")
    _outline(axes, example, _INK)
    if example.truth is None:
        text = f"{100 * share_above(score, 1.0):.1f} % above the threshold"
    elif example.kind == "discs":
        text = f"AUC {auc(example.truth, score):.4f}"
    else:
        text = f"{100 * share_above(score, 1.0, example.truth):.0f} % of the change found"
    axes.set_xlabel(text, fontsize=8, color=_INK)
    _bare(axes)


def _outline(axes: Axes, example: Example, colour: str) -> None:
    if example.truth is not None:
        axes.contour(example.truth.astype(float), [0.5], colors=colour, linewidths=0.8)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=_FAINT, linewidth=0.6)
