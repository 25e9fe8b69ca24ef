from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from terradelta.cube import check_cube, open_cube
from terradelta.errors import ConflictError, InputError, SourceError
from terradelta.sources import build_cube, fill, filling, import_into, scan


def refused(call, *words: str) -> str:
    """The error is one line and holds the words."""
    with pytest.raises(SourceError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line
    return line


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.fixture
def dates(tmp_path: Path, write_tif, speckle):
    """A folder with three dates of VV."""
    for day in (1, 13, 25):
        write_tif(tmp_path / "in" / f"a_202001{day:02d}_VV.tif", speckle(day))
    return tmp_path / "in"


def test_missing_and_empty_folder(tmp_path: Path):
    refused(lambda: scan(tmp_path / "gone"), "gone", "does not exist")
    refused(lambda: scan(tmp_path), "is empty")
    (tmp_path / "readme.txt").write_text("x")
    refused(lambda: scan(tmp_path), "no file '*'", ".tif")
    assert not list(tmp_path.glob("*.zarr"))


@pytest.mark.parametrize(
    "options", [{}, {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16}]
)
def test_truncated_geotiff_stops_with_the_cube_as_it_was(
    dates: Path, tmp_path: Path, write_tif, speckle, options
):
    write_tif(dates / "a_20200113_VV.tif", speckle(13, (64, 64))[:20, :30], **options)
    halve(dates / "a_20200113_VV.tif")
    refused(lambda: build_cube(dates, tmp_path / "c.zarr"), "a_20200113_VV.tif", "truncated", "again")
    assert not (tmp_path / "c.zarr").exists()
    report = build_cube(dates, tmp_path / "c.zarr", on_error="skip")
    assert report.added == 2
    assert "a_20200113_VV.tif" in report.failures[0]


@pytest.mark.parametrize("in_memory", [0, 2**26])
def test_a_file_cut_after_the_scan_is_found_on_reading_and_the_rest_goes_on(
    dates: Path, tmp_path: Path, write_tif, speckle, monkeypatch, in_memory: int
):
    monkeypatch.setattr(filling, "IN_MEMORY", in_memory)
    file = write_tif(dates / "a_20200113_VV.tif", speckle(13), compress="deflate")
    plan = scan(dates)
    halve(file)
    refused(lambda: fill(tmp_path / "c.zarr", plan), "a_20200113_VV.tif", "cannot be read")
    assert open_cube(tmp_path / "c.zarr")["sar"].sizes["time"] == 1
    assert check_cube(tmp_path / "c.zarr") == []
    report = fill(tmp_path / "c.zarr", plan, on_error="skip")
    assert (report.added, report.skipped) == (1, 1)
    assert [line.split(":")[0] for line in report.failures] == ["a_20200113_VV.tif"]
    file.unlink()
    write_tif(file, speckle(13), compress="deflate")
    assert fill(tmp_path / "c.zarr", scan(dates)).added == 1
    assert open_cube(tmp_path / "c.zarr")["sar"].sizes["time"] == 3


def test_file_without_crs_and_without_georeference(dates: Path, write_tif, speckle):
    file = write_tif(dates / "a_20200113_VV.tif", speckle(), crs=None)
    refused(lambda: scan(dates), file.name, "no CRS", "crs: EPSG")
    assert len(scan(dates, sidecar={"crs": "EPSG:32631"}).sar) == 3
    refused(lambda: scan(dates, sidecar={"crs": "EPSG:nope"}), "EPSG:nope")
    write_tif(file, speckle(), left=0, top=0, step=1).unlink()
    import rasterio

    with rasterio.open(file, "w", driver="GTiff", count=1, height=9, width=9, dtype="float32") as raw:
        raw.write(np.ones((1, 9, 9), np.float32))
    refused(lambda: scan(dates), file.name, "not georeferenced")


def test_decibel_taken_for_linear(tmp_path: Path, write_tif, speckle):
    write_tif(tmp_path / "in" / "a_20200101_VV.tif", 10 * np.log10(speckle()))
    write_tif(tmp_path / "in" / "a_20200113_VV.tif", 10 * np.log10(speckle(1)))
    refused(
        lambda: build_cube(tmp_path / "in", tmp_path / "c.zarr"), "a_20200101_VV.tif", "below 0", "unit: dB"
    )
    assert "sar" not in open_cube(tmp_path / "c.zarr").children
    (tmp_path / "in" / "terradelta.yaml").write_text("unit: dB\n")
    assert build_cube(tmp_path / "in", tmp_path / "c.zarr").added == 2
    values = open_cube(tmp_path / "c.zarr")["sar"].backscatter[0, 0].values
    assert np.allclose(values, speckle(), rtol=1e-5)


def test_single_negative_pixels_can_be_taken_as_no_data(tmp_path: Path, write_tif, speckle):
    values = speckle()
    values[3, 4] = -1e-4
    write_tif(tmp_path / "a_20200101_VV.tif", values)
    refused(lambda: next(iter(scan(tmp_path).acquisitions())).backscatter.compute(), "negative: nodata")
    image = next(iter(scan(tmp_path, sidecar={"negative": "nodata"}).acquisitions())).backscatter.compute()
    assert np.argwhere(np.isnan(image)).tolist() == [[0, 3, 4]]


def test_integers_and_uncalibrated_products_have_no_unit(tmp_path: Path, write_tif):
    write_tif(tmp_path / "a_20200101_VV.tif", np.ones((5, 5), np.uint16))
    refused(lambda: scan(tmp_path), "a_20200101_VV.tif", "uint16", "unit")
    refused(lambda: scan(tmp_path, sidecar={"unit": "DN"}), "needs 'scale'")
    image = next(iter(scan(tmp_path, sidecar={"unit": "DN", "scale": 0.1}).acquisitions()))
    assert np.allclose(image.backscatter.compute(), 0.1)
    name = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8_VV.tif"
    write_tif(tmp_path / "raw" / name, np.ones((5, 5), np.float32))
    refused(lambda: scan(tmp_path / "raw"), "not calibrated")


def test_unscaled_reflectance_and_a_wrong_offset(tmp_path: Path, write_tif):
    write_tif(tmp_path / "x_20200101_B02.tif", np.full((5, 5), 3000, np.float32))
    refused(
        lambda: next(iter(scan(tmp_path).acquisitions())).reflectance.compute(), "no reflectance", "0.0001"
    )
    refused(lambda: scan(tmp_path, sidecar={"offset": -1000}), "offset: -0.1")


def test_all_no_data(dates: Path, tmp_path: Path, write_tif):
    write_tif(dates / "a_20200113_VV.tif", np.zeros((20, 30), np.float32))
    report = build_cube(dates, tmp_path / "c.zarr")
    assert report.added == 2
    assert report.empty == ("a_20200113_VV.tif: 2020-01-13T00:00:00 has no valid pixel here",)
    for day in ("01", "25"):
        write_tif(dates / f"a_202001{day}_VV.tif", np.full((20, 30), np.nan, np.float32))
    refused(lambda: build_cube(dates, tmp_path / "d.zarr"), "none of 3", "nodata")


def test_borders_of_nan_and_zero_are_no_data(tmp_path: Path, write_tif, speckle):
    values = speckle()
    values[:2], values[:, -3:], values[7, 8] = 0, np.nan, 0
    write_tif(tmp_path / "a_20200101_VV.tif", values)
    image = next(iter(scan(tmp_path).acquisitions())).backscatter.compute()[0]
    expected = np.where(values == 0, np.nan, values)
    assert np.array_equal(image, expected, equal_nan=True)


def test_one_date_only_is_possible_and_said(tmp_path: Path, write_tif, speckle):
    write_tif(tmp_path / "a_20200101_VV.tif", speckle())
    report = build_cube(tmp_path, tmp_path / "c.zarr")
    assert report.added == 1
    assert any("one radar date only" in line for line in report.warnings)


def test_duplicated_dates(dates: Path, tmp_path: Path, write_tif, speckle):
    write_tif(dates / "b_20200113_VV.tif", speckle(13), compress="deflate")
    report = build_cube(dates, tmp_path / "c.zarr")
    assert report.added == 3
    assert any("the same as a_20200113_VV.tif" in line for line in report.warnings)
    write_tif(dates / "b_20200113_VV.tif", speckle(14))
    refused(lambda: scan(dates), "a_20200113_VV.tif", "b_20200113_VV.tif", "different values")
    assert len(scan(dates, on_error="skip").sar) == 2


def test_other_pixels_under_a_date_of_the_cube_are_refused(dates: Path, tmp_path: Path, write_tif, speckle):
    build_cube(dates, tmp_path / "c.zarr")
    write_tif(tmp_path / "new" / "a_20200113_VV.tif", speckle(99))
    with pytest.raises(ConflictError, match="2020-01-13"):
        import_into(tmp_path / "c.zarr", tmp_path / "new")
    assert open_cube(tmp_path / "c.zarr")["sar"].sizes["time"] == 3


def test_dates_may_come_in_any_order(tmp_path: Path, write_tif, speckle):
    for number, day in enumerate((25, 1, 13)):
        write_tif(tmp_path / "in" / f"{number}_202001{day:02d}_VV.tif", speckle(day))
    build_cube(tmp_path / "in", tmp_path / "c.zarr")
    times = open_cube(tmp_path / "c.zarr")["sar"].time.values
    assert (np.diff(times) > np.timedelta64(0)).all()


def test_a_band_missing_in_one_date(dates: Path, tmp_path: Path, write_tif, speckle):
    for day in (1, 13):
        write_tif(dates / f"a_202001{day:02d}_VH.tif", speckle(day))
    refused(lambda: build_cube(dates, tmp_path / "c.zarr"), "a_20200125_VV.tif", "no VH", "bands")
    assert build_cube(dates, tmp_path / "c.zarr", on_error="skip").added == 2
    assert build_cube(dates, tmp_path / "d.zarr", sidecar={"bands": ["VV"]}).added == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scene_VV.tif", ["no date"]),
        ("a_2020-01-13_2020-02-13_VV.tif", ["more than one date"]),
        ("S2A_OPER_MSI_L1C_TL_MPS__20161130T130757_A007527_T31UDQ_B02.tif", ["no date"]),
    ],
)
def test_unreadable_time(tmp_path: Path, write_tif, name: str, words: list[str]):
    write_tif(tmp_path / name, np.ones((5, 5), np.float32))
    refused(lambda: scan(tmp_path), name, "time unreadable", "terradelta.yaml", *words)
    assert len(scan(tmp_path, sidecar={"time": "2016-11-30T10:50:00Z"}).planned) == 1
    refused(lambda: scan(tmp_path, sidecar={"time": "%d%b%Y"}), name, "gives no time")


