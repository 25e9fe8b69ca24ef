"""Frames of a video: title, map, and a bar with the window's place in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.products.decorations import INK, north_arrow, scale_bar
from terradelta.products.painting import RED
from terradelta.products.sheets import FAINT
from terradelta.types import Size

__all__ = ["Frames"]

_NARROWEST = 480
_HEADER, _FOOTER = 44, 92
_MARGIN = 0.04
_TRACK = "#e9ecee"
_DECORATED = 200


class Frames:
    """Draws frames of one video; all but the map and the window's marks is drawn once.

    Parameters
    ----------
    maps : DataArray
        (window, y, x) with the coordinates ``start``, ``end``, ``time`` and perhaps ``count``.
    geobox : GeoBox
        Their grid.
    shape : tuple of int
        Rows and columns of the pictures that will come.
    size_limit : int
        Small pictures are enlarged by the largest whole factor that stays within it.
    threshold : float
        Named in the legend.
    title : str
        Heading.

    Attributes
    ----------
    size : Size
        Rows and columns of a frame, both even.
    factor : int
        How much pictures are enlarged.
    """

    def __init__(
        self,
        maps: xr.DataArray,
        geobox: GeoBox,
        shape: tuple[int, int],
        size_limit: int,
        *,
        threshold: float,
        title: str,
    ) -> None:
        self.factor = max(1, size_limit // max(shape))
        height, width = (self.factor * length for length in shape)
        total = max(width, _NARROWEST)
        self._scale = min(max(total / 800, 0.72), 1.4)
        header, footer = (_even(round(self._scale * length)) for length in (_HEADER, _FOOTER))
        self.size = Size(_even(header + height + footer), _even(total))
        left = (self.size.x - width) // 4 * 2
        self._map = (slice(header, header + height), slice(left, left + width))
        self._over = self._decorations(geobox, height, width)
        self._windows = _Windows(maps)
        figure = Figure(facecolor="white", dpi=100 * self._scale)
        figure.set_size_inches(self.size.x / figure.dpi, self.size.y / figure.dpi)
        self._canvas: Any = _agg(figure)
        _header(figure, title, threshold, 1 - header / 2 / self.size.y)
        self._bar = _Bar(figure, self._windows, (self.size.y - header - height) / self.size.y)
        self._canvas.draw()
        self._empty = self._canvas.copy_from_bbox(figure.bbox)

    def draw(self, window: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw a frame.

        Parameters
        ----------
        window : int
            Number of the window.
        picture : ndarray of uint8
            (y, x, 3) map in the shape that was told.

        Returns
        -------
        ndarray of uint8
            ``size`` × 3, both sides even.
        """
        self._canvas.restore_region(self._empty)
        self._bar.mark(self._windows, window)
        frame = np.array(self._canvas.buffer_rgba())[..., :3]
        area = picture.repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        where, colour, share = self._over
        area[where] = np.rint(area[where] * (1 - share) + colour * share)
        frame[self._map] = area
        return np.ascontiguousarray(frame)

    def _decorations(self, geobox: GeoBox, height: int, width: int) -> tuple[NDArray[Any], ...]:
        """Scale bar and north arrow: where they are, their colours and how opaque they are."""
        dpi = 100 * self._scale
        figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
        figure.patch.set_alpha(0)
        canvas = _agg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        if min(height, width) >= _DECORATED:
            scale_bar(axes, geobox)
            north_arrow(axes)
        canvas.draw()
        drawn = np.asarray(canvas.buffer_rgba())[:height, :width]
        where = np.nonzero(drawn[..., 3])
        pixels = drawn[where].astype("float32")
        return where, pixels[:, :3], pixels[:, 3:] / 255  # type: ignore[return-value]


def _agg(figure: Figure) -> Any:
    return FigureCanvasAgg(figure)  # its methods have no types


def _even(length: int) -> int:
    return length + length % 2


