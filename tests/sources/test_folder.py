from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pytest
import tifffile
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.cube import check_cube, geobox_of, open_cube
from terradelta.sources import build_cube, fill, import_into, import_static, planned, scan

S1 = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8"


def stored(path: Path, group: str = "sar") -> xr.Dataset:
    return open_cube(path)[group].to_dataset().load()


def test_one_file_per_date_and_band(tmp_path: Path, write_tif, speckle):
    for day in ("20200113", "20200101"):
        for band in ("VH", "VV"):
            write_tif(tmp_path / "in" / f"S1B_{day}T053000_{band}.tif", speckle(hash_of(day, band)))
    report = build_cube(tmp_path / "in", tmp_path / "c.zarr")
    assert (report.added, report.skipped, report.failures) == (2, 0, ())
    sar = stored(tmp_path / "c.zarr")
    assert [str(t)[:19] for t in sar.time.values] == ["2020-01-01T05:30:00", "2020-01-13T05:30:00"]
    assert sar.platform.values.tolist() == ["S1B", "S1B"]
    assert sar.orbit_direction.values.tolist() == ["descending", "descending"]
    for band in ("VV", "VH"):
        expected = speckle(hash_of("20200113", band))
        assert np.array_equal(sar.backscatter.sel(band=band)[1], expected)
    again = build_cube(tmp_path / "in", tmp_path / "c.zarr")
    assert (again.added, again.skipped) == (0, 2)
    assert check_cube(tmp_path / "c.zarr") == []


def hash_of(*words: str) -> int:
    return sum(ord(letter) for word in words for letter in word)


def test_one_file_per_date_with_described_bands(tmp_path: Path, write_tif, speckle):
    values = speckle(shape=(2, 20, 30))
    write_tif(tmp_path / f"Subset_{S1}_Orb_NR_Cal_TC.tif", values, labels=("Sigma0_VH", "Sigma0_VV"))
    plan = scan(tmp_path)
    one = plan.sar[0]
    assert (one.bands, one.flight.relative_orbit, one.flight.platform) == (("VV", "VH"), 59, "S1A")
    assert one.source_id == S1
    image = next(iter(plan.acquisitions()))
    assert isinstance(image.backscatter, dask.array.Array)
    assert np.array_equal(image.backscatter.compute(), values[::-1])


def test_band_names_that_snap_keeps_in_its_own_tag(tmp_path: Path):
    xml = "".join(
        f"<Spectral_Band_Info><BAND_NAME>Sigma0_{b}_db</BAND_NAME></Spectral_Band_Info>" for b in ("VH", "VV")
    )
    db = np.stack([np.full((20, 30), level, np.float32) for level in (-17, -10)])
    scale = (33550, "d", 3, (30.0, 30.0, 0.0), True)
    tie = (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 5000000.0, 0.0), True)
    keys = (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32631), True)
    private = (65000, "s", 0, f"<Dimap_Document>{xml}</Dimap_Document>", True)
    tifffile.imwrite(tmp_path / f"{S1}_Cal_TC.tif", db, planarconfig="separate", photometric="minisblack",
                     extratags=[scale, tie, keys, private], metadata=None)  # fmt: skip
    image = next(iter(scan(tmp_path).acquisitions()))
    assert image.bands == ("VV", "VH")
    assert np.allclose(image.backscatter.compute()[:, 0, 0], [0.1, 10**-1.7])


def test_one_file_per_band_with_dates_as_bands(tmp_path: Path, write_tif, speckle):
    days = ("2021-11-25T01:58:29Z", "2021-11-19T01:59:11Z")
    values = {band: speckle(n, (2, 20, 30)) for n, band in enumerate(("VV", "VH"))}
    for band, stack in values.items():
        write_tif(
            tmp_path / f"T137-292324-IW2_{band}.tif", stack, labels=days, tags={"orbit_state": "ascending"}
        )
    plan = scan(tmp_path)
    assert [str(one.time)[:19] for one in plan.sar] == ["2021-11-19T01:59:11", "2021-11-25T01:58:29"]
    assert plan.sar[0].source_id == "T137-292324-IW2_20211119T015911"
    first = next(iter(plan.acquisitions()))
    assert np.array_equal(first.backscatter.compute(), [values["VV"][1], values["VH"][1]])


