"""Polygons with a class from vector files: GeoPackage, GeoParquet, Shapefile, GeoJSON."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from terradelta.errors import SourceError
from terradelta.sources.mending import Mended, mend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import geopandas as gpd
    from numpy.typing import NDArray

    from terradelta.types import PathType

__all__ = ["Features", "Polygons", "read_features", "read_polygons", "text_of"]

_LOG = logging.getLogger(__name__)
_PARQUET = (".parquet", ".geoparquet", ".pq")
_NAMED = 12
_TELL = "name the one that tells the class with class_column"
_KINDS = "give a GeoPackage, GeoParquet, Shapefile or GeoJSON"


@dataclass(frozen=True, eq=False)
class Polygons:
    """Polygons of one CRS.

    Attributes
    ----------
    geometries : ndarray of shapely.Polygon, (polygon,)
        Valid, two-dimensional, multi-polygons split; in the order of the data.
    classes : ndarray of str, (polygon,)
        Class of each.
    crs : str
        As it was asked for.
    repaired, skipped, others : int
        Broken geometries that were repaired, geometries that were left out (empty, no polygon, beyond
        repair), and features of no wanted class.
    """

    geometries: NDArray[Any]
    classes: NDArray[Any]
    crs: str
    repaired: int = 0
    skipped: int = 0
    others: int = 0


@dataclass(frozen=True, eq=False)
class Features:
    """Polygons of one layer with their attributes.

    Attributes
    ----------
    geometries : ndarray of shapely.Polygon, (polygon,)
        Valid, two-dimensional, multi-polygons split; in the order of the data.
    columns : dict of str to ndarray of object, (polygon,)
        Values of the attributes that were asked for.
    crs : str
        CRS of the file, in short.
    """

    geometries: NDArray[Any]
    columns: dict[str, NDArray[Any]]
    crs: str


def read_features(
    path: PathType, crs: str, *, layer: str | None = None, columns: Sequence[str] = ()
) -> Features:
    """Read polygons with some of their attributes.

    Parameters
    ----------
    path : path-like
        GeoPackage, GeoParquet, Shapefile, GeoJSON, or whatever else GDAL reads.
    crs : str
        CRS to convert to.
    layer : str, optional
        Layer of the file; needed where there are several.
    columns : sequence of str
        Attributes to read.

    Returns
    -------
    Features
        What was repaired or skipped is told in the log.

    Raises
    ------
    SourceError
        If the file is missing or unreadable, has no CRS, several layers and none named, no such layer or
        attribute, or no polygon.

    Examples
    --------
    >>> import geopandas, shapely, tempfile
    >>> file = tempfile.mkdtemp() + "/built.gpkg"
    >>> data = {"year": [2019], "geometry": [shapely.box(0, 0, 9, 9)]}
    >>> geopandas.GeoDataFrame(data, crs="EPSG:3067").to_file(file)
    >>> read_features(file, "EPSG:3067", columns=["year"]).columns["year"].tolist()
    [2019]
    """
    file = Path(path)
    (name,) = _layers(file, layer)
    place = _Layer(file, name, "", None)
    with _reading(file):
        frame = _frame(place, list(columns), "leave it out, or name one that is there")
    _require_crs(place, frame)
    mended = _mended(place, frame.geometry, crs)
    if not len(mended.polygons):
        raise SourceError(f"{place}: no polygon that can be used ({mended.skipped} skipped); {_KINDS}")
    values = {one: np.asarray(frame[one], dtype=object)[mended.rows] for one in columns}
    return Features(mended.polygons, values, str(frame.crs.to_string()))


def read_polygons(
    paths: PathType | Sequence[PathType],
    crs: str,
    *,
    layer: str | Mapping[str, str] | None = None,
    class_column: str = "class",
    classes: Mapping[Any, str] | None = None,
) -> Polygons:
    """Read polygons and their classes.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        GeoPackage, GeoParquet, Shapefile, GeoJSON, or whatever else GDAL reads.
    crs : str
        CRS to convert to.
    layer : str or mapping, optional
        Layer of the files; needed where there are several. A mapping from layer to class reads these layers
        and takes the class from it instead of from a column.
    class_column : str
        Column that tells the class.
    classes : mapping, optional
        From value of the column, text or number, to class; other values are left out. All values by default.

    Returns
    -------
    Polygons
        In the order of the files, their layers and features. What was repaired or skipped is told once per
        layer in the log.

    Raises
    ------
    SourceError
        If a file is missing or unreadable, has no CRS, several layers and none named, no such layer or
        column, or not one of the classes.

    Examples
    --------
    >>> import geopandas, shapely, tempfile
    >>> file = tempfile.mkdtemp() + "/land.gpkg"
    >>> data = {"class": ["suo"], "geometry": [shapely.box(0, 0, 9, 9)]}
    >>> geopandas.GeoDataFrame(data, crs="EPSG:3067").to_file(file)
    >>> read_polygons(file, "EPSG:3067", classes={"suo": "mire"}).classes.tolist()
    ['mire']
    """
    files = [Path(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if not files:
        raise SourceError("no file of polygons given; give at least one GeoPackage or GeoParquet")
    wanted = None if classes is None else {text_of(value): name for value, name in classes.items()}
    parts = [
        _read_layer(_Layer(file, name, class_column, fixed), crs, wanted)
        for file in files
        for name, fixed in _layers(file, layer).items()
    ]
    _require_some(parts, files, class_column)
    return Polygons(
        np.concatenate([part.polygons.geometries for part in parts]),
        np.concatenate([part.polygons.classes for part in parts]),
        crs,
        *(sum(getattr(part.polygons, name) for part in parts) for name in ("repaired", "skipped", "others")),
    )


class _Layer(NamedTuple):
    """One layer of a file; its class is fixed, or told by a column."""

    file: Path
    name: str | None
    column: str
    fixed: str | None

    def __str__(self) -> str:
        return f"{self.file} (layer {self.name})" if self.name else str(self.file)


class _Read(NamedTuple):
    """Polygons of one layer, and the values that its column has."""

    polygons: Polygons
    values: list[str]


def _require_some(parts: list[_Read], files: list[Path], column: str) -> None:
    if any(len(part.polygons.geometries) for part in parts):
        return
    where = ", ".join(map(str, files))
    skipped = sum(part.polygons.skipped for part in parts)
    if skipped or not any(part.values for part in parts):
        raise SourceError(
            f"{where}: no polygon that can be used ({skipped} skipped); give another file or layer"
        )
    values = sorted({value for part in parts for value in part.values})
    raise SourceError(
        f"{where}: column {column!r} has none of the classes wanted, but {_listed(values)}; "
        "tell which value means which class, such as 1=forest (classes; in simulate change land_classes)"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more


def text_of(value: Any) -> str:
    """Write the value of an attribute so that 10, 10.0 and "10" are the same.

    Parameters
    ----------
    value : Any
        As it was read.

    Returns
    -------
    str
        Without blanks around it.

    Examples
    --------
    >>> text_of(10.0), text_of(" 10 "), text_of(0.5)
    ('10', '10', '0.5')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turn any failure to read a file into one line."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:  # GDAL, Arrow and GEOS raise kinds of their own
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason.split(" It might help")[0].rstrip(".;")
        raise SourceError(f"{file} cannot be read as polygons ({reason}); {_KINDS}") from error


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() in _PARQUET


