"""The picture of weak labels: changes in red over the place, tiles outlined by what they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from terradelta.errors import InputError
from terradelta.urban.labels.weak import NOT_LABELLED, WeakLabels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from odc.geo.geobox import GeoBox

    from terradelta.windows import Tile

__all__ = ["draw_labels"]

_PIXELS, _SIDE = 1100, 1.9
_TRAIN, _TEST = "#f6c945", "#ff5fd2"
_VALIDATION = ("#4cc9f0", "#4361ee", "#7209b7", "#2a9d8f")
_INSET = 0.06


def draw_labels(labels: WeakLabels, tree: xr.DataTree) -> bytes:
    """Draw weak labels as a map.

    Parameters
    ----------
    labels : WeakLabels
        With grid and lists.
    tree : DataTree
        The cube, for the picture below.

    Returns
    -------
    bytes
        A PNG file; large areas are shrunk so that a small change stays visible.

    Raises
    ------
    InputError
        If the labels have no grid.
    """
    from terradelta.products.background import background_of
    from terradelta.products.decorations import north_arrow, scale_bar
    from terradelta.products.painting import RED, largest, redden, resized, shrinking
    from terradelta.products.sheets import frame_size, new_sheet, png_of, write_heading

    geobox = labels.geobox
    if geobox is None:
        raise InputError("the labels have no grid; give a GeoBox")
    truth = np.where(labels.truth == NOT_LABELLED, np.nan, labels.truth).astype(np.float32)
    values = largest(truth, shrinking(truth.shape, _PIXELS))
    painted = redden(resized(background_of(tree), *values.shape), values, 0.5)
    below = [f"{labels.start} to {labels.end}", f"tiles of {labels.tile} x {labels.tile} pixels"]
    if geobox.affine.e > 0:
        painted = painted[::-1]
    figure, axes = new_sheet(geobox, max(_SIDE, 5.0 - frame_size(geobox)[0]), len(below))
    extent = (*axes.get_xlim(), *axes.get_ylim())
    axes.imshow(painted, extent=extent, aspect=axes.get_aspect(), interpolation="nearest")
    entries = _outline(axes, labels, geobox)
    write_heading(figure, axes, "Weak labels", below, geobox, "")
    legend = [(RED, f"changed ({labels.changed_share:.2%})"), *entries]
    if np.isnan(values).any():
        legend.append(("#f1f1f1", "not labelled"))
    _explain(figure, axes, legend)
    scale_bar(axes, geobox)
    north_arrow(axes)
    return png_of(figure)


def _explain(figure: Figure, axes: Axes, entries: list[tuple[str, str]]) -> None:
    from matplotlib.patches import Patch

    from terradelta.products.decorations import INK

    box = axes.get_position()
    patches = [Patch(facecolor=colour, edgecolor=INK, linewidth=0.4, label=text) for colour, text in entries]
    corner = (box.x1 + 0.1 / figure.get_size_inches()[0], box.y1)
    figure.legend(
        handles=patches, loc="upper left", bbox_to_anchor=corner,
        frameon=False, fontsize=8, labelcolor=INK, borderpad=0, borderaxespad=0,
    )  # fmt: skip


def _roles(labels: WeakLabels) -> list[tuple[str, str, tuple[Tile, ...]]]:
    """Give colour, name and tiles of each outline; a tile that ever validates is not among those to train."""
    validating = [lists.validation for lists in labels.versions]
    held = {tile for tiles in validating for tile in tiles}
    every = {tile: None for lists in labels.versions for tile in lists.train}
    roles = [(_TRAIN, "always trains", tuple(tile for tile in every if tile not in held))]
    for number, tiles in enumerate(validating, 1):
        colour = _VALIDATION[(number - 1) % len(_VALIDATION)]
        roles.append((colour, f"validates in V{number}", tiles))
    tests = tuple({tile: None for lists in labels.versions for tile in lists.test})
    return [*roles, (_TEST, "tests", tests)]


def _outline(axes: Axes, labels: WeakLabels, geobox: GeoBox) -> list[tuple[str, str]]:
    """Draw the outlines a little inside the tiles, and give their legend."""
    from matplotlib.collections import PolyCollection

    side = labels.tile
    inset = _INSET * side
    width = float(np.clip(200 / max(labels.grid.rows, labels.grid.columns), 0.6, 2.0))
    entries = []
    for colour, name, tiles in _roles(labels):
        if not tiles:
            continue
        corners = []
        for row, column in tiles:
            top, left = row * side + inset, column * side + inset
            bottom, right = (row + 1) * side - inset, (column + 1) * side - inset
            ring = [(left, top), (right, top), (right, bottom), (left, bottom)]
            corners.append([geobox.affine @ corner for corner in ring])
        axes.add_collection(
            PolyCollection(corners, facecolors="none", edgecolors=colour, linewidths=width), autolim=False
        )
        entries.append((colour, f"{name} ({len(tiles)})"))
    return entries
