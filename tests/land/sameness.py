"""Do two sources of land cover give the same answers? Used by the tests of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.cube import geobox_of
from terradelta.land.classes import OPEN
from terradelta.land.radar import acquisitions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import xarray as xr

    from terradelta.land import Areas, LandSource, LayerLand

TOLERANCE = 1e-6
QUESTIONS: tuple[tuple[int, Sequence[str]], ...] = (
    (1, OPEN),
    (12, OPEN),
    (50, OPEN),
    (5, ("forest",)),
    (4, ("field", "lake")),
)


def write_polygons(land: LayerLand, file: Path, column: str = "class", crs: str | None = None) -> Path:
    """Write all areas of a raster, in their order, to a GeoPackage or GeoParquet."""
    import geopandas as gpd

    shapes, classes = zip(*land.polygons(), strict=True)
    frame = gpd.GeoDataFrame({column: list(classes)}, geometry=list(shapes), crs=land.crs)
    frame = frame if crs is None else frame.to_crs(crs)
    if file.suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_file(file, layer="land")
    return file


def grids(geobox: GeoBox) -> dict[str, GeoBox]:
    """Grids that a sample may have: the cube's, a part, a finer shifted one, other CRS, half outside."""
    own = geobox.affine
    middle_x, middle_y = own @ (geobox.shape[1] / 2 + 0.31, geobox.shape[0] / 2 + 0.17)
    fine = Affine(own.a * 0.293, 0, middle_x, 0, own.e * 0.293, middle_y)
    left, _, right, top = geobox.extent.to_crs("EPSG:4326").boundingbox
    step = (right - left) / 71.3
    degrees = Affine(step, 0, left - step * 5.13, 0, -step, top + step * 3.71)
    turned = GeoBox.from_bbox(geobox.extent.to_crs("EPSG:3035").boundingbox, "EPSG:3035", resolution=17.3)
    return {
        "own": geobox,
        "part": geobox[10:40, 5:61],
        "fine": GeoBox((64, 80), fine, geobox.crs),
        "degrees": GeoBox((80, 80), degrees, "EPSG:4326"),
        "turned": turned,
        "outside": GeoBox((8, 8), own @ Affine.translation(-4.0, -4.0), geobox.crs),
    }


def points(geobox: GeoBox) -> list[tuple[float, float]]:
    """Points within and beyond a grid, none of them on the edge of a pixel."""
    height, width = geobox.shape
    shares = [(0.5, 0.5), (0.13, 0.82), (0.91, 0.07), (1.4, -0.6)]
    return [geobox.affine @ (int(x * width) + 0.37, int(y * height) + 0.61) for x, y in shares]


def assert_same_answers(source_a: LandSource, source_b: LandSource, cube: xr.DataTree) -> None:
    """Compare forest, nearest areas and radar pixels of two sources of the same land cover.

    Both have the CRS of the cube. Areas at equal distances (within a millionth) may come in any order, since
    two libraries differ in the last bits; all else must be equal, radar pixels to the last bit.
    """
    geobox = geobox_of(cube)
    for name, grid in grids(geobox).items():
        a, b = source_a.forest(grid), source_b.forest(grid)
        assert a.dtype == b.dtype == np.bool_ and a.shape == b.shape == tuple(grid.shape)
        assert np.array_equal(a, b), (
            f"forest on the grid {name!r}: {(a != b).sum()} of {a.size} pixels differ"
        )
    images = acquisitions(cube)
    for place, (x, y) in enumerate(points(geobox)):
        for count, classes in QUESTIONS:
            a, b = (one.nearest(x, y, count, classes) for one in (source_a, source_b))
            what = f"{count} nearest of {classes} at ({x:.1f}, {y:.1f})"
            assert_same_areas(a, b, what)
            image = images[(place * 5 + count) % len(images)]
            same_pixels(source_a.pixels(a, image), source_b.pixels(a, image), what)
            if place == 0:
                same_pixels(source_a.pixels(b, image), source_b.pixels(a, image), what)


def assert_same_areas(a: Areas, b: Areas, what: str = "") -> None:
    """Compare areas: number, CRS, distances; classes and outlines in order, but for ties."""
    assert a.crs == b.crs, what
    assert len(a.geometries) == len(b.geometries) == len(a.classes) == len(b.classes), what
    assert np.all(np.diff(a.distances) >= 0) and np.all(np.diff(b.distances) >= 0), what
    np.testing.assert_allclose(a.distances, b.distances, rtol=1e-9, atol=TOLERANCE, err_msg=what)
    starts = np.flatnonzero(np.diff(a.distances, prepend=-np.inf) > TOLERANCE)
    ties = list(zip(starts, [*starts[1:], len(a.distances)], strict=True))
    for first, end in ties:
        # of the last tie only some may have been taken, and not the same ones
        if end < len(a.distances) or end - first == 1:
            assert _keys(a, first, end) == _keys(b, first, end), f"{what}, places {first} to {end}"


def _keys(areas: Areas, first: int, end: int) -> list[Any]:
    """Class and outline of some areas, however their rings begin and run, in a fixed order."""
    shapes = shapely.normalize(shapely.set_precision(list(areas.geometries[first:end]), TOLERANCE))
    return sorted(zip(areas.classes[first:end], shapely.to_wkt(shapes, rounding_precision=3), strict=True))


def same_pixels(a: Any, b: Any, what: str = "") -> None:
    """Compare radar pixels to the last bit."""
    assert a.dtype == b.dtype == np.float32, what
    assert np.array_equal(a, b), f"radar pixels differ: {what} {a.shape} {b.shape}"
