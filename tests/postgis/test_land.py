"""Land cover out of PostGIS: the same answers as from files, by index, with as few rights as can be."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import shapely
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1] / "land"))
sys.path.insert(0, str(Path(__file__).parent))

from sameness import assert_same_answers, points, same_pixels, write_polygons
from server import READER, READER_PASSWORD, Server

from terradelta.cube import geobox_of, write_cube
from terradelta.errors import ConflictError, CubeError, InputError, SourceError
from terradelta.land import Acquisition, LandSource, LayerLand, VectorLand
from terradelta.land.classes import CLASSES
from terradelta.land.interface import Areas
from terradelta.land.postgis import PostgisLand
from terradelta.land.radar import acquisitions
from terradelta.simulate import place
from terradelta.sources.postgis import Database, load_areas, load_cube
from terradelta.sources.postgis.areas import areas_near, find_dataset
from terradelta.sources.postgis.schema import AREA_TABLES
from terradelta.workflows.config import load_settings
from terradelta.workflows.config.database import DatabaseLandSettings
from terradelta.workflows.database import load_land


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    tree = place(seed=5, size=300, years=0.1, changes=0)
    values = tree["sar"]["backscatter"].values
    values[:, 0, 20:24, 30:50] = np.nan
    values[:, :, 60:270, 60:64] = np.nan
    return tree


@pytest.fixture(scope="module")
def layers(tree: xr.DataTree) -> LayerLand:
    return LayerLand(tree)


@pytest.fixture(scope="module")
def file(layers: LayerLand, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_polygons(layers, tmp_path_factory.mktemp("land") / "land.gpkg")


@pytest.fixture(scope="module")
def filled(
    server: Server, template: str, tree: xr.DataTree, file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Name of a database with the cube and its land cover."""
    cube = tmp_path_factory.mktemp("cube") / "a.zarr"
    write_cube(tree, cube)
    name = server.make(template)
    with Database(server.url(name), write=True) as database:
        load_cube(database, cube)
    settings = {"file": file, "database": server.url(name)}
    assert "polygons added" in load_land(load_settings(DatabaseLandSettings, given=settings))
    assert "there already" in load_land(load_settings(DatabaseLandSettings, given=settings))
    yield name
    server.drop(name)


@pytest.fixture(scope="module")
def land(server: Server, filled: str) -> Iterator[PostgisLand]:
    """Read by a role that may do nothing else."""
    source = PostgisLand(server.url(filled, READER, READER_PASSWORD))
    yield source
    source.close()


def test_classes_are_those_of_the_tables() -> None:
    assert AREA_TABLES == CLASSES


def test_answers_as_the_raster_does(land: PostgisLand, layers: LayerLand, tree: xr.DataTree) -> None:
    assert isinstance(land, LandSource) and land.crs == layers.crs
    assert (land.repaired, land.skipped) == (0, 0)
    assert_same_answers(layers, land, tree)


def test_answers_as_the_file_does_to_the_last_bit_and_tie(
    land: PostgisLand, file: Path, tree: xr.DataTree
) -> None:
    vectors = VectorLand(file, tree)
    for x, y in points(geobox_of(tree)):
        a, b = vectors.nearest(x, y, 50), land.nearest(x, y, 50)
        assert a.classes == b.classes and np.array_equal(a.distances, b.distances)
        assert all(one.equals_exact(other) for one, other in zip(a.geometries, b.geometries, strict=True))


def test_ties_come_in_the_order_of_the_data(url: str, tree: xr.DataTree, tmp_path: Path) -> None:
    boxes = [shapely.box(10 * i, 0, 10 * i + 10, 10) for i in (3, -5, 4, -4, 3, 0, 3)]
    with Database(url, write=True) as database:
        load_areas(
            database, "boxes", boxes, ["mire", "lake", "mire", "field", "lake", "forest", "open"], "EPSG:3067"
        )
        found = PostgisLand(database).nearest(0.0, 5.0, 3)
        assert found.distances.tolist() == [30.0, 30.0, 30.0]
        assert found.classes == ("mire", "field", "lake")
        more = PostgisLand(database).nearest(0.0, 5.0, 9)
        assert more.distances.tolist() == [30.0] * 4 + [40.0] * 2
        assert more.classes == ("mire", "field", "lake", "open", "lake", "mire")


def test_pixels_by_hand(land: PostgisLand, tree: xr.DataTree) -> None:
    """Over four tiles, areas that overlap, one beyond the edge; against a mask made pixel by pixel."""
    grid = geobox_of(tree)
    corner = grid.affine @ (256, 256)
    shapes = (
        shapely.Point(corner).buffer(523.4),
        shapely.Point(corner[0] + 71.1, corner[1]).buffer(388.8),
        shapely.Point(grid.affine @ (0, 150)).buffer(255.5),
    )
    image = acquisitions(tree)[1]
    row, column = np.mgrid[:300, :300] + 0.5
    x, y = grid.affine @ (column, row)
    inside = shapely.contains_xy(shapely.union_all(shapes), x, y)
    values = tree["sar"]["backscatter"].values[1][:, inside]
    expected = values[:, np.isfinite(values).all(axis=0)]
    areas = Areas(shapes, ("mire",) * 3, np.zeros(3), land.crs)
    same_pixels(land.pixels(areas, image), expected)
    assert expected.shape[1] > 500
    assert land.pixels(Areas((), (), np.zeros(0), land.crs), image).shape == (2, 0)
    far = Areas((shapely.box(0, 0, 9, 9),), ("mire",), np.zeros(1), land.crs)
    assert land.pixels(far, image).shape == (2, 0)


