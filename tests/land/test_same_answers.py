"""All sources of land cover answer alike on the same data."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

sys.path.insert(0, str(Path(__file__).parent))

from sameness import assert_same_answers, assert_same_areas, grids, points, write_polygons

from terradelta.cube import geobox_of, write_cube
from terradelta.errors import CubeError, InputError
from terradelta.land import OPEN, Acquisition, LandSource, LayerLand, TruthLand, VectorLand
from terradelta.land.radar import acquisitions
from terradelta.simulate import place


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    tree = place(seed=5, size=96, years=0.2, changes=0)
    # some pixels without data, in one band and in both
    values = tree["sar"]["backscatter"].values
    values[:, 0, 20:24, 30:50] = np.nan
    values[:, :, 60:70, 60:64] = np.nan
    return tree


@pytest.fixture(scope="module")
def layers(tree: xr.DataTree) -> LayerLand:
    return LayerLand(tree)


@pytest.mark.parametrize("kind", ["gpkg", "parquet"])
def test_polygons_answer_as_the_raster_does(
    tree: xr.DataTree, layers: LayerLand, tmp_path: Path, kind: str
) -> None:
    vectors = VectorLand(write_polygons(layers, tmp_path / f"land.{kind}"), tree)
    assert isinstance(vectors, LandSource) and vectors.crs == layers.crs
    assert (vectors.repaired, vectors.skipped, vectors.others) == (0, 0, 0)
    assert_same_answers(layers, vectors, tree)
    # one library, one order of the data: ties too
    for x, y in points(geobox_of(tree)):
        a, b = layers.nearest(x, y, 50), vectors.nearest(x, y, 50)
        assert a.classes == b.classes and np.array_equal(a.distances, b.distances)
        assert all(one.equals(other) for one, other in zip(a.geometries, b.geometries, strict=True))


def test_truth_answers_as_the_raster_does_while_nothing_changed(tree: xr.DataTree, layers: LayerLand) -> None:
    assert_same_answers(layers, TruthLand(tree), tree)
    assert_same_answers(layers, TruthLand(tree, "2100-01-01"), tree)


def test_a_cube_on_disk_answers_as_one_in_memory(
    tree: xr.DataTree, layers: LayerLand, tmp_path: Path
) -> None:
    write_cube(tree, tmp_path / "place.zarr")
    stored = LayerLand(tmp_path / "place.zarr")
    assert_same_answers(layers, pickle.loads(pickle.dumps(stored)), tree)
    truth = TruthLand(str(tmp_path / "place.zarr"))
    areas, image = layers.nearest(*points(geobox_of(tree))[0], 12), acquisitions(tree)[2]
    assert_same_areas(areas, truth.nearest(*points(geobox_of(tree))[0], 12))
    assert np.array_equal(layers.pixels(areas, image), truth.pixels(areas, image))


def test_polygons_of_another_crs_are_converted(tree: xr.DataTree, layers: LayerLand, tmp_path: Path) -> None:
    vectors = VectorLand(write_polygons(layers, tmp_path / "land.gpkg", crs="EPSG:3035"), tree)
    image = acquisitions(tree)[0]
    for grid in grids(geobox_of(tree)).values():
        assert np.array_equal(layers.forest(grid), vectors.forest(grid))
    for x, y in points(geobox_of(tree)):
        a, b = layers.nearest(x, y, 7), vectors.nearest(x, y, 7)
        assert a.crs == b.crs and a.classes == b.classes
        # straight edges of one CRS are not quite straight in another
        np.testing.assert_allclose(a.distances, b.distances, atol=0.01)
        assert np.array_equal(layers.pixels(a, image), vectors.pixels(b, image))
    sent = pickle.loads(pickle.dumps(vectors)).nearest(x, y, 7)
    assert sent.classes == b.classes and np.array_equal(sent.distances, b.distances)


def test_forest_is_what_the_codes_say(tree: xr.DataTree, layers: LayerLand) -> None:
    mask = layers.forest(geobox_of(tree))
    assert 0.1 < mask.mean() < 0.9
    assert np.array_equal(mask, tree["static"]["land_cover"].values == 10)
    assert np.array_equal(mask, tree["static"]["forest"].values == 1)


def test_pixels_are_those_of_the_class_once_and_in_order(tree: xr.DataTree, layers: LayerLand) -> None:
    everything = layers.nearest(0.0, 0.0, len(list(layers.polygons())))
    mask = np.isin(layers.numbers, (2, 3, 4, 5, 6))
    for index in (0, 3):
        image = tree["sar"]["backscatter"].values[index]
        wanted = image[:, mask]
        wanted = wanted[:, np.isfinite(wanted).all(axis=0)]
        assert wanted.shape[1] < mask.sum()
        got = layers.pixels(everything, acquisitions(tree)[index])
        assert np.array_equal(got, wanted)
        twice = everything._replace(geometries=everything.geometries * 2, classes=everything.classes * 2)
        assert np.array_equal(layers.pixels(twice, acquisitions(tree)[index]), wanted)


def test_pixels_of_areas_in_another_crs(tree: xr.DataTree, layers: LayerLand) -> None:
    import geopandas as gpd

    x, y = points(geobox_of(tree))[0]
    own = layers.nearest(x, y, 8)
    moved = gpd.GeoSeries(list(own.geometries), crs=own.crs).to_crs("EPSG:3035")
    other = own._replace(geometries=tuple(moved), crs="EPSG:3035")
    image = acquisitions(tree)[1]
    assert np.array_equal(layers.pixels(other, image), layers.pixels(own, image))


def test_pixels_beyond_the_cube_and_of_no_area(tree: xr.DataTree, layers: LayerLand) -> None:
    import shapely

    x, y = points(geobox_of(tree))[0]
    areas = layers.nearest(x, y, 1)
    far = areas._replace(geometries=(shapely.box(0, 0, 10, 10),))
    none = areas._replace(geometries=(), classes=(), distances=np.empty(0))
    for each in (far, none):
        assert layers.pixels(each, acquisitions(tree)[0]).shape == (2, 0)
        assert TruthLand(tree).pixels(each, acquisitions(tree)[0]).shape == (2, 0)


def test_unknown_image_is_refused_and_the_nearest_named(tree: xr.DataTree, layers: LayerLand) -> None:
    x, y = points(geobox_of(tree))[0]
    areas, known = layers.nearest(x, y, 2), acquisitions(tree)
    late = str(np.datetime64(known[3].time) + np.timedelta64(5, "m"))
    with pytest.raises(CubeError, match=known[3].time):
        layers.pixels(areas, Acquisition(late))
    with pytest.raises(CubeError, match="orbit 999"):
        layers.pixels(areas, known[3]._replace(orbit=999))
    with pytest.raises(InputError, match="no time"):
        layers.pixels(areas, Acquisition("yesterday"))
    wanted = layers.pixels(areas, known[3])
    assert np.array_equal(layers.pixels(areas, Acquisition(known[3].time)), wanted)
    assert not np.array_equal(layers.pixels(areas, known[4]), wanted)


def test_a_cube_without_radar_images(tree: xr.DataTree) -> None:
    bare = LayerLand(xr.DataTree.from_dict({"static": tree["static"].to_dataset()}))
    x, y = points(geobox_of(tree))[0]
    with pytest.raises(CubeError, match="no radar images"):
        bare.pixels(bare.nearest(x, y, 2), Acquisition("2020-01-01"))


def test_too_few_areas_are_told_and_none_is_refused(
    tree: xr.DataTree, layers: LayerLand, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    x, y = points(geobox_of(tree))[0]
    vectors = VectorLand(write_polygons(layers, tmp_path / "land.gpkg"), tree)
    lakes = sum(name == "lake" for _, name in layers.polygons())
    for source in (layers, vectors, TruthLand(tree)):
        caplog.clear()
        assert len(source.nearest(x, y, 5000, ["lake"]).geometries) == lakes
        assert f"only {lakes} of the 5000 areas of lake" in caplog.text
        caplog.clear()
        source.nearest(x, y, lakes, ["lake"])
        assert not caplog.text
        with pytest.raises(InputError, match="no area of mire"):
            source.nearest(x, y, 5, ["mire"])
        with pytest.raises(InputError, match="'swamp' given; choose from forest, mire"):
            source.nearest(x, y, 5, ["mire", "swamp"])
        with pytest.raises(InputError, match="0 nearest"):
            source.nearest(x, y, 0)
        with pytest.raises(InputError, match="finite"):
            source.nearest(float("nan"), y, 1)


def test_no_open_area_at_all(tree: xr.DataTree) -> None:
    wooded = tree.copy(deep=True)
    wooded["static"]["land_cover"].values[:] = 10
    assert LayerLand(wooded).forest(geobox_of(tree)).all()
    with pytest.raises(InputError, match="no area of mire, field, meadow, lake, open; give land cover"):
        LayerLand(wooded).nearest(*points(geobox_of(tree))[0], 50)


def test_a_cube_without_land_cover(tree: xr.DataTree) -> None:
    static = tree["static"].to_dataset()
    only = LayerLand(xr.DataTree.from_dict({"static": static.drop_vars("land_cover")}))
    assert np.array_equal(only.forest(geobox_of(tree)), static["forest"].values == 1)
    with pytest.raises(InputError, match=r"no layer land_cover.*import_static"):
        only.nearest(*points(geobox_of(tree))[0], 5)
    nothing = xr.DataTree.from_dict({"static": static[["dem"]]})
    with pytest.raises(CubeError, match="no layer land_cover or forest"):
        LayerLand(nothing)
    with pytest.raises(CubeError, match="no truth"):
        TruthLand(xr.DataTree.from_dict({"static": static}))


def test_same_areas_notices_differences(tree: xr.DataTree, layers: LayerLand) -> None:
    x, y = points(geobox_of(tree))[0]
    areas = layers.nearest(x, y, 12, OPEN)
    assert_same_areas(areas, areas)
    others = [
        areas._replace(distances=areas.distances + 0.001),
        areas._replace(classes=("urban", *areas.classes[1:])),
        areas._replace(geometries=areas.geometries[1:] + areas.geometries[:1]),
        areas._replace(geometries=areas.geometries[1:], classes=areas.classes[1:]),
    ]
    for other in others:
        with pytest.raises(AssertionError):
            assert_same_areas(areas, other)