def _layers(file: Path, layer: str | Mapping[str, str] | None) -> dict[str | None, str | None]:
    """Tell the layers to read, and the class of each where it is fixed."""
    import pyogrio

    if not file.exists():
        raise SourceError(f"{file} does not exist; {_KINDS}")
    if _is_parquet(file):
        if isinstance(layer, Mapping):
            raise SourceError(f"{file} has no layers; give class_column, or a GeoPackage")
        return {None: None}
    with _reading(file):
        there = [str(name) for name, kind in pyogrio.list_layers(file) if kind is not None]
    if layer is None and len(there) == 1:
        return {there[0]: None}
    if layer is None or not there:
        raise SourceError(
            f"{file} has {len(there)} layers of geometries: {_listed(there)}; name one with layer"
        )
    chosen: dict[str | None, str | None] = {layer: None} if isinstance(layer, str) else dict(layer.items())
    missing = [name for name in chosen if name not in there]
    if missing:
        raise SourceError(f"{file} has no layer {_listed(list(map(str, missing)))}; it has {_listed(there)}")
    return chosen


def _read_layer(layer: _Layer, crs: str, wanted: Mapping[str, str] | None) -> _Read:
    with _reading(layer.file):
        frame = _frame(layer, [layer.column] if layer.fixed is None else [], _TELL)
    _require_crs(layer, frame)
    names, values = _classes(frame, layer, wanted)
    kept = np.flatnonzero([name is not None for name in names])
    mended = _mended(layer, frame.geometry.iloc[kept], crs)
    classes = names[kept][mended.rows]
    found = Polygons(mended.polygons, classes, crs, mended.repaired, mended.skipped, len(names) - len(kept))
    return _Read(found, values)


