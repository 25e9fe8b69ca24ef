"""Change over time at places, polygons and clicked points, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import CRSError
from rasterio.features import geometry_mask

from terradelta.errors import InputError
from terradelta.products.area import wkt_of
from terradelta.products.files import whole_file
from terradelta.products.painting import north_up
from terradelta.types import PathType

__all__ = ["timelines", "write_timelines"]

_BLOCK, _BYTES = 512, 64 * 2**20


def timelines(
    maps: xr.DataArray,
    *,
    polygons: gpd.GeoDataFrame | None = None,
    points: Sequence[tuple[float, float]] = (),
    points_crs: str | None = None,
) -> pd.DataFrame:
    """Follow change at places through all windows.

    The maps are read block by block of about 512 × 512 pixels where there are places, some windows at
    a time, 64 MiB at most. A polygon takes the pixels whose centre it holds, or all it touches if it
    holds none.

    Parameters
    ----------
    maps : DataArray
        (window, y, x) change probability, NaN = no data, with a CRS and, on window, the coordinates
        ``start``, ``end``, ``time`` and ``count``. Lazy or not.
    polygons : GeoDataFrame, optional
        Areas, named by their column ``id`` or else by their place in the table, from 1. Any CRS.
    points : sequence of (x, y)
        Places named from 1.
    points_crs : str, optional
        CRS of the points, e.g. ``"EPSG:4326"``: longitude, latitude. That of the maps without it.

    Returns
    -------
    DataFrame
        One row per place and window, points first: ``place`` ("point 1", "polygon 3"), ``x`` and ``y``
        (in the maps' CRS; of polygons a point inside), ``start``, ``end``, ``time``, ``count``
        (observations in the window), ``mean`` and ``maximum`` over the place's pixels, and how many
        ``pixels`` have data.

    Raises
    ------
    InputError
        A point outside the area, wrong maps, or an unknown CRS.
    """
    missing = [name for name in ("start", "end", "time", "count") if name not in maps.coords]
    if maps.ndim != 3 or missing:
        what = f"no coordinate {missing[0]!r}" if missing else f"dimensions {maps.dims}"
        raise InputError(f"maps have {what}; give (window, y, x) with start, end, time and count on window")
    maps, geobox = north_up(maps)
    places = _Places(geobox, maps.shape[0])
    for number, point in enumerate(points, 1):
        places.add_point(f"point {number}", point, points_crs)
    if polygons is not None and len(polygons):
        names = polygons["id"] if "id" in polygons else range(1, len(polygons) + 1)
        shapes = polygons.geometry if polygons.crs is None else polygons.geometry.to_crs(wkt_of(geobox))
        for name, shape in zip(names, shapes, strict=True):
            places.add_shape(f"polygon {name}", shape)
    for rows, columns in places.blocks():
        for windows, values in _read(maps, rows, columns):
            places.take(windows, rows, columns, values)
    return places.table(maps)


def _read(maps: xr.DataArray, rows: slice, columns: slice) -> Iterator[tuple[slice, NDArray[Any]]]:
    pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
    step = max(1, _BYTES // (4 * pixels))
    for first in range(0, maps.shape[0], step):
        windows = slice(first, min(first + step, maps.shape[0]))
        part = np.asarray(maps[windows, rows, columns].values, dtype="float32")
        yield windows, part.reshape(part.shape[0], -1)


class _Places:
    """Places as lists of pixels, sorted into blocks, and what is known of them so far."""

    def __init__(self, geobox: GeoBox, windows: int) -> None:
        self._geobox, self._windows = geobox, windows
        self._names: list[tuple[str, float, float]] = []
        self._pixels: dict[tuple[int, int], list[tuple[int, NDArray[np.intp]]]] = {}
        self._sums: list[NDArray[np.float64]] = []
        self._counts: list[NDArray[np.int32]] = []
        self._tops: list[NDArray[np.float32]] = []

    def add_point(self, name: str, point: tuple[float, float], crs: str | None) -> None:
        x, y = self._placed(name, point, crs)
        column, row = ~self._geobox.affine @ (x, y)
        height, width = self._geobox.shape
        if not (0 <= row <= height and 0 <= column <= width):
            box = self._geobox.extent.boundingbox
            given = f"{point[0]:.10g}, {point[1]:.10g}" + (f" ({crs})" if crs else "")
            raise InputError(
                f"{name} at {given} is outside the area, "
                f"which is x {box.left:.10g} to {box.right:.10g}, y {box.bottom:.10g} to {box.top:.10g}"
            )
        self._new(name, x, y)
        self._add(np.array([min(int(row), height - 1)]), np.array([min(int(column), width - 1)]))

    def _placed(self, name: str, point: tuple[float, float], crs: str | None) -> tuple[float, float]:
        try:
            x, y = (float(value) for value in point)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} is {point!r}; give two numbers, x and y") from error
        if crs is None:
            return x, y
        try:
            return Transformer.from_crs(crs, wkt_of(self._geobox), always_xy=True).transform(x, y)
        except CRSError as error:
            raise InputError(f"points_crs {crs!r} is no CRS; give e.g. 'EPSG:4326'") from error

    def add_shape(self, name: str, shape: Any) -> None:
        inside = shape.representative_point()
        self._new(name, inside.x, inside.y)
        rows, columns = self._window_of(shape.bounds)
        size = (rows.stop - rows.start, columns.stop - columns.start)
        if min(size) <= 0:
            return
        transform = self._geobox.affine @ Affine.translation(columns.start, rows.start)
        y, x = np.nonzero(geometry_mask([shape], size, transform, invert=True))
        if not y.size:
            y, x = np.nonzero(geometry_mask([shape], size, transform, invert=True, all_touched=True))
        self._add(y + rows.start, x + columns.start)

    def _window_of(self, bounds: tuple[float, ...]) -> tuple[slice, slice]:
        """Rows and columns of a box, inside the area."""
        left, bottom, right, top = bounds
        corners = [~self._geobox.affine @ (x, y) for x in (left, right) for y in (bottom, top)]
        spans = []
        for places, length in zip(
            reversed(list(zip(*corners, strict=True))), self._geobox.shape, strict=True
        ):
            first, last = np.floor(min(places)), np.ceil(max(places))
            spans.append(slice(int(np.clip(first, 0, length)), int(np.clip(last, 0, length))))
        return spans[0], spans[1]

    def _new(self, name: str, x: float, y: float) -> None:
        self._names.append((name, float(x), float(y)))
        self._sums.append(np.zeros(self._windows))
        self._counts.append(np.zeros(self._windows, dtype="int32"))
        self._tops.append(np.full(self._windows, np.nan, dtype="float32"))

    def _add(self, rows: NDArray[Any], columns: NDArray[Any]) -> None:
        """Sort the pixels of the newest place into blocks."""
        key = rows // _BLOCK * (self._geobox.shape.x // _BLOCK + 1) + columns // _BLOCK
        order = np.argsort(key, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
            block = (int(rows[part[0]]) // _BLOCK, int(columns[part[0]]) // _BLOCK)
            width = self._slices(block)[1].stop - block[1] * _BLOCK
            pixels = (rows[part] % _BLOCK) * width + columns[part] % _BLOCK
            self._pixels.setdefault(block, []).append((len(self._names) - 1, pixels))

    def _slices(self, block: tuple[int, int]) -> tuple[slice, slice]:
        starts = [index * _BLOCK for index in block]
        rows, columns = (
            slice(start, min(start + _BLOCK, length))
            for start, length in zip(starts, self._geobox.shape, strict=True)
        )
        return rows, columns

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        for block in sorted(self._pixels):
            yield self._slices(block)

    def take(self, windows: slice, rows: slice, columns: slice, values: NDArray[Any]) -> None:
        for place, pixels in self._pixels[rows.start // _BLOCK, columns.start // _BLOCK]:
            found = values[:, pixels]
            valid = np.isfinite(found)
            self._sums[place][windows] += np.where(valid, found, 0).sum(axis=1, dtype="float64")
            self._counts[place][windows] += valid.sum(axis=1, dtype="int32")
            top = np.fmax.reduce(np.where(valid, found, np.nan), axis=1)
            self._tops[place][windows] = np.fmax(self._tops[place][windows], top)

    def table(self, maps: xr.DataArray) -> pd.DataFrame:
        number, length = len(self._names), self._windows
        names, x, y = ([entry[index] for entry in self._names] for index in range(3))
        columns: dict[str, Any] = {"place": np.repeat(np.array(names, dtype=object), length)}
        columns |= {"x": np.repeat(np.array(x, dtype=float), length)}
        columns |= {"y": np.repeat(np.array(y, dtype=float), length)}
        for name in ("start", "end", "time"):
            columns[name] = np.tile(maps[name].values.astype("datetime64[ns]"), number)
        columns["count"] = np.tile(maps["count"].values, number)
        sums, counts, tops = (_joined(parts) for parts in (self._sums, self._counts, self._tops))
        with np.errstate(invalid="ignore", divide="ignore"):
            columns["mean"] = sums / counts
        columns |= {"maximum": tops, "pixels": counts.astype("int64")}
        return pd.DataFrame(columns)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    return np.concatenate(parts).astype("float64") if parts else np.empty(0)


def _span(places: Sequence[float], length: int) -> slice:
    first, last = np.clip([np.floor(min(places)), np.ceil(max(places))], 0, length)
    return slice(int(first), int(last))


def write_timelines(table: pd.DataFrame, path: PathType) -> Path:
    """Write timelines as a CSV file: times in ISO 8601 (UTC), values to six digits.

    Parameters
    ----------
    table : DataFrame
        From ``timelines``.
    path : path-like
        File to write.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    path = Path(path)
    rounded = table.round({"mean": 6, "maximum": 6})
    with whole_file(path) as file:
        rounded.to_csv(file, index=False, date_format="%Y-%m-%dT%H:%M:%SZ", lineterminator="\n")
    return path
