from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from terradelta.cube import open_cube
from terradelta.errors import SourceError
from terradelta.sources import build_cube, scan
from terradelta.sources.names import read_name
from terradelta.sources.older import QUALITY
from terradelta.urban import ERAS, Stack

LEVEL1 = "LT05_L1TP_198025_{}_20180101_01_T1"
LEVEL2 = "LT05_L2SP_198025_{}_20200901_02_T1"
BANDS = tuple(f"B{number}" for number in range(1, 8))


def numbers(seed: int, dtype: type = np.uint8, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    high = 255 if dtype is np.uint8 else 40_000
    low = 1 if dtype is np.uint8 else 7300
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def optical(path: Path) -> xr.Dataset:
    return open_cube(path)["optical"].to_dataset().load()


# Landsat


def test_level1_of_landsat5_is_the_share_of_the_range(tmp_path: Path, write_tif):
    days = ("19930101", "19930117")
    quality = np.full((20, 30), 672, np.uint16)
    quality[0, :4] = 1 << 4, 1, 3 << 7, 1 << 7
    for number, day in enumerate(days):
        for index, band in enumerate(BANDS):
            values = numbers(10 * number + index)
            values[5, 5] = 0
            write_tif(tmp_path / "in" / f"{LEVEL1.format(day)}_{band}.TIF", values)
        write_tif(tmp_path / "in" / f"{LEVEL1.format(day)}_BQA.TIF", quality)
        (tmp_path / "in" / f"{LEVEL1.format(day)}_MTL.txt").write_text(
            f"GROUP = PRODUCT_METADATA\n  DATE_ACQUIRED = {day[:4]}-{day[4:6]}-{day[6:]}\n"
            '  SCENE_CENTER_TIME = "10:02:24.1230380Z"\nEND\n'
        )
    assert build_cube(tmp_path / "in", tmp_path / "c.zarr").added == 2
    cube = optical(tmp_path / "c.zarr")
    assert cube.band.values.tolist() == list(BANDS) == list(ERAS["ers12ls5"].optical_bands)
    assert [str(time)[:19] for time in cube.time.values] == ["1993-01-01T10:02:24", "1993-01-17T10:02:24"]
    assert set(cube.platform.values) == {"L5"}
    for index, band in enumerate(BANDS):
        wanted = (numbers(10 + index) / 255).astype(np.float32)
        wanted[5, 5] = np.nan
        assert np.array_equal(cube.reflectance.sel(band=band)[1], wanted, equal_nan=True)
    assert cube.clear[0, 0, :4].values.tolist() == [False, False, False, True]
    assert bool(cube.clear[0, 1:5].all())


def test_level2_of_collection2_is_reflectance_with_its_mask(tmp_path: Path, write_tif):
    stem = LEVEL2.format("20050705")
    for index, band in enumerate(("B1", "B2", "B3", "B4", "B5", "B7")):
        values = numbers(index, np.uint16)
        values[4, 4] = 0
        write_tif(tmp_path / "in" / f"{stem}_SR_{band}.TIF", values)
    quality = np.full((20, 30), 5440, np.uint16)
    quality[0, :6] = 5504, 1, 5440 | 1 << 1, 5440 | 1 << 3, 5440 | 1 << 4, 5440 | 1 << 5
    write_tif(tmp_path / "in" / f"{stem}_QA_PIXEL.TIF", quality)
    for name in ("ST_B6", "QA_RADSAT", "SR_CLOUD_QA", "SR_ATMOS_OPACITY"):
        write_tif(tmp_path / "in" / f"{stem}_{name}.TIF", numbers(9, np.uint16))
    plan = scan(tmp_path / "in")
    assert plan.warnings == ("one optical date only (2005-07-05): change needs at least two",)
    image = plan.optical[0].load(plan.geobox)
    assert image.bands == ("B1", "B2", "B3", "B4", "B5", "B7")
    assert (image.platform, image.offset_applied) == ("L5", False)
    pixels = image.reflectance.compute()
    wanted = (numbers(3, np.uint16) * 2.75e-5 - 0.2).astype(np.float32)
    assert np.isnan(pixels[:, 4, 4]).all()
    assert np.array_equal(np.delete(pixels[3], 4, 0), np.delete(wanted, 4, 0))
    clear = image.clear.compute()
    assert clear[0, :7].tolist() == [True, False, False, False, False, False, True]


@pytest.mark.parametrize(
    ("name", "band", "platform", "day"),
    [
        ("LT51980251993001FUI00_B3.TIF", "B3", "L5", "1993-01-01"),
        ("LT04_L1TP_198025_19890510_20180101_01_T2_B6.TIF", "B6", "L4", "1989-05-10"),
        ("LT05_L1GS_198025_19930101_20180101_02_RT_QA_PIXEL.TIF", "QA_PIXEL", "L5", "1993-01-01"),
        ("Landsat5_1993-01-01_B2.tif", "B2", "L5", "1993-01-01"),
    ],
)
def test_names_of_landsat(name: str, band: str, platform: str, day: str):
    info = read_name(name)
    assert (info.band, info.platform, str(info.time)[:10]) == (band, platform, day)
    assert info.family.startswith("landsat")


def test_days_that_no_year_has():
    assert read_name("LT51980251993999FUI00_B3.TIF").platform == ""


def test_sentinel2_bands_keep_their_names():
    assert read_name("T31UDS_20200101T105441_B2_10m.jp2").band == "B02"


def test_bands_in_one_file_by_their_descriptions(tmp_path: Path, write_tif):
    values = np.stack([numbers(index) for index in range(7)])
    write_tif(tmp_path / "L5_19930101.tif", values, labels=BANDS)
    plan = scan(tmp_path)
    assert plan.optical[0].bands == BANDS
    assert np.array_equal(plan.optical[0].load(plan.geobox).reflectance, (values / 255).astype(np.float32))


def test_whole_numbers_of_landsat_need_a_scale(tmp_path: Path, write_tif):
    write_tif(tmp_path / "L5_19930101_B2.tif", numbers(0, np.uint16))
    with pytest.raises(SourceError, match=r"uint16 numbers of Landsat without a scale; say 'scale'"):
        scan(tmp_path)
    settings = {"scale": 0.0000275, "offset": -0.2}
    image = next(iter(scan(tmp_path, sidecar=settings).acquisitions()))
    assert np.array_equal(image.reflectance[0], (numbers(0, np.uint16) * 2.75e-5 - 0.2).astype(np.float32))


def test_clear_numbers_of_landsat_masks():
    assert {5440, 5504} <= set(QUALITY["QA_PIXEL"])
    assert not set(QUALITY["QA_PIXEL"]) & {1, 5696 | 1 << 3, 7440, 13600 | 1 << 5}
    assert {672, 676, 680} <= set(QUALITY["BQA"])
    assert not set(QUALITY["BQA"]) & {1, 752, 928, 1696}


# ERS


def test_ers_by_the_names_of_esa_and_plain_ones(tmp_path: Path, write_tif, speckle):
    names = {
        "SAR_IMP_1PNESA19950705_101537_00000016G154_00194_20757_0000.E1_Cal_TC.tif": "ERS1",
        "SAR_IMP_1PNESA19960105_211537_00000016A008_00258_03744_0000_E2_Sigma0_VV.tif": "ERS2",
        "ERS1_19950101T213000_VV_asc.tif": "ERS1",
        "ERS-2_19970101T103000_VV_dsc.tif": "ERS2",
    }
    for seed, name in enumerate(names):
        write_tif(tmp_path / name, speckle(seed))
    plan = scan(tmp_path)
    seen = {
        (one.flight.platform, str(one.time)[:19], one.flight.orbit_direction, one.flight.relative_orbit)
        for one in plan.sar
    }
    assert seen == {
        ("ERS1", "1995-07-05T10:15:37", "descending", 194),
        ("ERS2", "1996-01-05T21:15:37", "ascending", 258),
        ("ERS1", "1995-01-01T21:30:00", "ascending", 0),
        ("ERS2", "1997-01-01T10:30:00", "descending", 0),
    }
    assert {one.bands for one in plan.sar} == {("VV",)}
    image = plan.sar[0].load(plan.geobox)
    assert np.array_equal(image.backscatter[0], speckle(2))


def test_ers_with_a_date_alone(tmp_path: Path):
    info = read_name("SAR_IMP_1PNESA19950101_x_E1.tif")
    assert (info.platform, info.band, str(info.time)[:19]) == ("ERS1", "VV", "1995-01-01T00:00:00")


def test_product_of_ers_that_is_not_calibrated_is_refused(tmp_path: Path, write_tif, speckle):
    name = "SAR_IMP_1PNESA19950705_101537_00000016G154_00194_20757_0000.E1.tif"
    write_tif(tmp_path / name, speckle())
    with pytest.raises(SourceError, match="a product that is not calibrated without a unit"):
        scan(tmp_path)
    assert len(scan(tmp_path, sidecar={"unit": "linear"}).sar) == 1


# the era of both


def test_cube_of_ers_and_landsat_suits_the_era(tmp_path: Path, write_tif, speckle):
    for month in (1, 2, 3):
        for clock, pass_ in (("101537", "dsc"), ("211537", "asc")):
            name = f"ERS1_1995{month:02}10T{clock}_VV_{pass_}.tif"
            write_tif(tmp_path / "in" / name, speckle(month, (32, 32)))
        for index, band in enumerate(BANDS):
            values = numbers(10 * month + index, shape=(32, 32))
            write_tif(tmp_path / "in" / f"{LEVEL1.format(f'1995{month:02}12')}_{band}.TIF", values)
    build_cube(tmp_path / "in", tmp_path / "c.zarr")
    stack = Stack.of(open_cube(tmp_path / "c.zarr"), ERAS["ers12ls5"])
    assert stack.channels == 9
    *_, last = (frame.copy() for frame in stack.frames(slice(0, 32), slice(0, 32)))
    assert np.array_equal(last[0], speckle(3, (32, 32)))
    assert np.array_equal(last[2], (numbers(30, shape=(32, 32)) / 255).astype(np.float32))
