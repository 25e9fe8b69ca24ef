"""One request for one block: what is sent, and how the answer becomes pixels on the block's grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError, UnavailableError
from terradelta.sources.grids import require_crs, shift_between
from terradelta.sources.layers import Decoding
from terradelta.sources.planned import BLOCK
from terradelta.sources.reading import decode
from terradelta.sources.remote.offers import Images
from terradelta.sources.remote.sentinel_hub.deployments import Deployment, Patience
from terradelta.sources.remote.sentinel_hub.recipes import Recipe

__all__ = ["Blocks", "HeightReader", "ImageReader", "ground", "unpacked"]

LARGEST = 2500
"""Longest edge of an answer, in pixels."""

FOOTPRINT_ROOM = 0.1
"""Degrees around a footprint in which pixels are asked for all the same; footprints are simplified."""

_DECODINGS = {
    "LINEAR_POWER": Decoding(unit="linear", zero_is_nodata=True, negative="nodata"),
    "DN": Decoding(unit="reflectance", scale=1e-4),
    "": Decoding(),
}


@dataclass(frozen=True)
class ImageReader:
    """Reads one pass on a grid; can be pickled, and holds no secret.

    Attributes
    ----------
    deployment, patience
        Where and how patiently it asks; credentials are those of the machine it runs on.
    recipe : Recipe
        What it asks for.
    interval : (str, str)
        Time of the pass, ISO 8601, UTC.
    footprint : shapely geometry
        Longitude and latitude; blocks far from it are empty without asking.
    """

    deployment: Deployment
    patience: Patience
    recipe: Recipe
    interval: tuple[str, str]
    footprint: Any

    def __call__(self, grid: GeoBox) -> Images:
        """Give the pixels of a block.

        Raises
        ------
        AccessError
            Credentials are missing or wrong.
        UnavailableError
            The server does not answer as it should.
        SourceError
            The service refuses the request, or the grid is none that it can give.
        """
        bands = len(self.recipe.bands)
        if not ground(grid).intersects(self.footprint.buffer(FOOTPRINT_ROOM)):
            return Images(np.full((bands, *grid.shape), np.nan, dtype=np.float32), self._nowhere(grid))
        planes = _ask(self.deployment, self.patience, self.recipe, self.interval, grid)
        values = _values(planes, self.recipe)
        if not self.recipe.mask:
            return Images(values)
        return Images(values, np.isin(planes[-1], self.recipe.clear) & np.isfinite(values).all(axis=0))

    def _nowhere(self, grid: GeoBox) -> NDArray[np.bool_] | None:
        return np.zeros(grid.shape, dtype=bool) if self.recipe.mask else None


@dataclass(frozen=True)
class HeightReader:
    """Reads an elevation model on a grid; can be pickled, and holds no secret. As :class:`ImageReader`."""

    deployment: Deployment
    patience: Patience
    recipe: Recipe

    def __call__(self, grid: GeoBox) -> NDArray[np.float32]:
        """Give the heights of a block in metres, NaN = unknown; raises as :class:`ImageReader`."""
        heights = _values(_ask(self.deployment, self.patience, self.recipe, None, grid), self.recipe)
        return heights.reshape(grid.shape)


def _ask(
    deployment: Deployment,
    patience: Patience,
    recipe: Recipe,
    interval: tuple[str, str] | None,
    grid: GeoBox,
) -> NDArray[Any]:
    from terradelta.sources.remote.sentinel_hub.connecting import connect

    body = {
        "input": {"bounds": _bounds(grid), "data": recipe.inputs(interval)},
        "output": {
            "width": grid.shape[1],
            "height": grid.shape[0],
            "responses": [{"identifier": "default", "format": {"type": "image/tiff"}}],
        },
        "evalscript": recipe.evalscript(),
    }
    answer = connect(deployment, patience).process(body)
    return unpacked(answer, recipe, grid, deployment.name)


def _bounds(grid: GeoBox) -> dict[str, Any]:
    """Edges of a grid, and its CRS as the service names it."""
    affine, epsg = grid.affine, require_crs(grid).epsg
    if epsg is None:
        raise SourceError(f"Sentinel Hub needs a grid with an EPSG code, not {grid.crs}; take a UTM zone")
    if affine.b != 0 or affine.d != 0 or affine.a <= 0 or affine.e >= 0:
        raise SourceError(f"Sentinel Hub needs a grid with north up, not {tuple(affine)[:6]}")
    if max(grid.shape) > LARGEST:
        raise SourceError(f"Sentinel Hub gives at most {LARGEST} pixels a side, not {max(grid.shape)}")
    rows, columns = grid.shape
    left, top = affine @ (0, 0)
    right, bottom = affine @ (columns, rows)
    name = "OGC/1.3/CRS84" if epsg == 4326 else f"EPSG/0/{epsg}"
    return {
        "bbox": [left, bottom, right, top],
        "properties": {"crs": f"http://www.opengis.net/def/crs/{name}"},
    }


def unpacked(answer: bytes, recipe: Recipe, grid: GeoBox, name: str) -> NDArray[Any]:
    """Give the planes (plane, y, x) of a TIFF that must be whole and lie on the grid.

    Raises
    ------
    UnavailableError
        The file is cut off or damaged.
    SourceError
        It is another image than the one asked for.
    """
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    try:
        if not answer:
            raise ValueError("empty")
        with MemoryFile(answer) as file, file.open(driver="GTiff") as image:
            planes: NDArray[Any] = image.read()
            place = GeoBox(image.shape, image.transform, image.crs)
    except (RasterioError, ValueError) as error:
        raise UnavailableError(
            f"{name}: an image of {len(answer)} bytes came that cannot be read ({_short(error)}); "
            "try again later"
        ) from None
    if planes.shape != (recipe.planes, *grid.shape) or planes.dtype != np.dtype(recipe.sample.lower()):
        raise SourceError(
            f"{name}: an image {planes.shape} of {planes.dtype} came instead of "
            f"{(recipe.planes, *grid.shape)} of {recipe.sample.lower()}"
        )
    if not place.affine.is_identity and shift_between(place, grid) != (0, 0):
        raise SourceError(f"{name}: an image on {place} came, which is not the grid that was asked for")
    return planes


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _values(planes: NDArray[Any], recipe: Recipe) -> NDArray[np.float32]:
    """Bands in the cube's units, NaN where the service says that there is no data."""
    bands = len(recipe.bands)
    values = decode(planes[:bands], _DECODINGS[recipe.units], recipe.collection)
    return np.where(planes[bands] != 0, values, np.float32(np.nan))


