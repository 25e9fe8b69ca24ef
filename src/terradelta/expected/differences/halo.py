"""Filters with a neighbourhood on images of any size: block by block, each with a margin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from terradelta.expected.preparation import Preparation, despeckle
from terradelta.sar import to_db

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HALO", "by_block", "despeckled"]

HALO = 16
"""Pixels around a block that despeckling needs."""


def by_block(
    function: Callable[[NDArray[Any]], NDArray[Any]], values: Any, *, layers: tuple[int, ...], halo: int
) -> Any:
    """Run a function on blocks of an array with a margin around each.

    Parameters
    ----------
    function : callable
        (..., y, x) to (*layers, y, x), float32.
    values : ndarray or dask array
        (..., y, x). A NumPy array is given to the function as a whole.
    layers : tuple of int
        Leading lengths of the result, as many as the array has.
    halo : int
        Pixels of margin.

    Returns
    -------
    ndarray or dask array
        (*layers, y, x), as lazy as it came.

    Examples
    --------
    >>> by_block(lambda v: v.sum(axis=0, keepdims=True), np.ones((3, 4, 4)), layers=(1,), halo=2).shape
    (1, 4, 4)
    """
    if isinstance(values, np.ndarray):
        return function(values)
    import dask.array as da
    from dask.array.overlap import overlap, trim_overlap

    whole = dict.fromkeys(range(values.ndim - 2), -1)
    values = values.rechunk(whole)
    depth = {values.ndim - 2: halo, values.ndim - 1: halo}
    if halo:
        values = overlap(values, depth, boundary="none")  # type: ignore[no-untyped-call]
    chunks = (*((one,) for one in layers), *values.chunks[-2:])
    meta = np.empty((0,) * values.ndim, np.float32)
    made = da.map_blocks(  # type: ignore[no-untyped-call]
        function, values, chunks=chunks, dtype=np.float32, meta=meta
    )
    return trim_overlap(made, depth, boundary="none") if halo else made  # type: ignore[no-untyped-call]


def despeckled(image: xr.DataArray, preparation: Preparation) -> xr.DataArray:
    """Turn an image of a cube into dB and despeckle it, as lazily as it came.

    Parameters
    ----------
    image : DataArray
        (band, y, x), linear power.
    preparation : Preparation
        Its `despeckle` is used.

    Returns
    -------
    DataArray
        (band, y, x) float32, dB.
    """
    function = partial(_despeckled, preparation=preparation)
    made = by_block(function, image.data, layers=(image.sizes["band"],), halo=HALO)
    return image.copy(data=made).assign_attrs(units="dB")


def _despeckled(values: NDArray[Any], *, preparation: Preparation) -> NDArray[Any]:
    return np.asarray(despeckle(to_db(values.astype(np.float32, copy=False)), preparation), np.float32)
