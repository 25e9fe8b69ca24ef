"""Pictures: receiver operating characteristics, and the expected image under changed conditions."""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from terradelta.evaluate.images.differences import LABELS
from terradelta.evaluate.paper.report import CONVENTIONAL, PaperReport
from terradelta.types import FloatArray

__all__ = ["Expectation", "draw_curves", "draw_expectations"]

_INK, _FAINT, _LINE = "#22282d", "#6b747b", "#dfe3e6"
_OURS, _DRY, _CONDITIONED, _PLAIN = "#c2410c", "#e9a178", "#2f6f4f", "#35566f"
_CHOICES = ("#35566f", "#5b8fb0", "#9bb4c4")
_TITLES = {"shift": "Offset change, −2.5 dB", "stored": "Statistical change"}
_RATES = np.linspace(0, 1, 201)
_REACH = 3.0


class Expectation(NamedTuple):
    """The expected image of one scene under some conditions.

    Attributes
    ----------
    title : str
        Which.
    image : ndarray
        (y, x), dB.
    """

    title: str
    image: FloatArray


Line = tuple[str, str, str, str, str]


def draw_curves(report: PaperReport) -> bytes:
    """Draw the curves of Figs. 7 to 10: choices of a previous image, each change, and without weather.

    Parameters
    ----------
    report : PaperReport
        All figures.

    Returns
    -------
    bytes
        A PNG file.
    """
    first = report.judged[0].key
    choices: list[Line] = [
        (first, way, LABELS[way], colour, "-") for way, colour in zip(CONVENTIONAL, _CHOICES, strict=True)
    ]
    panels = [("Choice of the previous image", report.changes[0], choices)]
    panels += [(_TITLES[change], change, _lines(report, first)) for change in report.changes]
    if report.has("unet-dry"):
        panels.append(("Without weather", report.changes[0], _dry(report, first)))
    figure = Figure(figsize=(5.2 * len(panels), 5.6), facecolor="white", layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for one, (title, change, lines) in zip(axes, panels, strict=True):
        _draw_panel(one, report, change, lines)
        one.set_title(title, loc="left", size=11, color=_INK)
    axes[0].set_ylabel("share of changed pixels found", color=_INK)
    return _png(figure)


def _lines(report: PaperReport, first: str) -> list[Line]:
    lines: list[Line] = []
    for key, colour in (("unet", _OURS), ("stored", _OURS), ("given", _OURS), ("conditioned", _CONDITIONED)):
        if report.has(key):
            label = report.labels[key]
            lines.append((key, "prediction", label, colour, "-"))
            lines.append((key, "standardised", f"{label}, standardised", colour, "--"))
    return [*lines, (first, CONVENTIONAL[0], LABELS[CONVENTIONAL[0]], _PLAIN, "-")]


def _dry(report: PaperReport, first: str) -> list[Line]:
    return [
        ("unet", "prediction", report.labels["unet"], _OURS, "-"),
        ("unet-dry", "prediction", report.labels["unet-dry"], _DRY, "-"),
        (first, CONVENTIONAL[0], LABELS[CONVENTIONAL[0]], _PLAIN, "-"),
    ]


def _draw_panel(axes: Axes, report: PaperReport, change: str, lines: list[Line]) -> None:
    axes.plot([0, 1], [0, 1], color=_LINE, linewidth=1)
    for key, way, label, colour, dashes in lines:
        found, area = report.curve(key, change, way), report.auc(key, change, way)
        if found is not None and area is not None:
            axes.plot(_RATES, found, dashes, color=colour, linewidth=1.6, label=f"{label}: {area.text()}")
    axes.set_xlabel("share of unchanged pixels called changed", color=_INK)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(loc="lower right", fontsize=7, frameon=False, title="AUC", title_fontsize=7.5)
    axes.tick_params(colors=_FAINT, labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw_expectations(seen: FloatArray, expected: list[Expectation], name: str) -> bytes:
    """Draw Fig. 6: the expected image of a scene, and how it differs under changed conditions.

    Parameters
    ----------
    seen : ndarray
        (y, x), the image that was taken, dB.
    expected : list of Expectation
        Under its own conditions first.
    name : str
        Of the scene, network and band.

    Returns
    -------
    bytes
        A PNG file.
    """
    number = len(expected)
    figure = Figure(figsize=(3.1 * (number + 1), 6.6), facecolor="white", layout="constrained")
    axes = figure.subplots(2, number + 1)
    low, high = np.nanpercentile(seen, [1, 99])
    own = expected[0].image
    for column, one in enumerate([Expectation("as it was taken", seen), *expected]):
        shown = axes[0, column].imshow(one.image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axes[0, column].set_title(one.title, size=9, color=_INK, loc="left", wrap=True)
        away = axes[1, column].imshow(
            one.image - own, cmap="RdBu_r", vmin=-_REACH, vmax=_REACH, interpolation="nearest"
        )
        axes[1, column].set_title(f"less the expected one: {np.nanmean(one.image - own):+.2f} dB on average",
                                  size=8, color=_FAINT, loc="left")  # fmt: skip
    for each in axes.flat:
        each.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes[0, :], label="dB", shrink=0.8)
    figure.colorbar(away, ax=axes[1, :], label="dB", shrink=0.8)
    figure.suptitle(name, size=10, color=_INK, x=0.01, ha="left")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
