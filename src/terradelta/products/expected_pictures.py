"""Pictures of an expected image: beside the real one, and under changed conditions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from terradelta.products.decorations import INK
from terradelta.products.layers import LAYERS
from terradelta.products.sheets import png_of

__all__ = ["draw_expected", "draw_what_if"]

_PIXELS = 512
_PANEL = 3.1
_PERCENT = (2, 98)
_HEADING = 44
_LEAST = 0.05


def draw_expected(seen: xr.Dataset, difference: xr.Dataset, *, title: str = "") -> bytes:
    """Draw the real image, the expected one and their difference, a row per band.

    Parameters
    ----------
    seen : Dataset
        ``target`` and ``expected`` (band, y, x), dB.
    difference : Dataset
        ``difference`` (band, y, x), dB; ``standardised`` likewise, if known.
    title : str
        Heading.

    Returns
    -------
    bytes
        A PNG file.
    """
    columns = [("target", seen["target"], "real"), ("expected", seen["expected"], "expected")]
    columns.append(("difference", difference["difference"], "real - expected"))
    if "standardised" in difference:
        columns.append(("standardised", difference["standardised"], "in standard deviations"))
    bands = [str(band) for band in seen["band"].values]
    shown = {name: _small(array) for name, array, _ in columns}
    figure, grid = _sheet(len(bands), len(columns), shown["expected"].shape[-2:], title)
    for row, band in enumerate(bands):
        both = _limits([shown["target"][row], shown["expected"][row]])
        for column, (name, _, heading) in enumerate(columns):
            limits = both if column < 2 else _symmetric([shown[name][row]])
            _panel(figure, grid[row, column], shown[name][row], name, limits, f"{band} {heading}")
    return png_of(figure)


def draw_what_if(cases: xr.Dataset, *, title: str = "") -> bytes:
    """Draw an expected image under changed conditions: original, changed and their difference, per band.

    Parameters
    ----------
    cases : Dataset
        ``expected`` and ``difference`` (case, band, y, x), dB, the first case the original; ``title`` (case).
    title : str
        Heading.

    Returns
    -------
    bytes
        A PNG file: a column per case, three rows per band.
    """
    bands = [str(band) for band in cases["band"].values]
    expected, difference = _small(cases["expected"]), _small(cases["difference"])
    names = [str(name) for name in cases["title"].values]
    size = expected.shape[-2:]
    figure, grid = _sheet(3 * len(bands), len(names) - 1, size, title)
    for band, name in enumerate(bands):
        limits = _limits(list(expected[:, band]))
        around = _symmetric(list(difference[1:, band]))
        for column in range(1, len(names)):
            axes = grid[3 * band : 3 * band + 3, column - 1]
            _panel(figure, axes[0], expected[0, band], "expected", limits, f"{name} original: {names[0]}")
            _panel(figure, axes[1], expected[column, band], "expected", limits, f"{name} {names[column]}")
            heading = f"{name} changed - original"
            _panel(figure, axes[2], difference[column, band], "difference", around, heading)
    return png_of(figure)


def _small(array: xr.DataArray) -> NDArray[np.float32]:
    """Give every n-th pixel of a large image: a mean would hide the speckle and the outliers."""
    step = -(-max(array.sizes["y"], array.sizes["x"]) // _PIXELS)
    values = np.asarray(array[..., ::step, ::step].values, np.float32)
    rising = array["y"].size > 1 and bool(array["y"][0] < array["y"][-1])
    return values[..., ::-1, :] if rising else values


def _sheet(rows: int, columns: int, size: Sequence[int], title: str) -> tuple[Figure, NDArray[Any]]:
    ratio = float(np.clip(size[0] / size[1], 0.3, 2.0))
    width = (_PANEL + 0.75) * columns
    figure = Figure(
        figsize=(width, (_PANEL * ratio + 0.5) * rows + 0.5), facecolor="white", layout="constrained"
    )
    if title:
        figure.suptitle(title, color=INK, weight="bold")
    grid: NDArray[Any] = figure.subplots(rows, columns, squeeze=False)
    return figure, grid


def _limits(images: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    known = np.concatenate([image[np.isfinite(image)] for image in images])
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, _PERCENT)
    return float(low), float(max(high, low + _LEAST))


def _symmetric(images: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    known = np.concatenate([np.abs(image[np.isfinite(image)]) for image in images])
    high = max(float(np.percentile(known, _PERCENT[1])), _LEAST) if known.size else 1.0
    return -high, high


def _panel(
    figure: Figure,
    axes: Axes,
    image: NDArray[np.float32],
    name: str,
    limits: tuple[float, float],
    heading: str,
) -> None:
    layer = LAYERS[name]
    colours = LinearSegmentedColormap.from_list(name, layer.ramp)
    shown = axes.imshow(image, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(textwrap.fill(heading, _HEADING), fontsize=8, color=INK, loc="left")
    bar = figure.colorbar(shown, ax=axes, shrink=0.85, extend="both", pad=0.02)
    unit = {"standard deviations": "std. dev."}.get(layer.unit, layer.unit)
    bar.ax.set_title(unit, fontsize=7, color=INK, loc="left")
    bar.ax.tick_params(labelsize=7, colors=INK)