def _days(times: NDArray[Any]) -> NDArray[np.float64]:
    number: Any = date2num  # has no types
    return np.asarray(number(times.astype("datetime64[ns]")), dtype="float64")


class _Windows:
    """Times of the windows as text and as Matplotlib's days."""

    def __init__(self, maps: xr.DataArray) -> None:
        start, end, middle = (maps[name].values.astype("datetime64[ns]") for name in ("start", "end", "time"))
        self.start, self.end, self.middle = _days(start), _days(end), _days(middle)
        days = (np.datetime_as_string(times, unit="D").tolist() for times in (start, end, middle))
        self.texts = list(zip(*days, strict=True))
        self.count = maps["count"].values.tolist() if "count" in maps.coords else None


def _header(figure: Figure, title: str, threshold: float, middle: float) -> None:
    legend = figure.text(
        1 - _MARGIN, middle, f"change above {threshold:g}", fontsize=9, color=INK, ha="right", va="center"
    )
    box = legend.get_window_extent().transformed(figure.transFigure.inverted())
    size = 9 / 72 * figure.dpi
    width, height = size / figure.bbox.width, size / figure.bbox.height
    corner = (box.x0 - 1.6 * width, middle - height / 2)
    figure.add_artist(Rectangle(corner, width, height, facecolor=RED, transform=figure.transFigure))
    text = figure.text(_MARGIN, middle, title, fontsize=12, weight="bold", color=INK, va="center")
    room = corner[0] - width - _MARGIN
    while len(title) > 1 and (long := _right(figure, text) - _MARGIN) > room:
        title = title[: max(1, min(len(title) - 1, int(len(title) * room / long)))]
        text.set_text(title.rstrip() + "…")


def _right(figure: Figure, text: Any) -> float:
    return float(text.get_window_extent().x1 / figure.bbox.width)


class _Bar:
    """The whole period as a track, the window on it, and its dates above."""

    def __init__(self, figure: Figure, windows: _Windows, share: float) -> None:
        self._axes = figure.add_axes((_MARGIN, share * 0.34, 1 - 2 * _MARGIN, share * 0.24))
        first, last = windows.start.min(), max(windows.end.max(), windows.start.min() + 1)
        self._axes.set_xlim(first, last)
        self._axes.set_ylim(0, 1)
        self._axes.set_facecolor(_TRACK)
        self._axes.set_yticks([])
        self._axes.spines[:].set_visible(False)
        _date_axis(self._axes)
        self._span = Rectangle((0, 0), 1, 1, facecolor=RED, alpha=0.35, linewidth=0)
        self._axes.add_patch(self._span)
        (self._line,) = self._axes.plot(
            [first, first], [-0.12, 1.12], color=INK, linewidth=2.4, clip_on=False
        )
        place = share * 0.79
        self._texts = [
            figure.text(x, place, "", color=INK, va="center", ha=side, fontsize=size, weight=weight)
            for x, side, size, weight in (
                (_MARGIN, "left", 11, "bold"),
                (1 - _MARGIN, "right", 9, "normal"),
            )
        ]
        for artist in (self._span, self._line, *self._texts):
            artist.set_animated(True)
        self._figure = figure

    def mark(self, windows: _Windows, window: int) -> None:
        """Draw the marks of a window onto the canvas."""
        start, end, middle = windows.texts[window]
        first, last = windows.start[window], windows.end[window]
        self._span.set_x(first)
        self._span.set_width(last - first)
        self._line.set_xdata([windows.middle[window]] * 2)
        self._texts[0].set_text(f"{start} to {end}")
        many = "" if windows.count is None else f" · {windows.count[window]:g} observations"
        self._texts[1].set_text(f"mid-point {middle}{many}")
        for artist in (self._span, self._line):
            self._axes.draw_artist(artist)
        for text in self._texts:
            self._figure.draw_artist(text)


def _date_axis(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.tick_params(labelsize=9, colors=FAINT, length=4, width=0.8, direction="out")
