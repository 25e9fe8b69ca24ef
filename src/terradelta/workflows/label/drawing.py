"""The picture of synthetic labels: the choice of the shift, the built-up index, and what the labels say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from terradelta.workflows.config.label import LabelSettings

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from terradelta.urban.stack import Stack

__all__ = ["LEVEL", "draw_synthetic"]

LEVEL = 0.5
"""Labels above this count as change in the numbers that are told."""

_WEAK, _SIDE, _WIDTH = 0.1, 800, 4.1
_RED = {"s1s2": 3, "ers12ls5": 2}
_USED, _SUGGESTED = "#c2410c", "#1d6fa5"
_YEAR = np.timedelta64(365, "D")


@dataclass
class _Sum:
    """What all windows say together."""

    highest: NDArray[np.float32]
    mean: NDArray[np.float32]
    shares: dict[float, list[float]]

    @property
    def share(self) -> float:
        """Share of the pixels whose label exceeds the level in some window."""
        return float((self.highest > LEVEL).mean())


def draw_synthetic(
    settings: LabelSettings, tree: xr.DataTree, labels: xr.Dataset, advance: Callable[[int], None]
) -> tuple[bytes, float]:
    """Draw synthetic labels.

    Parameters
    ----------
    settings : LabelSettings
        Workers and memory.
    tree : DataTree
        The cube.
    labels : Dataset
        From `open_labels`.
    advance : callable
        Told of every window that was read.

    Returns
    -------
    picture, share : bytes, float
        A PNG file, and the share of the pixels whose label exceeds `LEVEL` in some window.
    """
    from terradelta.products.sheets import png_of
    from terradelta.urban.labels.series import recent_image
    from terradelta.urban.labels.store import labelled_stack

    made = labels.attrs["settings"]
    bands = (*made["rule"]["bands"], _RED[made["era"]])
    stack = labelled_stack(tree, labels)
    image = recent_image(stack, bands, side=_SIDE, workers=max(settings.workers, 1), memory=settings.memory)
    found = _sum_of(labels, advance)
    figure, axes = _sheet(*stack.size)
    _ground(figure, axes[0], image, made, f"mean of {_last_year(stack)}")
    span = f"{labels.sizes['window']} windows, {str(labels['start'].values[0])[:10]} to "
    span += str(labels["end"].values[-1])[:10]
    every = -(-max(stack.size) // _SIDE)
    _over_time(axes[1][0], labels, found.shares)
    note = f"{found.share:.2%} of the pixels above {LEVEL:g} in some window"
    _map(figure, axes[1][1], _largest(found.highest, every), ("Highest label", note), "OrRd", 1.0)
    _map(figure, axes[1][2], _largest(found.mean, every), ("Mean label", span), "OrRd", _top(found.mean))
    return png_of(figure), found.share


def _last_year(stack: Stack) -> str:
    """Name the days that `recent_image` averages."""
    last = stack.times[-1]
    return f"{str(max(last - _YEAR, stack.times[0]))[:10]} to {str(last)[:10]}"


def _sum_of(labels: xr.Dataset, advance: Callable[[int], None]) -> _Sum:
    """Go through the windows one by one."""
    highest = np.zeros(labels["label"].shape[1:], np.float32)
    total = np.zeros_like(highest)
    shares: dict[float, list[float]] = {level: [] for level in (_WEAK, LEVEL)}
    for image in labels["label"]:
        values = np.asarray(image.values)
        np.maximum(highest, values, out=highest)
        total += values
        for level, found in shares.items():
            found.append(float((values > level).mean()))
        advance(1)
    return _Sum(highest, total / np.float32(labels.sizes["window"]), shares)


def _largest(values: NDArray[np.float32], every: int) -> NDArray[np.float32]:
    """Shrink a map so that the strongest pixel stays visible."""
    from terradelta.products.painting import largest

    return np.asarray(largest(values, every))


def _sheet(rows: int, columns: int) -> tuple[Figure, Any]:
    """Start a sheet of two rows of three, the maps in the shape of the place."""
    from matplotlib.figure import Figure

    height = _WIDTH * min(max(rows / columns, 0.5), 1.6)
    figure = Figure(figsize=(3 * _WIDTH, 2 * height + 0.9), facecolor="white", layout="constrained")
    axes = figure.subplots(2, 3)
    for plot in axes[:, 0]:
        plot.set_box_aspect(height / _WIDTH)
    return figure, axes


def _ground(figure: Figure, row: Any, image: NDArray[np.float32], made: dict[str, Any], when: str) -> None:
    """Draw the histogram that the shift is chosen from, the place and its built-up index."""
    from terradelta.optical import beta_sums, defined, endisi, unshifted
    from terradelta.products.sheets import FAINT
    from terradelta.urban.labels.betas import FOUR

    beta, shift = beta_sums(image, FOUR).beta, made["rule"]["shift"]
    _histogram(row[0], unshifted(image, beta, FOUR), shift, made["suggested_shift"])
    row[1].imshow(_colours(image[[4, 1, 0]]), interpolation="nearest")
    _name(row[1], "The place", when)
    row[1].set(xticks=[], yticks=[])
    index = np.where(defined(image, FOUR), endisi(image, beta, shift, FOUR), np.nan)
    below = f"of the same images, alpha {shift:.2f}"
    _map(figure, row[2], index, ("Built up (ENDISI)", below), "cividis", _top(index))
    row[2].set_facecolor(FAINT)


def _histogram(axes: Axes, index: NDArray[np.float64], shift: float, suggested: float | None) -> None:
    """Draw the index before the shift, and what two shifts take for built up."""
    from terradelta.products.decorations import INK
    from terradelta.products.sheets import FAINT

    known = index[np.isfinite(index)]
    axes.hist(known, bins=128, range=(-1, 1), color="#c9ced2", linewidth=0)
    axes.axvline(-shift, color=_USED, linewidth=1.8, label=f"alpha used: {shift:.2f}")
    if suggested is not None:
        label = f"alpha suggested: {suggested:.2f}"
        axes.axvline(-suggested, color=_SUGGESTED, linewidth=1.8, linestyle="--", label=label)
    axes.set(xlim=(-1, 0.5), yticks=[])
    axes.set_xlabel("index before the shift, land only", fontsize=8, color=FAINT)
    axes.legend(fontsize=8, frameon=False, labelcolor=INK, loc="upper right")
    _name(axes, "Choice of alpha", "right of a line (at minus alpha): built up")
    axes.tick_params(labelsize=8, colors=FAINT)


def _over_time(axes: Axes, labels: xr.Dataset, shares: dict[float, list[float]]) -> None:
    """Draw how much of the place each window says changed."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    from terradelta.products.decorations import INK
    from terradelta.products.sheets import FAINT

    for (level, found), colour in zip(shares.items(), ("#e9a178", _USED), strict=True):
        style: dict[str, Any] = {"color": colour, "linewidth": 1.4, "marker": "o", "markersize": 3}
        axes.plot(labels["time"].values, 100 * np.array(found), label=f"label above {level:g}", **style)
    axes.set_ylim(0, max(axes.get_ylim()[1], 0.1))
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)
    locator = AutoDateLocator(maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlabel("middle of the window", fontsize=8, color=FAINT)
    axes.set_ylabel("% of the pixels", fontsize=8, color=FAINT)
    _name(axes, "Over time", "pixels with a label, per window")
    axes.tick_params(labelsize=8, colors=FAINT)
    axes.spines[["top", "right"]].set_visible(False)


def _map(
    figure: Figure, axes: Axes, values: NDArray[Any], names: tuple[str, str], colours: str, top: float
) -> None:
    """Draw a map from 0 on, with its bar of colours."""
    from terradelta.products.sheets import FAINT

    drawn = axes.imshow(values, cmap=colours, vmin=0, vmax=top, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    bar = figure.colorbar(drawn, ax=axes, shrink=0.85, pad=0.02, extend="max" if top < 1 else "neither")
    bar.ax.tick_params(labelsize=8, colors=FAINT)
    bar.outline.set_linewidth(0.4)
    _name(axes, *names)


def _top(values: NDArray[Any]) -> float:
    """Give the value of the last colour: that of all but a few pixels."""
    return min(max(float(np.nanquantile(values, 0.999)), 0.01), 1.0)


def _name(axes: Axes, title: str, below: str) -> None:
    from terradelta.products.decorations import INK
    from terradelta.products.sheets import FAINT

    axes.set_title(title, fontsize=11, weight="bold", color=INK, loc="left", pad=20)
    axes.text(0, 1.02, below, transform=axes.transAxes, fontsize=8, color=FAINT, va="bottom")
    for spine in axes.spines.values():
        spine.set(color=FAINT, linewidth=0.6)


def _colours(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stretch red, green and blue to what the place holds; grey where nothing was observed."""
    seen = (image > 0).any(axis=0)
    if not seen.any():
        return np.full((*seen.shape, 3), 0.5, np.float32)
    low, high = np.quantile(image[:, seen], (0.01, 0.985))
    shown = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1)
    return np.where(seen, shown, np.float32(0.5)).transpose(1, 2, 0)
