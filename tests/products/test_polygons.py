from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from pyproj import Geod
from scipy import ndimage
from shapely.geometry import Polygon

import terradelta.products as products
from terradelta.products import components
from terradelta.products.area import PixelAreas
from terradelta.products.layers import LAYERS
from terradelta.products.polygons import COLUMNS, change_polygons
from terradelta.products.rasters import write_rasters
from terradelta.products.summary import Tally

Make = Callable[..., xr.Dataset]


def test_attributes_are_those_of_the_pixels(written: dict[str, Path], make: Make) -> None:
    polygons = gpd.read_parquet(written["utm"] / "polygons.parquet")
    scene = make()
    assert list(polygons.columns) == [*COLUMNS, "geometry"]
    assert polygons["pixels"].tolist() == [96, 108, 120]
    assert polygons["area_m2"].tolist() == [96 * 400.0, 108 * 400.0, 120 * 400.0]
    assert polygons["first_date"].tolist() == [date(2020, 1, 13), date(2020, 1, 25), date(2020, 2, 6)]
    assert polygons["last_date"].tolist() == [date(2020, 4, 6), date(2020, 1, 25), date(2020, 2, 6)]
    assert set(polygons["orbit"]) == {"combined"}
    first = scene["score"].values[10:22, 30:38]
    assert polygons["mean_score"][0] == pytest.approx(first.mean(), rel=1e-6)
    assert polygons["max_score"][0] == pytest.approx(first.max(), rel=1e-6)
    assert polygons.geometry[0].bounds == (656600.0, 5601960.0, 656760.0, 5602200.0)


def test_geopackage_and_geoparquet_hold_the_same(written: dict[str, Path]) -> None:
    info = pyogrio.read_info(written["utm"] / "polygons.gpkg")
    assert (info["layer_name"], info["geometry_type"], info["crs"]) == (
        "change",
        "MultiPolygon",
        "EPSG:32631",
    )
    kinds = dict(zip(info["fields"], info["ogr_types"], strict=True))
    assert kinds["first_date"] == "OFTDate" and kinds["pixels"] == "OFTInteger64"
    one, other = (
        gpd.read_file(written["utm"] / "polygons.gpkg"),
        gpd.read_parquet(written["utm"] / "polygons.parquet"),
    )
    assert one.crs == other.crs
    assert one.geometry.geom_equals(other.geometry).all()
    assert one["area_m2"].tolist() == other["area_m2"].tolist()


def test_orbits_without_scores_have_empty_scores(written: dict[str, Path]) -> None:
    polygons = gpd.read_parquet(written["utm"] / "orbit-37-descending" / "polygons.parquet")
    assert polygons["mean_score"].isna().all()
    assert set(polygons["orbit"]) == {"orbit-37-descending"}