def _require_crs(layer: _Layer, frame: gpd.GeoDataFrame) -> None:
    if frame.crs is None:
        raise SourceError(
            f"{layer} has no CRS; write one into it, such as: "
            f"ogr2ogr -a_srs EPSG:3067 with_crs.gpkg {layer.file.name}"
        )


def _mended(layer: _Layer, geometries: gpd.GeoSeries, crs: str) -> Mended:
    with _reading(layer.file):
        mended = mend(np.asarray(geometries.to_crs(crs).array, dtype=object))
    if mended.repaired or mended.skipped:
        _LOG.warning(
            "%s: %d broken geometries repaired, %d without a usable polygon skipped",
            layer, mended.repaired, mended.skipped,
        )  # fmt: skip
    return mended


def _frame(layer: _Layer, wanted: list[str], cure: str) -> gpd.GeoDataFrame:
    """Read geometries and the columns wanted, nothing else."""
    import geopandas as gpd
    import pyogrio

    if not _is_parquet(layer.file):
        columns = [str(name) for name in pyogrio.read_info(layer.file, layer=layer.name)["fields"]]
        _require_columns(layer, columns, wanted, cure)
        return pyogrio.read_dataframe(
            layer.file, layer=layer.name, columns=wanted, force_2d=True, on_invalid="ignore"
        )
    from pyarrow.parquet import read_schema

    schema = read_schema(layer.file)
    document = (schema.metadata or {}).get(b"geo")
    if document is None:
        raise SourceError(
            f"{layer.file} is a table without geometries; write it with GeoDataFrame.to_parquet"
        )
    geo = json.loads(document)
    columns = [name for name in schema.names if name not in geo["columns"]]
    _require_columns(layer, columns, wanted, cure)
    return gpd.read_parquet(layer.file, columns=[*wanted, geo["primary_column"]])


def _require_columns(layer: _Layer, columns: list[str], wanted: list[str], cure: str) -> None:
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise SourceError(
            f"{layer} has no column {missing[0]!r}; it has {_listed(columns) or 'none'}: {cure}"
        )


def _classes(
    frame: gpd.GeoDataFrame, layer: _Layer, wanted: Mapping[str, str] | None
) -> tuple[NDArray[Any], list[str]]:
    """Give the class of each feature, None = not wanted, and the values of the column."""
    import pandas as pd

    if layer.fixed is not None:
        return np.full(len(frame), layer.fixed, object), []
    codes, values = pd.factorize(frame[layer.column])
    texts = [text_of(value) for value in values]
    table = [text if wanted is None else wanted.get(text) for text in texts]
    return np.array([*table, None], object)[codes], texts
