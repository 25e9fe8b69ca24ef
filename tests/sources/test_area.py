from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

from terradelta.errors import SourceError
from terradelta.sources.area import Area, choose_grid, read_area, search_boxes
from terradelta.sources.grids import shift_between

SQUARE = shapely.box(5.5, 50.6, 5.7, 50.7)


def geojson(path: Path, *shapes: Any, **members: Any) -> Path:
    features = [
        {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(s)} for s in shapes
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **members}))
    return path


def around(span: tuple[float, float]) -> float:
    """Width in degrees of a span that may cross the antimeridian."""
    return (span[1] - span[0]) % 360


# what can be read


@pytest.mark.parametrize("name", ["place.geojson", "place.gpkg", "place.shp", "place.kml", "place.fgb"])
def test_files_of_all_kinds_give_the_same_outline(tmp_path: Path, name: str):
    other = shapely.box(5.7, 50.6, 5.8, 50.65)
    frame = gpd.GeoDataFrame(geometry=[SQUARE, other], crs="EPSG:4326")
    frame.to_file(tmp_path / name, engine="pyogrio")
    area = read_area(tmp_path / name)
    assert area.outline.geom_type == "Polygon"
    assert area.outline.equals(shapely.union(SQUARE, other))
    assert (area.name, area.notes) == ("place", ())
    assert area.bounds == (5.5, 50.6, 5.8, 50.7)


def test_projected_file_is_brought_to_degrees_along_its_edges(tmp_path: Path):
    square = shapely.box(300_000, 5_600_000, 400_000, 5_700_000)
    gpd.GeoDataFrame({"name": ["Liège"]}, geometry=[square], crs="EPSG:32631").to_file(tmp_path / "a.gpkg")
    area = read_area(tmp_path / "a.gpkg")
    back = shapely.transform(
        area.outline, Transformer.from_crs(4326, 32631, always_xy=True).transform, interleaved=False
    )
    assert shapely.hausdorff_distance(back.exterior, shapely.segmentize(square.exterior, 500)) < 510
    assert shapely.symmetric_difference(back, square).area / square.area < 1e-6
    assert area.name == "Liège"
    assert read_area(square, crs="EPSG:32631").outline.equals_exact(area.outline, 1e-9)


def test_old_member_crs_of_geojson_counts(tmp_path: Path):
    square = shapely.box(500_000, 5_600_000, 510_000, 5_610_000)
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    path = geojson(tmp_path / "a.geojson", square, crs=crs)
    west, south, east, north = read_area(path).bounds
    assert west == pytest.approx(3)
    assert (3.13 < east < 3.15, 50.5 < south < north < 50.7) == (True, True)
    told = read_area(path, crs="EPSG:32632")
    assert told.bounds == (west, south, east, north)
    assert "carries its own CRS (EPSG:32631), which counts, not EPSG:32632" in told.notes[0]
    bare = geojson(tmp_path / "bare.geojson", square)
    assert read_area(bare, crs="EPSG:32631").bounds == (west, south, east, north)
    with pytest.raises(SourceError, match=r"bare.geojson: latitudes from 5.6e\+06 .*say it with crs"):
        read_area(bare)


def test_layers_of_a_file_are_united(tmp_path: Path):
    for layer, shape in (("one", SQUARE), ("two", shapely.box(6, 50, 6.1, 50.1))):
        gpd.GeoDataFrame(geometry=[shape], crs=4326).to_file(tmp_path / "a.gpkg", layer=layer)
    area = read_area(tmp_path / "a.gpkg")
    assert area.bounds == (5.5, 50.0, 6.1, 50.7)
    assert area.notes == ("a.gpkg: the layers one, two are united",)


def test_third_dimension_and_holes_are_no_matter():
    ring = shapely.Polygon(SQUARE.exterior, [shapely.box(5.55, 50.62, 5.6, 50.65).exterior])
    area = read_area(shapely.force_3d(ring, 7.0))
    assert not area.outline.has_z
    assert area.outline.equals(ring)


# what is mended


