from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from terradelta.errors import SourceError
from terradelta.sources.describe import describe
from terradelta.sources.geotiff import read_headers
from terradelta.sources.grids import propose_grid, shift_between
from terradelta.sources.layers import Decoding
from terradelta.sources.reading import decode, read_categories, read_measurement, read_stored
from terradelta.sources.resampling import positions
from terradelta.sources.sidecar import Sidecar

UTM = GeoBox((40, 50), Affine(30, 0, 500_000, 0, -30, 5_000_000), "EPSG:32631")


def layer_of(path: Path, **settings_of_file: object):
    return describe(read_headers(path), Sidecar(**settings_of_file).for_file(path.name))[0]


@settings(deadline=None, max_examples=30)
@given(row=st.integers(-20, 50), column=st.integers(-20, 60))
def test_grids_of_one_lattice_know_their_shift(row: int, column: int):
    moved = GeoBox((10, 10), UTM.affine @ Affine.translation(column, row), "EPSG:32631")
    assert shift_between(UTM, moved) == (row, column)


def test_half_a_pixel_another_crs_or_resolution_is_another_lattice():
    half = GeoBox((10, 10), UTM.affine @ Affine.translation(0.5, 0), "EPSG:32631")
    other = GeoBox((10, 10), UTM.affine, "EPSG:32632")
    assert shift_between(UTM, half) is None
    assert shift_between(UTM, other) is None
    assert shift_between(UTM, UTM.zoom_out(2)) is None


def test_proposed_grid_covers_all_files_on_their_lattice():
    parts = [UTM[0:10, 0:10], UTM[30:40, 45:50]]
    grid, notes = propose_grid(parts)
    assert grid == UTM
    assert notes == []


def test_given_bounds_are_grown_to_the_lattice_of_the_data():
    grid, _ = propose_grid([UTM], bounds=(500_035, 4_999_500, 500_100, 4_999_700))
    assert shift_between(UTM, grid) == (10, 1)
    assert grid.shape == (7, 3)


def test_given_resolution_and_crs():
    grid, _ = propose_grid([UTM], resolution=60)
    assert grid.shape == (20, 25)
    elsewhere, _ = propose_grid([UTM], crs="EPSG:3035", resolution=20)
    assert str(elsewhere.crs) == "EPSG:3035"
    assert elsewhere.footprint("EPSG:32631").contains(UTM.footprint("EPSG:32631").buffer(-60))
    with pytest.raises(SourceError, match="resolution 0"):
        propose_grid([UTM], resolution=0)
    with pytest.raises(SourceError, match="hold nothing"):
        propose_grid([UTM], bounds=(1, 1, 0, 0))


def test_same_grid_is_bit_equal_and_outside_is_nan(tmp_path: Path, write_tif, speckle):
    values = speckle()
    layer = layer_of(write_tif(tmp_path / "a_20200101_VV.tif", values))
    assert np.array_equal(read_measurement(layer, layer.grid).view(np.uint32), values.view(np.uint32))
    wider = layer.grid.pad(5)
    read = read_measurement(layer, wider)
    assert np.array_equal(read[5:-5, 5:-5], values)
    assert np.isnan(read).sum() == read.size - values.size
    assert np.isnan(read_measurement(layer, GeoBox((3, 3), Affine(30, 0, 0, 0, -30, 0), "EPSG:32631"))).all()


def test_warping_is_linear_and_never_smears_no_data(tmp_path: Path, write_tif):
    values = np.full((40, 50), 0.1, np.float32)
    values[10:20, 10:30] = 0
    layer = layer_of(write_tif(tmp_path / "a_20200101_VV.tif", values))
    grid = GeoBox((90, 110), Affine(14, 0, 499_990, 0, -14, 5_000_010), "EPSG:32631")
    read = read_measurement(layer, grid)
    valid = np.isfinite(read)
    assert np.allclose(read[valid], 0.1, rtol=1e-6)
    x, y = np.meshgrid(grid.coords["x"].values, grid.coords["y"].values)
    column, row = (x - 500_000) / 30, (5_000_000 - y) / 30
    inside = (column > 0) & (column < 50) & (row > 0) & (row < 40)
    hole = (column > 10) & (column < 30) & (row > 10) & (row < 20)
    assert np.array_equal(valid, inside & ~hole)