def test_frames_of_one_pass_become_one_mosaic(tmp_path: Path, write_tif, speckle):
    whole = speckle(shape=(30, 20))
    name = "OPERA_L2_RTC-S1_T137-29232{}-IW2_20211201T01590{}Z_20250830T065219Z_S1A_30_v1.0_VV.tif"
    upper = whole[:18].copy()
    upper[-2:] = 0
    write_tif(tmp_path / name.format(1, 0), upper)
    write_tif(tmp_path / name.format(2, 3), whole[12:], top=5_000_000 - 12 * 30)
    plan = scan(tmp_path)
    assert len(plan.sar) == 1
    assert plan.geobox.shape == (30, 20)
    assert plan.sar[0].source_id.endswith("+1")
    assert np.array_equal(next(iter(plan.acquisitions())).backscatter.compute()[0], whole)


def test_sentinel2_reflectance_offset_mask_and_finest_resolution(tmp_path: Path, write_tif):
    dn = np.full((20, 20), 3000, np.uint16)
    dn[0, 0] = 0
    scl = np.full((10, 10), 4, np.uint8)
    scl[5:] = 9
    for day in ("20200101", "20230101"):
        stem = f"T31UDS_{day}T105441"
        write_tif(tmp_path / f"{stem}_B02_10m.tif", dn, step=10)
        write_tif(tmp_path / f"{stem}_B02_20m.tif", dn[::2, ::2] + 1, step=20)
        write_tif(tmp_path / f"{stem}_B11_20m.tif", dn[::2, ::2] + 500, step=20)
        write_tif(tmp_path / f"{stem}_SCL_20m.tif", scl, step=20)
        write_tif(tmp_path / f"{stem}_TCI_10m.tif", dn.astype(np.uint8), step=10)
    plan = scan(tmp_path)
    assert plan.geobox.shape == (20, 20)
    old, new = plan.acquisitions()
    assert (old.bands, old.offset_applied, new.offset_applied) == (("B02", "B11"), False, True)
    reflectance = old.reflectance.compute()
    assert np.isnan(reflectance[0, 0, 0])
    assert np.all(reflectance[0].ravel()[1:] == np.float32(0.3))
    assert np.allclose(new.reflectance.compute()[:, 4, 4], [0.2, 0.25])
    clear = old.clear.compute()
    assert clear[:10].sum() == 199
    assert not clear[10:].any()
    fill(tmp_path / "c.zarr", plan)
    assert np.array_equal(stored(tmp_path / "c.zarr", "optical").clear[0], clear)


@pytest.mark.parametrize(("baseline", "expected"), [("N0301", 0.3), ("N0400", 0.2), ("N0510", 0.2)])
def test_the_baseline_in_the_product_name_decides_about_the_offset(tmp_path, write_tif, baseline, expected):
    safe = tmp_path / f"S2A_MSIL2A_20200101T105441_{baseline}_R051_T31UDS_20240101T000000.SAFE"
    folder = safe / "GRANULE" / "L2A_T31UDS_A" / "IMG_DATA" / "R10m"
    file = write_tif(folder / "T31UDS_20200101T105441_B02_10m.tif", np.full((9, 9), 3000, np.uint16), step=10)
    file.rename(file.with_suffix(".jp2"))
    image = next(iter(scan(tmp_path).acquisitions()))
    assert image.platform == "S2A"
    assert np.allclose(image.reflectance.compute(), expected)