def test_bands_without_names_are_asked_for(tmp_path: Path, write_tif, speckle):
    name = "Subset_S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8_Cal_TC.tif"
    write_tif(tmp_path / name, speckle(shape=(2, 9, 9)))
    refused(lambda: scan(tmp_path), name, "bands: [VV, VH]")
    refused(lambda: scan(tmp_path, sidecar={"bands": ["VV", "VH", "HH"]}), "2 bands", "names 3")
    assert scan(tmp_path, sidecar={"bands": ["VH", "VV"]}).sar[0].bands == ("VV", "VH")


def test_places_that_do_not_touch_are_listed(tmp_path: Path, write_tif, speckle):
    write_tif(tmp_path / "north_20200101_VV.tif", speckle())
    write_tif(tmp_path / "south_20200101_VV.tif", speckle(), top=4_900_000)
    refused(lambda: scan(tmp_path), "2 places", "north_20200101_VV", "south_20200101_VV", "pattern")
    assert len(scan(tmp_path, pattern="south*").sar) == 1
    plan = scan(tmp_path, bounds=(500_000, 4_999_000, 500_900, 5_000_000))
    assert len(plan.sar) == 1
    assert plan.geobox.shape[1] == 30


def test_what_lies_outside_the_cube_is_left_out_and_named(dates: Path, tmp_path: Path, write_tif, speckle):
    build_cube(dates, tmp_path / "c.zarr")
    write_tif(tmp_path / "far" / "z_20210101_VV.tif", speckle(), left=900_000)
    write_tif(tmp_path / "far" / "a_20210113_VV.tif", speckle())
    report = import_into(tmp_path / "c.zarr", tmp_path / "far")
    assert report.added == 1
    assert any("z_20210101_VV.tif" in line and "outside" in line for line in report.warnings)


def test_files_that_nobody_understands(dates: Path, tmp_path: Path, write_tif, speckle):
    write_tif(dates / "picture.tif", speckle())
    assert any("picture.tif" in line for line in scan(dates).warnings)
    assert (
        scan(dates, sidecar={"files": [{"match": "picture*", "ignore": True}]}).warnings
        == scan(dates, pattern="a_*").warnings
    )
    (dates / "picture.tif").rename(tmp_path / "picture.tif")
    refused(lambda: scan(tmp_path / "picture.tif"), "no radar or optical image")


def test_no_netcdf_and_a_wrong_choice(tmp_path: Path):
    (tmp_path / "a.nc").write_bytes(b"nothing of the kind")
    refused(lambda: scan(tmp_path), "a.nc", "cannot be read")
    xr.Dataset({"VV": (("time", "y", "x"), np.ones((1, 3, 3), np.float32))}).to_netcdf(tmp_path / "a.nc")
    refused(lambda: scan(tmp_path), "a.nc", "coordinates")
    with pytest.raises(InputError, match="on_error"):
        scan(tmp_path, on_error="perhaps")  # type: ignore[arg-type]
