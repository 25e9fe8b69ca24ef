"""Nearest polygons by the index, against a sort of all distances."""

from __future__ import annotations

import time

import numpy as np
import pytest
import shapely

from terradelta.land.nearest import NearestPolygons


def polygons(seed: int, count: int, extent: float = 10_000.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    clusters = rng.uniform(0, extent, (20, 2))
    middle = clusters[rng.integers(20, size=count)] + rng.normal(0, extent / 30, (count, 2))
    radius = rng.lognormal(3, 1, count)
    angles = np.linspace(0, 2 * np.pi, 9)[:-1]
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(0.4, 1, (count, 8, 1))
    return shapely.polygons(middle[:, None] + radius[:, None, None] * ring)


def slow(shapes: np.ndarray, x: float, y: float, count: int) -> tuple[list[int], list[float]]:
    distances = [shape.distance(shapely.Point(x, y)) for shape in shapes]
    order = sorted(range(len(shapes)), key=lambda place: (distances[place], place))[:count]
    return order, [distances[place] for place in order]


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_sort_of_all(seed: int) -> None:
    shapes = polygons(seed, 1500)
    index = NearestPolygons(shapes)
    rng = np.random.default_rng(seed)
    asked = [*rng.uniform(0, 10_000, (6, 2)), (-50_000.0, 3.0), (1e7, 1e7), shapes[7].centroid.coords[0]]
    for x, y in asked:
        for count in (1, 50, 1499, 1500, 3000):
            places, distances = index.nearest(x, y, count)
            wanted, far = slow(shapes, x, y, count)
            assert places.tolist() == wanted and distances.tolist() == far


def test_ties_stay_in_the_order_of_the_data() -> None:
    grid = [shapely.box(10 * i, 10 * j, 10 * i + 10, 10 * j + 10) for j in range(9) for i in range(9)]
    shapes = np.random.default_rng(0).permutation(np.array(grid, object))
    index = NearestPolygons(shapes)
    for x, y in ((45.0, 45.0), (40.0, 40.0), (-10.0, 45.0)):
        for count in (1, 2, 5, 9, 30):
            assert index.nearest(x, y, count)[0].tolist() == slow(shapes, x, y, count)[0]


def test_one_and_none() -> None:
    assert NearestPolygons(np.array([], object)).nearest(0.0, 0.0, 5)[0].size == 0
    one = NearestPolygons(np.array([shapely.box(0, 0, 1, 1)], object))
    assert one.nearest(4.0, 5.0, 5)[1].tolist() == [5.0]
    assert one.within(2, 2, 3, 3).size == 0


def test_fifty_of_a_hundred_thousand_take_milliseconds() -> None:
    index = NearestPolygons(polygons(2, 100_000))
    times = []
    for x, y in np.random.default_rng(4).uniform(0, 10_000, (20, 2)):
        start = time.perf_counter()
        assert len(index.nearest(x, y, 50)[0]) == 50
        times.append(time.perf_counter() - start)
    # about 2 ms; all distances by force take 100
    assert np.median(times) < 0.05