def ground(grid: GeoBox) -> Any:
    """Outline of a grid in longitude and latitude."""
    return grid.geographic_extent.geom


class Blocks:
    """The blocks in which a cube is read, to tell beforehand how much comes.

    Parameters
    ----------
    grid : GeoBox
        Grid of the cube.
    """

    def __init__(self, grid: GeoBox) -> None:
        rows, columns = (
            [slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK)] for size in grid.shape
        )
        blocks = [grid[row, column] for row in rows for column in columns]
        self._outlines = np.array([ground(block) for block in blocks])
        self._pixels = np.array([block.shape[0] * block.shape[1] for block in blocks])

    def estimate(self, recipe: Recipe, footprint: Any = None) -> tuple[int, float]:
        """Tell the bytes (before compression) and the processing units of all requests for an image.

        Parameters
        ----------
        recipe : Recipe
            What is asked for.
        footprint : shapely geometry, optional
            Blocks far from it are not asked for.
        """
        pixels = self._pixels
        if footprint is not None:
            near = footprint.buffer(FOOTPRINT_ROOM)
            shapely.prepare(near)
            pixels = pixels[shapely.intersects(near, self._outlines)]
        nbytes = recipe.planes * np.dtype(recipe.sample.lower()).itemsize * int(pixels.sum())
        units = np.maximum(np.maximum(pixels / 512**2, 0.01) * recipe.cost, 0.005)
        return nbytes, float(units.sum())
