"""Opening a cube: lazily, sorted by time, and only what is committed."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dask.array as da
import numpy as np
import xarray as xr

from terradelta.cube.grid import grid_coords
from terradelta.cube.layout import layout_for
from terradelta.cube.schema import LAYER_GROUPS, SCHEMA, SERIES, PixelVariable
from terradelta.cube.series import Series, open_series
from terradelta.cube.store import Header, read_header
from terradelta.errors import CubeError, InputError
from terradelta.types import PathType, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

    import zarr
    from numpy.typing import NDArray

__all__ = ["Chunks", "open_cube", "pick_images"]

Chunks = Literal["auto"] | dict[str, int]
"""``"auto"``, or the length of dask's chunks by dimension."""

_TABLE = "truth/changes"
_AUTO_BYTES = 32 * 2**20


def open_cube(path: PathType, *, chunks: Chunks = "auto") -> xr.DataTree:
    """Open a cube without reading its pixels.

    Parameters
    ----------
    path : path
        The cube.
    chunks : "auto" or dict
        Length of dask's chunks by dimension, -1 for the whole of it; ``"auto"`` takes whole shards and as
        many times as make about 32 MiB.

    Returns
    -------
    xarray.DataTree
        Groups ``sar``, ``optical``, ``static``, ``weather``, ``truth``, as far as they exist; images sorted
        by time, backscatter in linear power. ``.encoding["source"]`` tells the path.

    Raises
    ------
    CubeError
        If there is no cube, a damaged one, or one of a newer schema.

    Examples
    --------
    >>> import tempfile
    >>> from odc.geo.geobox import GeoBox
    >>> from terradelta.cube import create_cube
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> create_cube(folder, GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10))
    >>> open_cube(folder).attrs["terradelta_schema"]
    1
    """
    header = read_header(Path(path))
    groups: dict[str, xr.Dataset] = {
        "/": xr.Dataset(attrs={"terradelta_schema": SCHEMA, "name": header.name})
    }
    for name in SERIES:
        series = open_series(header, name)
        if series is not None:
            groups[name] = _series_dataset(series, chunks)
    for name in LAYER_GROUPS:
        if (header.path / name / "zarr.json").exists():
            groups[name] = _layers_dataset(header, name)
    if (header.path / _TABLE / "zarr.json").exists():
        groups[_TABLE] = xr.open_dataset(str(header.path / _TABLE), engine="zarr", consolidated=False)
    if (header.path / "weather" / "zarr.json").exists():
        groups["weather"] = _weather_dataset(header)
    tree = xr.DataTree.from_dict(groups, name=header.name or None)
    tree.encoding["source"] = str(header.path)
    return tree


class _Images:
    """Images of one variable, in the order of time; reads only what is asked for."""

    def __init__(self, array: zarr.Array[Any], order: NDArray[np.intp]) -> None:
        self._array, self._order = array, order
        self.shape = (len(order), *array.shape[1:])
        self.dtype = np.dtype(array.dtype)
        self.ndim = len(self.shape)

    def pick(self, places: NDArray[np.intp]) -> _Images:
        """Give some of the images."""
        return _Images(self._array, self._order[places])

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        time, *rest = (part for part in key if part is not None)
        rest = [_forward(part, length) for part, length in zip(rest, self.shape[1:], strict=True)]
        places = np.atleast_1d(self._order[time])
        runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
        spans = [slice(int(run[0]), int(run[-1]) + 1) if len(run) else slice(0, 0) for run in runs]
        parts = [np.asarray(self._array.oindex[(span, *rest)]) for span in spans]
        block = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if isinstance(time, Integral):
            block = block[0]
        kept = tuple(None if part is None else slice(None) for part in key if not isinstance(part, Integral))
        return block[kept] if None in kept else block


def _forward(part: Any, length: int) -> Any:
    """Turn a slice that runs backwards, which Zarr refuses, into places."""
    if isinstance(part, slice) and (part.step or 1) < 0:
        return np.arange(*part.indices(length))
    return part


