"""What is written beside maps and polygons: values over time, a picture of all changes, films."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from terradelta.cube import geobox_of
from terradelta.errors import InputError
from terradelta.workflows.config import MonitorSettings
from terradelta.workflows.progress import Progress

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np
    from numpy.typing import NDArray

    from terradelta.products import Extra

__all__ = ["Extras", "require_video"]

_FILMS = {"both": ("mp4", "gif"), "mp4": ("mp4",), "gif": ("gif",), "none": ()}
_PIXELS = {"mp4": 1080, "gif": 540}
_PLACES = 1000
"""Areas of change, the largest, whose values over time are written."""


def require_video(settings: MonitorSettings) -> None:
    """Refuse to start what could not be finished.

    Raises
    ------
    InputError
        If the packages for the films are not installed.
    """
    if _FILMS[settings.video] and not _is_there("av"):
        raise InputError(
            "films need av; install it with: pip install 'terradelta[video]', or give --video none"
        )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a module put aside on purpose has no spec
        return False


def require_points(settings: MonitorSettings, tree: xr.DataTree) -> None:
    """Refuse points that lie elsewhere, before the work begins.

    Raises
    ------
    InputError
        If a point is not within the cube, or the CRS of the points is none.
    """
    if not settings.points:
        return
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError

    geobox = geobox_of(tree)
    own = CRS.from_user_input(str(geobox.crs))
    try:
        crs = own if settings.points_crs is None else CRS.from_user_input(settings.points_crs)
    except CRSError:
        raise InputError(f"points_crs is {settings.points_crs!r}; give a CRS such as EPSG:4326") from None
    box = geobox.boundingbox
    move = Transformer.from_crs(crs, own, always_xy=True)
    for point in settings.points:
        x, y = move.transform(*point)
        if not (box.left <= x < box.right and box.bottom < y <= box.top):
            raise InputError(
                f"the point {point[0]:g},{point[1]:g} is not within the cube, which spans {box.left:g} to "
                f"{box.right:g} and {box.bottom:g} to {box.top:g}; give x,y, or longitude,latitude with "
                "--points-crs EPSG:4326"
            )


@dataclass(frozen=True)
class Extras:
    """Writes the rest of the products into a folder.

    Attributes
    ----------
    settings : MonitorSettings
        Which of them.
    tree : DataTree
        The cube, for the background.
    maps : DataArray
        (window, y, x) values with the windows' times.
    title : str
        Heading of pictures.
    progress : callable
        See `show_progress`.
    """

    settings: MonitorSettings
    tree: xr.DataTree
    maps: xr.DataArray
    title: str
    progress: Progress

    def __call__(self, folder: Path, polygons: gpd.GeoDataFrame | None) -> list[Extra]:
        """Write all and name what was written."""
        from terradelta.products import background_of

        background = background_of(self.tree)
        return [
            *self._overlay(folder, background),
            *self._films(folder, background),
            *self._timelines(folder, polygons),
        ]

    def _overlay(self, folder: Path, background: NDArray[np.uint8]) -> list[Extra]:
        import rasterio

        from terradelta.products import Extra, draw_overlay

        with rasterio.open(folder / "score.tif") as file:
            score = file.read(1)
        start, end = str(self.maps["start"].values.min())[:10], str(self.maps["end"].values.max())[:10]
        draw_overlay(
            background,
            score,
            folder / "overlay.png",
            threshold=self.settings.threshold,
            geobox=geobox_of(self.tree),
            title=self.title,
            date_range=(start, end),
        )
        return [Extra("overlay.png", "Changes", f"What changed from {start} to {end}, in red.")]

    def _films(self, folder: Path, background: NDArray[np.uint8]) -> list[Extra]:
        from terradelta.products import Extra, write_video

        written: list[Extra] = []
        for film in _FILMS[self.settings.video]:
            file = f"windows.{film}"
            with self.progress(f"drawing {file}", self.maps.sizes["window"]) as advance:
                write_video(
                    self.maps,
                    folder / file,
                    background=background,
                    threshold=self.settings.threshold,
                    size_limit=_PIXELS[film],
                    title=self.title,
                    progress=advance,
                )
            caption = "The window moves through the period; the bar shows where it is."
            written.append(Extra(file, f"Moving window ({film.upper()})", caption, shown=not written))
        return written

    def _timelines(self, folder: Path, polygons: gpd.GeoDataFrame | None) -> list[Extra]:
        from terradelta.products import Extra, draw_timelines, timelines, write_timelines

        largest = None if polygons is None else polygons.nlargest(_PLACES, "area_m2")
        told = self.settings
        if not told.points and (largest is None or largest.empty):
            return []
        with self.progress("following places over time", 1) as advance:
            table = timelines(self.maps, polygons=largest, points=told.points, points_crs=told.points_crs)
            write_timelines(table, folder / "timelines.csv")
            draw_timelines(table, folder / "timelines.png", threshold=told.threshold, title=self.title)
            advance(1)
        return [
            Extra("timelines.png", "Places over time", "Mean value of each window, by its middle."),
            Extra("timelines.csv", "Places over time, as a table", shown=False),
        ]
