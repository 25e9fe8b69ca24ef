"""Land cover from files of polygons."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.cube import geobox_of
from terradelta.cube.grid import crs_text
from terradelta.land.classes import CLASSES, OPEN, check_classes
from terradelta.land.interface import Acquisition, Areas
from terradelta.land.masks import inside, reach
from terradelta.land.nearest import NearestPolygons, check_found, check_question
from terradelta.land.radar import open_tree, radar_pixels
from terradelta.sources.polygons import read_polygons

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from terradelta.types import BoolArray, FloatArray, PathType

__all__ = ["VectorLand"]


class VectorLand:
    """Land cover from GeoPackage, GeoParquet, Shapefile or GeoJSON; the radar pixels come from a cube.

    All polygons are read into memory, in the CRS of the cube, about 1 KB each; an index of them is made when
    it is first needed.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        The files.
    cube : path-like or DataTree
        The cube.
    layer : str or mapping, optional
        Layer of the files, or which layer is which class (then no column is read).
    class_column : str
        Column that tells the class.
    classes : mapping, optional
        From value of the column to class of `CLASSES`; by default the column holds the names of the classes.
        Other values are left out and counted.

    Attributes
    ----------
    crs : str
        CRS of the cube.
    repaired, skipped, others : int
        Broken geometries repaired, geometries left out, features of no class.

    Raises
    ------
    CubeError
        If there is no cube.
    InputError
        If a mapping leads to an unknown class.
    SourceError
        If a file cannot be used; see `terradelta.sources.polygons.read_polygons`.

    Examples
    --------
    >>> import geopandas, shapely, tempfile
    >>> from terradelta.simulate import place
    >>> file = tempfile.mkdtemp() + "/land.gpkg"
    >>> data = {"class": ["mire"], "geometry": [shapely.box(680_000, 5_611_500, 680_100, 5_612_000)]}
    >>> geopandas.GeoDataFrame(data, crs="EPSG:32631").to_file(file)
    >>> land = VectorLand(file, place(seed=0, size=48, years=0.2, changes=0))
    >>> land.nearest(680_110.0, 5_611_900.0, 1).distances.tolist()
    [10.0]
    """

    def __init__(
        self,
        paths: PathType | Sequence[PathType],
        cube: PathType | xr.DataTree,
        *,
        layer: str | Mapping[str, str] | None = None,
        class_column: str = "class",
        classes: Mapping[Any, str] | None = None,
    ) -> None:
        if isinstance(layer, Mapping):
            check_classes(tuple(layer.values()))
        told = {name: name for name in CLASSES} if classes is None else dict(classes)
        check_classes(tuple(told.values()))
        self._tree = open_tree(cube)
        files = [paths] if isinstance(paths, str | os.PathLike) else paths
        self._name = "land cover of " + ", ".join(Path(file).name for file in files)
        self.crs = crs_text(geobox_of(self._tree).crs)
        read = read_polygons(paths, self.crs, layer=layer, class_column=class_column, classes=told)
        self.repaired, self.skipped, self.others = read.repaired, read.skipped, read.others
        self._polygons, self._classes = read.geometries, read.classes
        self._indexes: dict[frozenset[str], tuple[NDArray[np.intp], NearestPolygons]] = {}

    def _index(self, names: Sequence[str]) -> tuple[NDArray[np.intp], NearestPolygons]:
        """Give the polygons of some classes, by their places, and the index of them."""
        key = frozenset(names)
        if key not in self._indexes:
            places = np.flatnonzero(np.isin(self._classes.astype(str), list(key)))
            self._indexes[key] = places, NearestPolygons(self._polygons[places])
        return self._indexes[key]

    def forest(self, grid: GeoBox) -> BoolArray:
        """Tell where forest is; see `LandSource`."""
        places, index = self._index(["forest"])
        return inside(self._polygons[places[index.within(*reach(grid, self.crs))]], self.crs, grid)

    def nearest(self, x: float, y: float, count: int, classes: Sequence[str] = OPEN) -> Areas:
        """Find the areas nearest to a point; see `LandSource`."""
        names = check_question(x, y, count, classes)
        places, index = self._index(names)
        found, distances = index.nearest(x, y, count)
        check_found(len(found), count, names, self._name)
        chosen = places[found]
        kinds = tuple(str(name) for name in self._classes[chosen])
        return Areas(tuple(self._polygons[chosen]), kinds, distances, self.crs)

    def pixels(self, areas: Areas, acquisition: Acquisition) -> FloatArray:
        """Read the radar pixels inside areas; see `LandSource`."""
        return radar_pixels(self._tree, areas, acquisition)
