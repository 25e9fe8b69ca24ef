"""Single arrays of a cube: opening one, and writing small ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr

from terradelta.cube.grid import grid_coords
from terradelta.errors import CubeError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

__all__ = ["open_array", "write_grid", "write_vector"]


def open_array(folder: Path, *, write: bool = False) -> zarr.Array[Any]:
    """Open one array of a cube.

    Parameters
    ----------
    folder : Path
        Folder of the array.
    write : bool
        Whether it will be written.

    Returns
    -------
    zarr.Array
        The array.

    Raises
    ------
    CubeError
        If it is missing or its description is damaged.
    """
    try:
        return zarr.open_array(str(folder), mode="r+" if write else "r", zarr_format=3)
    except (FileNotFoundError, KeyError, ValueError, TypeError) as error:
        raise CubeError(f"{folder} is missing or damaged ({error}); restore it from a copy") from None


def write_grid(group: Path, geobox: GeoBox) -> None:
    """Write the coordinates of a grid into a group.

    Parameters
    ----------
    group : Path
        Folder of the group.
    geobox : GeoBox
        The grid.
    """
    for name, array in grid_coords(geobox).items():
        write_vector(group / name, array.values, array.dims, array.attrs)


def write_vector(
    folder: Path, values: NDArray[np.generic], dims: tuple[Any, ...], attributes: Mapping[Any, Any]
) -> None:
    """Write a small array in one chunk.

    Parameters
    ----------
    folder : Path
        Folder of the array.
    values : array
        What to write; text as object or ``str`` arrays.
    dims : tuple of str
        Names of its dimensions.
    attributes : mapping
        Its attributes.
    """
    text = values.dtype.kind in "OUT"
    shape: tuple[int, ...] = values.shape
    array = zarr.create_array(
        str(folder),
        shape=shape,
        dtype=str if text else values.dtype,
        chunks=tuple(max(1, length) for length in shape),
        dimension_names=[str(name) for name in dims],
        attributes={str(key): value for key, value in attributes.items()},
        overwrite=True,
    )
    array[...] = values.astype(object) if text else values
