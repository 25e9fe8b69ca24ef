from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

from terradelta.cube import check_cube, geobox_of, open_cube
from terradelta.errors import SourceError
from terradelta.sources import build_cube, fill, import_static, scan

BURST = "T137-292324-IW2"
TRACKS = {
    "files": [
        {
            "match": "S1_*",
            "unit": "dB",
            "relative_orbit": [
                {"after": "17:31", "before": "17:33:59", "relative_orbit": 161},
                {"after": "17:39", "before": "17:42", "relative_orbit": 59},
            ],
        }
    ]
}


@pytest.fixture
def opera(shared: Path) -> Path:
    return shared / "data/opera_rtc_s1_t137"


@pytest.fixture
def flanders(shared: Path) -> Path:
    return shared / "data/worldcereal_s1_s2_agera5/00002806639B424A"


def rows_of(folder: Path, burst: str) -> list[dict[str, str]]:
    with (folder / "acquisitions.csv").open() as lines:
        return [row for row in csv.DictReader(lines) if row["burst_id"] == burst]


def test_six_bursts_are_six_places(opera: Path):
    with pytest.raises(SourceError, match=r"6 places.*T137-292318-IW2.*T137-292325-IW1.*pattern"):
        scan(opera)


def test_opera_stack_becomes_a_cube_bit_for_bit(opera: Path, tmp_path: Path):
    report = build_cube(opera, tmp_path / "c.zarr", pattern=f"{BURST}*")
    assert (report.added, report.warnings, report.failures) == (31, (), ())
    assert check_cube(tmp_path / "c.zarr") == []
    tree = open_cube(tmp_path / "c.zarr")
    sar = tree["sar"].to_dataset().load()
    for band in ("VV", "VH"):
        with rasterio.open(opera / f"{BURST}_{band}.tif") as file:
            values, grid = file.read(), (file.crs, file.transform, file.shape)
        ours = sar.backscatter.sel(band=band).values
        data = values != 0
        assert np.array_equal(ours.view(np.uint32)[data], values.view(np.uint32)[data])
        assert np.isnan(ours[~data]).all()
    geobox = geobox_of(tree)
    assert (geobox.crs.epsg, geobox.affine, tuple(geobox.shape)) == (grid[0].to_epsg(), grid[1], grid[2])
    rows = [row for row in rows_of(opera, BURST) if row["extent"] == "100x100"]
    rows.sort(key=lambda row: row["acquisition_datetime"])
    assert [f"{str(t)[:19]}Z" for t in sar.time.values] == [row["acquisition_datetime"] for row in rows]
    assert sar.platform.values.tolist() == [row["satellite"] for row in rows]
    assert set(sar.relative_orbit.values) == {137}
    assert set(sar.orbit_direction.values) == {"ascending"}


def test_opera_long_series_has_46_dates(opera: Path):
    plan = scan(opera / "long_25x25", pattern=f"{BURST}*")
    rows = sorted(row["acquisition_datetime"] for row in rows_of(opera, BURST))
    assert [f"{str(one.time)[:19]}Z" for one in plan.sar] == sorted(set(rows))
    assert plan.geobox.shape == (25, 25)


def test_opera_original_names(opera: Path):
    plan = scan(opera / "original_naming_sample")
    ids = {row["product_id"] for row in rows_of(opera, "T137-292321-IW2")}
    assert len(plan.sar) == 4
    assert {one.source_id for one in plan.sar} <= ids
    assert {one.flight.platform for one in plan.sar} == {"S1A", "S1B"}
    assert {(one.flight.relative_orbit, one.flight.orbit_direction) for one in plan.sar} == {
        (137, "ascending")
    }
    for one, image in zip(plan.sar, plan.acquisitions(), strict=True):
        for name, values in zip(image.bands, image.backscatter.compute(), strict=True):
            with rasterio.open(opera / "original_naming_sample" / f"{one.source_id}_{name}.tif") as file:
                raw = file.read(1)
            assert np.array_equal(values, np.where(raw == 0, np.nan, raw), equal_nan=True)


def test_worldcereal_needs_to_be_told_of_its_decibel(flanders: Path):
    plan = scan(flanders, pattern="S1_*")
    with pytest.raises(SourceError, match="unit: dB"):
        next(iter(plan.acquisitions())).backscatter.compute()


