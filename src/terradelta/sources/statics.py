"""Layers without time, DEM and land cover and the like, onto the grid of a cube."""

from __future__ import annotations

from collections.abc import Sequence
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
from terradelta.sources.planned import lazy_blocks
from terradelta.sources.reading import fits, read_categories, read_mosaic
from terradelta.sources.sidecar import SidecarLike, load_sidecar
from terradelta.types import PathType

__all__ = ["by_name", "import_static", "read_layer", "write_layer_of"]

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
    layers = by_name(plan.static)
    for pieces in layers.values():
        write_layer_of(Path(cube), pieces, grid)
    return tuple(layers)


def _with(path: PathType, sidecar: SidecarLike, told: dict[str, Any]) -> dict[str, Any]:
    """Take the settings of a sidecar for one file, overruled by arguments."""
    own = load_sidecar(sidecar, Path(path).parent).for_file(Path(path).name)
    return {key: getattr(own, key) for key in own.model_fields_set} | told


def by_name(layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """Sort static layers by their names; those of one name are pieces of one layer."""
    found: dict[str, list[Layer]] = {}
    for layer in layers:
        found.setdefault(layer.band, []).append(layer)
    return found


def write_layer_of(path: Path, pieces: Sequence[Layer], grid: GeoBox) -> None:
    """Write one static layer into a cube, block by block; a measured one must show something.

    Parameters
    ----------
    path : pathlib.Path
        The cube.
    pieces : sequence of Layer
        What makes up the layer; where they overlap the first with data wins.
    grid : GeoBox
        Grid of the cube.

    Raises
    ------
    SourceError
        The file cannot be read or does not reach the cube.
    """
    layer = pieces[0]
    values = lazy_blocks(partial(read_layer, pieces), grid, _type_of(pieces), None)
    if not layer.categorical and not bool(da.isfinite(values).any().compute()):
        raise SourceError(
            f"{layer.name}: layer {layer.band} has no valid pixel in the cube; check 'nodata' and its CRS"
        )
    more = f" +{len(pieces) - 1}" if len(pieces) > 1 else ""
    write_static(
        path, layer.band, values, units=_STATIC_UNITS.get(layer.band, ""),
        description=f"from {layer.name}{more}",
    )  # fmt: skip


def _type_of(pieces: Sequence[Layer]) -> np.dtype[Any]:
    if not pieces[0].categorical:
        return np.dtype(np.float32)
    return np.result_type(*(piece.raw.dtype for piece in pieces))


def read_layer(pieces: Sequence[Layer], grid: GeoBox) -> NDArray[Any]:
    """Read a static layer (y, x) from the files that make it up; where they overlap the first with data wins.

    Measurements are float32 with NaN. Of classes each file has its own number for no data; that of the first
    is kept.
    """
    if not pieces[0].categorical:
        return read_mosaic(pieces, grid)
    result = np.full(grid.shape, _missing(pieces[0]), _type_of(pieces))
    holes = np.ones(grid.shape, bool)
    for piece in pieces:
        values = read_categories(piece, grid, _missing(piece))
        seen = holes & ~np.isin(values, (_missing(piece), *piece.decoding.nodata))
        result[seen] = values[seen]
        holes &= ~seen
    return result


def _missing(layer: Layer) -> float:
    """Give the number for no data, if the classes can have it, else 0."""
    return next((number for number in layer.decoding.nodata if fits(number, layer.raw.dtype)), 0)