def test_areas_of_another_crs(land: PostgisLand, layers: LayerLand, tree: xr.DataTree) -> None:
    import geopandas as gpd

    image = acquisitions(tree)[0]
    areas = layers.nearest(*points(geobox_of(tree))[0], 20)
    moved = gpd.GeoSeries(list(areas.geometries), crs=areas.crs).to_crs("EPSG:4326")
    moved = moved.scale(0.9973, 0.9981)  # off the centres of pixels
    there = Areas(tuple(moved), areas.classes, areas.distances, "EPSG:4326")
    same_pixels(land.pixels(there, image), layers.pixels(there, image))


def test_an_image_that_is_not_there_is_named(land: PostgisLand) -> None:
    areas = land.nearest(500_100.0, 6_699_900.0, 1)
    with pytest.raises(CubeError, match="no image of 2001-01-01"):
        land.pixels(areas, Acquisition("2001-01-01"))


def test_too_few_and_none(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with Database(url, write=True) as database:
        load_areas(database, "one", [shapely.box(0, 0, 9, 9)], ["lake"], "EPSG:3067")
        source = PostgisLand(database)
        assert len(source.nearest(0, 0, 5).geometries) == 1
        assert "only 1 of the 5 areas" in caplog.text
        with pytest.raises(InputError, match="no area of forest; give"):
            source.nearest(0, 0, 5, ["forest"])


def test_broken_geometries_are_counted(url: str, tmp_path: Path) -> None:
    import geopandas as gpd

    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    shapes = [bow_tie, shapely.box(5, 5, 6, 6), shapely.Point(0, 0)]
    gpd.GeoDataFrame({"kind": ["suo", "suo", "suo"]}, geometry=shapes, crs="EPSG:3067").to_file(
        tmp_path / "a.gpkg"
    )
    given = {"file": tmp_path / "a.gpkg", "database": url, "crs": "EPSG:3067", "class_column": "kind"}
    settings = load_settings(DatabaseLandSettings, given={**given, "classes": "suo=mire"})
    assert load_land(settings) == "dataset a: 3 polygons added"
    source = PostgisLand(url)
    assert (source.repaired, source.skipped) == (1, 1)
    assert source.nearest(0.0, 1.0, 9, ["mire"]).classes == ("mire",) * 3


def test_the_index_answers(server: Server, name: str, url: str) -> None:
    """The plan of the search, not only its result: no table is read from end to end."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1e5, (2, 20_000))
    boxes = shapely.box(x, y, x + 10, y + 10)
    with Database(url, write=True) as database:
        load_areas(database, "many", boxes, rng.choice(CLASSES, len(x)).tolist(), "EPSG:3067")
        seen: list[str] = []
        inner = database.run

        def explained(work: object) -> object:
            class Spy:
                def __init__(self, connection: object) -> None:
                    self.connection = connection

                def cursor(self, **_: object) -> Spy:
                    return self

                def __enter__(self) -> Spy:
                    return self

                def __exit__(self, *_: object) -> None: ...

                def execute(self, statement: object, values: object) -> object:
                    from psycopg import sql

                    plan = self.connection.execute(sql.SQL("EXPLAIN ") + statement, values)
                    seen.extend(row[0] for row in plan)
                    return self.connection.cursor(binary=True).execute(statement, values)

            return inner(lambda connection: work(Spy(connection)))

        dataset = find_dataset(database)
        database.run = explained
        shapes, _ = areas_near(database, dataset, (5e4, 5e4), 50, ("mire", "field"))
    expected = np.sort(shapely.distance(boxes, shapely.Point(5e4, 5e4)))
    assert len(shapes) >= 50 and expected.size
    plan = "\n".join(seen)
    assert "Seq Scan" not in plan
    assert "mire_geom_idx" in plan and "field_geom_idx" in plan and "forest_geom_idx" not in plan
    assert "Order By: (geom <-> " in plan or "Order By: (land_1.geom <-> " in plan or " <-> " in plan


def test_other_processes_connect_anew(land: PostgisLand) -> None:
    again = pickle.loads(pickle.dumps(land))
    a, b = (one.nearest(500_100.0, 6_699_900.0, 5) for one in (land, again))
    assert np.array_equal(a.distances, b.distances)
    again.close()


def test_words_from_outside_are_only_words(url: str, reader_url: str) -> None:
    """Names that try to be statements stay names."""
    bad = "x'; DROP TABLE terradelta.land; --"
    with Database(url, write=True) as database:
        with pytest.raises(InputError, match="is unknown"):
            load_areas(database, "a", [shapely.box(0, 0, 1, 1)], [bad], "EPSG:3067")
        load_areas(database, bad, [shapely.box(0, 0, 1, 1)], ["mire"], "EPSG:3067")
        with pytest.raises(ConflictError, match="with other polygons"):
            load_areas(database, bad, [shapely.box(0, 0, 2, 2)], ["mire"], "EPSG:3067")
    source = PostgisLand(reader_url, dataset=bad)
    with pytest.raises(InputError, match="choose from forest"):
        source.nearest(0, 0, 1, [bad])
    with pytest.raises(InputError, match="holds no cube"):
        PostgisLand(reader_url, place=bad).pixels(source.nearest(0, 0, 1), Acquisition("2020-01-01"))
    with pytest.raises(InputError, match="no dataset"):
        PostgisLand(reader_url, dataset="nothing")
    with pytest.raises(SourceError, match="lacks the table"):
        PostgisLand(reader_url, schema=bad)
    assert source.nearest(0, 0, 1).classes == ("mire",)


def test_no_land_cover_yet(reader_url: str) -> None:
    with pytest.raises(InputError, match="terradelta database land"):
        PostgisLand(reader_url)
