"""Ground area of pixels, right in projected and geographic coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

from terradelta.errors import InputError

__all__ = ["PixelAreas", "epsg_of", "wkt_of"]

_EQUAL_AREA = CRS.from_epsg(6933)
_TOLERANCE = 0.01


def wkt_of(geobox: GeoBox) -> str:
    """Give the CRS of a grid as WKT.

    Raises
    ------
    InputError
        The grid has none.
    """
    if geobox.crs is None:
        raise InputError("the grid has no CRS; give it one, e.g. EPSG:32631")
    return str(geobox.crs.to_wkt())


def epsg_of(geobox: GeoBox) -> int | None:
    """Give the EPSG code of a grid's CRS, None without one."""
    code = None if geobox.crs is None else geobox.crs.to_epsg()
    return None if code is None else int(code)


class PixelAreas:
    """Area of the pixels of a grid, row by row.

    In a projected CRS that keeps areas within 1 % (UTM, LAEA) it is the plain area of the pixel; in a
    geographic one, or in one that distorts more (Web Mercator), the area on the ellipsoid, taken from
    the pixel's outline in a cylindrical equal-area projection.

    Parameters
    ----------
    geobox : GeoBox
        The grid.

    Examples
    --------
    >>> utm = GeoBox.from_bbox((500000, 0, 500100, 100), "EPSG:32631", resolution=20)
    >>> PixelAreas(utm).rows(0, 2).tolist()
    [400.0, 400.0]
    """

    def __init__(self, geobox: GeoBox) -> None:
        self._affine = geobox.affine
        self._width = geobox.shape.x
        crs = CRS.from_wkt(wkt_of(geobox))
        self._transformer = Transformer.from_crs(crs, _EQUAL_AREA, always_xy=True)
        self._planar = 0.0 if crs.is_geographic else self._planar_area(crs, geobox.shape.y)

    def _planar_area(self, crs: CRS, height: int) -> float:
        factor = crs.axis_info[0].unit_conversion_factor or 1.0
        planar = float(abs(self._affine.determinant)) * factor**2
        edge = np.array([0, height // 2, max(height - 1, 0)], dtype=float)
        places = (0.0, self._width / 2, self._width - 1.0)
        ground = np.concatenate([self._ground(edge, column) for column in places])
        return planar if np.all(np.abs(ground / planar - 1) < _TOLERANCE) else 0.0

    def _ground(self, rows: NDArray[np.float64], column: float) -> NDArray[np.float64]:
        columns = column + np.array([0.0, 1.0, 1.0, 0.0])
        corner_rows = rows[:, None] + np.array([0.0, 0.0, 1.0, 1.0])
        a, b, c, d, e, f = self._affine[:6]
        x, y = self._transformer.transform(
            a * columns + b * corner_rows + c, d * columns + e * corner_rows + f
        )
        x, y = x - x[:, :1], y - y[:, :1]  # keeps digits: coordinates are 1e7, areas 1e2
        cross = x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)
        return np.asarray(np.abs(cross.sum(axis=1)) / 2)

    def rows(self, start: int, stop: int) -> NDArray[np.float64]:
        """Give the area of one pixel in each of the rows.

        Parameters
        ----------
        start, stop : int
            Rows ``start`` to ``stop - 1``.

        Returns
        -------
        ndarray (stop - start,)
            Square metres.
        """
        if self._planar:
            return np.full(stop - start, self._planar)
        return self._ground(np.arange(start, stop, dtype=float), (self._width - 1) / 2)
