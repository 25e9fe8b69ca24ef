"""Files of polygons: layers, columns, CRS, broken geometries."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr

from terradelta.cube import geobox_of
from terradelta.errors import InputError, SourceError
from terradelta.land import VectorLand
from terradelta.simulate import place
from terradelta.sources.mending import mend
from terradelta.sources.polygons import read_polygons

CRS = "EPSG:32631"
LEFT, TOP = 680_000.0, 5_612_000.0
BOW_TIE = shapely.Polygon([(0, 0), (40, 40), (40, 0), (0, 40)])


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return place(seed=0, size=48, years=0.2, changes=0)


def box(left: float, bottom: float, right: float, top: float) -> shapely.Polygon:
    return shapely.box(LEFT + left, TOP - top, LEFT + right, TOP - bottom)


def frame(crs: str | None = CRS, **columns: list) -> gpd.GeoDataFrame:
    shapes = [box(0, 0, 100, 200), box(100, 0, 300, 200), box(300, 0, 500, 500)]
    return gpd.GeoDataFrame(columns or {"class": ["forest", "field", "mire"]}, geometry=shapes, crs=crs)


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.shp", "a.geojson", "a.geoparquet"])
def test_all_formats_read_alike(tree: xr.DataTree, tmp_path: Path, name: str) -> None:
    table = frame().to_crs("EPSG:4326") if name.endswith("json") else frame()
    write = table.to_parquet if name.endswith("parquet") else table.to_file
    write(tmp_path / name)
    land = VectorLand(tmp_path / name, tree)
    areas = land.nearest(LEFT + 50, TOP - 100, 5, ["forest", "field", "mire"])
    assert areas.classes == ("forest", "field", "mire") and areas.crs == CRS
    np.testing.assert_allclose(areas.distances, [0, 50, 250], atol=0.01)
    mask = np.zeros((48, 48), bool)
    mask[:10, :5] = True
    assert np.array_equal(land.forest(geobox_of(tree)), mask)


def test_several_files_in_their_order(tree: xr.DataTree, tmp_path: Path) -> None:
    for name, kind in (("b", "lake"), ("a", "mire")):
        frame()[:1].assign(**{"class": kind}).to_file(tmp_path / f"{name}.gpkg")
    files = [tmp_path / "b.gpkg", str(tmp_path / "a.gpkg")]
    assert VectorLand(files, tree).nearest(LEFT, TOP, 2).classes == ("lake", "mire")
    assert VectorLand(files[::-1], tree).nearest(LEFT, TOP, 2).classes == ("mire", "lake")
    with pytest.raises(SourceError, match="no file"):
        VectorLand([], tree)


@pytest.mark.parametrize("codes", [[1, 2, 9], [1.0, 2.0, np.nan], ["1", " 2", None]])
def test_values_are_mapped_to_classes(tree: xr.DataTree, tmp_path: Path, codes: list) -> None:
    frame(code=codes).to_file(tmp_path / "a.gpkg")
    for classes in ({1: "forest", 2: "lake"}, {"1": "forest", "2": "lake"}):
        land = VectorLand(tmp_path / "a.gpkg", tree, class_column="code", classes=classes)
        assert land.others == 1 and land.nearest(LEFT, TOP, 1).classes == ("lake",)
        assert land.forest(geobox_of(tree)).sum() == 50


def test_layers_are_chosen_or_are_classes(tree: xr.DataTree, tmp_path: Path) -> None:
    file = tmp_path / "topo.gpkg"
    frame()[:1].drop(columns="class").to_file(file, layer="metsa")
    frame()[1:2].drop(columns="class").to_file(file, layer="suo")
    frame().to_file(file, layer="all")
    with pytest.raises(SourceError, match=r"has 3 layers of geometries: 'metsa', 'suo', 'all'; name one"):
        VectorLand(file, tree)
    with pytest.raises(SourceError, match=r"no layer 'lakes'; it has 'metsa'"):
        VectorLand(file, tree, layer="lakes")
    with pytest.raises(SourceError, match=r"layer metsa\) has no column 'class'; it has none"):
        VectorLand(file, tree, layer="metsa")
    assert VectorLand(file, tree, layer="all").nearest(LEFT, TOP, 9).classes == ("field", "mire")
    land = VectorLand(file, tree, layer={"suo": "mire", "metsa": "forest"})
    assert land.nearest(LEFT, TOP, 9).classes == ("mire",) and land.forest(geobox_of(tree)).sum() == 50
    with pytest.raises(InputError, match="'suo' given; choose from"):
        VectorLand(file, tree, layer={"suo": "suo"})
    frame().to_parquet(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="has no layers"):
        VectorLand(tmp_path / "a.parquet", tree, layer={"suo": "mire"})


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet"])
def test_broken_geometries_are_repaired_or_skipped_and_counted(
    tree: xr.DataTree, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    shapes = [
        shapely.transform(BOW_TIE, lambda points: points + np.array([LEFT, TOP - 100])),
        None,
        shapely.Polygon(),
        shapely.LineString([(LEFT, TOP), (LEFT + 9, TOP)]),
        shapely.Polygon([(LEFT, TOP), (LEFT + 9, TOP), (LEFT + 5, TOP), (LEFT, TOP)]),
        shapely.MultiPolygon([box(500, 0, 600, 100), box(700, 0, 800, 100)]),
    ]
    table = gpd.GeoDataFrame({"class": ["mire"] * 6}, geometry=shapes, crs=CRS)
    table.to_parquet(tmp_path / name) if name.endswith("parquet") else table.to_file(tmp_path / name)
    with caplog.at_level(logging.WARNING):
        land = VectorLand(tmp_path / name, tree)
    assert (land.repaired, land.skipped) == (1, 4)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("terradelta")]
    assert len(told) == 1 and "1 broken geometries repaired, 4 without a usable polygon skipped" in told[0]
    areas = land.nearest(LEFT + 20, TOP - 80, 9)
    assert [round(shape.area) for shape in areas.geometries] == [400, 400, 10_000, 10_000]
    assert all(shape.geom_type == "Polygon" and shape.is_valid for shape in areas.geometries)


def test_mending_leaves_whole_polygons_as_they_are() -> None:
    shapes = [shapely.box(i, 0, i + 1, 1) for i in range(5)]
    mended = mend(shapes)
    assert all(a.equals_exact(b, 0) for a, b in zip(mended.polygons, shapes, strict=True))
    assert (mended.repaired, mended.skipped, mended.rows.tolist()) == (0, 0, [0, 1, 2, 3, 4])
    assert mend([]).polygons.size == 0
    high = mend([shapely.Polygon([(0, 0, 5), (1, 0, 5), (1, 1, 5)])])
    assert not high.polygons[0].has_z
    beyond = mend([shapely.Polygon([(0, 0), (np.inf, 0), (1, 1)])])
    assert beyond.skipped == 1


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.shp"])
def test_polygons_without_crs_are_refused(tree: xr.DataTree, tmp_path: Path, name: str) -> None:
    table = frame(crs=None)
    table.to_parquet(tmp_path / name) if name.endswith("parquet") else table.to_file(tmp_path / name)
    with pytest.raises(SourceError, match="has no CRS; write one into it, such as: ogr2ogr -a_srs"):
        VectorLand(tmp_path / name, tree)


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet"])
def test_columns_and_classes_that_are_not_there(tree: xr.DataTree, tmp_path: Path, name: str) -> None:
    table = frame(kind=["suo", "pelto", "suo"], area=[1.0, 2.0, 3.0])
    table.to_parquet(tmp_path / name) if name.endswith("parquet") else table.to_file(tmp_path / name)
    with pytest.raises(SourceError, match="no column 'class'; it has 'kind', 'area': name the one"):
        VectorLand(tmp_path / name, tree)
    with pytest.raises(SourceError, match="none of the classes wanted, but 'pelto', 'suo'; tell which value"):
        VectorLand(tmp_path / name, tree, class_column="kind")
    with pytest.raises(InputError, match="'swamp' given; choose from forest"):
        VectorLand(tmp_path / name, tree, class_column="kind", classes={"suo": "swamp"})
    found = read_polygons(tmp_path / name, CRS, class_column="kind")
    assert found.classes.tolist() == ["suo", "pelto", "suo"]


def test_files_that_cannot_be_read(tree: xr.DataTree, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.gpkg does not exist"):
        VectorLand(tmp_path / "nowhere.gpkg", tree)
    for name in ("a.gpkg", "a.parquet", "a.txt"):
        (tmp_path / name).write_bytes(b"no polygons at all")
        with pytest.raises(SourceError, match=rf"{name} cannot be read as polygons \(.*; give a GeoPackage"):
            VectorLand(tmp_path / name, tree)
    frame().drop(columns="geometry").to_parquet(tmp_path / "table.parquet")
    with pytest.raises(SourceError, match="without geometries"):
        VectorLand(tmp_path / "table.parquet", tree)
    frame()[:0].to_file(tmp_path / "empty.gpkg")
    with pytest.raises(SourceError, match=r"no polygon that can be used \(0 skipped\)"):
        VectorLand(tmp_path / "empty.gpkg", tree)
    gpd.GeoDataFrame({"class": ["mire"]}, geometry=[shapely.Point(0, 0)], crs=CRS).to_file(
        tmp_path / "p.gpkg"
    )
    with pytest.raises(SourceError, match=r"no polygon that can be used \(1 skipped\)"):
        VectorLand(tmp_path / "p.gpkg", tree)


def test_forest_on_a_grid_without_crs_is_refused(tree: xr.DataTree, tmp_path: Path) -> None:
    from affine import Affine
    from odc.geo.geobox import GeoBox

    frame().to_file(tmp_path / "a.gpkg")
    with pytest.raises(InputError, match="the grid has no CRS"):
        VectorLand(tmp_path / "a.gpkg", tree).forest(GeoBox((2, 2), Affine.identity(), None))


def test_names_of_the_package_are_lazy() -> None:
    heavy = ["geopandas", "pyogrio", "rasterio", "shapely", "xarray"]
    script = f"import sys, terradelta.land; print([one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