def test_bilinear_reproduces_a_plane_and_db_is_averaged_as_power(tmp_path: Path, write_tif):
    row, column = np.mgrid[0:40, 0:50]
    plane = (0.01 * column + 0.02 * row + 0.1).astype(np.float32)
    layer = layer_of(write_tif(tmp_path / "a_20200101_VV.tif", plane))
    grid = GeoBox((20, 20), Affine(30, 0, 500_305, 0, -30, 4_999_690), "EPSG:32631")
    expected = 0.01 * (np.arange(20) + 305 / 30) + 0.02 * (np.arange(20)[:, None] + 310 / 30) + 0.1
    assert np.allclose(read_measurement(layer, grid), expected, atol=1e-5)

    two = np.tile(np.array([-10.0, -20.0], np.float32), (40, 25))
    layer = layer_of(write_tif(tmp_path / "b_20200101_VV_dB.tif", two))
    middle = GeoBox((4, 4), Affine(30, 0, 500_315, 0, -30, 4_999_700), "EPSG:32631")
    assert np.allclose(read_measurement(layer, middle), (0.1 + 0.01) / 2, rtol=1e-5)


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:3035", "EPSG:4326"])
def test_blocks_of_a_warp_meet_without_seams(tmp_path: Path, write_tif, speckle, crs: str):
    layer = layer_of(write_tif(tmp_path / "a_20200101_VV.tif", speckle(shape=(120, 130))))
    grid = layer.grid.to_crs(crs).zoom_out(1.7)
    whole = read_measurement(layer, grid)
    rows, columns = 40, 24
    parts = np.block(
        [[read_measurement(layer, grid[r, c]) for c in (slice(0, columns), slice(columns, None))]
         for r in (slice(0, rows), slice(rows, None))]
    )  # fmt: skip
    assert np.isfinite(whole).mean() > 0.5
    assert np.allclose(whole, parts, rtol=1e-6, atol=0, equal_nan=True)


FIJI = GeoBox((60, 90), Affine(2000, 0, 740_000, 0, -2000, 8_100_000), "EPSG:32760")
"""Across the antimeridian at its 38th to 39th column."""

POLE = GeoBox((50, 60), Affine(20_000, 0, 2_000_000 - 600_123, 0, -20_000, 2_000_000 + 500_321), "EPSG:5041")
WORLDS = {
    "tile in the west": GeoBox((100, 40), Affine(0.05, 0, 178, 0, -0.05, -15), "EPSG:4326"),
    "tile in the east": GeoBox((100, 40), Affine(0.05, 0, -180, 0, -0.05, -15), "EPSG:4326"),
    "from -180": GeoBox((180, 360), Affine(1, 0, -180, 0, -1, 90), "EPSG:4326"),
    "from 0": GeoBox((180, 360), Affine(1, 0, 0, 0, -1, 90), "EPSG:4326"),
    "across": GeoBox((100, 100), Affine(0.05, 0, 178, 0, -0.05, -15), "EPSG:4326"),
    "mercator": GeoBox((400, 400), Affine(100_188, 0, -20_037_508, 0, -100_188, 20_037_508), "EPSG:3857"),
}


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("target", [FIJI, POLE], ids=["antimeridian", "pole"])
def test_longitudes_that_jump_are_not_interpolated(name: str, target: GeoBox):
    source = WORLDS[name]
    row, column = np.meshgrid(*(np.arange(size) + 0.5 for size in target.shape), indexing="ij")
    x, y = Transformer.from_crs(str(target.crs), str(source.crs), always_xy=True).transform(
        *(target.affine @ (column, row))
    )
    if source.crs.geographic:
        middle = source.affine.c + source.affine.a * source.shape[1] / 2
        x = (x - middle + 180) % 360 - 180 + middle
    expected = [axis - 0.5 for axis in (~source.affine @ (x, y))[::-1]]
    found = positions(source, target)
    near = np.abs(expected[1] - source.shape[1] / 2) < 180 / abs(source.affine.a) - 1
    for axis, truth in zip(found, expected, strict=True):
        off = np.abs(axis - truth)
        assert (off[near] if source.crs.geographic else off).max() < 0.1


@pytest.mark.parametrize("west", [-180.0, 0.0, 178.0])
@pytest.mark.parametrize("middle", [180.0, 0.0])
def test_pixels_on_both_sides_of_a_seam_of_longitudes(tmp_path: Path, write_tif, west: float, middle: float):
    longitude = west + 0.25 + 0.5 * np.arange(720)
    values = np.tile(100 + np.abs((longitude - middle + 180) % 360 - 180), (20, 1)).astype(np.float32)
    path = write_tif(tmp_path / "dem.tif", values, left=west, top=-10, step=0.5, crs="EPSG:4326")
    layer = layer_of(path, sensor="static")
    zone = "EPSG:32760" if middle else "EPSG:32731"
    x = Transformer.from_crs("EPSG:4326", zone, always_xy=True).transform(middle, -16)[0]
    grid = GeoBox((40, 80), Affine(5000, 0, x - 200_000, 0, -5000, 8_300_000), zone)
    back = Transformer.from_crs(zone, "EPSG:4326", always_xy=True)
    column, row = np.meshgrid(np.arange(80) + 0.5, np.arange(40) + 0.5)
    seen, _ = back.transform(*(grid.affine @ (column, row)))
    truth = 100 + np.abs((seen - middle + 180) % 360 - 180)
    assert np.abs(read_measurement(layer, grid) - truth).max() < 0.3
    assert np.abs(read_categories(layer, grid) - truth).max() < 0.3
    cube = GeoBox((10, 40), Affine(0.5, 0, middle - 10, 0, -0.5, -12), "EPSG:4326")
    expected = 100 + np.abs(np.arange(40) * 0.5 + 0.25 - 10)
    assert np.allclose(read_measurement(layer, cube), expected, atol=1e-4)


