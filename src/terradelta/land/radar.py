"""Radar pixels inside areas, from a cube."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely
import xarray as xr
from pyproj import Transformer

from terradelta.cube import geobox_of, open_cube
from terradelta.cube.acquisitions import as_time
from terradelta.errors import CubeError
from terradelta.land.interface import Acquisition
from terradelta.land.masks import inside, row_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from odc.geo.geobox import GeoBox

    from terradelta.land.interface import Areas
    from terradelta.types import BoolArray, FloatArray, PathType

__all__ = ["acquisitions", "find_image", "open_tree", "radar_pixels"]

_STRIP = 2**22


def open_tree(cube: PathType | xr.DataTree) -> xr.DataTree:
    """Open a cube if it is not open yet.

    Parameters
    ----------
    cube : path-like or DataTree
        A cube.

    Returns
    -------
    xarray.DataTree

    Raises
    ------
    CubeError
        If there is none.
    """
    return cube if isinstance(cube, xr.DataTree) else open_cube(cube)


def acquisitions(tree: xr.DataTree) -> list[Acquisition]:
    """Name all radar images of a cube.

    Parameters
    ----------
    tree : DataTree
        The cube.

    Returns
    -------
    list of Acquisition
        In the order of the cube.

    Raises
    ------
    CubeError
        If it holds no radar images.

    Examples
    --------
    >>> from terradelta.simulate import place
    >>> acquisitions(place(seed=0, size=48, years=0.2, changes=0))[0].platform
    'S1B'
    """
    if "sar" not in tree.children or not tree["sar"].sizes.get("time"):
        raise CubeError("the cube holds no radar images; append some with terradelta.cube.append")
    sar = tree["sar"].to_dataset()
    count = sar.sizes["time"]
    platforms = sar["platform"].values if "platform" in sar.coords else [""] * count
    orbits = sar["relative_orbit"].values if "relative_orbit" in sar.coords else [0] * count
    times = np.datetime_as_string(sar["time"].values.astype("datetime64[ns]"))
    told = zip(times, platforms, orbits, strict=True)
    return [Acquisition(str(time), str(platform or ""), int(orbit)) for time, platform, orbit in told]


def find_image(tree: xr.DataTree, acquisition: Acquisition) -> int:
    """Tell the place of an image in the order of a cube.

    Parameters
    ----------
    tree : DataTree
        The cube.
    acquisition : Acquisition
        Which image; an empty platform or orbit 0, here or in the cube, fits any.

    Returns
    -------
    int

    Raises
    ------
    CubeError
        If there is none (the nearest in time is named), or more than one fits.
    """
    time, platform, orbit = acquisition
    wanted = np.datetime_as_string(as_time(time))
    known = acquisitions(tree)
    fits = [
        place
        for place, one in enumerate(known)
        if one.time == wanted and _same(one.platform, platform) and _same(one.orbit, orbit)
    ]
    exact = [place for place in fits if known[place] == (wanted, platform, orbit)]
    fits = exact or fits
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise CubeError(f"the cube has {len(fits)} images of {wanted}; name platform and orbit of one")
    gaps = [abs(np.datetime64(one.time) - np.datetime64(wanted)) for one in known]
    near = known[int(np.argmin(gaps))]
    raise CubeError(
        f"the cube has no image of {wanted} from {platform or 'any platform'} on orbit {orbit or 'any'}; "
        f"the nearest is of {near.time} from {near.platform or '?'} on orbit {near.orbit or '?'}"
    )


def _same(one: object, other: object) -> bool:
    return not one or not other or one == other


def radar_pixels(
    tree: xr.DataTree,
    areas: Areas,
    acquisition: Acquisition,
    keep: Callable[[GeoBox, slice, slice], BoolArray] | None = None,
) -> FloatArray:
    """Read the pixels of a radar image that lie inside areas.

    Strips of about 4 million pixels are held in memory at a time.

    Parameters
    ----------
    tree : DataTree
        The cube.
    areas : Areas
        Polygons; if their CRS is another one than the cube's, the pixel centres are transformed.
    acquisition : Acquisition
        Which image.
    keep : callable, optional
        Takes the grid, rows and columns of a strip and gives a mask (y, x); other pixels are left out.

    Returns
    -------
    ndarray of float32, (band, n)
        Linear power, each pixel once, row by row; NaN in any band leaves a pixel out.

    Raises
    ------
    CubeError
        If the cube holds no such image.
    """
    image = find_image(tree, acquisition)
    backscatter = tree["sar"]["backscatter"].transpose("time", "band", "y", "x").data
    grid = geobox_of(tree)
    shapes = np.asarray(areas.geometries, dtype=object)
    rows, columns = _window(shapes, areas.crs, grid)
    parts = [np.empty((backscatter.shape[1], 0), np.float32)]
    if rows.stop > rows.start and columns.stop > columns.start:
        window = grid[rows, columns]
        for strip in row_blocks(window, _STRIP):
            place = slice(rows.start + strip.start, rows.start + strip.stop)
            part = window[strip, :]
            mask = inside(shapes, areas.crs, part)
            if keep is not None:
                mask &= keep(part, place, columns)
            if mask.any():
                block = backscatter[image, :, place, columns]
                block = block.compute(scheduler="synchronous") if hasattr(block, "compute") else block
                values = np.asarray(block, np.float32)[:, mask]
                parts.append(values[:, np.isfinite(values).all(axis=0)])
    return np.concatenate(parts, axis=1)


def _window(shapes: BoolArray, crs: str, grid: GeoBox) -> tuple[slice, slice]:
    """Give the rows and columns that hold all polygons, one pixel more on each side."""
    if not shapes.size:
        return slice(0, 0), slice(0, 0)
    left, bottom, right, top = shapely.total_bounds(shapes)
    if grid.crs != crs:
        move = Transformer.from_crs(crs, str(grid.crs), always_xy=True)
        left, bottom, right, top = move.transform_bounds(left, bottom, right, top)
    x, y = np.array([left, right, left, right]), np.array([bottom, bottom, top, top])
    column, row = ~grid.affine @ (x, y)
    return _span(row, grid.shape[0]), _span(column, grid.shape[1])


def _span(places: FloatArray, length: int) -> slice:
    first, last = np.clip([np.floor(places.min()) - 1, np.ceil(places.max()) + 1], 0, length)
    return slice(int(first), int(last))
