"""The picture of changes in red over the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.errors import InputError
from terradelta.products.decorations import INK, north_arrow, scale_bar
from terradelta.products.files import whole_file
from terradelta.products.painting import check_threshold, largest, redden, resized, shrinking
from terradelta.products.sheets import frame_size, new_sheet, patch_legend, png_of, write_heading
from terradelta.types import PathType

__all__ = ["draw_overlay"]

_PIXELS = 1100
_NARROWEST = 5.0
_SIDE = 0.95
_NOT_COMPUTED = "#f1f1f1"


def draw_overlay(
    background: NDArray[np.uint8] | None,
    change: xr.DataArray | NDArray[Any],
    path: PathType,
    *,
    threshold: float = 0.5,
    geobox: GeoBox,
    title: str = "",
    date_range: tuple[str, str] | None = None,
    note: str = "",
) -> Path:
    """Draw changes in red over a picture of the place, as a map with legend and scale bar.

    Red is the more opaque, the larger the value; values up to the threshold leave the picture as it
    is. Large areas are shrunk to the largest value of each cell, so that a small change stays visible.

    Parameters
    ----------
    background : ndarray of uint8, optional
        (y, x, 3) or (y, x) of the same area, in any size; plain grey without it. See ``background_of``.
    change : DataArray or ndarray
        (y, x) change probability from 0 to 1, NaN = no data; the first row is the grid's first. Read
        in strips when it is lazy.
    path : path-like
        PNG file to write.
    threshold : float
        Largest value that is no change.
    geobox : GeoBox
        Grid of ``change``.
    title : str
        Heading.
    date_range : tuple of str, optional
        First and last date of the observations.
    note : str
        Small line at the foot.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        The shapes do not belong together, or the threshold is not from 0 to 1.
    StorageError
        The file cannot be written.
    """
    check_threshold(threshold)
    shape = tuple(change.shape)
    if shape != tuple(geobox.shape):
        raise InputError(f"change has shape {shape}, its grid {tuple(geobox.shape)}; give both alike")
    values = largest(change, shrinking(shape, _PIXELS))
    painted = redden(resized(background, *values.shape), values, threshold)
    if geobox.affine.e > 0:
        painted, values, geobox = painted[::-1], values[::-1], geobox.flipy()
    width, _ = frame_size(geobox)
    below = _below(threshold, date_range)
    figure, axes = new_sheet(geobox, max(_SIDE, _NARROWEST - width), len(below))
    extent = (*axes.get_xlim(), *axes.get_ylim())
    axes.imshow(painted, extent=extent, aspect=axes.get_aspect(), interpolation="nearest")
    write_heading(figure, axes, title or "Change", below, geobox, note)
    _red_bar(figure, axes, threshold)
    patch_legend(
        figure, axes, [] if np.isfinite(values).all() else [(_NOT_COMPUTED, "not computed (veiled)")]
    )
    scale_bar(axes, geobox)
    north_arrow(axes)
    path = Path(path)
    with whole_file(path) as file:
        file.write_bytes(png_of(figure))
    return path


def _below(threshold: float, date_range: tuple[str, str] | None) -> list[str]:
    lines = [f"red: change probability above {threshold:g}"]
    return [" to ".join(str(day)[:10] for day in date_range), *lines] if date_range else lines


def _red_bar(figure: Figure, axes: Axes, threshold: float) -> None:
    """Explain the red: over mid-grey, from the threshold to 1."""
    inch = 1 / figure.get_size_inches()[0]
    box = axes.get_position()
    place = figure.add_axes((box.x1 + 0.18 * inch, box.y0 + 0.1 * box.height, 0.15 * inch, 0.8 * box.height))
    top = 1.0 if threshold < 1 else 1.0 + 1e-6
    shades = np.linspace(threshold, top, 101)[1:, None]
    bar = redden(np.full((100, 1, 3), 150, dtype="uint8"), shades, threshold)
    place.imshow(bar, origin="lower", aspect="auto", extent=(0, 1, threshold, top))
    place.set_xticks([])
    place.yaxis.tick_right()
    place.tick_params(labelsize=7.5, colors=INK, length=3, width=0.6)
    for spine in place.spines.values():
        spine.set(color=INK, linewidth=0.6)
