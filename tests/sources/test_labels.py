"""Labels that people made: polygons, rasters, tiles; what counts of them, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from terradelta.errors import SourceError
from terradelta.sources.labels import LabelChoice, files_of, read_area, read_labels

GRID = GeoBox((40, 50), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
SHAPES = [
    shapely.box(500_033, 4_999_802, 500_147, 4_999_921),
    shapely.Polygon([(500_201, 4_999_703), (500_404, 4_999_751), (500_303, 4_999_902)]),
    shapely.Point(500_300, 4_999_680).buffer(41),
]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(
        name: str = "changes.gpkg",
        shapes: Sequence[Any] = SHAPES,
        crs: Any = "EPSG:32631",
        **columns: Any,
    ) -> Path:
        frame = gpd.GeoDataFrame(columns | {"geometry": list(shapes)}, crs="EPSG:32631")
        frame = frame.set_crs(None, allow_override=True) if crs is None else frame.to_crs(crs)
        frame.to_file(tmp_path / name)
        return tmp_path / name

    return make


def inside(shapes: Sequence[Any], grid: GeoBox = GRID, crs: str = "EPSG:32631") -> NDArray[np.uint8]:
    """Ask pixel by pixel whether its centre lies in a shape."""
    move = Transformer.from_crs(str(grid.crs), crs, always_xy=True)
    truth = np.zeros(grid.shape, np.uint8)
    for row in range(grid.shape[0]):
        for column in range(grid.shape[1]):
            centre = shapely.Point(*move.transform(*(grid.affine @ (column + 0.5, row + 0.5))))
            truth[row, column] = any(shape.contains(centre) for shape in shapes)
    return truth


# polygons


@pytest.mark.parametrize("name", ["changes.gpkg", "changes.shp", "changes.geojson"])
@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:4326", "EPSG:3035"])
def test_polygons_in_any_crs(write: Write, name: str, crs: str) -> None:
    truth = read_labels(write(name, crs=crs), GRID)
    expected = inside(SHAPES)
    assert truth.dtype == np.uint8 and expected.sum() > 250
    # edges bend a little when they are written in another CRS
    assert (truth != expected).sum() <= (0 if crs == "EPSG:32631" else 2)


def test_touched_pixels_and_multipolygons(write: Write) -> None:
    shapes = [shapely.MultiPolygon(SHAPES), None, shapely.Point(500_005, 4_999_995)]
    file = write(shapes=shapes)
    np.testing.assert_array_equal(read_labels(file, GRID), inside(SHAPES))
    touched = read_labels(file, GRID, LabelChoice(all_touched=True))
    assert (touched >= inside(SHAPES)).all() and touched.sum() > inside(SHAPES).sum()


@pytest.mark.parametrize(
    ("dates", "start", "end", "counted"),
    [
        ((["2018-03-01", "2019-07-31", "2021-01-05"],), None, None, [0, 1, 2]),
        ((["2018-03-01", "2019-07-31", "2021-01-05"],), "2018-03-02", "2020-12-31", [1]),
        ((["2018-03-01", "2019-07-31", "2021-01-05"],), "2018-03-01", "2021-01-05", [0, 1, 2]),
        (([2018, 2019, 2021],), "2018-12-31", "2020-12-31", [0, 1]),
        ((["2018", "2019-07", None],), "2019-07-31", None, [1, 2]),
        ((["20180301", "2019-07-31T10:00:00", "2021-01-05 09:00:00Z"],), "2019-07-31", "2020-01-01", [1]),
        (([2017, 2018, 2020], [2018, 2020, 2021]), "2019-01-01", "2019-12-31", [1]),
        (([2017, None, 2020], [2018, 2020, None]), "2019-01-01", "2020-01-01", [1, 2]),
    ],
)
def test_period(write: Write, dates: Any, start: Any, end: Any, counted: list[int]) -> None:
    names = ["first", "last"][: len(dates)]
    file = write(**dict(zip(names, dates, strict=True)))
    truth = read_labels(file, GRID, LabelChoice(dates=names, start=start, end=end))
    np.testing.assert_array_equal(truth, inside([SHAPES[index] for index in counted]))


def test_dates_that_are_dates(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    import pandas as pd

    file = write(day=pd.to_datetime(["2018-03-01", "2019-07-31", None]))
    with caplog.at_level(logging.WARNING):
        truth = read_labels(file, GRID, LabelChoice(dates=["day"], start="2019-01-01", end="2019-12-31"))
    np.testing.assert_array_equal(truth, inside(SHAPES[1:]))
    assert "1 polygons have no date of change and count" in caplog.text


def test_where_and_dates(write: Write) -> None:
    file = write(kind=["built", "field", "built"], code=[1.0, 2.0, 3.0], year=[2018, 2018, 2020])
    kinds = read_labels(file, GRID, LabelChoice(where="kind = built"))
    np.testing.assert_array_equal(kinds, inside([SHAPES[0], SHAPES[2]]))
    codes = read_labels(file, GRID, LabelChoice(where="code=2, 3"))
    np.testing.assert_array_equal(codes, inside(SHAPES[1:]))
    both = LabelChoice(where="kind=built", dates=["year"], start="2019-01-01")
    np.testing.assert_array_equal(read_labels(file, GRID, both), inside(SHAPES[2:]))


def test_polygons_off_the_grid(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    far = [shapely.affinity.translate(shape, 5_000) for shape in SHAPES]
    with caplog.at_level(logging.WARNING):
        truth = read_labels(write(shapes=[*SHAPES, *far]), GRID)
    np.testing.assert_array_equal(truth, inside(SHAPES))
    assert "3 of 6 polygons lie off the area" in caplog.text
    with pytest.raises(
        SourceError, match=r"none of its 3 polygons lies on the area .*x 500000 to 500500"
    ) as no:
        read_labels(write(shapes=far, crs="EPSG:4326"), GRID)
    assert "written in EPSG:4326" in str(no.value) and "\n" not in str(no.value)


def test_area(write: Write) -> None:
    where = shapely.box(500_057, 4_999_752, 500_302, 4_999_988)
    file = write("area.geojson", [where], crs="EPSG:4326")
    np.testing.assert_array_equal(read_area(file, GRID), inside([where]).astype(bool))
    with pytest.raises(SourceError, match="none of its 1 polygons lies on the area"):
        read_area(write("far.gpkg", [shapely.box(0, 0, 1, 1)]), GRID)


@pytest.mark.parametrize(
    ("choice", "problem"),
    [
        ({"dates": ["when"]}, "has no column 'when'; it has 'kind', 'day'"),
        ({"dates": ["day", "day", "day"]}, "name one attribute, or first and last day"),
        ({"dates": ["day"]}, "day is '31.07.2019', no date; write 2019-05-31"),
        (
            {"dates": ["year"], "start": "2022-01-01"},
            "no polygon changed from 2022-01-01 to the end; their dates",
        ),
        ({"dates": ["never", "year"], "start": "2022-01-01"}, "their dates are 2018-12-31 to 2021-12-31"),
        ({"dates": ["year"], "end": "2001-01-01"}, "are 2018-01-01 to 2021-12-31: correct start and end"),
        ({"dates": ["year", "before"]}, "year 2018-01-01 is after before 2017-12-31; swap"),
        ({"where": "kind"}, "where is 'kind'; write attribute=value"),
        ({"where": "kind="}, "write attribute=value"),
        ({"where": "kind=house"}, "no polygon has kind = house, but built, field; correct where"),
        ({"where": "sort=house"}, "has no column 'sort'"),
        ({"layer": "others"}, "has no layer 'others'; it has 'changes'"),
    ],
)
def test_choices_that_do_not_fit(write: Write, choice: dict[str, Any], problem: str) -> None:
    file = write(
        kind=["built", "field", "built"], day=["2018-03-01", "31.07.2019", ""], year=[2018, 2019, 2021],
        before=[2017, 2019, 2021], never=[None, None, None],
    )  # fmt: skip
    with pytest.raises(SourceError, match=problem) as error:
        read_labels(file, GRID, LabelChoice(**choice))
    assert "\n" not in str(error.value)


def test_files_that_are_none(write: Write, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="crs"):
        nowhere = write("bare.shp", crs=None)
    with pytest.raises(SourceError, match=r"has no CRS; write one into it, such as: ogr2ogr -a_srs"):
        read_labels(nowhere, GRID)
    with pytest.raises(SourceError, match="does not exist; give polygons, a raster, or a folder"):
        read_labels(tmp_path / "none.gpkg", GRID)
    with pytest.raises(SourceError, match="no polygon that can be used"):
        read_labels(write("points.gpkg", [shapely.Point(500_005, 4_999_995)]), GRID)
    (tmp_path / "text.gpkg").write_text("no database")
    with pytest.raises(SourceError, match="cannot be read as polygons"):
        read_labels(tmp_path / "text.gpkg", GRID)


def test_files_of(write: Write) -> None:
    names = [file.name for file in files_of(write("changes.shp"))]
    assert {"changes.shp", "changes.dbf", "changes.prj"} <= set(names)
    assert files_of(write()) == [write()]


# rasters


def raster(path: Path, values: Any, grid: GeoBox = GRID, **options: Any) -> Path:
    array = np.asarray(values)
    profile = {"crs": str(grid.crs), "transform": grid.affine, "count": 1, "dtype": array.dtype} | options
    with rasterio.open(path, "w", "GTiff", array.shape[1], array.shape[0], **profile) as file:
        file.write(array, 1)
    return path


def test_raster_on_the_same_grid(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 3, GRID.shape).astype(np.uint8)
    np.testing.assert_array_equal(read_labels(raster(tmp_path / "a.tif", values), GRID), values > 0)
    marked = read_labels(raster(tmp_path / "b.tif", values, nodata=2), GRID)
    np.testing.assert_array_equal(marked, np.where(values == 2, 255, values))
    shares = values.astype(np.float32) / 3
    shares[:5] = np.nan
    for name, options in (("c.tif", {}), ("d.tif", {"nodata": np.nan})):
        found = read_labels(raster(tmp_path / name, shares, **options), GRID)
        np.testing.assert_array_equal(found, np.where(np.isnan(shares), 255, values > 0))


def test_raster_with_an_alpha_band(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(0, 2, (2, *GRID.shape)).astype(np.uint8) * 255
    profile = {"crs": "EPSG:32631", "transform": GRID.affine, "count": 2, "dtype": "uint8", "alpha": "YES"}
    with rasterio.open(tmp_path / "a.tif", "w", "GTiff", GRID.shape[1], GRID.shape[0], **profile) as file:
        file.write(values)
    found = read_labels(tmp_path / "a.tif", GRID)
    np.testing.assert_array_equal(found, np.where(values[1] == 0, 255, values[0] > 0))


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:32632", "EPSG:4326"])
def test_raster_on_another_grid(tmp_path: Path, crs: str) -> None:
    """Compare with the nearest pixel of every centre, found one by one."""
    move = Transformer.from_crs("EPSG:32631", crs, always_xy=True)
    x, y = move.transform(500_120.0, 4_999_950.0)
    step = 2e-4 if crs == "EPSG:4326" else 17.0
    other = GeoBox((14, 17), Affine(step, 0, x, 0, -step, y), crs)
    values = np.random.default_rng(1).integers(0, 2, other.shape).astype(np.uint8)
    truth = read_labels(raster(tmp_path / "other.tif", values, other), GRID)
    expected = np.full(GRID.shape, 255, np.uint8)
    for row in range(40):
        for column in range(50):
            place = ~other.affine @ move.transform(*(GRID.affine @ (column + 0.5, row + 0.5)))
            there = int(np.floor(place[1])), int(np.floor(place[0]))
            if 0 <= there[0] < 14 and 0 <= there[1] < 17:
                expected[row, column] = values[there]
    assert 0.2 < (expected != 255).mean() < 0.9
    assert (truth == expected).mean() > 0.995


def test_wrong_rasters(tmp_path: Path) -> None:
    zeros = np.zeros(GRID.shape, np.uint8)
    far = GeoBox(GRID.shape, Affine(10, 0, 590_000, 0, -10, 5_000_000), GRID.crs)
    with pytest.raises(
        SourceError, match=r"does not lie on the area of the cube: it covers x 590000 to .*cube x 500000"
    ):
        read_labels(raster(tmp_path / "far.tif", zeros, far), GRID)
    with pytest.raises(SourceError, match="has no CRS; write one into it, such as: gdal_edit"):
        read_labels(raster(tmp_path / "bare.tif", zeros, crs=None), GRID)
    with pytest.raises(SourceError, match="has no layers and attributes; leave layer, dates and where out"):
        read_labels(tmp_path / "far.tif", GRID, LabelChoice(where="a=b"))
    local = raster(tmp_path / "local.tif", zeros, crs='LOCAL_CS["here",UNIT["metre",1]]')
    with pytest.raises(
        SourceError, match="its CRS cannot be converted to EPSG:32631 of the cube; write"
    ) as no:
        read_labels(local, GRID)
    assert "\n" not in str(no.value)
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(SourceError, match="cannot be read as a raster"):
        read_labels(tmp_path / "text.tif", GRID)


# tiles


@pytest.mark.parametrize("order", ["row-column", "column-row"])
def test_tiles(tmp_path: Path, order: Any) -> None:
    random = np.random.default_rng(2)
    expected = np.full(GRID.shape, 255, np.uint8)
    for number, (row, column) in enumerate([(0, 0), (4, 5), (2, 0), (1, 3)]):
        values = random.integers(0, 2, (8, 8)).astype([np.uint8, np.float32, np.int64, bool][number])
        expected[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = values
        first, second = (row, column) if order == "row-column" else (column, row)
        stored = values if number == 0 else values[..., None] if number < 3 else values[None]
        np.save(tmp_path / f"tile_{first:02d}-{second}.npy", stored)
    np.testing.assert_array_equal(read_labels(tmp_path, GRID, LabelChoice(tile=8, order=order)), expected)
    assert len(files_of(tmp_path)) == 4


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "holds no .npy file"),
        ({"3": np.zeros((8, 8))}, "has not two integers in its name; call it such as 3_7.npy"),
        ({"5_0": np.zeros((8, 8))}, "row 5 and column 0 do not exist among 5 x 6 tiles of 8 pixels"),
        ({"0_0": np.zeros((8, 8)), "00_00": np.zeros((8, 8))}, "are of the same tile; leave one out"),
        ({"0_0": np.zeros((8, 9))}, r"is float64 of shape \(8, 9\); give numbers of 8 x 8, or set tile"),
        ({"0_0": np.zeros((8, 8, 2))}, "give numbers of 8 x 8"),
        ({"0_0": np.full((8, 8), "x")}, "give numbers of 8 x 8"),
        ({"0_0": np.full((8, 8), None)}, "cannot be read .*; write it with numpy.save"),
    ],
)
def test_wrong_tiles(tmp_path: Path, files: dict[str, Any], problem: str) -> None:
    for name, values in files.items():
        np.save(tmp_path / f"{name}.npy", values)
    with pytest.raises(SourceError, match=problem) as error:
        read_labels(tmp_path, GRID, LabelChoice(tile=8))
    assert "\n" not in str(error.value)