def test_self_intersection_is_mended_and_told(tmp_path: Path):
    bow = shapely.Polygon([(5.5, 50.6), (5.7, 50.7), (5.7, 50.6), (5.5, 50.7)])
    area = read_area(geojson(tmp_path / "bow.geojson", bow, shapely.box(5.5, 50, 5.6, 50.1)))
    assert area.outline.is_valid
    assert set(shapely.get_type_id(shapely.get_parts(area.outline))) == {3}
    (note,) = area.notes
    assert note.startswith("bow.geojson: 1 of 2 outlines mended (Self-intersection[5.6 50.65]); area ")
    after = abs(Geod(ellps="WGS84").geometry_area_perimeter(area.outline)[0]) / 1e6
    assert f"{after:.4g} km² after" in note


def test_spike_without_area_is_dropped():
    spike = shapely.Polygon([(5, 50), (5.1, 50), (5.1, 50.1), (5.3, 50.1), (5.1, 50.1), (5, 50.1)])
    area = read_area(spike)
    assert area.outline.equals(shapely.box(5, 50, 5.1, 50.1))
    assert "mended" in area.notes[0]


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Polygon([(5, 50), (6, 50), (5, 50)]),
        shapely.Polygon([(5, 50), (6, 51), (7, 52), (5, 50)]),
        shapely.box(-180, -60, 180, 60),
    ],
)
def test_outline_of_which_nothing_remains_is_refused(shape: Any):
    with pytest.raises(SourceError, match="nothing of the outline remains"):
        read_area(shape)


# the antimeridian


def crossing(kind: str, tmp_path: Path) -> Area:
    ring = [(179.5, -17), (-179.5, -17), (-179.5, -16), (179.5, -16)]
    halves = shapely.MultiPolygon([shapely.box(179.5, -17, 180, -16), shapely.box(-180, -17, -179.5, -16)])
    return {
        "beyond 180": lambda: read_area(geojson(tmp_path / "a.geojson", shapely.box(179.5, -17, 180.5, -16))),
        "below -180": lambda: read_area(shapely.box(-180.5, -17, -179.5, -16)),
        "already cut": lambda: read_area(geojson(tmp_path / "a.geojson", halves)),
        "vertices on both sides": lambda: read_area(geojson(tmp_path / "a.geojson", shapely.Polygon(ring))),
        "text": lambda: read_area("179.5,-17,-179.5,-16"),
        "text beyond 180": lambda: read_area("179.5, -17, 180.5, -16"),
    }[kind]()


@pytest.mark.parametrize(
    "kind",
    ["beyond 180", "below -180", "already cut", "vertices on both sides", "text", "text beyond 180"],
)
def test_antimeridian_is_cut_in_two(kind: str, tmp_path: Path):
    area = crossing(kind, tmp_path)
    assert area.bounds == (179.5, -17.0, -179.5, -16.0)
    assert {part.bounds for part in shapely.get_parts(area.outline)} == {
        (179.5, -17.0, 180.0, -16.0),
        (-180.0, -17.0, -179.5, -16.0),
    }
    assert search_boxes(area) == ((179.5, -17.0, 180.0, -16.0), (-180.0, -17.0, -179.5, -16.0))
    assert bool(area.notes) == (kind == "vertices on both sides")
    grid, notes = choose_grid(area)
    assert str(grid.crs) in ("EPSG:32701", "EPSG:32760")
    assert 106 < grid.shape[1] / 100 < 109
    assert "the area lies in the UTM zones 60 and 1" in notes[0]


def test_note_of_a_crossing_outline(tmp_path: Path):
    notes = crossing("vertices on both sides", tmp_path).notes
    assert notes == ("a.geojson: spans more than 180° of longitude: taken as crossing the antimeridian",)


def test_projected_outline_across_the_antimeridian():
    there = Transformer.from_crs(4326, 3832, always_xy=True)
    (west, south), (east, north) = there.transform(179.5, -17), there.transform(180.5, -16)
    area = read_area(shapely.box(west, south, east, north), crs="EPSG:3832")
    assert np.allclose(area.bounds, (179.5, -17, -179.5, -16))


def test_far_parts_are_not_joined_around_the_earth_unless_that_is_shorter():
    near = read_area(shapely.MultiPolygon([shapely.box(5, 50, 6, 51), shapely.box(7, 50, 8, 51)]))
    assert near.bounds == (5, 50, 8, 51)
    far = shapely.MultiPolygon([shapely.box(170, 0, 171, 1), shapely.box(-171, 0, -170, 1)])
    assert read_area(far).bounds == (170, 0, -170, 1)


