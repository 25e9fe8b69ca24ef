"""Connected areas of a raster, against slow and obvious ways."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.features import shapes
from scipy import ndimage

from terradelta.land import components
from terradelta.land.components import RasterAreas, label_areas

AFFINE = Affine(20.0, 0.0, 1000.0, 0.0, -20.0, 5000.0)
TURNED = Affine.translation(300.0, 900.0) @ Affine.rotation(30.0) @ Affine.scale(12.0, -7.0)


def patchwork(seed: int, size: int = 40, smooth: float = 1.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(rng.normal(size=(4, size, size + 7)), (0, smooth, smooth))
    return fields.argmax(axis=0).astype(np.uint8)


@pytest.mark.parametrize("strip", [1, 50, 300, 2**22])
def test_labels_are_those_of_each_class(monkeypatch: pytest.MonkeyPatch, strip: int) -> None:
    monkeypatch.setattr(components, "_STRIP", strip)
    numbers = patchwork(0, smooth=0.7)
    labels = label_areas(numbers)
    wanted = np.zeros(numbers.shape, int)
    for name in (1, 2, 3):
        found, _ = ndimage.label(numbers == name)
        wanted = np.where(found > 0, found + wanted.max(), wanted)
    first = [np.flatnonzero(wanted == one)[0] for one in range(1, wanted.max() + 1)]
    for place, one in enumerate(np.argsort(first), start=1):
        assert ((labels == place) == (wanted == one + 1)).all()
    assert labels.max() == wanted.max() and labels.dtype == np.int32


def test_labels_of_a_shape_that_closes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "_STRIP", 5)
    comb = np.array([[1, 2, 1, 2, 1], [1, 2, 1, 2, 1], [1, 2, 1, 1, 1], [1, 1, 1, 0, 2]], np.uint8)
    assert label_areas(comb).tolist() == [[1, 2, 1, 3, 1], [1, 2, 1, 3, 1], [1, 2, 1, 1, 1], [1, 1, 1, 0, 4]]


def test_nothing_and_everything() -> None:
    assert RasterAreas(np.zeros((3, 4), np.uint8), AFFINE).nearest(0.0, 0.0, 3, {1, 2})[0].size == 0
    whole = RasterAreas(np.ones((3, 4), np.uint8), AFFINE)
    assert whole.count == 1 and whole.outline(1).equals(shapely.box(1000, 4940, 1080, 5000))


@pytest.mark.parametrize("affine", [AFFINE, TURNED], ids=["upright", "turned"])
@pytest.mark.parametrize("smooth", [0.5, 1.5])
def test_outlines_are_valid_and_cover_their_pixels(affine: Affine, smooth: float) -> None:
    numbers = patchwork(1, smooth=smooth)
    areas = RasterAreas(numbers, affine)
    pixel = abs(affine.determinant)
    holes = 0
    for one in range(1, areas.count + 1):
        polygon = areas.outline(one)
        assert polygon.geom_type == "Polygon" and polygon.is_valid
        assert polygon.area == pytest.approx((areas.labels == one).sum() * pixel)
        holes += len(polygon.interiors)
        row, column = np.argwhere(areas.labels == one)[-1]
        assert polygon.contains(shapely.Point(affine @ (column + 0.5, row + 0.5)))
    assert holes


def test_outline_that_touches_itself_at_a_corner() -> None:
    ring = np.array([[1, 1, 1], [1, 2, 1], [1, 1, 2]], np.uint8)
    polygon = RasterAreas(ring, AFFINE).outline(1)
    assert polygon.is_valid and polygon.geom_type == "Polygon" and polygon.area == 7 * 400


@pytest.mark.parametrize("affine", [AFFINE, TURNED], ids=["upright", "turned"])
@pytest.mark.parametrize("window", [1, 4, 128])
def test_nearest_is_the_sort_of_all(affine: Affine, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "_FIRST_WINDOW", window)
    monkeypatch.setattr(components, "_STRIP", 100)
    numbers = patchwork(2, smooth=0.8)
    areas = RasterAreas(numbers, affine)
    rng = np.random.default_rng(3)
    wanted = [one for one in range(1, areas.count + 1) if areas.numbers[one] in (1, 3)]
    outlines = [areas.outline(one) for one in wanted]
    for _ in range(25):
        row, column = rng.uniform(-20, 60, 2) if rng.random() < 0.5 else rng.integers(0, 40, 2)
        x, y = affine @ (column, row)
        distances = shapely.distance(outlines, shapely.Point(x, y))
        order = np.argsort(distances, kind="stable")
        for count in (1, 7, 40, len(wanted), 10_000):
            places, found = areas.nearest(x, y, count, {1, 3})
            assert places.tolist() == [wanted[one] for one in order[:count]]
            assert np.array_equal(found, distances[order[:count]])


def test_outlines_equal_those_of_the_whole_raster_at_once() -> None:
    numbers = patchwork(4)
    areas = RasterAreas(numbers, AFFINE)
    traced = [
        (shapely.make_valid(shapely.geometry.shape(one)), value)
        for one, value in shapes(numbers, numbers > 0, 4, AFFINE)
    ]
    mine = [(areas.outline(one), areas.numbers[one]) for one in range(1, areas.count + 1)]
    assert sorted((shapely.normalize(one).wkt, int(value)) for one, value in traced) == sorted(
        (shapely.normalize(one).wkt, int(value)) for one, value in mine
    )


def test_kept_outlines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "_KEPT", 5)
    areas = RasterAreas(patchwork(5, smooth=0.5), AFFINE)
    before = [areas.outline(one).wkt for one in range(1, 20)]
    assert len(areas._outlines) == 5
    assert [areas.outline(one).wkt for one in range(1, 20)] == before
