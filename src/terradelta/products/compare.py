"""Tell whether two output folders are equal, and where not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from terradelta.errors import InputError
from terradelta.products.summary import Summary, read_summary
from terradelta.types import BoolArray, PathType

__all__ = ["compare"]

_STRIP = 512


def compare(a: PathType, b: PathType, *, tolerance: float = 1e-6) -> list[str]:
    """Compare two output folders.

    Rasters are read in strips of 512 rows. Integer layers must be equal; measures may differ by
    ``tolerance`` (absolute, in the layer's unit, plus relative). What tells only of the run (times,
    tags, pictures, report) is not compared, but must be there.

    Parameters
    ----------
    a, b : path-like
        Folders that ``write`` has written.
    tolerance : float
        Largest difference that still counts as equal.

    Returns
    -------
    list of str
        One line per difference: what, where and how much; empty when equal.

    Raises
    ------
    InputError
        One of them is no finished output folder, or the tolerance is negative.
    """
    if not tolerance >= 0:
        raise InputError(f"tolerance is {tolerance}; give 0 or more")
    return list(_folders(Path(a), Path(b), tolerance, ""))


def _folders(a: Path, b: Path, tolerance: float, prefix: str) -> Iterator[str]:
    first, second = read_summary(a), read_summary(b)
    names = [(set(first.files), a, b), (set(second.files), b, a)]
    for listed, here, there in names:
        for name in sorted(listed):
            if not (here / name).is_file():
                yield f"{prefix}{name}: listed but missing in {here}"
            elif not (there / name).is_file():
                yield f"{prefix}{name}: only in {here}"
    yield from _totals(first, second, tolerance, prefix)
    both = [name for name in first.files if (a / name).is_file() and (b / name).is_file()]
    for name in both:
        if name.endswith(".tif"):
            yield from _rasters(a / name, b / name, tolerance, prefix + name)
        elif name.startswith("polygons."):
            yield from _polygons(a / name, b / name, tolerance, prefix + name)
    for part in sorted({*first.parts, *second.parts}):
        if part in first.parts and part in second.parts:
            yield from _folders(a / part, b / part, tolerance, f"{prefix}{part}/")
        else:
            yield f"{prefix}{part}: only in {a if part in first.parts else b}"


def _totals(first: Summary, second: Summary, tolerance: float, prefix: str) -> Iterator[str]:
    if first.change and second.change:
        one, other = first.change.changed_area_m2, second.change.changed_area_m2
        if not np.isclose(one, other, rtol=tolerance, atol=tolerance):
            yield f"{prefix}changed area: {one:.6g} m² and {other:.6g} m²"


def _rasters(a: Path, b: Path, tolerance: float, name: str) -> Iterator[str]:
    try:
        with rasterio.open(a) as first, rasterio.open(b) as second:
            yield from (f"{name}: {text}" for text in _headers(first, second))
            if first.shape == second.shape and first.count == second.count:
                for band in range(1, first.count + 1):
                    yield from (f"{name}: {text}" for text in _pixels(first, second, band, tolerance))
    except RasterioError as error:
        yield f"{name}: cannot be read ({' '.join(str(error).split())})"


def _headers(first: Any, second: Any) -> Iterator[str]:
    pairs = [
        ("CRS", str(first.crs), str(second.crs)),
        ("size", f"{first.height} × {first.width}", f"{second.height} × {second.width}"),
        ("bands", first.count, second.count),
        ("type", first.dtypes[0], second.dtypes[0]),
        ("no data", str(first.nodata), str(second.nodata)),
        ("unit", first.units[0], second.units[0]),
    ]
    for what, one, other in pairs:
        if one != other:
            yield f"{what} {one} and {other}"
    limit = 1e-6 * abs(first.transform.a or first.transform.b)
    if not first.transform.almost_equals(second.transform, limit):
        yield f"transform {tuple(first.transform)[:6]} and {tuple(second.transform)[:6]}"


@dataclass
class _Found:
    """What differs in one band, strip by strip."""

    pixels: int = 0
    first: tuple[int, int, float, float] | None = None
    largest: tuple[float, int, int] = (0.0, -1, -1)

    def add(self, start: int, one: NDArray[Any], other: NDArray[Any], differs: BoolArray) -> None:
        rows, columns = np.nonzero(differs)
        if not rows.size:
            return
        self.pixels += rows.size
        values, others = one[rows, columns].astype("float64"), other[rows, columns].astype("float64")
        if self.first is None:
            self.first = (start + int(rows[0]), int(columns[0]), float(values[0]), float(others[0]))
        gap = np.abs(values - others)
        gap = np.where(np.isfinite(gap), gap, 0.0)
        place = int(gap.argmax())
        if gap[place] > self.largest[0]:
            self.largest = (float(gap[place]), start + int(rows[place]), int(columns[place]))


def _pixels(first: Any, second: Any, band: int, tolerance: float) -> Iterator[str]:
    found = _Found()
    for start in range(0, first.height, _STRIP):
        window = Window(0, start, first.width, min(_STRIP, first.height - start))
        one, other = first.read(band, window=window), second.read(band, window=window)
        if one.dtype.kind == "f":
            differs = ~np.isclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
        else:
            differs = one != other
        found.add(start, one, other, differs)
    if found.first is None:
        return
    row, column, one_value, other_value = found.first
    x, y = first.xy(row, column)
    where = f"band {band}: " if first.count > 1 else ""
    size, at_row, at_column = found.largest
    most = f"; largest difference {size:.6g} at row {at_row}, column {at_column}" if at_row >= 0 else ""
    yield (
        f"{where}{found.pixels} of {first.height * first.width} pixels differ; first at row {row}, "
        f"column {column} (x {x:.10g}, y {y:.10g}): {one_value:.6g} and {other_value:.6g}{most}"
    )


def _polygons(a: Path, b: Path, tolerance: float, name: str) -> Iterator[str]:
    try:
        first, second = (_read(path) for path in (a, b))
    except Exception as error:  # damaged files fail in many ways: GDAL's, Arrow's, SQLite's
        yield f"{name}: cannot be read ({' '.join(str(error).split())})"
        return
    if first.crs != second.crs:
        yield f"{name}: CRS {first.crs} and {second.crs}"
    if list(first.columns) != list(second.columns):
        yield f"{name}: columns {', '.join(first.columns)} and {', '.join(second.columns)}"
        return
    if len(first) != len(second):
        yield f"{name}: {len(first)} and {len(second)} polygons"
        return
    for column in first.columns.drop("geometry"):
        differs = ~_equal(first[column], second[column], tolerance)
        if differs.any():
            index = int(differs.argmax())
            yield (
                f"{name}: {column} differs in {int(differs.sum())} polygons; first in polygon "
                f"{first['id'].iloc[index]}: {first[column].iloc[index]} and {second[column].iloc[index]}"
            )
    shapes = [shapely.normalize(frame.geometry.to_numpy()) for frame in (first, second)]
    differs = ~shapely.equals_exact(*shapes, tolerance)
    if differs.any():
        index = int(differs.argmax())
        point = shapes[0][index].representative_point()
        yield (
            f"{name}: outline differs in {int(differs.sum())} polygons; first in polygon "
            f"{first['id'].iloc[index]} near x {point.x:.10g}, y {point.y:.10g}"
        )


def _read(path: Path) -> gpd.GeoDataFrame:
    frame = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
    frame = frame.rename_geometry("geometry") if frame.geometry.name != "geometry" else frame
    return frame.sort_values("id").reset_index(drop=True)


def _equal(one: Any, other: Any, tolerance: float) -> BoolArray:
    if pd.api.types.is_float_dtype(one.dtype) and pd.api.types.is_float_dtype(other.dtype):
        first, second = (series.to_numpy(dtype="float64", na_value=np.nan) for series in (one, other))
        return np.asarray(np.isclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True))
    texts = [series.astype("string").fillna("").to_numpy(dtype=object) for series in (one, other)]
    return np.asarray(texts[0] == texts[1], dtype=bool)
