"""Pixels with their centre inside polygons, against one test per pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from terradelta import land
from terradelta.errors import InputError
from terradelta.land import CLASSES, OPEN, LandSource, masks
from terradelta.land.classes import WORLDCOVER, check_classes, class_numbers

OWN = Affine(10.0, 0.0, 300_000.0, 0.0, -10.0, 6_900_000.0)
GRIDS = {
    "upright": GeoBox((40, 50), OWN, "EPSG:3067"),
    "turned": GeoBox((40, 50), OWN @ Affine.rotation(20.0), "EPSG:3067"),
    "utm": GeoBox((40, 50), Affine(11.0, 0.0, 300_000.0, 0.0, -9.0, 6_900_150.0), "EPSG:32635"),
    "degrees": GeoBox((30, 40), Affine(3e-4, 0.0, 23.1563, 0.0, -1e-4, 62.17871), "EPSG:4326"),
}


def blobs(seed: int) -> list[shapely.Polygon]:
    rng = np.random.default_rng(seed)
    middles = rng.uniform((300_000, 6_899_600), (300_500, 6_900_000), (12, 2))
    round_ = [shapely.Point(middle).buffer(rng.uniform(5, 80)) for middle in middles]
    return [*round_[1:], round_[0].buffer(90).difference(round_[0])]


@pytest.mark.parametrize("name", GRIDS)
def test_inside_is_one_test_per_centre(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "_BLOCK", 333)
    grid, shapes = GRIDS[name], blobs(1)
    move = Transformer.from_crs(str(grid.crs), "EPSG:3067", always_xy=True)
    wanted = np.zeros(grid.shape, bool)
    for row, column in np.ndindex(*wanted.shape):
        point = shapely.Point(move.transform(*(grid.affine @ (column + 0.5, row + 0.5))))
        wanted[row, column] = any(shape.contains(point) for shape in shapes)
    assert 0.02 < wanted.mean() < 0.9
    assert np.array_equal(masks.inside(shapes, "EPSG:3067", grid), wanted)


def test_no_polygons_and_no_crs() -> None:
    assert not masks.inside([], "EPSG:3067", GRIDS["utm"]).any()
    naked = GeoBox((2, 2), OWN, None)
    for call in (
        lambda: masks.inside(blobs(0), "EPSG:3067", naked),
        lambda: masks.reach(naked, "EPSG:3067"),
        lambda: masks.centres(naked, "EPSG:3067"),
    ):
        with pytest.raises(InputError, match="the grid has no CRS"):
            call()


@pytest.mark.parametrize("name", GRIDS)
def test_reach_holds_all_centres(name: str) -> None:
    left, bottom, right, top = masks.reach(GRIDS[name], "EPSG:3067")
    x, y = masks.centres(GRIDS[name], "EPSG:3067")
    assert left < x.min() and x.max() < right and bottom < y.min() and y.max() < top


def test_where_the_crs_does_not_reach_nothing_is_inside() -> None:
    world = GeoBox((18, 36), Affine(10.0, 0.0, -180.0, 0.0, -10.0, 90.0), "EPSG:4326")
    whole = shapely.box(-1e9, -1e9, 1e9, 1e9)
    mask = masks.inside([whole], "EPSG:3857", world)
    assert mask.any() and mask.dtype == np.bool_
    masks.inside([whole], "EPSG:3067", world)
    assert np.isfinite(masks.reach(world, "EPSG:3067")).all()


def test_codes_become_numbers_of_classes() -> None:
    codes = np.arange(-5, 300)
    numbers = class_numbers(codes)
    for code, number in zip(codes, numbers, strict=True):
        assert (CLASSES[number - 1] if number else None) == WORLDCOVER.get(int(code))
    assert np.array_equal(class_numbers(codes[5:261].astype(np.uint8)), numbers[5:261])
    assert class_numbers(np.array([10.0, np.nan, 10.5, np.inf, 1e20])).tolist() == [1, 0, 0, 0, 0]
    assert set(WORLDCOVER.values()) == set(CLASSES) and set(OPEN) < set(CLASSES)


def test_the_docs_list_every_class() -> None:
    page = (Path(__file__).parents[2] / "docs" / "land.md").read_text(encoding="utf-8")
    for name in CLASSES:
        codes = ", ".join(str(code) for code, kind in WORLDCOVER.items() if kind == name)
        assert f"| `{name}` | {codes} | {'yes' if name in OPEN else 'no'} |" in page


def test_names_of_the_package_are_there() -> None:
    for name in land.__all__:
        assert getattr(land, name) is not None
    assert dir(land) == sorted(land.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = land.nothing


def test_classes_are_checked() -> None:
    assert check_classes("mire") == ("mire",)
    with pytest.raises(InputError, match="nothing given"):
        check_classes([])
    assert not isinstance(object(), LandSource)
