"""The difference image: what was seen against what should have been seen."""

from __future__ import annotations

import json
from typing import Any, get_args

import numpy as np
import xarray as xr

from terradelta.errors import InputError
from terradelta.expected.differences.baselines import conventional
from terradelta.expected.differences.halo import despeckled
from terradelta.expected.differences.kinds import KINDS, UNITS, Kind, compare, length, standardise
from terradelta.expected.differences.radar import Cube, Time, acquisition_at, decibel, radar_of
from terradelta.expected.preparation import Despeckling, Preparation

__all__ = ["conventional", "difference"]

_GRID_TOLERANCE = 1e-6


def difference(cube: Cube, seen: xr.Dataset, *, kind: Kind = "subtraction") -> xr.Dataset:
    """Compare an image of a cube with what was expected of it.

    Parameters
    ----------
    cube : DataTree or Dataset
        The cube, or its group ``sar``; linear power, read lazily if it was opened so.
    seen : Dataset
        From `conventional` or ``ExpectedImage.predict``: ``expected`` (band, y, x), dB; ``sigma`` likewise if
        known; ``target`` if the image to compare with is not the cube's own but a despeckled one. Its
        coordinate or attribute ``time`` names the target; its attribute ``preparation`` (JSON) how the target
        is despeckled before it is compared.
    kind : str
        See `terradelta.expected.differences.kinds.compare`.

    Returns
    -------
    Dataset
        ``difference`` (band, y, x), in dB for a subtraction; ``length`` (y, x) over the bands; where sigma is
        known ``standardised`` (band, y, x), (target - expected) / sigma, and ``strength`` (y, x), its length.
        On the cube's grid, as lazy as cube and `seen` are; NaN = no data.

    Raises
    ------
    InputError
        If the kind is unknown, the time is not in the cube, or grids or bands differ.

    Examples
    --------
    >>> import terradelta as td
    >>> cube = td.simulate.place(seed=0, size=32, years=0.3, changes=0)
    >>> diff = difference(cube, td.expected.conventional(cube, "last"))
    >>> sorted(diff.data_vars), diff["length"].shape
    (['difference', 'length'], (32, 32))
    """
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; give one of {', '.join(KINDS)}")
    if "expected" not in seen:
        raise InputError("seen has no variable expected; give what conventional or predict returned")
    expected = seen["expected"].reset_coords(drop=True)
    target = _target(cube, seen, expected)
    found = _compared(target, expected, kind)
    out = xr.Dataset({"difference": found, "length": _over_bands(found, kind)})
    out["difference"].attrs = {"units": UNITS[kind], "kind": kind, "grid_mapping": "spatial_ref"}
    out["length"].attrs = {"units": UNITS[kind], "grid_mapping": "spatial_ref"}
    if "sigma" in seen:
        plain = found if kind == "subtraction" else _compared(target, expected, "subtraction")
        out["standardised"] = _blockwise(standardise, plain, seen["sigma"].reset_coords(drop=True))
        out["strength"] = _over_bands(out["standardised"], "subtraction")
        for name in ("standardised", "strength"):
            out[name].attrs = {"units": "standard deviations", "grid_mapping": "spatial_ref"}
    kept = {name: seen.coords[name] for name in ("time", "spatial_ref") if name in seen.coords}
    out = out.assign_coords(kept)
    out.attrs = {**seen.attrs, "kind": kind}
    return out


def _target(cube: Cube, seen: xr.Dataset, expected: xr.DataArray) -> xr.DataArray:
    """Give the image to compare with, dB, on the grid and in the bands of the expected one."""
    if "target" in seen:
        return _on_grid(seen["target"].reset_coords(drop=True), expected)
    radar = radar_of(cube)
    image = radar["backscatter"].isel(time=acquisition_at(radar, _time_of(seen)))
    image = _on_grid(image.reset_coords(drop=True), expected)
    preparation = _preparation_of(seen)
    return decibel(image) if preparation.despeckle == "none" else despeckled(image, preparation)


def _time_of(seen: xr.Dataset) -> Time:
    if "time" in seen.coords and seen["time"].ndim == 0:
        moment: Any = seen["time"].values[()]
        return np.datetime64(moment)
    if "time" in seen.attrs:
        return str(seen.attrs["time"])
    raise InputError("seen does not tell its target; give it a coordinate or an attribute time")


def _preparation_of(seen: xr.Dataset) -> Preparation:
    told = seen.attrs.get("preparation")
    if told is None:
        return Preparation()
    if told in get_args(Despeckling):
        return Preparation(despeckle=told)
    try:
        values = json.loads(told) if isinstance(told, str) else dict(told)
    except (TypeError, ValueError):
        raise InputError(f"the attribute preparation of seen is {told!r}; expected JSON") from None
    return Preparation.from_dict(values)


def _on_grid(image: xr.DataArray, expected: xr.DataArray) -> xr.DataArray:
    missing = [str(band) for band in expected["band"].values if band not in image["band"].values]
    if missing:
        have = ", ".join(map(str, image["band"].values))
        raise InputError(
            f"the expected image has band {', '.join(missing)}, the cube has {have}; "
            "give those that it was made of"
        )
    image = image.sel(band=expected["band"].values)
    for axis in ("y", "x"):
        mine, other = expected.coords.get(axis), image.coords.get(axis)
        same = expected.sizes[axis] == image.sizes[axis]
        if same and mine is not None and other is not None:
            step = float(np.abs(np.diff(mine.values)).min()) if mine.size > 1 else 1.0
            same = bool(np.allclose(mine.values, other.values, rtol=0, atol=_GRID_TOLERANCE + step / 100))
        if not same:
            raise InputError(
                f"the expected image and the cube differ in {axis} ({expected.sizes[axis]} and "
                f"{image.sizes[axis]} pixels, or their places); predict on this cube's grid"
            )
    return image.assign_coords({axis: expected[axis] for axis in ("y", "x") if axis in expected.coords})


def _compared(target: xr.DataArray, expected: xr.DataArray, kind: Kind) -> xr.DataArray:
    if not kind.startswith("scaled"):
        return _blockwise(compare, target, expected, kwargs={"kind": kind})
    both = xr.concat([target.reset_coords(drop=True), expected], "image", coords="minimal", compat="override")
    lowest, highest = both.min(), both.max()
    return _blockwise(_compare_scaled, target, expected, lowest, highest, kwargs={"kind": kind})


def _compare_scaled(target: Any, expected: Any, low: Any, high: Any, *, kind: Kind) -> Any:
    return compare(target, expected, kind, low, high)


def _over_bands(values: xr.DataArray, kind: Kind) -> xr.DataArray:
    if values.chunks is not None:
        values = values.chunk({"band": -1})
    made: Any = xr.apply_ufunc(
        _length_last,
        values,
        input_core_dims=[["band"]],
        dask="parallelized",
        output_dtypes=[values.dtype],
        kwargs={"kind": kind},
    )
    return made  # type: ignore[no-any-return]


def _length_last(values: Any, *, kind: Kind) -> Any:
    return length(np.moveaxis(values, -1, 0), kind)


def _blockwise(function: Any, *arrays: xr.DataArray, kwargs: dict[str, Any] | None = None) -> xr.DataArray:
    made: Any = xr.apply_ufunc(
        function, *arrays, join="override", dask="parallelized", output_dtypes=[np.float32], kwargs=kwargs
    )
    return made  # type: ignore[no-any-return]