# what is refused


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (shapely.Point(5, 50), "holds Point, which have no area"),
        (shapely.LineString([(5, 50), (6, 51)]), "holds LineString"),
        (shapely.GeometryCollection([SQUARE, shapely.Point(5, 50)]), "holds Point"),
        (shapely.Polygon(), "holds no polygon"),
        (shapely.box(5, 80, 6, 91), "latitudes from 80 to 91"),
        (shapely.box(600, 50, 601, 51), "are no degrees"),
        (shapely.Polygon([(5, 50), (6, np.nan), (6, 51)]), "not finite"),
    ],
)
def test_shapes_that_are_no_area(shape: Any, why: str):
    with pytest.raises(SourceError, match=why):
        read_area(shape)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5,51,6,50", "latitudes 51 and 50"),
        ("5,-91,6,50", "latitudes -91 and 50"),
        ("5,50,5,51", "longitudes 5 and 5"),
        ("500,50,501,51", "longitudes 500 and 501"),
    ],
)
def test_boxes_that_are_none(text: str, why: str):
    with pytest.raises(SourceError, match=why):
        read_area(text)


def test_geojson_with_a_byte_order_mark_may_be_in_another_crs(tmp_path: Path):
    file = tmp_path / "place.geojson"
    square = shapely.box(676_540, 5_605_000, 690_000, 5_619_950)
    file.write_text(shapely.to_geojson(square), encoding="utf-8-sig")
    assert read_area(file, crs="EPSG:32631").bounds == read_area(square, crs="EPSG:32631").bounds


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(SourceError, match="does not exist"):
        read_area(tmp_path / "none.geojson")
    for name, content in (("text.geojson", "no json"), ("none.gpkg", ""), ("list.geojson", "[1]")):
        (tmp_path / name).write_text(content)
        with pytest.raises(SourceError, match=rf"^{name}: (cannot be read|holds no)[^\n]*$"):
            read_area(tmp_path / name)
    with pytest.raises(SourceError, match=r"empty.geojson: holds no feature"):
        read_area(geojson(tmp_path / "empty.geojson"))
    null = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {}, "geometry": None}],
    }
    (tmp_path / "null.geojson").write_text(json.dumps(null))
    with pytest.raises(SourceError, match=r"null\.geojson: holds no"):
        read_area(tmp_path / "null.geojson")
    with pytest.raises(SourceError, match="'EPSG:12' is no CRS"):
        read_area(SQUARE, crs="EPSG:12")


def test_shapefile_with_missing_parts(tmp_path: Path):
    gpd.GeoDataFrame(geometry=[SQUARE], crs=4326).to_file(tmp_path / "a.shp")
    (tmp_path / "a.prj").unlink()
    with pytest.raises(SourceError, match=r"a.shp: has no CRS; say it with crs.* \.prj"):
        read_area(tmp_path / "a.shp")
    assert read_area(tmp_path / "a.shp", crs="EPSG:4326").outline.equals(SQUARE)
    (tmp_path / "a.shx").unlink()
    with pytest.raises(SourceError, match=r"^a.shp: cannot be read .*\.shx and \.dbf beside[^\n]*$"):
        read_area(tmp_path / "a.shp", crs="EPSG:4326")


def test_pole_inside_is_refused():
    with pytest.raises(SourceError, match="the North Pole lies inside"):
        read_area(shapely.box(-1e5, -1e5, 1e5, 1e5), crs="EPSG:3413")


# grids


def test_grid_agrees_with_sentinel2_tiles_bit_for_bit():
    tile = GeoBox((10980, 10980), Affine(10, 0, 600_000, 0, -10, 5_600_040), "EPSG:32631")
    grid, notes = choose_grid(read_area("4.7,50.0,4.8,50.1"))
    assert str(grid.crs) == "EPSG:32631"
    assert shift_between(tile, grid) is not None
    assert (grid.affine.c % 10, grid.affine.f % 10, notes) == (0, 0, ())
    coarse, _ = choose_grid(read_area("4.7,50.0,4.8,50.1"), resolution=30)
    assert (coarse.affine.c % 30, coarse.affine.f % 30) == (0, 0)


