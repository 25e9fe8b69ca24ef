"""The picture of the experiment: all curves of a change in one plot."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from terradelta.evaluate.curves import Roc
from terradelta.evaluate.images.differences import LABELS
from terradelta.evaluate.images.report import TITLES, ImagesReport

__all__ = ["draw"]

_INK, _FAINT, _LINE = "#22282d", "#6b747b", "#dfe3e6"
_STYLES = {
    "prediction": ("#c2410c", "-", 2.0),
    "standardised": ("#9a2b06", "--", 1.6),
    "nearest-geometry": ("#35566f", "-", 1.6),
    "same-direction": ("#5b7c99", "--", 1.3),
    "latest": ("#8fa6b8", ":", 1.3),
    "mean": ("#7c6a9c", "-", 1.3),
    "median": ("#7c6a9c", "--", 1.0),
}
_POINTS = np.concatenate([[0.0], np.geomspace(1e-4, 1, 600)])


def draw(report: ImagesReport) -> bytes:
    """Draw the receiver operating characteristics, one plot per change.

    Parameters
    ----------
    report : ImagesReport
        From `run`.

    Returns
    -------
    bytes
        A PNG file.
    """
    number = len(report.rocs)
    figure = Figure(figsize=(5.6 * number, 5.6), facecolor="white", layout="constrained")
    axes = figure.subplots(1, number, squeeze=False)[0]
    for one, (change, rocs) in zip(axes, report.rocs.items(), strict=True):
        _draw_change(one, TITLES[change], rocs)
    axes[0].set_ylabel("share of changed pixels found", color=_INK)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def _draw_change(axes: Axes, title: str, rocs: dict[str, Roc]) -> None:
    axes.plot([0, 1], [0, 1], color=_LINE, linewidth=1)
    for name, label in LABELS.items():
        if name in rocs:
            colour, dashes, width = _STYLES[name]
            roc = rocs[name]
            text = f"{label}: {roc.area.auc:.3f}"
            axes.plot(
                _POINTS, roc.true_at(_POINTS), color=colour, linestyle=dashes, linewidth=width, label=text
            )
    axes.set_title(f"{title}, all pixels", loc="left", size=11, color=_INK)
    axes.set_xlabel("share of unchanged pixels called changed", color=_INK)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(loc="lower right", fontsize=7.5, frameon=False, title="AUC", title_fontsize=8)
    axes.tick_params(colors=_FAINT, labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