def test_only_both_ends_of_the_world_are_read_across_the_antimeridian(tmp_path: Path, write_tif):
    path = write_tif(
        tmp_path / "dem.tif", np.ones((20, 720), np.float32), left=-180, top=-10, step=0.5, crs="EPSG:4326"
    )
    read: list[int] = []

    def spy(layer, rows: slice, columns: slice):
        read.append(columns.stop - columns.start)
        return np.ones((rows.stop - rows.start, columns.stop - columns.start), np.float32)

    assert (read_measurement(layer_of(path, sensor="static"), FIJI, spy) == 1).all()
    assert len(read) == 2
    assert max(read) < 20


def test_coarse_grids_are_read_in_parts(tmp_path: Path, write_tif, speckle, monkeypatch):
    layer = layer_of(write_tif(tmp_path / "a_20200101_VV.tif", speckle(shape=(400, 500))))
    grid = GeoBox((40, 70), Affine(190, 0, 499_000, 0, -190, 5_000_900), "EPSG:32631")
    read: list[int] = []

    def spy(layer, rows: slice, columns: slice):
        read.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return read_stored(layer, rows, columns)

    whole = read_measurement(layer, grid, spy)
    monkeypatch.setattr("terradelta.sources.resampling.LARGEST", 10_000)
    assert np.allclose(read_measurement(layer, grid, spy), whole, rtol=1e-6, atol=0, equal_nan=True)
    assert read[0] > 90_000
    assert max(read[1:]) <= 10_000


def test_categories_are_never_mixed(tmp_path: Path, write_tif):
    classes = np.random.default_rng(0).choice([10, 40, 80], (40, 50)).astype(np.uint8)
    layer = layer_of(write_tif(tmp_path / "worldcover.tif", classes))
    assert layer.categorical
    assert layer.band == "land_cover"
    read = read_categories(layer, GeoBox((60, 60), Affine(21, 0, 500_100, 0, -21, 4_999_900), "EPSG:32631"))
    assert read.dtype == np.uint8
    assert set(np.unique(read)) <= {0, 10, 40, 80}


@settings(deadline=None, max_examples=50)
@given(db=st.floats(-60, 30))
def test_db_becomes_linear_power(db: float):
    value = decode(np.array([[db]]), Decoding(unit="dB"))[0, 0]
    assert value == pytest.approx(10 ** (db / 10), rel=1e-6)


def test_no_data_of_another_type_means_nothing():
    stored = np.array([[0, 5]], np.uint16)
    assert np.array_equal(decode(stored, Decoding(nodata=(-9999.0,))), [[0, 5]])
    assert np.isnan(decode(stored, Decoding(nodata=(5.0,)))[0, 1])
    assert np.isnan(decode(np.array([[-9999.0]], np.float32), Decoding(nodata=(-9999.0,)))).all()


@pytest.mark.parametrize("edge", [7.0, 10.0, 33.0])
def test_strips_and_plain_axes_change_no_bit(monkeypatch: pytest.MonkeyPatch, edge: float):
    from terradelta.sources import interpolating
    from terradelta.sources.resampling import coarseness, positions_by

    source = GeoBox((90, 80), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
    target = GeoBox((70, 60), Affine(edge, 0, 499_967.3, 0, -edge, 5_000_044.4), "EPSG:32631")
    values = np.random.default_rng(1).gamma(4, 0.02, source.shape).astype(np.float32)
    values[::7, ::5] = np.nan

    def place(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (5_000_000 - y) / 10 - 0.5, (x - 500_000) / 10 - 0.5

    everywhere = positions_by(place, target)
    for full, plain in zip(everywhere, positions(source, target), strict=True):
        np.testing.assert_allclose(plain, full, atol=1e-9)
    at, whole = positions(source, target), (slice(0, 90), slice(0, 80))
    ratio = coarseness(source, target)
    once = interpolating.bilinear(values, at, whole, ratio)
    assert 0.1 < np.isfinite(once).mean() < 1
    monkeypatch.setattr(interpolating, "_STRIP", 9)
    monkeypatch.setattr(interpolating, "_lean", lambda at: at)
    np.testing.assert_array_equal(interpolating.bilinear(values, at, whole, ratio), once)
