"""Labels of change that people made: polygons, rasters and folders of tiles, onto the grid of a cube."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from terradelta.cube.grid import crs_text
from terradelta.errors import SourceError
from terradelta.sources.polygons import Features, read_features, text_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from terradelta.types import BoolArray, PathType

__all__ = ["LabelChoice", "Order", "files_of", "read_area", "read_labels"]

_LOG = logging.getLogger(__name__)
_CHANGED, _NOT_LABELLED = 1, 255
_RASTERS = (".tif", ".tiff", ".vrt", ".jp2", ".img")
_NAMED = 8
_NEVER, _ALWAYS = np.datetime64("0001-01-01", "D"), np.datetime64("9999-12-31", "D")

Order = Literal["row-column", "column-row"]
"""Which of two numbers comes first."""


@dataclass(frozen=True)
class LabelChoice:
    """How a source of labels is to be read.

    Attributes
    ----------
    layer : str, optional
        Layer of the polygons; needed where the file has several.
    dates : sequence of str
        Attribute with the date of change, or two with its first and last day; none: all polygons count.
    start, end : str, optional
        First and last day (ISO) of the period; polygons that changed outside it do not count.
    where : str
        ``attribute=value`` or ``attribute=value,value``: only these polygons count; empty: all.
    all_touched : bool
        Whether pixels count that a polygon touches; else those whose centre lies in it.
    tile : int
        Side of a tile, pixels, for folders of tiles.
    order : {"row-column", "column-row"}
        Which number comes first in the names of tiles.
    """

    layer: str | None = None
    dates: Sequence[str] = ()
    start: str | None = None
    end: str | None = None
    where: str = ""
    all_touched: bool = False
    tile: int = 32
    order: Order = "row-column"


def read_labels(source: PathType, geobox: GeoBox, choice: LabelChoice | None = None) -> NDArray[np.uint8]:
    """Read labels of change onto a grid.

    Polygons mark the pixels whose centre they hold; elsewhere nothing changed. A raster is brought onto the
    grid by its nearest pixels; above 0 is changed, nodata and what lies outside it is not labelled. So it is
    with a folder of tiles, ``.npy`` files with two integers in their names; a tile without a file is not
    labelled.

    Parameters
    ----------
    source : path-like
        GeoPackage, GeoParquet, Shapefile, GeoJSON; GeoTIFF; or a folder of ``.npy`` files. Any CRS.
    geobox : GeoBox
        Grid of the cube.
    choice : LabelChoice, optional
        What counts.

    Returns
    -------
    ndarray of uint8
        (y, x): 1 changed, 0 not, 255 not labelled.

    Raises
    ------
    SourceError
        If the source is missing or unreadable, has no CRS, does not lie on the grid or holds nothing that
        counts; the choice does not fit it; or a tile does not exist, twice exists or has another size.

    Examples
    --------
    >>> import geopandas, shapely, tempfile
    >>> from affine import Affine
    >>> from odc.geo.geobox import GeoBox
    >>> file = tempfile.mkdtemp() + "/built.gpkg"
    >>> shape = {"year": [2019], "geometry": [shapely.box(500_000, 0, 500_020, 10)]}
    >>> geopandas.GeoDataFrame(shape, crs="EPSG:32631").to_file(file)
    >>> grid = GeoBox((2, 3), Affine(10, 0, 500_000, 0, -10, 20), "EPSG:32631")
    >>> read_labels(file, grid, LabelChoice(dates=["year"], start="2018-01-01")).tolist()
    [[0, 0, 0], [1, 1, 0]]
    """
    path, choice = Path(source), choice or LabelChoice()
    if not path.exists():
        raise SourceError(f"{path} does not exist; give polygons, a raster, or a folder of .npy tiles")
    is_raster = path.suffix.lower() in _RASTERS
    if (path.is_dir() or is_raster) and (choice.layer or choice.dates or choice.where):
        raise SourceError(
            f"{path} has no layers and attributes; leave layer, dates and where out, or give polygons"
        )
    if path.is_dir():
        return _read_tiles(path, geobox, choice)
    return _read_raster(path, geobox) if is_raster else _read_polygons(path, geobox, choice)


def read_area(source: PathType, geobox: GeoBox) -> BoolArray:
    """Read where somebody looked for changes.

    Parameters
    ----------
    source : path-like
        Polygons of one layer, in any CRS.
    geobox : GeoBox
        Grid of the cube.

    Returns
    -------
    ndarray of bool
        (y, x), True where the centre of a pixel lies in a polygon.

    Raises
    ------
    SourceError
        As `read_labels`.
    """
    path = Path(source)
    features = read_features(path, crs_text(geobox.crs))
    return _drawn(features.geometries[_on_grid(path, features, geobox)], geobox, all_touched=False) > 0


def files_of(source: PathType) -> list[Path]:
    """List the files that hold labels, for telling whether they are still the same.

    Parameters
    ----------
    source : path-like
        As of `read_labels`.

    Returns
    -------
    list of Path
        The file with what belongs to it (of a Shapefile), or the ``.npy`` files of a folder; sorted.

    Examples
    --------
    >>> files_of("labels.gpkg")
    [PosixPath('labels.gpkg')]
    """
    path = Path(source)
    if path.is_dir():
        return sorted(path.glob("*.npy"))
    if path.suffix.lower() == ".shp":
        endings = (".shp", ".dbf", ".shx", ".prj", ".cpg")
        return sorted(
            file for file in path.parent.glob(f"{escape(path.stem)}.*") if file.suffix.lower() in endings
        )
    return [path]


# polygons


def _read_polygons(path: Path, geobox: GeoBox, choice: LabelChoice) -> NDArray[np.uint8]:
    column, values = _condition(choice.where)
    columns = list(dict.fromkeys([*choice.dates, *([column] if column else [])]))
    features = read_features(path, crs_text(geobox.crs), layer=choice.layer, columns=columns)
    chosen = np.ones(len(features.geometries), bool)
    if column:
        chosen &= _chosen(path, features.columns[column], column, values)
    if choice.dates:
        chosen &= _within(path, [features.columns[name][chosen] for name in choice.dates], choice, chosen)
    chosen &= _on_grid(path, features, geobox)
    return _drawn(features.geometries[chosen], geobox, all_touched=choice.all_touched)


def _drawn(polygons: NDArray[Any], geobox: GeoBox, *, all_touched: bool) -> NDArray[np.uint8]:
    from rasterio.features import rasterize

    if not len(polygons):
        return np.zeros(geobox.shape, np.uint8)
    drawn: NDArray[np.uint8] = rasterize(
        list(polygons), geobox.shape, transform=geobox.affine, all_touched=all_touched,
        default_value=_CHANGED, dtype="uint8",
    )  # fmt: skip
    return drawn


def _on_grid(path: Path, features: Features, geobox: GeoBox) -> BoolArray:
    """Tell which polygons touch the grid; refuse if none does."""
    import shapely

    on: BoolArray = shapely.intersects(features.geometries, geobox.extent.geom)
    if not on.any():
        there = _box(shapely.total_bounds(features.geometries))
        raise SourceError(
            f"{path}: none of its {len(on)} polygons lies on the area of the cube "
            f"({_box(geobox.extent.geom.bounds)}; they lie in {there} of {crs_text(geobox.crs)}, written in "
            f"{features.crs}); correct the CRS of the file, or give another one"
        )
    if not on.all():
        _LOG.warning("%s: %d of %d polygons lie off the area and do not count", path, (~on).sum(), len(on))
    return on


def _box(bounds: Sequence[float]) -> str:
    west, south, east, north = (f"{value:.10g}" for value in np.round(bounds, 3))
    return f"x {west} to {east}, y {south} to {north}"


def _condition(text: str) -> tuple[str, list[str]]:
    if not text:
        return "", []
    column, equals, values = text.partition("=")
    wanted = [value.strip() for value in values.split(",") if value.strip()]
    if not equals or not column.strip() or not wanted:
        raise SourceError(f"where is {text!r}; write attribute=value or attribute=value,value")
    return column.strip(), wanted


def _chosen(path: Path, values: NDArray[Any], column: str, wanted: list[str]) -> BoolArray:
    texts = np.array([text_of(value) for value in values], object)
    chosen: BoolArray = np.isin(texts, np.array(wanted, object))
    if not chosen.any():
        found = sorted({str(text) for text in texts})
        there = ", ".join(found[:_NAMED]) + (" ..." if len(found) > _NAMED else "")
        raise SourceError(
            f"{path}: no polygon has {column} = {' or '.join(wanted)}, but {there}; correct where"
        )
    return chosen


def _within(path: Path, columns: list[NDArray[Any]], choice: LabelChoice, chosen: BoolArray) -> BoolArray:
    """Tell which of the chosen polygons changed within the period, by their one or two dates."""
    if len(columns) > 2:
        raise SourceError(f"dates are {', '.join(choice.dates)}; name one attribute, or first and last day")
    first = np.array([_day(path, choice.dates[0], value, _NEVER, False) for value in columns[0]], "M8[D]")
    last = np.array([_day(path, choice.dates[-1], value, _ALWAYS, True) for value in columns[-1]], "M8[D]")
    if (first > last).any():
        at = int(np.argmax(first > last))
        raise SourceError(
            f"{path}: {choice.dates[0]} {first[at]} is after {choice.dates[-1]} {last[at]}; swap dates"
        )
    open_ended = int(((first == _NEVER) & (last == _ALWAYS)).sum())
    if open_ended:
        _LOG.warning("%s: %d polygons have no date of change and count", path, open_ended)
    start = _NEVER if choice.start is None else np.datetime64(choice.start, "D")
    end = _ALWAYS if choice.end is None else np.datetime64(choice.end, "D")
    within = (last >= start) & (first <= end)
    if not within.any():
        raise SourceError(
            f"{path}: no polygon changed from {choice.start or 'the start'} to {choice.end or 'the end'}; "
            f"their dates are {_span(first, last)}: correct start and end"
        )
    every = np.zeros(len(chosen), bool)
    every[chosen] = within
    return every


def _span(first: NDArray[Any], last: NDArray[Any]) -> str:
    """Name the first and the last day that are told."""
    days = np.concatenate([first, last])
    told = days[(days != _NEVER) & (days != _ALWAYS)]
    return f"{told.min()} to {told.max()}"


def _day(path: Path, column: str, value: Any, missing: np.datetime64, last: bool) -> Any:
    """Read the first or the last day of a date, a month or a year."""
    text = "" if value is None or value != value else text_of(value)
    if text in ("", "NaT", "None", "nan"):
        return missing
    try:
        if re.fullmatch(r"\d{8}", text):
            return np.datetime64(date.fromisoformat(text), "D")
        if not re.match(r"\d{4}(-\d\d){0,2}($|[T ])", text):
            raise ValueError
        moment = np.datetime64(text[:10])
    except ValueError:
        raise SourceError(
            f"{path}: {column} is {text!r}, no date; write 2019-05-31, 2019-05 or 2019"
        ) from None
    return (moment + 1).astype("M8[D]") - 1 if last else moment.astype("M8[D]")


# rasters


def _read_raster(path: Path, geobox: GeoBox) -> NDArray[np.uint8]:
    import rasterio
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.errors import RasterioError
    from rasterio.vrt import WarpedVRT

    try:
        with rasterio.open(path) as source:
            if source.crs is None:
                raise SourceError(
                    f"{path} has no CRS; write one into it, such as: gdal_edit -a_srs EPSG:3067 {path.name}"
                )
            _require_overlap(path, source, geobox)
            with WarpedVRT(
                source, crs=crs_text(geobox.crs), transform=geobox.affine, height=geobox.shape[0],
                width=geobox.shape[1], resampling=Resampling.nearest,
                add_alpha=source.nodata is None and ColorInterp.alpha not in source.colorinterp,
            ) as warped:  # fmt: skip
                values = warped.read(1)
                known = warped.dataset_mask() > 0
    except RasterioError as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"{path} cannot be read as a raster ({reason}); give a GeoTIFF") from error
    return _labelled(values, known)


def _require_overlap(path: Path, source: Any, geobox: GeoBox) -> None:
    from rasterio.warp import transform_bounds

    try:
        cube = transform_bounds(crs_text(geobox.crs), source.crs, *geobox.extent.geom.bounds)
    except Exception as error:  # GDAL raises kinds of its own
        raise SourceError(
            f"{path}: its CRS cannot be converted to {crs_text(geobox.crs)} of the cube; write the right one "
            f"into it, such as: gdal_edit -a_srs EPSG:3067 {path.name}"
        ) from error
    there = source.bounds
    apart = cube[2] <= there[0] or there[2] <= cube[0] or cube[3] <= there[1] or there[3] <= cube[1]
    if apart:
        raise SourceError(
            f"{path} does not lie on the area of the cube: it covers {_box(there)} of {source.crs}, the cube "
            f"{_box(cube)}; correct its CRS, or give another one"
        )


def _labelled(values: NDArray[Any], known: BoolArray | None = None) -> NDArray[np.uint8]:
    labels: NDArray[np.uint8] = (np.nan_to_num(values) > 0).astype(np.uint8)
    unknown = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    labels[unknown if known is None else unknown | ~known] = _NOT_LABELLED
    return labels


# tiles


def _read_tiles(folder: Path, geobox: GeoBox, choice: LabelChoice) -> NDArray[np.uint8]:
    height, width = geobox.shape
    rows, columns = height // choice.tile, width // choice.tile
    truth = np.full((height, width), _NOT_LABELLED, np.uint8)
    seen: dict[tuple[int, int], Path] = {}
    for file in files_of(folder):
        row, column = place = _place(file, choice.order)
        if row >= rows or column >= columns:
            raise SourceError(
                f"{file}: row {row} and column {column} do not exist among {rows} x {columns} tiles of "
                f"{choice.tile} pixels, counted from 0; correct the name, tile or order ({choice.order})"
            )
        if place in seen:
            raise SourceError(f"{file} and {seen[place].name} are of the same tile; leave one out")
        seen[place] = file
        top, left = row * choice.tile, column * choice.tile
        truth[top : top + choice.tile, left : left + choice.tile] = _labelled(_load(file, choice.tile))
    if not seen:
        raise SourceError(f"{folder} holds no .npy file; give a folder of tiles such as 3_7.npy")
    return truth


def _place(file: Path, order: Order) -> tuple[int, int]:
    numbers = re.findall(r"\d+", file.stem)
    if len(numbers) != 2:
        raise SourceError(f"{file} has not two integers in its name; call it such as 3_7.npy")
    first, second = (int(number) for number in numbers)
    return (first, second) if order == "row-column" else (second, first)


def _load(file: Path, side: int) -> NDArray[Any]:
    try:
        stored = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise SourceError(f"{file} cannot be read ({reason}); write it with numpy.save") from error
    shape = getattr(stored, "shape", ())
    if shape not in ((side, side), (side, side, 1), (1, side, side)) or stored.dtype.kind not in "biuf":
        raise SourceError(
            f"{file} is {getattr(stored, 'dtype', 'no array')} of shape {shape}; give numbers of "
            f"{side} x {side}, or set tile"
        )
    tile: NDArray[Any] = stored.reshape(side, side)
    return tile
