"""Land cover from the layers of a cube."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.cube import geobox_of
from terradelta.cube.grid import crs_text
from terradelta.errors import CubeError, InputError
from terradelta.land.classes import CLASSES, OPEN, class_numbers
from terradelta.land.components import RasterAreas
from terradelta.land.interface import Acquisition, Areas
from terradelta.land.masks import centres, row_blocks
from terradelta.land.nearest import check_found, check_question
from terradelta.land.radar import open_tree, radar_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import shapely
    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from terradelta.types import BoolArray, FloatArray, PathType

__all__ = ["LayerLand", "taken"]

_FOREST = CLASSES.index("forest") + 1
_BLOCK = 2**22


class LayerLand:
    """Land cover from the raster ``static/land_cover`` of a cube (codes of ESA WorldCover).

    Without it ``static/forest`` alone tells where forest is. An area is a 4-connected set of pixels of one
    class, outlined along pixel edges. The raster is read when it is first needed: one byte per pixel stays
    in memory, four more and 17 per area after the first question for areas.

    Parameters
    ----------
    cube : path-like or DataTree
        The cube.

    Attributes
    ----------
    crs : str
        CRS of the cube.
    repaired, skipped : int
        Broken geometries; always 0, a raster has none.

    Raises
    ------
    CubeError
        If the cube has neither layer.

    Examples
    --------
    >>> from terradelta.simulate import place
    >>> land = LayerLand(place(seed=0, size=48, years=0.2, changes=0))
    >>> land.nearest(680_100.0, 5_611_900.0, 2).classes
    ('field', 'meadow')
    """

    repaired = 0
    skipped = 0

    def __init__(self, cube: PathType | xr.DataTree) -> None:
        self._tree = open_tree(cube)
        self._grid = geobox_of(self._tree)
        self.crs = crs_text(self._grid.crs)
        layers = self._tree["static"].data_vars if "static" in self._tree.children else {}
        if "land_cover" not in layers and "forest" not in layers:
            raise CubeError(
                "the cube has no layer land_cover or forest; add one with terradelta.sources.import_static, "
                "or give land cover as polygons"
            )
        self._has_classes = "land_cover" in layers

    def _layer(self, group: str, name: str) -> NDArray[Any]:
        """Read a layer of the cube, (y, x)."""
        data = self._tree[group][name].transpose("y", "x").data
        return np.asarray(data.compute(scheduler="synchronous") if hasattr(data, "compute") else data)

    @cached_property
    def numbers(self) -> NDArray[np.uint8]:
        """Classes on the grid of the cube, (y, x): place in `CLASSES` plus 1, 0 = none."""
        if self._has_classes:
            return class_numbers(self._layer("static", "land_cover"))
        return np.where(self._layer("static", "forest") == 1, _FOREST, 0).astype(np.uint8)

    @cached_property
    def _areas(self) -> RasterAreas:
        if not self._has_classes:
            raise InputError(
                "the cube has no layer land_cover, so open areas are not known; add one with "
                "terradelta.sources.import_static, or give land cover as polygons"
            )
        return RasterAreas(self.numbers, self._grid.affine)

    def polygons(self) -> Iterator[tuple[shapely.Polygon, str]]:
        """Outline all areas.

        Yields
        ------
        shapely.Polygon, str
            Polygon in `crs` and class, in the order of the areas' first pixels.

        Raises
        ------
        InputError
            If the cube tells forest only.
        """
        for area in range(1, self._areas.count + 1):
            yield self._areas.outline(area), CLASSES[self._areas.numbers[area] - 1]

    def forest(self, grid: GeoBox) -> BoolArray:
        """Tell where forest is; see `LandSource`."""
        if grid == self._grid:
            return np.asarray(self.numbers == _FOREST)
        return taken(self.numbers == _FOREST, self._grid, grid)

    def nearest(self, x: float, y: float, count: int, classes: Sequence[str] = OPEN) -> Areas:
        """Find the areas nearest to a point; see `LandSource`."""
        names = check_question(x, y, count, classes)
        places, distances = self._areas.nearest(x, y, count, {CLASSES.index(name) + 1 for name in names})
        check_found(len(places), count, names, "the layer land_cover of the cube")
        outlines = tuple(self._areas.outline(int(area)) for area in places)
        found = tuple(CLASSES[self._areas.numbers[area] - 1] for area in places)
        return Areas(outlines, found, distances, self.crs)

    def pixels(self, areas: Areas, acquisition: Acquisition) -> FloatArray:
        """Read the radar pixels inside areas; see `LandSource`."""
        return radar_pixels(self._tree, areas, acquisition)


def taken(mask: BoolArray, own: GeoBox, grid: GeoBox) -> BoolArray:
    """Look up a mask at the centres of another grid's pixels.

    Parameters
    ----------
    mask : ndarray of bool, (y, x)
        On the grid `own`.
    own, grid : GeoBox
        Grid of the mask, and the one asked for; each in any CRS.

    Returns
    -------
    ndarray of bool, (y, x)
        On the grid `grid`; False beyond the mask.

    Raises
    ------
    InputError
        If the grid has no CRS.

    Examples
    --------
    >>> from affine import Affine
    >>> from odc.geo.geobox import GeoBox
    >>> own = GeoBox((1, 2), Affine(10, 0, 0, 0, -10, 10), "EPSG:3067")
    >>> fine = GeoBox((1, 6), Affine(5, 0, 0, 0, -10, 10), "EPSG:3067")
    >>> taken(np.array([[False, True]]), own, fine).tolist()
    [[False, False, True, True, False, False]]
    """
    result = np.zeros(grid.shape, bool)
    height, width = mask.shape
    for rows in row_blocks(grid, _BLOCK):
        x, y = centres(grid, crs_text(own.crs), rows)
        column, row = (np.floor(place) for place in ~own.affine @ (x, y))
        within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        result[rows][within] = mask[row[within].astype(np.intp), column[within].astype(np.intp)]
    return result
