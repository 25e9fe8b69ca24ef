"""Pictures of the experiments: what was seen, what is true, what the networks say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from terradelta.evaluate.urban.baselines import difference_length
from terradelta.evaluate.urban.curves import curve
from terradelta.evaluate.urban.drawing import (
    FAINT,
    INK,
    TITLES,
    VALUE,
    colours,
    picture_rows,
    png,
    stretch_of,
    value_scale,
)
from terradelta.evaluate.urban.networks import Peaks
from terradelta.types import FloatArray

if TYPE_CHECKING:
    from terradelta.evaluate.urban.oscd import Pair

__all__ = ["draw_pairs", "draw_series", "draw_towns"]

_KINDS = ("#f7f7f5", "#8aa05a", "#c2410c", "#5b7c99", "#7a5230", "#d8b84a", "#7c4fa3")


def draw_pairs(shown: Sequence[tuple[Pair, FloatArray]]) -> bytes:
    """Draw each city: both images, labels, spectral difference, largest value of the networks.

    Parameters
    ----------
    shown : sequence of tuple
        Pairs and their (y, x) values.

    Returns
    -------
    bytes
        A PNG file.
    """
    titles = [
        "first image",
        "second image",
        "labels",
        "spectral difference\n(standardised)",
        "network, largest value",
    ]
    figure, grid = picture_rows(len(shown), titles)
    for row, (pair, score) in zip(grid, shown, strict=True):
        stretch = stretch_of(pair.first)
        row[0].imshow(colours(pair.first, stretch))
        row[1].imshow(colours(pair.second, stretch_of(pair.second)))
        row[2].imshow(pair.changed, cmap=VALUE, vmin=0, vmax=1, interpolation="nearest")
        plain = difference_length(pair.first, pair.second, standardise=True)
        row[3].imshow(plain, cmap=VALUE, vmin=0, vmax=np.nanquantile(plain, 0.995), interpolation="nearest")
        row[4].imshow(score, cmap=VALUE, vmin=0, vmax=1, interpolation="nearest")
        row[0].set_ylabel(pair.name, **TITLES)
        for axes, day in zip(row, pair.dates, strict=False):
            axes.set_xlabel(day, size=8, color=FAINT)
        row[2].set_xlabel(f"{pair.changed.mean():.2%} changed", size=8, color=FAINT)
        for axes, each in ((row[3], plain), (row[4], score)):
            axes.set_xlabel(f"AUC {curve(pair.changed, each).auc:.3f}", size=8, color=INK)
    value_scale(figure, grid)
    return png(figure)


def draw_towns(shown: Sequence[tuple[int, FloatArray, FloatArray, xr.Dataset, Peaks]]) -> bytes:
    """Draw each town: first and last half-year, truth, largest value, its date.

    Parameters
    ----------
    shown : sequence of tuple
        Seed, clear means of the first and the last half-year, truth, and what the networks said.

    Returns
    -------
    bytes
        A PNG file.
    """
    titles = [
        "first half-year",
        "last half-year",
        "truth: kind",
        "truth: date",
        "network, date of it",
        "network, largest value",
    ]
    figure, grid = picture_rows(len(shown), titles)
    for row, (seed, first, last, truth, peaks) in zip(grid, shown, strict=True):
        stretch = stretch_of(first)
        row[0].imshow(colours(first, stretch))
        row[1].imshow(colours(last, stretch))
        kinds = ListedColormap(_KINDS)
        row[2].imshow(
            truth["kind"].values, cmap=kinds, vmin=-0.5, vmax=len(_KINDS) - 0.5, interpolation="nearest"
        )
        days = truth["date"].values
        span: dict[str, Any] = {
            "vmin": int(peaks.day.min()),
            "vmax": int(peaks.day.max()) + 1,
            "cmap": "viridis",
        }
        row[3].imshow(np.ma.masked_less(days, 0), interpolation="nearest", **span)
        found = np.ma.masked_where(~(peaks.score > 0.5), peaks.day)
        row[4].imshow(found, interpolation="nearest", **span)
        row[5].imshow(peaks.score, cmap=VALUE, vmin=0, vmax=1, interpolation="nearest")
        changed = np.isin(truth["kind"].values, (2, 6))
        row[5].contour(changed, [0.5], colors=INK, linewidths=0.6)
        row[0].set_ylabel(f"seed {seed}", **TITLES)
        row[2].set_xlabel("red: built, violet: torn down", size=8, color=FAINT)
        row[4].set_xlabel("where > 0.5", size=8, color=FAINT)
        row[5].set_xlabel(f"AUC {curve(changed, peaks.score).auc:.3f}", size=8, color=INK)
    value_scale(figure, grid)
    return png(figure)


def draw_series(cube: xr.DataTree, peaks: Peaks) -> bytes:
    """Draw a series without labels: two clear images, largest value, and the windows over time.

    Parameters
    ----------
    cube : xarray.DataTree
        What the networks saw.
    peaks : Peaks
        What they said.

    Returns
    -------
    bytes
        A PNG file.
    """
    titles = ["a clear image at the start", "one at the end", "network, largest value", "windows over time"]
    figure, grid = picture_rows(1, titles)
    row = grid[0]
    optical = cube["optical"].to_dataset()
    share = optical["clear"].mean(("y", "x")).values
    half = share.size // 2
    for axes, index in zip(
        row, (int(share[:half].argmax()), half + int(share[half:].argmax())), strict=False
    ):
        image = optical["reflectance"].values[index]
        axes.imshow(colours(image, stretch_of(image)))
        axes.set_xlabel(str(optical["time"].values[index])[:10], size=8, color=FAINT)
    row[2].imshow(peaks.score, cmap=VALUE, vmin=0, vmax=1, interpolation="nearest")
    _over_time(row[3], peaks.windows)
    value_scale(figure, grid)
    return png(figure)


def _over_time(axes: Axes, windows: xr.DataArray) -> None:
    flat = windows.values.reshape(windows.sizes["window"], -1)
    levels = np.nanquantile(flat, (0.5, 0.99, 1.0), axis=1)
    for level, name, colour in zip(
        levels, ("median", "99 %", "largest"), (FAINT, "#e9a178", "#c2410c"), strict=True
    ):
        axes.plot(windows["time"].values, level, label=name, color=colour)
    axes.set_ylim(0, 1)
    axes.set_box_aspect(1)
    axes.set_xticks(
        windows["time"].values[[0, -1]], [str(day)[:7] for day in windows["time"].values[[0, -1]]]
    )
    axes.set_yticks((0, 0.5, 1))
    axes.tick_params(labelsize=8, colors=INK)
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)
