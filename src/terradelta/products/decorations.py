"""What lies on a map besides the data: scale bar and north arrow."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Polygon, Rectangle
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

from terradelta.products.area import wkt_of

__all__ = ["INK", "ground_width", "inches", "nice_length", "north_arrow", "scale_bar"]

INK = "#22282d"
_GEOD = Geod(ellps="WGS84")


def inches(axes: Axes) -> tuple[float, float]:
    """Give width and height of axes on paper."""
    width, height = axes.figure.get_figure(root=True).get_size_inches() * axes.get_position().size
    return float(width), float(height)


def nice_length(metres: float) -> float:
    """Give the largest 1, 2 or 5 times a power of ten that is not longer.

    Examples
    --------
    >>> nice_length(730.0), nice_length(1999.0)
    (500.0, 1000.0)
    """
    power = 10.0 ** math.floor(math.log10(metres))
    return float(max(step * power for step in (1, 2, 5) if step * power <= metres * (1 + 1e-9)))


def ground_width(geobox: GeoBox) -> float:
    """Give the length on the ground of the map's middle row, in metres, in any CRS.

    Parameters
    ----------
    geobox : GeoBox
        The grid.

    Returns
    -------
    float
        Metres along the ellipsoid, added up over eight pieces.
    """
    box = geobox.extent.boundingbox
    if geobox.crs is None:
        return float(box.right - box.left)
    x = np.linspace(box.left, box.right, 9)
    y = np.full(9, (box.bottom + box.top) / 2)
    longitude, latitude = Transformer.from_crs(wkt_of(geobox), "EPSG:4326", always_xy=True).transform(x, y)
    return float(_GEOD.line_length(longitude, latitude))


def _add(axes: Axes, patch: Patch, *, over: bool = True) -> None:
    """Put a patch on axes, placed in shares of their width and height."""
    patch.set(transform=axes.transAxes, zorder=5 if over else 4)
    if over:
        patch.set(edgecolor=INK, linewidth=0.7)
    else:
        patch.set(facecolor="white", alpha=0.82, linewidth=0)
    axes.add_patch(patch)


def scale_bar(axes: Axes, geobox: GeoBox) -> None:
    """Draw a scale bar at the lower left, in metres or kilometres on the ground.

    Parameters
    ----------
    axes : matplotlib Axes
        Their x range is that of the grid.
    geobox : GeoBox
        The grid.
    """
    total = ground_width(geobox)
    if not np.isfinite(total) or total <= 0:
        return
    length = nice_length(total * 0.28)
    share = length / total
    width, height = inches(axes)
    x, y, thick = 0.16 / width, 0.17 / height, 0.055 / height
    pad_x, pad_y = 0.09 / width, 0.07 / height
    size = (share + 2 * pad_x, thick + 2 * pad_y + 0.15 / height)
    _add(axes, Rectangle((x - pad_x, y - pad_y), *size), over=False)
    for part, colour in enumerate((INK, "white", INK, "white")):
        _add(axes, Rectangle((x + part * share / 4, y), share / 4, thick, facecolor=colour))
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    _write(axes, x + share / 2, y + thick + 0.035 / height, label)


def north_arrow(axes: Axes) -> None:
    """Draw an arrow to the top, which is grid north, at the upper right."""
    width, height = inches(axes)
    x, y = 1 - 0.24 / width, 1 - 0.5 / height
    wing, rise, notch = 0.085 / width, 0.26 / height, 0.05 / height
    _add(axes, Rectangle((x - 0.16 / width, y - 0.08 / height), 0.32 / width, 0.52 / height), over=False)
    for side, colour in ((-wing, INK), (wing, "white")):
        _add(axes, Polygon([(x, y + rise), (x + side, y), (x, y + notch)], facecolor=colour))
    _write(axes, x, y + rise + 0.02 / height, "N", weight="bold")


def _write(axes: Axes, x: float, y: float, text: str, weight: str = "normal") -> None:
    axes.text(
        x, y, text, ha="center", va="bottom", fontsize=8, color=INK, weight=weight, zorder=5,
        transform=axes.transAxes,
    )  # fmt: skip
