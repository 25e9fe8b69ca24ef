"""What a source of land cover answers: forest on a grid, the nearest areas of a class, radar inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from terradelta.land.classes import OPEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import shapely
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from terradelta.types import BoolArray, FloatArray

__all__ = ["Acquisition", "Areas", "LandSource"]


class Areas(NamedTuple):
    """Areas of land cover near a point, nearest first.

    Attributes
    ----------
    geometries : tuple of shapely.Polygon
        One polygon each, in `crs`.
    classes : tuple of str
        Class of each.
    distances : ndarray of float64, (area,)
        Planar distance to the point in units of the CRS (metres); 0 = the point is inside.
    crs : str
        Such as ``EPSG:3067``.

    Examples
    --------
    >>> import numpy as np, shapely
    >>> Areas((shapely.box(0, 0, 1, 1),), ("mire",), np.array([0.0]), "EPSG:3067").classes
    ('mire',)
    """

    geometries: tuple[shapely.Polygon, ...]
    classes: tuple[str, ...]
    distances: NDArray[np.float64]
    crs: str


class Acquisition(NamedTuple):
    """Names one radar image.

    Attributes
    ----------
    time : str
        Moment in UTC, ISO text of nanoseconds.
    platform : str
        Satellite; empty = whichever.
    orbit : int
        Relative orbit; 0 = whichever.

    Examples
    --------
    >>> Acquisition("2020-06-01T04:50:00.000000000", "S1A", 80).orbit
    80
    """

    time: str
    platform: str = ""
    orbit: int = 0


@runtime_checkable
class LandSource(Protocol):
    """Where forest and open land come from; every implementation gives the same answers on the same data.

    An area is one polygon (multi-polygons are split). A pixel belongs to an area if its centre lies inside.
    Broken geometries are repaired or skipped, counted, and told once in the log.

    Attributes
    ----------
    crs : str
        Reference system of the areas, and of the points that are asked for.
    """

    crs: str

    def forest(self, grid: GeoBox) -> BoolArray:
        """Tell where forest is.

        Parameters
        ----------
        grid : GeoBox
            Any grid with a CRS; the centres of its pixels are transformed to `crs`.

        Returns
        -------
        ndarray of bool, (y, x)
            True where the centre of the pixel lies inside forest; False where nothing is known.

        Raises
        ------
        InputError
            If the grid has no CRS.
        """

    def nearest(self, x: float, y: float, count: int, classes: Sequence[str] = OPEN) -> Areas:
        """Find the areas nearest to a point.

        Parameters
        ----------
        x, y : float
            The point, in `crs`.
        count : int
            How many. If there are fewer, all of them come and a warning is logged.
        classes : sequence of str
            Which classes, of `CLASSES`.

        Returns
        -------
        Areas
            Sorted by distance; equal distances stay in the order of the data.

        Raises
        ------
        InputError
            If there is no such area at all, or a class is unknown.
        """

    def pixels(self, areas: Areas, acquisition: Acquisition) -> FloatArray:
        """Read the radar pixels inside areas.

        Parameters
        ----------
        areas : Areas
            Some areas.
        acquisition : Acquisition
            Which image.

        Returns
        -------
        ndarray of float32, (band, n)
            Linear power of the pixels whose centre lies in any of the areas, each once, row by row;
            pixels without data (NaN in any band) are left out.

        Raises
        ------
        CubeError
            If there is no such image.
        """
