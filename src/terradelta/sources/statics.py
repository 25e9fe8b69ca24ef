"""Layers without time, DEM and land cover and the like, onto the grid of a cube."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube import geobox_of, open_cube, write_static
from terradelta.errors import SourceError
from terradelta.sources.folder import scan
from terradelta.sources.layers import Layer
from terradelta.sources.planned import lazy_image
from terradelta.sources.reading import read_categories, read_measurement
from terradelta.sources.sidecar import SidecarLike, load_sidecar
from terradelta.types import PathType

__all__ = ["import_static", "write_layer_of"]

_STATIC_UNITS = {"dem": "m", "forest": "1"}


def import_static(
    cube: PathType,
    path: PathType,
    *,
    name: str = "",
    categorical: bool | None = None,
    sidecar: SidecarLike = None,
) -> tuple[str, ...]:
    """Bring the layers of one raster (DEM, land cover, ...) onto the grid of a cube.

    Parameters
    ----------
    cube : path
        The cube.
    path : path
        GeoTIFF or NetCDF file.
    name : str
        Name of the layer; by default what the file's or variable's name says (dem, land_cover, ...).
    categorical : bool, optional
        Classes (nearest neighbour, stored type, 0 outside) or measurements (bilinear, float32, NaN outside);
        by default by name and type.
    sidecar : path, mapping or Sidecar, optional
        As in :func:`scan`.

    Returns
    -------
    tuple of str
        Names of the layers written.

    Raises
    ------
    SourceError
        The file cannot be read or does not reach the cube.
    """
    grid = geobox_of(open_cube(cube))
    told: dict[str, Any] = {"sensor": "static"}
    told |= {"layer": name} if name else {}
    told |= {"categorical": categorical} if categorical is not None else {}
    plan = scan(path, geobox=grid, sidecar=_with(path, sidecar, told))
    for layer in plan.static:
        write_layer_of(Path(cube), layer, grid)
    return tuple(layer.band for layer in plan.static)


def _with(path: PathType, sidecar: SidecarLike, told: dict[str, Any]) -> dict[str, Any]:
    """Take the settings of a sidecar for one file, overruled by arguments."""
    own = load_sidecar(sidecar, Path(path).parent).for_file(Path(path).name)
    return {key: getattr(own, key) for key in own.model_fields_set} | told


def write_layer_of(path: Path, layer: Layer, grid: GeoBox) -> None:
    """Write one static layer into a cube, block by block; a measured one must show something.

    Raises
    ------
    SourceError
        The file cannot be read or does not reach the cube.
    """
    if layer.categorical:
        missing = layer.decoding.nodata[0] if layer.decoding.nodata else 0
        read = partial(_categories, layer, missing)
        values = lazy_image(read, grid, layer.raw.dtype, None)
    else:
        values = lazy_image(partial(_measurement, layer), grid, np.dtype(np.float32), None)
        if not bool(da.isfinite(values).any().compute()):
            raise SourceError(
                f"{layer.name}: layer {layer.band} has no valid pixel in the cube; check 'nodata' and its CRS"
            )
    write_static(
        path, layer.band, values, units=_STATIC_UNITS.get(layer.band, ""), description=f"from {layer.name}"
    )


def _categories(layer: Layer, missing: float, _: int, grid: GeoBox) -> NDArray[Any]:
    return read_categories(layer, grid, missing)


def _measurement(layer: Layer, _: int, grid: GeoBox) -> NDArray[np.float32]:
    return read_measurement(layer, grid)