def test_settings_say_what_names_do_not(tmp_path: Path, write_tif):
    stored_db = np.array([[-1000, -1500], [-32768, -2000]], np.int16)
    write_tif(tmp_path / "in" / "scene-05Mar2020.tif", np.stack([stored_db, stored_db - 500]), crs=None)
    (tmp_path / "in" / "terradelta.yaml").write_text(
        "sensor: sar\nbands: [VV, VH]\nunit: dB\nscale: 0.01\nnodata: [-32768, -33268]\n"
        "time: '%d%b%Y'\nplatform: S1A\n"
        "orbit_direction: descending\nrelative_orbit: 8\nincidence_angle: 39.5\n"
        "heading: -168\ncrs: EPSG:32631\n"
    )
    write_tif(tmp_path / "in" / "scene-17Mar2020.tif", np.stack([stored_db, stored_db // 2]), crs=None)
    (tmp_path / "in" / "scene-17Mar2020.tif").unlink()
    plan = scan(tmp_path / "in")
    assert any("one radar date only" in line for line in plan.warnings)
    image = next(iter(plan.acquisitions()))
    assert (image.relative_orbit, image.orbit_direction, image.platform) == (8, "descending", "S1A")
    assert (image.incidence_angle, image.heading) == (39.5, -168)
    assert str(image.time)[:10] == "2020-03-05"
    assert np.allclose(image.backscatter.compute()[0], [[0.1, 10**-1.5], [np.nan, 0.01]], equal_nan=True)
    assert plan.geobox.crs == "EPSG:32631"


def test_tracks_by_time_of_day(tmp_path: Path, write_tif, speckle):
    for time in ("20200101T173200", "20200102T174000"):
        write_tif(tmp_path / f"a_{time}_VV.tif", speckle())
    rules = [
        {"after": "17:30", "before": "17:35", "relative_orbit": 161},
        {"after": "17:38", "before": "17:42", "relative_orbit": 59},
    ]
    plan = scan(tmp_path, sidecar={"relative_orbit": rules})
    assert [one.flight.relative_orbit for one in plan.sar] == [161, 59]
    assert {one.flight.orbit_direction for one in plan.sar} == {"ascending"}


def test_only_chosen_bands(tmp_path: Path, write_tif, speckle):
    for band in ("VV", "VH"):
        write_tif(tmp_path / f"a_20200101_{band}.tif", speckle())
    assert scan(tmp_path, sidecar={"bands": ["VH"]}).sar[0].bands == ("VH",)
    assert scan(tmp_path, sidecar={"bands": {"_VV": "VV"}}).sar[0].bands == ("VV",)


def test_netcdf_south_up_and_with_offset(tmp_path: Path):
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4) + 1
    packing = {"scale_factor": 0.5, "add_offset": 1.0, "_FillValue": np.int16(24)}
    dataset = xr.Dataset(
        {"VV": (("time", "y", "x"), values, packing)},
        coords={"time": np.array(["2020-01-13T17:00", "2020-01-01T17:00"], "datetime64[ns]"),
                "y": [15.0, 45.0, 75.0], "x": [500015.0, 500045.0, 500075.0, 500105.0]},
        attrs={"crs": "+init=epsg:32631"},
    )  # fmt: skip
    dataset.to_netcdf(tmp_path / "sigma0.nc")
    plan = scan(tmp_path)
    assert plan.geobox == GeoBox((3, 4), Affine(30, 0, 500000, 0, -30, 90), "EPSG:32631")
    second = list(plan.acquisitions())[1]
    assert np.allclose(second.backscatter.compute()[0], values[0, ::-1] * 0.5 + 1)
    first = next(iter(plan.acquisitions()))
    assert np.isnan(first.backscatter.compute()[0, 0, 3])


def test_another_grid_is_resampled_and_said_so(tmp_path: Path, write_tif, speckle):
    write_tif(tmp_path / "a_20200101_VV.tif", speckle())
    write_tif(tmp_path / "b_20200113_VV.tif", speckle(shape=(40, 60)), step=15)
    plan = scan(tmp_path)
    assert plan.geobox.resolution.x == 15
    assert plan.warnings[0].startswith("1 of 2 radar layers")
    assert fill(tmp_path / "c.zarr", plan).added == 2


def test_import_brings_other_crs_onto_the_cubes_grid(tmp_path: Path, write_tif, speckle):
    write_tif(tmp_path / "one" / "a_20200101_VV.tif", speckle(shape=(60, 60)))
    build_cube(tmp_path / "one", tmp_path / "c.zarr")
    grid = geobox_of(open_cube(tmp_path / "c.zarr"))
    other = grid.to_crs("EPSG:3035").pad(5)
    left, top = other.affine.c, other.affine.f
    step = other.affine.a
    write_tif(tmp_path / "two" / "b_20200113_VV.tif", np.full(other.shape, 0.2, np.float32), crs="EPSG:3035",
              left=left, top=top, step=step)  # fmt: skip
    assert import_into(tmp_path / "c.zarr", tmp_path / "two").added == 1
    sar = stored(tmp_path / "c.zarr")
    assert np.allclose(sar.backscatter[1], 0.2)
    assert geobox_of(open_cube(tmp_path / "c.zarr")) == grid


@pytest.mark.parametrize("nodata", [(255, 0), (0, 255), (None, 255), (-9999, 255), (255, None)])
def test_pieces_of_classes_with_other_types_and_numbers_for_no_data(
    tmp_path: Path, write_tif, speckle, nodata: tuple[int | None, int | None]
):
    write_tif(tmp_path / "in" / "a_20200101_VV.tif", speckle(shape=(20, 40)))
    for number, (name, missing) in enumerate(zip("ab", nodata, strict=True)):
        values = np.full((20, 20), 10 if number == 0 else 300, np.int16)
        values[:3] = missing or 0
        path = tmp_path / "in" / f"land_cover_{name}.tif"
        dtype = (np.int16 if missing == -9999 else np.uint8) if number == 0 else np.uint16
        write_tif(path, values.astype(dtype), left=500_000 + 600 * number, nodata=missing)
    build_cube(tmp_path / "in", tmp_path / "c.zarr")
    read = open_cube(tmp_path / "c.zarr")["static"]["land_cover"].values
    assert (read[:3] == (nodata[0] or 0)).all()
    assert (read[3:, :20] == 10).all()
    assert (read[3:, 20:] == 300).all()


def test_static_layers(tmp_path: Path, write_tif, speckle):
    write_tif(tmp_path / "in" / "a_20200101_VV.tif", speckle())
    dem = np.arange(600, dtype=np.int16).reshape(20, 30)
    dem[0, 0] = -32767
    write_tif(tmp_path / "in" / "dem_srtm.tif", dem, nodata=-32767)
    build_cube(tmp_path / "in", tmp_path / "c.zarr")
    cover = np.tile(np.array([10, 50], np.uint8), (10, 10))
    file = write_tif(tmp_path / "mine.tif", cover)
    assert import_static(tmp_path / "c.zarr", file, name="land_cover") == ("land_cover",)
    static = stored(tmp_path / "c.zarr", "static")
    assert static.dem.attrs["units"] == "m"
    assert np.isnan(static.dem.values[0, 0])
    assert np.array_equal(static.dem.values.ravel()[1:], dem.ravel()[1:])
    assert np.array_equal(static.land_cover.values[:10, :20], cover)
    assert not static.land_cover.values[10:].any()


def test_a_scan_reads_headers_only_and_loading_is_in_blocks(tmp_path: Path, write_tif, monkeypatch):
    monkeypatch.setattr(planned, "BLOCK", 16)
    write_tif(
        tmp_path / "a_20200101_VV.tif",
        np.full((40, 20), 0.1, np.float32),
        tiled=True,
        blockxsize=16,
        blockysize=16,
    )
    read: list[tuple[int, ...]] = []
    original = planned.read_mosaic
    monkeypatch.setattr(
        planned, "read_mosaic", lambda frames, grid: read.append(grid.shape) or original(frames, grid)
    )
    image = next(iter(scan(tmp_path).acquisitions()))
    assert read == []
    assert image.backscatter.chunks == ((1,), (16, 16, 8), (16, 4))
    assert np.all(image.backscatter[:, :16, :16].compute() == np.float32(0.1))
    assert read == [(16, 16)]


def test_progress_is_told_from_start_to_end(tmp_path: Path, write_tif, speckle):
    for day in range(1, 4):
        write_tif(tmp_path / f"a_2020010{day}_VV.tif", speckle(day))
    calls: list[tuple[int, int, str]] = []
    build_cube(tmp_path, tmp_path / "c.zarr", progress=lambda *call: calls.append(call))
    assert [done for done, _, _ in calls] == [0, 1, 2, 3]
    assert calls[0] == (0, 3, "sar 2020-01-01T00:00:00")


def test_a_mask_of_ones_own(tmp_path: Path, write_tif):
    write_tif(tmp_path / "x_20200101_B04.tif", np.full((6, 6), 0.2, np.float32))
    cloud = np.zeros((6, 6), np.uint8)
    cloud[:3] = 1
    write_tif(tmp_path / "x_20200101_clouds.tif", cloud)
    sidecar = {"mask_band": "CLM", "clear_values": [0], "bands": {"_B04": "B04", "_clouds": "CLM"}}
    image = next(iter(scan(tmp_path, sidecar=sidecar).acquisitions()))
    assert image.bands == ("B04",)
    assert np.array_equal(image.clear.compute(), cloud == 0)
