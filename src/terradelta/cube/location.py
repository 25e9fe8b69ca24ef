"""Where a cube lies, for others to open it."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from terradelta.errors import InputError
from terradelta.types import PathType

__all__ = ["path_of"]


def path_of(cube: xr.DataTree | PathType) -> Path:
    """Give the path of a cube, from the root on.

    Parameters
    ----------
    cube : DataTree or path
        As `open_cube` gave it, or its path.

    Raises
    ------
    InputError
        If it is in memory.

    Examples
    --------
    >>> path_of("/data/liege.zarr").as_posix()
    '/data/liege.zarr'
    """
    source = cube.encoding.get("source") if isinstance(cube, xr.DataTree) else cube
    if source is None:
        raise InputError("the cube is in memory, which others cannot read; write it with write_cube")
    return Path(source).absolute()
