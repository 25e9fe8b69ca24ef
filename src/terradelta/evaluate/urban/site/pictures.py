"""Pictures of the networks on a place: curves, tiles, and the loss of observations."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from terradelta.evaluate.urban.drawing import (
    FAINT,
    INK,
    VALUE,
    colours,
    picture_rows,
    png,
    stretch_of,
    value_scale,
)
from terradelta.evaluate.urban.simulated import first_and_last
from terradelta.evaluate.urban.site.labels import SiteLabels
from terradelta.evaluate.urban.site.losses import Loss
from terradelta.evaluate.urban.site.networks import Judged
from terradelta.evaluate.urban.site.scoring import UrbanScores
from terradelta.evaluate.urban.site.tables import Results
from terradelta.products.background import TRUE_COLOUR
from terradelta.urban.defaults import THRESHOLD
from terradelta.urban.labels.weak import NOT_LABELLED

__all__ = ["draw_curves", "draw_losses", "draw_tiles"]

_COLOURS = ("#1b6ca8", "#b8860b", "#c43c00", "#2e8b57", "#8e44ad")
_LOST = {"sar": ("radar", _COLOURS[0]), "optical": ("optical", _COLOURS[3]), "all": ("both", _COLOURS[2])}
_LABELS = ListedColormap(["#f7f7f5", "#c2410c"])
_PER_SHEET = 6


def draw_curves(results: Results) -> bytes:
    """Draw receiver operating characteristic, precision over recall, F1 and kappa over the threshold.

    Parameters
    ----------
    results : mapping of str to sequence of Judged
        By group: one colour each; its last one thick, the others thin.

    Returns
    -------
    bytes
        A PNG file.
    """
    figure = Figure(figsize=(9.6, 8.6), facecolor="white", layout="constrained")
    roc, precision, f1, kappa = figure.subplots(2, 2).flat
    _frame(roc, "receiver operating characteristic", "false positive rate", "recall")
    _frame(precision, "precision and recall", "recall", "precision")
    _frame(f1, "F1", "threshold", "F1")
    _frame(kappa, "Cohen's kappa", "threshold", "kappa")
    roc.plot([0, 1], [0, 1], ":", color=FAINT, lw=1)
    for number, every in enumerate(results.values()):
        for judged in every:
            style = _style(judged, every, _COLOURS[number % len(_COLOURS)])
            _curves(judged, (roc, precision, f1, kappa), style)
    some = next(iter(results.values()))[-1].stitched
    precision.axhline(some.changed / (some.changed + some.unchanged), ls=":", color=FAINT, lw=1)
    lowest = min(judged.stitched.over("kappa").min() for every in results.values() for judged in every)
    kappa.set_ylim(min(0.0, lowest), 1)
    figure.legend(
        *roc.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False,
        fontsize=8.5, labelcolor=INK,
    )  # fmt: skip
    return png(figure)


def _style(judged: Judged, every: Sequence[Judged], colour: str) -> dict[str, Any]:
    if judged is not every[-1]:
        return {"color": colour, "lw": 0.8, "alpha": 0.55}
    name = f"{judged.group}, {judged.name}: AUC {judged.stitched.auc:.3f}"
    return {"color": colour, "lw": 2.2, "label": name + (" (thin: each one)" if len(every) > 1 else "")}


def _curves(judged: Judged, panels: Sequence[Axes], style: dict[str, Any]) -> None:
    scores = judged.stitched
    roc, precision, *over = panels
    if scores.roc is not None:
        roc.plot(scores.roc.false, scores.roc.true, **style)
        values, recall = scores.precision_recall()
        precision.plot(recall, values, **style)
    for axes, name in zip(over, ("f1", "kappa"), strict=True):
        axes.plot(scores.thresholds, scores.over(name), **style)


def _frame(axes: Axes, title: str, along: str, up: str) -> None:
    axes.set_title(title, loc="left", size=10, color=INK)
    axes.set_xlabel(along, size=9, color=INK)
    axes.set_ylabel(up, size=9, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(color="#d9dee1", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def draw_losses(losses: Sequence[Loss]) -> bytes:
    """Draw how AUC, F1 and kappa fall with the share of observations that are left out.

    Parameters
    ----------
    losses : sequence of Loss
        A cross at the bottom marks shares at which there is no window left.

    Returns
    -------
    bytes
        A PNG file.
    """
    figure = Figure(figsize=(10.5, 3.8), facecolor="white", layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, name in zip(panels, ("AUC", "F1 at 0.5", "kappa at 0.5"), strict=True):
        _frame(axes, name, "share left out", "")
        lowest = min(0.0, *(_figure(loss, name) for loss in losses if loss.judged is not None))
        for what, (label, colour) in _LOST.items():
            own = [loss for loss in losses if loss.what == what]
            kept = [loss for loss in own if loss.judged is not None]
            gone = [loss.share for loss in own if loss.judged is None]
            values = [_figure(loss, name) for loss in kept]
            shares = [loss.share for loss in kept]
            axes.plot(shares, values, color=colour, lw=1.8, marker="o", ms=4, label=f"lost from {label}")
            axes.plot(gone, [lowest] * len(gone), "x", color=colour, ms=7)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(lowest - 0.03, 1.03)
    told = panels[0].get_legend_handles_labels()
    figure.legend(*told, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, labelcolor=INK)
    return png(figure)


def _figure(loss: Loss, name: str) -> float:
    if loss.judged is None:
        return float("nan")
    scores = loss.judged.stitched
    if name == "AUC":
        return scores.auc
    now = scores.at(THRESHOLD)
    return now.f1 if name.startswith("F1") else now.kappa


def draw_tiles(cube: xr.DataTree, labels: SiteLabels, results: Results) -> dict[str, bytes]:
    """Draw each tile: first and last clear half-year, label, largest value of each group, date of the last.

    Parameters
    ----------
    cube : xarray.DataTree
        The place.
    labels : SiteLabels
        Labels and tiles.
    results : mapping of str to sequence of Judged
        By group; the last one of each is drawn.

    Returns
    -------
    dict of str to bytes
        PNG files ``tiles-01.png``, ``tiles-02.png`` ..., six tiles on each.
    """
    sheets = range(ceil(len(labels.tiles) / _PER_SHEET))
    every = range(len(labels.tiles))
    return {
        f"tiles-{sheet + 1:02d}.png": _sheet(
            cube, labels, results, every[sheet * _PER_SHEET : (sheet + 1) * _PER_SHEET]
        )
        for sheet in sheets
    }


def _sheet(cube: xr.DataTree, labels: SiteLabels, results: Results, tiles: range) -> bytes:
    last = [every[-1] for every in results.values()]
    views = ["first half-year", "last half-year"] if "optical" in cube.children else []
    maps = [f"{judged.group},\n{judged.name}" for judged in last]
    figure, grid = picture_rows(len(tiles), [*views, "label", f"date of the value,\n{last[-1].group}", *maps])
    for row, number in zip(grid, tiles, strict=True):
        row[0].set_ylabel(f"tile {labels.tiles[number]}", size=9, color=INK)
        if views:
            _views(row[:2], cube, labels, number)
        _label(row[len(views)], labels, number)
        _date(row[len(views) + 1], last[-1], number)
        for axes, judged in zip(row[len(views) + 2 :], last, strict=True):
            _map(axes, judged, labels, number)
    value_scale(figure, grid)
    return png(figure)


def _views(row: Sequence[Axes], cube: xr.DataTree, labels: SiteLabels, number: int) -> None:
    rows, columns = labels.grid.part(labels.tiles[number])
    optical = cube["optical"].to_dataset()[["reflectance", "clear"]].isel(y=rows, x=columns)
    names = [str(band) for band in optical["band"].values]
    natural = next((triple for triple in TRUE_COLOUR if set(triple) <= set(names)), names[:3])
    time = optical["time"].values
    within = np.ones(time.size, bool)
    within &= True if labels.start is None else time >= labels.start
    within &= True if labels.end is None else time < labels.end
    optical = optical.isel(time=np.flatnonzero(within), band=[names.index(name) for name in natural])
    first, last = first_and_last(optical)
    both, bands = np.concatenate([first, last], axis=1), range(len(first))
    stretch = stretch_of(both, bands) if np.isfinite(both).any() else (0.0, 1.0)
    for axes, image in zip(row, (first, last), strict=True):
        axes.imshow(colours(image, stretch, bands), interpolation="nearest")


def _label(axes: Axes, labels: SiteLabels, number: int) -> None:
    truth = labels.truth[labels.grid.part(labels.tiles[number])]
    known = truth != NOT_LABELLED
    axes.imshow(np.ma.masked_array(truth > 0, ~known), cmap=_LABELS, vmin=0, vmax=1, interpolation="nearest")
    axes.set_facecolor("#c9ced2")
    share = (truth[known] > 0).mean() if known.any() else 0.0
    axes.set_xlabel(f"{share:.1%} changed", size=8, color=FAINT)


def _date(axes: Axes, judged: Judged, number: int) -> None:
    known = judged.day[np.isfinite(judged.score)]
    low, high = (int(known.min()), int(known.max())) if known.size else (0, 0)
    shown = np.ma.masked_where(~(judged.score[number] > THRESHOLD), judged.day[number])
    axes.imshow(shown, cmap="viridis", vmin=low, vmax=high + 1, interpolation="nearest")
    first, last = (str(np.datetime64(day, "D"))[:7] for day in (low, high))
    axes.set_xlabel(f"where > 0.5; {first} dark, {last} light", size=7, color=FAINT)


def _map(axes: Axes, judged: Judged, labels: SiteLabels, number: int) -> None:
    truth = labels.truth[labels.grid.part(labels.tiles[number])]
    axes.imshow(judged.score[number], cmap=VALUE, vmin=0, vmax=1, interpolation="nearest")
    changed = (truth > 0) & (truth != NOT_LABELLED)
    if changed.any() and not changed.all():
        axes.contour(changed, [0.5], colors=INK, linewidths=0.6)
    scores = judged.tiles[number]
    if scores is not None:
        area = f"AUC {scores.auc:.3f}, " if np.isfinite(scores.auc) else ""
        told = f"{area}F1 {scores.at(THRESHOLD).f1:.3f}" if scores.changed else _false(scores)
        axes.set_xlabel(told, size=8, color=INK)


def _false(scores: UrbanScores) -> str:
    return f"{scores.false_at(THRESHOLD):.1%} above 0.5"
