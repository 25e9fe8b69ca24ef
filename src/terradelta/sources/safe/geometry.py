"""From the ground to lines and pixels of a Sentinel-1 image, by its geolocation grid; incidence angles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import ProjError

from terradelta.errors import SourceError
from terradelta.sources.conditions import places_on
from terradelta.sources.grids import require_crs
from terradelta.sources.resampling import Positions, positions_by
from terradelta.sources.safe.product import GeolocationGrid, Image, SafeProduct

__all__ = ["Placement", "incidence_on", "mean_incidence", "placement_of", "positions_in"]

_ROUNDS, _EXACT = 12, 1e-3
_SAMPLES = 32


@dataclass(frozen=True, eq=False)
class Placement:
    """The points of a geolocation grid in a plane whose middle is the image's.

    Attributes
    ----------
    plane : str
        Lambert's equal-area projection around the middle: straight lines stay straight within 0.2 m between
        neighbouring points, and the antimeridian is no border.
    middle : (float, float)
        Longitude and latitude.
    x, y : array (n, m)
        Places of the points in metres.
    grid : GeolocationGrid
        The points.
    """

    plane: str
    middle: tuple[float, float]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    grid: GeolocationGrid

    def positions(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Positions:
        """Give lines and pixels of places in the plane, by Newton's steps in the cells of the grid.

        Infinite where the steps come to no end, which is far away from the image.
        """
        start = self.grid.lines.mean(), self.grid.pixels.mean()
        line, pixel = np.full(x.shape, start[0]), np.full(x.shape, start[1])
        for _ in range(_ROUNDS):
            cell = _Cell(self.grid, line, pixel)
            (here_x, x_line, x_pixel), (here_y, y_line, y_pixel) = cell.slope(self.x), cell.slope(self.y)
            away_x, away_y = x - here_x, y - here_y
            area = x_line * y_pixel - x_pixel * y_line
            step_line = (away_x * y_pixel - away_y * x_pixel) / area
            step_pixel = (away_y * x_line - away_x * y_line) / area
            line, pixel = line + step_line, pixel + step_pixel
            found = np.maximum(np.abs(step_line), np.abs(step_pixel)) < _EXACT
            if found.all():
                break
        return np.where(found, line, math.inf), np.where(found, pixel, math.inf)


class _Cell:
    """Where lines and pixels lie between the points of a grid; the outermost cells go on outward."""

    def __init__(self, grid: GeolocationGrid, line: NDArray[np.float64], pixel: NDArray[np.float64]) -> None:
        self.row, self.down, self.height = _between(grid.lines, line)
        self.column, self.across, self.width = _between(grid.pixels, pixel)

    def slope(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Bilinear value, and its change by line and by pixel."""
        top_left, top_right = values[self.row, self.column], values[self.row, self.column + 1]
        low_left, low_right = values[self.row + 1, self.column], values[self.row + 1, self.column + 1]
        left, right = low_left - top_left, low_right - top_right
        top, low = top_right - top_left, low_right - low_left
        value = top_left + top * self.across + self.down * (left + (right - left) * self.across)
        by_line = (left + (right - left) * self.across) / self.height
        by_pixel = (top + (low - top) * self.down) / self.width
        return value, by_line, by_pixel


def _between(
    nodes: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Node before each value, the part of the way to the next one, and the way's length."""
    before = np.clip(np.searchsorted(nodes, values, side="right") - 1, 0, len(nodes) - 2)
    length = nodes[before + 1] - nodes[before]
    return before, (values - nodes[before]) / length, length


def placement_of(image: Image) -> Placement:
    """Lay the geolocation grid of an image into a plane."""
    return _placement(image.grid)


@lru_cache(maxsize=16)
def _placement(grid: GeolocationGrid) -> Placement:
    middle = float(grid.longitude.mean()), float(grid.latitude.mean())
    plane = f"+proj=laea +lon_0={middle[0]} +lat_0={middle[1]} +datum=WGS84 +units=m"
    x, y = Transformer.from_crs("EPSG:4326", plane, always_xy=True).transform(grid.longitude, grid.latitude)
    return Placement(plane, middle, x, y, grid)


def positions_in(image: Image, grid: GeoBox) -> Positions:
    """Line and pixel of an image at every pixel's middle of a grid.

    Parameters
    ----------
    image : Image
        The image.
    grid : GeoBox
        Where to.

    Returns
    -------
    (array, array) of float64, each (y, x)
        Whole numbers are the middles of the image's pixels; beyond its edges they go on.

    Raises
    ------
    SourceError
        The grid's CRS has no transformation.
    """
    placement = placement_of(image)
    try:
        change = Transformer.from_crs(require_crs(grid).to_wkt(), placement.plane, always_xy=True)
        return positions_by(lambda x, y: placement.positions(*change.transform(x, y)), grid)
    except ProjError as error:
        raise SourceError(f"no way from {grid.crs} to {image.stem} ({error}); check the CRS") from error


def incidence_on(product: SafeProduct, grid: GeoBox) -> NDArray[np.float32]:
    """Incidence angle at every pixel of a grid, interpolated between the points of the geolocation grid.

    Parameters
    ----------
    product : SafeProduct
        With annotation.
    grid : GeoBox
        Where to.

    Returns
    -------
    array (y, x) of float32
        Degrees from the vertical of the ellipsoid; NaN outside the image.

    Raises
    ------
    SourceError
        Only the manifest of the product is there.
    """
    if not product.images:
        raise SourceError(f"{product.name}: has no annotation, so no incidence angles; fetch its annotation")
    return _first([_incidence(image, positions_in(image, grid)) for image in _swaths(product)]).astype(
        np.float32
    )


def _swaths(product: SafeProduct) -> list[Image]:
    """Give the images of one polarisation: one, or those of the sub-swaths of an SLC product."""
    return [image for image in product.images if image.band == product.images[0].band]


def _first(planes: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Of several planes the first value that is known."""
    return reduce(lambda seen, more: np.where(np.isnan(seen), more, seen), planes)


def _incidence(image: Image, at: Positions) -> NDArray[np.float64]:
    line, pixel = at
    inside = (line >= -0.5) & (line <= image.shape[0] - 0.5)
    inside &= (pixel >= -0.5) & (pixel <= image.shape[1] - 0.5)
    cell = _Cell(image.grid, np.where(inside, line, 0), np.where(inside, pixel, 0))
    return np.where(inside, cell.slope(image.grid.incidence)[0], math.nan)


def mean_incidence(products: tuple[SafeProduct, ...], grid: GeoBox) -> float:
    """Mean incidence angle over a grid that one or several products of a pass cover.

    Parameters
    ----------
    products : tuple of SafeProduct
        Slices of one pass; where several cover a place the first one counts.
    grid : GeoBox
        The cube's grid; 32 × 32 places of it are looked at.

    Returns
    -------
    float
        Degrees; NaN where none of them covers any of it, or none has an annotation.
    """
    longitude, latitude = np.array(places_on(grid, _SAMPLES)).T
    angles = [np.full(longitude.shape, math.nan)]
    for image in (image for product in products for image in _swaths(product)):
        placement = placement_of(image)
        change = Transformer.from_crs("EPSG:4326", placement.plane, always_xy=True)
        angles.append(_incidence(image, placement.positions(*change.transform(longitude, latitude))))
    seen = _first(angles)
    known = seen[np.isfinite(seen)]
    return float(known.mean()) if known.size else math.nan