def _series_dataset(series: Series, chunks: Chunks) -> xr.Dataset:
    times = series.column("time")
    order = np.argsort(times, kind="stable")
    coords: dict[str, Any] = {"time": ("time", times[order], {"standard_name": "time"})}
    coords["band"] = ("band", np.array(series.bands, dtype=object))
    for column in series.spec.columns:
        if not column.hidden:
            values = series.column(column.name)[order]
            coords[column.name] = ("time", values, {"units": column.unit} if column.unit else {})
    coords.update(grid_coords(series.header.geobox))
    dataset = xr.Dataset(coords=coords)
    for pixels in series.spec.pixels:
        dataset[pixels.name] = _pixels_array(series, pixels, order, chunks)
    return dataset


def _pixels_array(
    series: Series, pixels: PixelVariable, order: NDArray[np.intp], chunks: Chunks
) -> xr.DataArray:
    stored = series.array(pixels.name)
    if stored.shape[0] < series.committed or stored.shape[-2:] != tuple(series.header.size):
        raise CubeError(
            f"{series.folder / pixels.name} has shape {stored.shape}, which does not hold "
            f"{series.committed} times of {tuple(series.header.size)} pixels; restore it from a copy"
        )
    images = _Images(stored, order)
    sizes = dict(zip(pixels.dims, images.shape, strict=True))
    array = xr.DataArray(_lazy(images, _dask_chunks(sizes, images.dtype, chunks)), dims=pixels.dims)
    array.attrs.update(units=pixels.unit, long_name=pixels.description)
    array.encoding["grid_mapping"] = "spatial_ref"
    return array


def _lazy(images: _Images, chunks: tuple[int, ...]) -> da.Array:
    meta = np.empty((0,) * images.ndim, images.dtype)
    # dask fuses later slices into the reading itself only for this combination of asarray and fancy
    return da.from_array(  # type: ignore[no-untyped-call, no-any-return]
        images, chunks=chunks, asarray=True, fancy=True, meta=meta
    )


def pick_images(dataset: xr.Dataset, places: NDArray[np.intp]) -> xr.Dataset:
    """Keep some images of a series.

    Parameters
    ----------
    dataset : xarray.Dataset
        Radar or optical images of a cube, in memory or opened.
    places : ndarray of intp
        Which ones, along ``time``.

    Returns
    -------
    xarray.Dataset
        With these alone. What `open_cube` opened stays on disk, and each image is still read by itself.

    Examples
    --------
    >>> pick_images(xr.Dataset({"clear": ("time", [True, False, True])}), np.array([0, 2]))["clear"].values
    array([ True,  True])
    """
    picked = dataset.isel(time=places)
    for name, variable in dataset.data_vars.items():
        source = variable.data.dask.get(f"original-{variable.data.name}") if variable.chunks else None
        if isinstance(source, _Images):
            images = source.pick(places)
            chunks = tuple(map(min, variable.data.chunksize, images.shape))
            picked[name] = picked[name].copy(data=_lazy(images, chunks))
    return picked


def _dask_chunks(sizes: Mapping[str, int], dtype: np.dtype[Any], chunks: Chunks) -> tuple[int, ...]:
    shard_y, shard_x = layout_for(Size(sizes["y"], sizes["x"])).shard
    lengths = {**sizes, "y": min(shard_y, sizes["y"]), "x": min(shard_x, sizes["x"])}
    if isinstance(chunks, dict):
        unknown = set(chunks) - {"time", "band", "y", "x"}
        if unknown:
            raise InputError(f"chunks names {', '.join(sorted(unknown))}; expected time, band, y or x")
        lengths.update({name: value for name, value in chunks.items() if name in sizes})
    if "time" in sizes and (not isinstance(chunks, dict) or "time" not in chunks):
        pixels = int(np.prod([abs(v) for name, v in lengths.items() if name != "time"]))
        lengths["time"] = max(1, min(sizes["time"], _AUTO_BYTES // (pixels * dtype.itemsize)))
    return tuple(lengths[name] for name in sizes)


def _layers_dataset(header: Header, group: str) -> xr.Dataset:
    """Open layers; they keep their numbers, whatever their units say (days since, for instance)."""
    shard_y, shard_x = layout_for(header.size).shard
    return xr.open_dataset(
        str(header.path / group),
        engine="zarr",
        chunks={"y": shard_y, "x": shard_x},
        consolidated=False,
        decode_coords="all",
        decode_times=False,
        mask_and_scale=False,
    )


def _weather_dataset(header: Header) -> xr.Dataset:
    folder = str(header.path / "weather")
    return xr.open_dataset(folder, engine="zarr", chunks={}, consolidated=False, decode_coords="all")
