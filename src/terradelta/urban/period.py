"""The whole period in one map: where the strongest window says change, when, and for how long."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.urban.defaults import THRESHOLD

__all__ = ["whole_period"]

_BLOCK, _MOST = 256, 65534
_MEANING = {
    "score": "Highest value over all windows, 0 to 1; no calibrated probability.",
    "date": "Middle of the window with the highest value.",
    "count": "In how many windows the value is above the threshold.",
    "change": "Whether the highest value is above the threshold (1) or not (0).",
    "first": "Middle of the first window above the threshold.",
    "last": "Middle of the last window above the threshold.",
    "spread": "Standard deviation between the networks in the window with the highest value.",
}


def whole_period(
    maps: xr.Dataset | xr.DataArray, threshold: float = THRESHOLD, *, block: int = _BLOCK
) -> xr.Dataset:
    """Reduce window maps to one map per question: how strong, when, how long.

    Parameters
    ----------
    maps : Dataset or DataArray
        From `open_maps` (its ``mean`` and ``spread`` are used) or `monitor`, (window, y, x).
    threshold : float
        A window shows change where it is above this.
    block : int
        Side of the blocks in which maps on disk are read, in pixels; memory is one block of all windows per
        thread.

    Returns
    -------
    xarray.Dataset
        On (y, x): ``score`` (float32, largest over the windows, NaN no data), ``date`` (int32, days since
        1970-01-01 of the middle of that window, the earliest of equal ones, -1 no data), ``count`` (uint16,
        windows above the threshold, 65535 no data), ``change`` (uint8, score above the threshold, 255 no
        data), ``first`` and ``last`` (int32, days of the middle of the first and last window above it, -1
        none), and ``spread`` (float32, at the largest) where the maps have it. Lazy where the maps are;
        compute it once, as a whole.

    Raises
    ------
    InputError
        If there is no window, or the threshold is not between 0 and 1.

    Examples
    --------
    >>> times = np.array(["2020-01-01", "2020-02-01", "2020-03-01"], "datetime64[ns]")
    >>> values = np.array([0.1, 0.7, 0.6], "float32").reshape(3, 1, 1)
    >>> maps = xr.DataArray(values, dims=("window", "y", "x"), coords={"time": ("window", times)})
    >>> found = whole_period(maps)
    >>> found["count"].item(), (found["last"] - found["first"]).item(), round(found["score"].item(), 2)
    (2, 29, 0.7)
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; give a probability from 0 to 1")
    given = maps.to_dataset(name="mean") if isinstance(maps, xr.DataArray) else maps
    if "mean" not in given or "window" not in given["mean"].dims or not given.sizes["window"]:
        raise InputError("there is no window to reduce; give maps of monitor or open_maps")
    given = given[[name for name in ("mean", "spread") if name in given]]
    days = given["time"].values.astype("datetime64[D]").astype("int32")
    where = {name: given.coords[name] for name in ("y", "x", "spatial_ref") if name in given.coords}
    plain = given.drop_vars(list(given.coords))
    if plain.chunks:
        plain = plain.chunk({"window": -1, "y": block, "x": block})
        empty = _reduce(plain.isel(y=slice(0), x=slice(0)).compute(), days, threshold)
        template = xr.Dataset({name: _like(plain["mean"], empty[name]) for name in empty})
        found = xr.map_blocks(_reduce, plain, args=(days, threshold), template=template)
    else:
        found = _reduce(plain, days, threshold)
    found = found.assign_coords(where)
    for name in found.data_vars:
        found[name].attrs = _attributes(name)
        found[name].encoding["grid_mapping"] = "spatial_ref"
    return found


def _like(mean: xr.DataArray, empty: xr.DataArray) -> xr.DataArray:
    """Give a lazy layer on the grid of the maps, of another type."""
    return mean.isel(window=0).astype(empty.dtype)


def _reduce(maps: xr.Dataset, days: NDArray[np.int32], threshold: float) -> xr.Dataset:
    """Reduce one block of all windows."""
    values = maps["mean"].values
    shape = values.shape[1:]
    score = np.full(shape, -np.inf, np.float32)
    best, count, first, last = (np.full(shape, start, np.intp) for start in (0, 0, -1, -1))
    for number, image in enumerate(values):
        better, above = image > score, image > threshold
        np.copyto(score, image, where=better)
        best[better] = number
        count += above
        first[above & (count == 1)] = number
        last[above] = number
    valid = score > -np.inf
    layers: dict[str, NDArray[np.generic]] = {
        "score": np.where(valid, score, np.float32(np.nan)),
        "date": np.where(valid, days[best], -1).astype(np.int32),
        "count": np.where(valid, np.minimum(count, _MOST), _MOST + 1).astype(np.uint16),
        "change": np.where(valid, count > 0, 255).astype(np.uint8),
        "first": np.where(first < 0, -1, days[first]).astype(np.int32),
        "last": np.where(last < 0, -1, days[last]).astype(np.int32),
    }
    if "spread" in maps:
        spread = np.take_along_axis(maps["spread"].values, best[None], axis=0)[0]
        layers["spread"] = np.where(valid, spread, np.nan).astype(np.float32)
    return xr.Dataset({name: (("y", "x"), layer) for name, layer in layers.items()})


def _attributes(name: Hashable) -> dict[str, str]:
    dated = name in ("date", "first", "last")
    return {"long_name": _MEANING[str(name)], "units": "days since 1970-01-01" if dated else "1"}
