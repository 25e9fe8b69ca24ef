"""Maps of change on the grid of a difference, as lazy as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

__all__ = ["NO_DATA", "as_map", "lazily"]

NO_DATA = 255
"""Where a map of change knows nothing; 0 = unchanged, 1 = changed."""


def lazily(
    function: Any,
    values: xr.DataArray,
    *,
    core: list[str] | None = None,
    dtype: Any = np.uint8,
    kwargs: dict[str, Any] | None = None,
) -> xr.DataArray:
    """Run a function of plain arrays block by block; `core` names dimensions that it takes last and whole."""
    made: Any = xr.apply_ufunc(
        function,
        values,
        input_core_dims=[core or []],
        dask="parallelized",
        output_dtypes=[dtype],
        kwargs=kwargs,
    )
    return made  # type: ignore[no-any-return]


def as_map(values: xr.DataArray, dtype: Any) -> xr.DataArray:
    """Name a map: ``change`` if it is of uint8, else ``decision``."""
    name = "change" if dtype == np.uint8 else "decision"
    attrs = {"grid_mapping": "spatial_ref"} | ({"no_data": NO_DATA} if dtype == np.uint8 else {})
    return values.rename(name).assign_attrs(attrs)