def test_worldcereal_plan(flanders: Path):
    plan = scan(flanders, sidecar=TRACKS)
    assert (len(plan.sar), len(plan.optical), len(plan.weather)) == (159, 118, 1)
    assert str(plan.sar[0].time)[:19] == "2017-08-01T17:32:36"
    assert str(plan.sar[-1].time)[:10] == "2018-11-29"
    orbits = [one.flight.relative_orbit for one in plan.sar]
    assert (orbits.count(161), orbits.count(59)) == (80, 79)
    assert {one.flight.orbit_direction for one in plan.sar} == {"ascending"}
    assert plan.optical[0].bands == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    assert (str(plan.geobox.crs), plan.geobox.shape, plan.geobox.resolution.x) == ("EPSG:32631", (32, 32), 20)
    assert any("optical layers" in line and "resampled" in line for line in plan.warnings)


def test_worldcereal_radar_and_reflectance_equal_the_files(flanders: Path):
    raw = xr.open_dataset(next(flanders.glob("S1_*.nc")), mask_and_scale=False)
    plan = scan(flanders, sidecar=TRACKS)
    acquisitions = list(plan.acquisitions())
    for index in (0, 77, 158):
        db = np.stack([raw[band].values[index] * 1e-4 for band in ("VV", "VH")])
        assert np.array_equal(acquisitions[index].backscatter.compute(), (10 ** (db / 10)).astype(np.float32))
    ten, twenty = (
        xr.open_dataset(next(flanders.glob(f"S2_L2A_{n}m*.nc")), mask_and_scale=False) for n in (10, 20)
    )
    optical = acquisitions[159 + 1]
    reflectance = optical.reflectance.compute()
    index_b11 = optical.bands.index("B11")
    assert np.array_equal(reflectance[index_b11], (twenty.B11.values[1] * 1e-4).astype(np.float32))
    assert np.array_equal(optical.clear.compute(), np.isin(twenty.SCL.values[1], (4, 5, 6, 7)))
    blocks = ten.B02.values[1].reshape(32, 2, 32, 2).mean((1, 3)) * 1e-4
    assert np.corrcoef(reflectance[0].ravel(), blocks.ravel())[0, 1] > 0.97

    fine = scan(flanders, pattern="S2_*")
    assert fine.geobox.shape == (64, 64)
    b02 = list(fine.acquisitions())[1].reflectance[0].compute()
    assert np.array_equal(b02, (ten.B02.values[1] * 1e-4).astype(np.float32))


@pytest.mark.slow
def test_worldcereal_becomes_a_cube(flanders: Path, tmp_path: Path):
    report = build_cube(flanders, tmp_path / "c.zarr", sidecar=TRACKS)
    assert report.added + len(report.empty) == 159 + 118
    assert report.added > 159 + 60
    assert (report.weather_days, report.failures) == (487, ())
    assert set(report.static) == {"land_cover", "ct", "irr"}
    dem = flanders.parent / "dem/dem_31UDS.tif"
    assert import_static(tmp_path / "c.zarr", dem) == ("dem",)
    with rasterio.open(dem) as file:
        assert np.array_equal(open_cube(tmp_path / "c.zarr")["static"].dem.values, file.read(1))
    assert check_cube(tmp_path / "c.zarr") == []


def test_old_sentinel2_names_with_a_told_time(shared: Path):
    folder = shared / "data/oscd_s2_urban_change/bercy"
    time = "2016-11-30T11:04:00Z"
    plan = scan(folder / "imgs_1", sidecar={"time": time})
    assert len(plan.optical) == 1
    assert len(plan.optical[0].bands) == 13
    assert plan.geobox.shape == (395, 360)
    image = next(iter(plan.acquisitions()))
    with rasterio.open(next((folder / "imgs_1").glob("*_B04.tif"))) as file:
        raw = file.read(1)
    values = image.reflectance[image.bands.index("B04")].compute()
    assert np.array_equal(values, np.where(raw == 0, np.nan, raw * 1e-4).astype(np.float32), equal_nan=True)


def test_optical_dates_with_described_bands(shared: Path, tmp_path: Path):
    plan = scan(shared / "data/boadella_s2_l2a_timeseries", pattern="*2020-0*.tif")
    assert len(plan.optical) == 7
    assert len(plan.optical[0].bands) == 12
    assert "B8A" in plan.optical[0].bands
    assert fill(tmp_path / "c.zarr", plan.on(plan.geobox[100:140, 100:160])).added == 7