def _write(change: np.ndarray, folder: Path, crs: str = "EPSG:32631") -> GeoBox:
    grid = GeoBox.from_bbox((0, 0, change.shape[1], change.shape[0]), crs, resolution=1)
    layers = xr.Dataset({"change": wrap_xr(change.astype("uint8"), grid)})
    write_rasters(layers, folder, {}, Tally(grid))
    return grid


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0.05, 0.7),
    rows=st.integers(1, 70),
    columns=st.integers(1, 60),
)
def test_polygons_are_the_connected_areas_whatever_the_strips(
    tmp_path_factory: pytest.TempPathFactory, seed: int, share: float, rows: int, columns: int
) -> None:
    folder = tmp_path_factory.mktemp("shapes")
    change = np.random.default_rng(seed).random((rows, columns)) < share
    grid = _write(change, folder)
    labels, number = ndimage.label(change, np.ones((3, 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(components, "_strips", lambda _: _thin_strips(rows, columns))
        polygons = change_polygons(folder, grid, folder)
    assert len(polygons) == number
    assert sorted(polygons["pixels"]) == sorted(np.bincount(labels.ravel())[1:])
    assert polygons.geometry.is_valid.all()
    np.testing.assert_allclose(polygons.geometry.area, polygons["pixels"].astype(float))
    for shape, pixels in zip(polygons.geometry, polygons["pixels"], strict=True):
        point = shape.representative_point()
        label = labels[int(rows - point.y), int(point.x)]
        assert label > 0 and (labels == label).sum() == pixels


def _thin_strips(rows: int, columns: int) -> list[components.Window]:
    step = 7
    return [components.Window(0, row, columns, min(step, rows - row)) for row in range(0, rows, step)]


def test_small_areas_are_left_out_on_request(tmp_path: Path, make: Make) -> None:
    products.write(make()[["change"]], tmp_path, minimum_area_m2=100 * 400)
    assert gpd.read_parquet(tmp_path / "polygons.parquet")["pixels"].tolist() == [108, 120]
    assert products.read_summary(tmp_path).polygons == 2


def test_areas_in_degrees_are_those_on_the_ellipsoid(
    written: dict[str, Path], make_grid: Callable[..., GeoBox]
) -> None:
    polygons = gpd.read_parquet(written["degrees"] / "polygons.parquet")
    geod = Geod(ellps="WGS84")
    expected = [abs(geod.geometry_area_perimeter(shape)[0]) for shape in polygons.geometry]
    np.testing.assert_allclose(polygons["area_m2"].astype(float), expected, rtol=1e-4)
    change = products.read_summary(written["degrees"]).change
    assert change is not None
    assert change.changed_area_m2 == pytest.approx(sum(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("crs", "box", "planar"),
    [
        ("EPSG:32631", (500000, 5600000, 502000, 5602000), True),
        ("EPSG:3035", (4000000, 3000000, 4002000, 3002000), True),
        ("EPSG:3857", (500000, 8000000, 502000, 8002000), False),
        ("EPSG:4326", (5, 70, 5.02, 70.01), False),
        ("EPSG:4326", (-170, -45, -169.98, -44.99), False),
    ],
)
def test_pixel_areas_agree_with_geodesics(crs: str, box: tuple[float, ...], planar: bool) -> None:
    grid = GeoBox.from_bbox(box, crs, shape=(20, 20))
    areas = PixelAreas(grid).rows(0, 20)
    corner = grid[10:11, 9:10].extent.to_crs("EPSG:4326", resolution=1e-4 if crs == "EPSG:4326" else 10)
    expected = abs(Geod(ellps="WGS84").geometry_area_perimeter(Polygon(corner.exterior.coords))[0])
    assert areas[10] == pytest.approx(expected, rel=2e-3 if planar else 1e-5)
    if planar:
        assert set(areas) == {abs(grid.resolution.x * grid.resolution.y)}


@pytest.mark.parametrize("value", [0, 255])
def test_no_change_and_no_data_give_valid_empty_files(tmp_path: Path, make: Make, value: int) -> None:
    scene = make()[["change", "score", "date"]]
    scene["change"][:] = value
    scene["date"][:] = -1
    scene["score"][:] = np.nan if value == 255 else 0
    products.write(scene, tmp_path)
    for name in ("polygons.gpkg", "polygons.parquet"):
        read = gpd.read_file if name.endswith("gpkg") else gpd.read_parquet
        polygons = read(tmp_path / name)
        assert len(polygons) == 0
        assert list(polygons.columns) == [*COLUMNS, "geometry"]
        assert polygons.crs == "EPSG:32631"
    summary = products.read_summary(tmp_path)
    assert summary.change is not None
    assert (summary.change.changed_share, summary.polygons, summary.dates) == (0.0, 0, [])
    words = "no valid pixel" if value == 255 else "No change"
    assert words in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("first", "last"), [(True, True), (True, False), (False, True)])
def test_first_and_last_give_the_range_of_dates(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch, first: bool, last: bool
) -> None:
    scene = make()[["change", "date"]]
    if first:
        scene["first"] = scene["date"].where(scene["date"] < 0, scene["date"] - 30)
        scene["first"][12, 31] = 18000
    if last:
        scene["last"] = scene["date"].where(scene["date"] < 0, scene["date"] + 30)
        scene["last"][60, 5] = 30000  # not in an area of change
        scene["last"].attrs["long_name"] = "Mine"
    monkeypatch.setattr(components, "_strips", lambda _: _thin_strips(120, 150))
    products.write(scene, tmp_path)
    polygons = gpd.read_parquet(tmp_path / "polygons.parquet")
    days = [18262 + 12, 18262 + 24, 18262 + 36]
    starts = [18000, days[1] - 30, days[2] - 30] if first else days
    ends = [18262 + 126, days[1] + 30, days[2] + 30] if last else [18262 + 96, *days[1:]]
    epoch = date(1970, 1, 1).toordinal()
    assert [day.toordinal() - epoch for day in polygons["first_date"]] == starts
    assert [day.toordinal() - epoch for day in polygons["last_date"]] == ends
    layers = products.read_summary(tmp_path).layers
    assert not last or layers["last"].description == "Mine"
    assert not first or layers["first"].description == LAYERS["first"].description