def test_grid_holds_the_whole_outline_and_hardly_more():
    area = read_area("4,50,8,53")
    grid, _ = choose_grid(area, resolution=100)
    to_grid = Transformer.from_crs(4326, str(grid.crs), always_xy=True)
    edge = shapely.segmentize(area.outline.exterior, 0.001)
    x, y = to_grid.transform(*shapely.get_coordinates(edge).T)
    box = grid.boundingbox
    assert box.left <= x.min() < box.left + 200
    assert box.right - 200 < x.max() <= box.right + 1
    assert box.bottom - 1 <= y.min() < box.bottom + 200
    assert box.top - 200 < y.max() <= box.top + 1


@pytest.mark.parametrize(
    ("box", "crs", "words"),
    [
        ("5.9,50.6,6.2,50.7", "EPSG:32632", "in the UTM zones 31 and 32; the cube takes EPSG:32632"),
        ("2.0,60.1,3.5,60.2", "EPSG:32631", "in the UTM zones 31 and 32"),
        ("4.0,60.1,7.0,60.2", "EPSG:32632", ""),
        ("1.0,86,3.0,86.5", "EPSG:5041", "beyond the UTM zones"),
        ("1.0,-82,3.0,-81", "EPSG:5042", "beyond the UTM zones"),
        ("28.1,-25.8,28.3,-25.6", "EPSG:32735", ""),
        ("-10,45,20,46", "EPSG:32631", "zones 29, 30, 31, 32, 33 and 34; the cube takes EPSG:32631"),
    ],
)
def test_zone_of_the_centroid(box: str, crs: str, words: str):
    grid, notes = choose_grid(read_area(box), resolution=1000)
    assert str(grid.crs) == crs
    assert words in " ".join(notes) if words else not notes


def test_wide_areas_are_advised_to_split():
    _, notes = choose_grid(read_area("-10,45,20,46"), resolution=1000)
    assert any("6 UTM zones wide: split it, or choose a crs" in note for note in notes)
    assert any("lengths on the grid are up to 2." in note for note in notes)


def test_own_crs_and_degrees():
    area = read_area("5.5,50.6,5.7,50.7")
    grid, notes = choose_grid(area, crs="EPSG:3035", resolution=20)
    assert (str(grid.crs), grid.affine.a, notes) == ("EPSG:3035", 20, ())
    grid, _ = choose_grid(area, crs="EPSG:4326", resolution=0.001)
    assert tuple(grid.shape) == (100, 200)
    for kwargs, why in (
        ({"crs": "EPSG:4326"}, "resolution 10 is in degrees for EPSG:4326; 10 m are about 0.00009"),
        ({"crs": "EPSG:9"}, "is no CRS"),
        ({"crs": "EPSG:4978"}, "neither projected nor geographic"),
        ({"resolution": 0}, "resolution 0 is no length"),
        ({"resolution": float("nan")}, "resolution nan is no length"),
        ({"resolution": 1e-6}, "is too large"),
    ):
        with pytest.raises(SourceError, match=why):
            choose_grid(area, **kwargs)
    fiji = read_area("179,-17,-179,-16")
    for crs, resolution in (("EPSG:4326", 0.01), ("EPSG:3857", 1000), ("EPSG:6933", 1000)):
        with pytest.raises(SourceError, match=f"crosses the antimeridian, which no grid of {crs} can"):
            choose_grid(fiji, crs=crs, resolution=resolution)
    assert max(choose_grid(fiji, crs="EPSG:3832", resolution=1000)[0].shape) == 223


def test_area_too_wide_for_a_zone_is_refused():
    with pytest.raises(SourceError, match="the area is 340 degrees wide, too wide for a UTM zone; give crs"):
        choose_grid(read_area("-170,-60,170,60"))
    grid, _ = choose_grid(read_area("-170,-60,170,60"), crs="EPSG:6933", resolution=1000)
    assert grid.shape[1] > 30_000


def test_tiny_area_is_one_pixel():
    grid, _ = choose_grid(read_area("5.5,50.6,5.500001,50.600001"), resolution=1000)
    assert tuple(grid.shape) == (1, 1)
