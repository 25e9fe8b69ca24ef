from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from terradelta.errors import SourceError
from terradelta.sources.describe import describe
from terradelta.sources.geotiff import read_headers
from terradelta.sources.reading import read_measurement
from terradelta.sources.sidecar import FileSettings
from terradelta.sources.terrain import layer_from_file

UTM = GeoBox((60, 80), Affine(20, 0, 500_000, 0, -20, 5_541_000), "EPSG:32631")
"""3 to 3.02 degrees east, just above 50 degrees north."""


def plane(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Heights that rise evenly to the north-east: bilinear interpolation gives them exactly."""
    return (100 + 2000 * (x - 3) + 3000 * (y - 50)).astype(np.float32)


def tile(path: Path, west: float, north: float, x_step: float, y_step: float, shape: tuple[int, int],
         crs: str = "EPSG:4326", **options) -> Path:  # fmt: skip
    x = west + x_step * (np.arange(shape[1]) + 0.5)
    y = north - y_step * (np.arange(shape[0]) + 0.5)
    values = plane(*np.meshgrid(x, y))
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=shape[0], width=shape[1], dtype="float32", crs=crs,
        transform=Affine(x_step, 0, west, 0, -y_step, north), **options,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def copernicus(folder: Path) -> list[Path]:
    """Four tiles around 3 E 50 N; the northern ones have wider pixels."""
    names = [
        f"Copernicus_DSM_COG_10_N{n}_00_E00{e}_00_DEM/Copernicus_DSM_COG_10_N{n}_00_E00{e}_00_DEM.tif"
        for n in (50, 49) for e in (2, 3)
    ]  # fmt: skip
    step = 1 / 400
    places = [(2.8, 50.2, 2 * step), (3.0, 50.2, 2 * step), (2.8, 50.0, step), (3.0, 50.0, step)]
    for name, (west, north, x_step) in zip(names, places, strict=True):
        tile(folder / name, west, north, x_step, step, (80, round(0.2 / x_step)))
    for extra in ("WBM", "HEM"):
        tile(folder / names[0].replace("_DEM.tif", f"_{extra}.tif"), 2.8, 50.2, step, step, (80, 80))
    return [folder / name for name in names]


def heights(grid: GeoBox) -> np.ndarray:
    rows, columns = np.meshgrid(*(np.arange(size) + 0.5 for size in grid.shape), indexing="ij")
    x, y = (grid.affine.a * columns + grid.affine.c, grid.affine.e * rows + grid.affine.f)
    return plane(*Transformer.from_crs(grid.crs.to_wkt(), "EPSG:4326", always_xy=True).transform(x, y))


def test_tiles_of_one_spacing_meet_without_a_seam(tmp_path: Path):
    copernicus(tmp_path)
    grid = GeoBox((100, 160), Affine(20, 0, 498_400, 0, -20, 5_550_000), "EPSG:32631")
    offer = layer_from_file(tmp_path, name="dem", grid=grid)
    assert offer.key == "file/dem/Copernicus_DSM_COG_10_N50_00_E002_00_DEM+1"
    assert (offer.categorical, offer.facts["vertical"]) == (False, "EGM2008 height")
    values = pickle.loads(pickle.dumps(offer.read))(grid)
    assert values.dtype == np.float32
    assert np.abs(values - heights(grid)).max() < 0.02


def test_tiles_of_other_spacing_leave_no_hole(tmp_path: Path):
    copernicus(tmp_path)
    grid = GeoBox((200, 160), Affine(20, 0, 498_400, 0, -20, 5_540_600), "EPSG:32631")
    offer = layer_from_file(tmp_path, name="dem", grid=grid)
    values = offer.read(grid)
    assert offer.product.endswith("E002_00_DEM")
    assert "covered" not in offer.facts
    assert np.isfinite(values).all()
    error = np.abs(values - heights(grid))
    assert error.max() < 3000 / 400
    assert np.quantile(error, 0.8) < 0.02
    rows, columns = slice(40, 100), slice(8, 90)
    assert np.allclose(offer.read(grid[rows, columns]), values[rows, columns], atol=0.01)


def test_one_file_reads_as_an_import_does(tmp_path: Path, shared: Path):
    file = shared / "data/sentinel1_grd_safe/Rome-30m-DEM.tif"
    grid = GeoBox((50, 60), Affine(40, 0, 292_000, 0, -40, 4_655_000), "EPSG:32633")
    offer = layer_from_file(file, name="dem", grid=grid)
    assert "height" in offer.facts["vertical"]
    (layer,) = describe(read_headers(file), FileSettings(sensor="static", layer="dem"))
    assert np.array_equal(offer.read(grid), read_measurement(layer, grid), equal_nan=True)
    with pytest.raises(SourceError, match=r"covers 12\.4\d+ to 12\.5\d+ degrees east .* not the cube"):
        layer_from_file(file, name="dem", grid=UTM)


def test_same_grid_is_bit_for_bit(shared: Path):
    file = shared / "data/worldcereal_s1_s2_agera5/dem/dem_31UDS.tif"
    with rasterio.open(file) as source:
        grid, stored = GeoBox(source.shape, source.transform, "EPSG:32631"), source.read(1)
    values = layer_from_file(file, name="dem", grid=grid).read(grid)
    expected = np.where(np.isin(stored, (-32767,)), np.nan, stored).astype(np.float32)
    assert np.array_equal(values, expected, equal_nan=True)


def test_sea_is_height_0_and_voids_are_no_data(tmp_path: Path, write_tif):
    values = np.full((60, 80), 5, np.int16)
    values[:10], values[10:20] = 0, -32768
    options = {"left": 500_000, "top": 5_541_000, "step": 20}
    offer = layer_from_file(write_tif(tmp_path / "d.tif", values, **options), name="dem", grid=UTM)
    read = offer.read(UTM)
    assert (read[:10] == 0).all()
    assert np.isnan(read[10:20]).all()
    wide = GeoBox((60, 160), UTM.affine, UTM.crs)
    half = layer_from_file(tmp_path / "d.tif", name="dem", grid=wide)
    assert half.facts["covered"] == "50.0% of the cube"
    assert np.isnan(half.read(wide)[:, 80:]).all()
    values[30] = 20_000
    bad = layer_from_file(write_tif(tmp_path / "e.tif", values, **options), name="dem", grid=UTM)
    with pytest.raises(SourceError, match=r"e\.tif: heights from .* to 20000 m cannot be"):
        bad.read(UTM)


def test_feet_and_several_bands_are_refused(tmp_path: Path, write_tif):
    options = {"left": 500_000, "top": 5_541_000, "step": 20}
    values = np.ones((60, 80), np.float32)
    file = write_tif(tmp_path / "feet.tif", values, **options)
    with rasterio.open(file, "r+") as source:
        source.units = ["US survey foot"]
    with pytest.raises(SourceError, match=r"feet\.tif: its heights are in 'us survey foot'"):
        layer_from_file(file, name="dem", grid=UTM)
    write_tif(tmp_path / "rgb.tif", np.stack([values] * 3), **options)
    with pytest.raises(SourceError, match=r"rgb\.tif: holds 3 layers"):
        layer_from_file(tmp_path / "rgb.tif", name="dem", grid=UTM)
    with pytest.raises(SourceError, match="does not exist"):
        layer_from_file(tmp_path / "none.tif", name="dem", grid=UTM)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="has no raster"):
        layer_from_file(tmp_path / "empty", name="dem", grid=UTM)


def test_classes_keep_their_codes_and_take_the_nearest(tmp_path: Path, write_tif):
    rng = np.random.default_rng(0)
    codes = rng.choice(np.array([10, 50, 80, 95, 100], np.uint8), (120, 160))
    codes[:4] = 255
    options = {"left": 500_000, "top": 5_541_000, "step": 10, "nodata": 255}
    folder = tmp_path / "map"
    write_tif(folder / "ESA_WorldCover_10m_2021_v200_N50E003_Map.tif", codes[:, :90], **options)
    write_tif(folder / "ESA_WorldCover_10m_2021_v200_N50E003_InputQuality.tif", codes[:, :90], **options)
    right = {**options, "left": 500_900}
    write_tif(folder / "ESA_WorldCover_10m_2021_v200_N50E004_Map.tif", codes[:, 90:], **right)
    same = GeoBox((120, 160), Affine(10, 0, 500_000, 0, -10, 5_541_000), "EPSG:32631")
    offer = layer_from_file(folder, name="land_cover", grid=same)
    assert offer.categorical
    assert offer.read(same).dtype == np.uint8
    assert np.array_equal(offer.read(same), np.where(codes == 255, 0, codes))
    shifted = GeoBox((100, 100), Affine(10, 0, 500_204, 0, -10, 5_540_897), "EPSG:32631")
    read = layer_from_file(folder, name="land_cover", grid=shifted).read(shifted)
    assert np.array_equal(read, codes[10:110, 20:120])
    corine = write_tif(tmp_path / "CLC.tif", codes.astype(np.float32) + 12, **{**options, "nodata": 267})
    read = layer_from_file(corine, name="land_cover", grid=same).read(same)
    assert read.dtype.kind == "i"
    assert np.array_equal(read, np.where(codes == 255, 0, codes.astype(int) + 12))
    fractions = write_tif(tmp_path / "part.tif", codes / np.float32(7), **options)
    with pytest.raises(SourceError, match="fractions are no classes"):
        layer_from_file(fractions, name="land_cover", grid=same).read(same)


@pytest.mark.parametrize("west", [-180.0, 0.0])
def test_a_map_of_the_world_covers_every_place(tmp_path: Path, west: float):
    file = tile(tmp_path / "world.tif", west, 90.0, 1.0, 1.0, (180, 360))
    greenwich = GeoBox((100, 300), Affine(0.01, 0, -1.5, 0, -0.01, 51), "EPSG:4326")
    fiji = GeoBox((100, 300), Affine(1000, 0, 705_000, 0, -1000, 8_130_000), "EPSG:32760")
    for grid in (UTM, greenwich, fiji):
        offer = layer_from_file(file, name="height", grid=grid)
        assert "covered" not in offer.facts
        assert np.isfinite(offer.read(grid)).all()


def test_tiles_on_both_sides_of_the_antimeridian_meet_without_a_seam(tmp_path: Path):
    grid = GeoBox((100, 300), Affine(100, 0, 805_000, 0, -100, 8_130_000), "EPSG:32760")
    rows, columns = np.meshgrid(*(np.arange(size) + 0.5 for size in grid.shape), indexing="ij")
    seen = Transformer.from_crs("EPSG:32760", "EPSG:4326", always_xy=True).transform(
        *(grid.affine @ (columns, rows))
    )
    for name, west in (("E179", 179.0), ("W180", -180.0)):
        file = tile(tmp_path / f"{name}.tif", west, -16.0, 0.01, 0.01, (200, 100))
        with rasterio.open(file, "r+") as source:
            heights_of_it = plane((west + 0.01 * (np.arange(100) + 0.5)) % 360, np.full((200, 1), -17.0))
            source.write(heights_of_it, 1)
    tile(tmp_path / "E000.tif", 0.0, -16.0, 0.01, 0.01, (200, 100))
    offer = layer_from_file(tmp_path, name="height", grid=grid)
    assert "E000" not in offer.facts["files"]
    assert "covered" not in offer.facts
    values = offer.read(grid)
    assert np.abs(values - plane(seen[0] % 360, np.float64(-17.0))).max() < 0.1
    assert (np.abs(seen[0]).max() > 179.9) and (seen[0].min() < -179.9)
