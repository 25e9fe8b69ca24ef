from __future__ import annotations

import numpy as np
import pytest

from terradelta.sources.flights import direction_by_sun
from terradelta.sources.names import read_name, static_name
from terradelta.sources.times import parse_time, time_by_pattern, times_in

S1 = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8"


def seconds(time: np.datetime64 | None) -> str:
    return str(time)[:19]


def test_opera_names_tell_track_time_platform_band_and_unit():
    seen = read_name("OPERA_L2_RTC-S1_T137-292321-IW2_20211207T015821Z_20250830T041332Z_S1B_30_v1.0_VV.tif")
    assert (seen.group, seen.family, seen.band, seen.unit) == ("sar", "opera", "VV", "linear")
    assert (seen.platform, seen.relative_orbit, seen.place) == ("S1B", 137, "T137-292321-IW2")
    assert seconds(seen.time) == "2021-12-07T01:58:21"
    assert seen.product.endswith("v1.0")


@pytest.mark.parametrize(
    ("name", "unit", "calibrated"),
    [
        (f"Subset_{S1}_Orb_NR_Cal_TC.tif", "linear", True),
        (f"{S1}_Orb_Cal_Spk_TC_dB.tif", "dB", True),
        (f"{S1}.tif", "", False),
    ],
)
def test_snap_names_keep_the_product_inside(name: str, unit: str, calibrated: bool):
    seen = read_name(name)
    assert (seen.platform, seen.relative_orbit, seen.unit, seen.calibrated) == ("S1A", 59, unit, calibrated)
    assert seconds(seen.time) == "2021-08-09T17:39:53"
    assert seen.product == S1


def test_a_band_of_snap_takes_time_and_orbit_from_the_folder_around_it():
    seen = read_name("Sigma0_VV_db.img", [f"{S1}_Cal_TC.data"])
    assert (seen.band, seen.unit, seen.relative_orbit) == ("VV", "linear", 59) or seen.unit == "dB"
    assert seconds(seen.time) == "2021-08-09T17:39:53"


@pytest.mark.parametrize(
    "orbit_and_name", [(22, "S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371")]
)
def test_relative_orbit_of_s1b_agrees_with_its_manifest(orbit_and_name: tuple[int, str]):
    assert read_name(orbit_and_name[1]).relative_orbit == orbit_and_name[0]


@pytest.mark.parametrize(
    ("name", "band", "baseline"),
    [
        ("T31UDS_20200101T105441_B02_10m.jp2", "B02", 0),
        ("T31UDS_20200101T105441_B8A_20m.tif", "B8A", 0),
        ("T31UDS_20200101T105441_SCL_20m.tif", "SCL", 0),
        ("S2A_MSIL2A_20220126T105331_N0400_R051_T31UDS_20220126T140000_B11.tif", "B11", 400),
        ("S2B_MSIL1C_20190629T212529_N0207_R043_T06VVN_20190629T230000_B01.tif", "B01", 207),
    ],
)
def test_sentinel2_names(name: str, band: str, baseline: int):
    seen = read_name(name)
    assert (seen.group, seen.family, seen.band, seen.baseline) == ("optical", "sentinel-2", band, baseline)
    assert seen.place.startswith("T")
    assert seen.time is not None


def test_a_tile_inside_a_safe_product_takes_baseline_and_platform_from_it():
    safe = "S2A_MSIL2A_20220126T105331_N0400_R051_T31UDS_20220126T140000.SAFE"
    seen = read_name("T31UDS_20220126T105331_B02_10m.jp2", ["R10m", "IMG_DATA", "L2A_x", "GRANULE", safe])
    assert (seen.platform, seen.baseline, seen.relative_orbit, seen.band) == ("S2A", 400, 51, "B02")


def test_the_processing_date_of_old_sentinel2_names_is_not_taken_for_the_time():
    seen = read_name("S2A_OPER_MSI_L1C_TL_MPS__20161130T130757_A007527_T31UDQ_B8A.tif")
    assert seen.time is None
    assert seen.band == "B8A"


def test_plain_names():
    seen = read_name("mine_S1B_descending_2020-01-13_vh.tif")
    assert (seen.group, seen.band, seen.platform, seen.orbit_direction) == ("sar", "VH", "S1B", "descending")
    assert seconds(seen.time) == "2020-01-13T00:00:00"
    assert read_name("a_2020-01-13_2020-02-13_VV.tif").several_times
    assert read_name("Copernicus_DSM_30.tif").group == "static"
    assert static_name("ESA_WorldCover_10m") == "land_cover"


def test_times():
    assert times_in("x_20201350_y") == []
    assert [seconds(t) for t in times_in("a20200229T010203b")] == ["2020-02-29T01:02:03"]
    assert parse_time("2021-11-19T01:58:55Z") == np.datetime64("2021-11-19T01:58:55")
    assert parse_time("20200113") == np.datetime64("2020-01-13")
    assert time_by_pattern("Sigma0_VV_slv1_09Aug2021", "%d%b%Y") == np.datetime64("2021-08-09")
    assert time_by_pattern("nothing", "%d%b%Y") is None


@pytest.mark.parametrize(
    ("time", "longitude", "latitude", "direction"),
    [
        ("2021-08-09T17:39:53", 1.0, 46.0, "ascending"),
        ("2021-12-23T05:11:22", 12.5, 42.0, "descending"),
        ("2020-01-01T00:00:00", 12.5, 42.0, ""),
        ("2020-01-01T05:00:00", 12.5, 80.0, ""),
    ],
)
def test_direction_by_the_sun(time: str, longitude: float, latitude: float, direction: str):
    assert direction_by_sun(np.datetime64(time, "ns"), longitude, latitude) == direction
