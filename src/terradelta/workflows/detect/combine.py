"""One map from the maps of several orbits; the images themselves are never mixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["combine"]


def combine(orbits: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Combine the results of several orbits, pixel by pixel.

    Changed if any orbit says so, no data only where no orbit has any; the largest score; the earliest date;
    the largest count; the difference of the orbit with the largest score. With every further orbit false
    alarms add up as well: confirm over more acquisitions to weigh that.

    Parameters
    ----------
    orbits : mapping of Dataset
        ``change``, ``score``, ``date``, ``count`` and perhaps ``difference``, on one grid.

    Returns
    -------
    Dataset
        The same layers, lazy where the inputs are.

    Examples
    --------
    >>> def one(change, score, date):
    ...     layers = {"change": change, "score": score, "date": date, "count": change}
    ...     return xr.Dataset({name: (("y", "x"), np.array([value])) for name, value in layers.items()})
    >>> both = combine({"a": one([1, 255], [4.0, np.nan], [30, -1]), "b": one([1, 0], [9.0, 1.0], [20, -1])})
    >>> both["change"].values.tolist(), both["date"].values.tolist(), both["score"].values.tolist()
    ([[1, 0]], [[20, -1]], [[9.0, 1.0]])
    """
    parts = list(orbits.values())
    result = parts[0].drop_vars([name for name in ("expected", "sigma") if name in parts[0]])
    for part in parts[1:]:
        result = _two(result, part)
    return result


def _two(one: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    result = one.copy()
    for name, missing in (("change", 255), ("count", 65535)):
        result[name] = _known(np.maximum, one[name], other[name], missing)
    result["date"] = _known(np.minimum, one["date"], other["date"], -1)
    stronger = one["score"].isnull() | (other["score"] > one["score"])
    for name in ("score", "difference"):
        if name in one:
            result[name] = one[name].where(~stronger, other[name])
    return result


def _known(choose: Any, one: xr.DataArray, other: xr.DataArray, missing: int) -> xr.DataArray:
    """Choose one of two values where both are known, else the known one."""
    both: xr.DataArray = xr.apply_ufunc(choose, one, other, dask="allowed", keep_attrs="override")
    return both.where(other != missing, one).where(one != missing, other)
