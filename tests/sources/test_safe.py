"""Sentinel-1 SAFE products: what they say, their incidence angles, calibration, and files made from them."""

from __future__ import annotations

import math
import shutil
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import safe_samples
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.windows import Window
from safe_samples import NAME, TO_MAP, gain, incidence, make_safe, noise, write_dn

from terradelta.cube import check_cube, open_cube
from terradelta.errors import ConfigError, InputError, SourceError
from terradelta.sources import build_cube, scan
from terradelta.sources.safe import calibrate, incidence_on, mean_incidence, read_grd, read_safe
from terradelta.sources.safe.geometry import placement_of, positions_in

DESCENDING = "S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371"
GRID = GeoBox((60, 50), Affine(10, 0, 500_150, 0, -10, 4_999_900), "EPSG:32631")


@pytest.fixture
def dn() -> np.ndarray:
    return np.random.default_rng(1).integers(60, 400, (120, 140))


@pytest.fixture
def real(shared: Path) -> Path:
    return shared / "data/sentinel1_grd_safe"


# what products say


def test_a_real_product_tells_its_pass(real: Path) -> None:
    product = read_safe(real / f"{NAME}.SAFE" / "manifest.safe")
    assert (product.name, product.platform, product.mode, product.product_type) == (NAME, "S1A", "IW", "GRD")
    assert (product.orbit_direction, product.relative_orbit, product.absolute_orbit) == (
        "ascending",
        59,
        39156,
    )
    assert str(product.start) == "2021-08-09T17:39:53.153776000"
    assert str(product.stop)[:22] == "2021-08-09T17:40:18.15"
    assert product.heading == pytest.approx(-14.16386873562462)
    assert product.polarisations == ("VV", "VH")
    assert (product.facility, product.ipf_version) == ("Airbus Defence and Space-Toulouse", "003.31")
    assert product.footprint[0] == (1.512143, 46.03389)
    image = product.image("VH")
    assert (image.shape, image.spacing, image.measured) == ((16676, 26144), (10.0, 10.0), False)
    assert image.grid.incidence.shape == (10, 21)
    assert image.grid.incidence[0, 0] == pytest.approx(30.47481883903625)
    assert read_safe(real / f"{DESCENDING}.SAFE").images[0].measured


def test_zipped_and_manifest_alone(tmp_path: Path, dn: np.ndarray) -> None:
    path = make_safe(tmp_path, dn, bands=("VV", "VH"))
    with zipfile.ZipFile(tmp_path / f"{NAME}.zip", "w") as archive:
        for file in path.rglob("*"):
            archive.write(file, f"{path.name}/{file.relative_to(path)}")
    packed = read_safe(tmp_path / f"{NAME}.zip")
    assert (packed.name, packed.polarisations, packed.start) == (NAME, ("VV", "VH"), read_safe(path).start)
    np.testing.assert_array_equal(read_grd(packed, GRID), read_grd(path, GRID))
    shutil.rmtree(path / "annotation")
    bare = read_safe(path)
    assert (bare.relative_orbit, bare.polarisations, math.isnan(bare.heading)) == (59, (), True)
    assert math.isnan(mean_incidence((bare,), GRID))
    with pytest.raises(SourceError, match="no annotation, so no incidence"):
        incidence_on(bare, GRID)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<XFDU", "<!DOCTYPE a [<!ENTITY b 'c'>]><XFDU", "declares a document type 'a'"),
        ("</XFDU>", "", "manifest.safe cannot be read"),
        ("SENTINEL-1", "SENTINEL-2", "no product of Sentinel-1, but of 'SENTINEL-2'"),
        (">59<", ">many<", "'many', no number"),
        ("<safe:number>A</safe:number>", "", "has no .//platform/number"),
        ("2021-08-09T17:39:53.153776", "yesterday", "'yesterday', no time"),
    ],
)
def test_damaged_products_are_named(tmp_path: Path, dn: np.ndarray, old: str, new: str, words: str) -> None:
    path = make_safe(tmp_path, dn)
    text = (path / "manifest.safe").read_text()
    (path / "manifest.safe").write_text(text.replace(old, new))
    with pytest.raises(SourceError, match=words):
        read_safe(path)


def test_what_is_no_product_is_named(tmp_path: Path, dn: np.ndarray) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        read_safe(tmp_path / "gone.SAFE")
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(SourceError, match=r"a\.zip: cannot be read"):
        read_safe(tmp_path / "a.zip")
    path = make_safe(tmp_path, dn)
    file = next((path / "annotation").glob("*.xml"))
    file.write_text(
        file.read_text().replace("<line>0</line><pixel>0</pixel>", "<line>1</line><pixel>0</pixel>")
    )
    with pytest.raises(SourceError, match="20 geolocation points make no grid of 5 lines"):
        read_safe(path)


@pytest.mark.parametrize(
    ("file", "old", "new", "why"),
    [
        ("manifest.safe", "45.1,3.0", "45.1 3.0", "footPrint/coordinates are '45.1 3.0 .*', no places"),
        ("manifest.safe", ">59<", ">nan<", "relativeOrbitNumber is 'nan', no number"),
        ("noise-*.xml", "<line>0 119</line>", "<line>0</line>", "noiseAzimuthLut has other lines"),
    ],
)
def test_damaged_values_are_named(
    tmp_path: Path, dn: np.ndarray, file: str, old: str, new: str, why: str
) -> None:
    path = make_safe(tmp_path, dn)
    (found,) = path.rglob(file)
    text = found.read_text()
    assert old in text
    found.write_text(text.replace(old, new))
    with pytest.raises(SourceError, match=f"^{NAME}.*: .*{why}"):
        read_grd(path, GRID)


# where pixels lie


def test_positions_are_those_of_the_geometry(tmp_path: Path, dn: np.ndarray) -> None:
    product = read_safe(make_safe(tmp_path, dn))
    line, pixel = positions_in(product.images[0], GRID)
    columns, rows = np.meshgrid(np.arange(50) + 0.5, np.arange(60) + 0.5)
    exact_pixel, exact_line = _inverse(500_150 + 10 * columns, 4_999_900 - 10 * rows)
    assert np.abs(line - exact_line).max() < 0.01
    assert np.abs(pixel - exact_pixel).max() < 0.01
    angles = incidence_on(product, GRID)
    np.testing.assert_allclose(angles, incidence(exact_pixel), atol=1e-3)
    assert mean_incidence((product,), GRID) == pytest.approx(angles.mean(), abs=0.01)


def _inverse(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    back = ~TO_MAP
    return back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f


def test_points_of_a_real_grid_come_back(real: Path) -> None:
    image = read_safe(real / f"{DESCENDING}.SAFE").images[0]
    to_map = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    for row, column in ((2, 5), (5, 10), (7, 18)):
        x, y = to_map.transform(image.grid.longitude[row, column], image.grid.latitude[row, column])
        grid = GeoBox((1, 1), Affine(10, 0, x - 5, 0, -10, y + 5), "EPSG:32633")
        line, pixel = positions_in(image, grid)
        assert line[0, 0] == pytest.approx(image.grid.lines[row], abs=0.01)
        assert pixel[0, 0] == pytest.approx(image.grid.pixels[column], abs=0.01)
        angle = incidence_on(read_safe(real / f"{DESCENDING}.SAFE"), grid)[0, 0]
        assert angle == pytest.approx(image.grid.incidence[row, column], abs=1e-3)


def test_sub_swaths_of_slc_all_tell_their_angles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_safe(tmp_path, np.ones((60, 30), np.uint16), measured=False)
    first = next((path / "annotation").glob("*.xml"))
    monkeypatch.setattr(safe_samples, "TO_MAP", TO_MAP @ Affine.translation(29, 0))
    monkeypatch.setattr(safe_samples, "incidence", lambda pixel: incidence(pixel + 29))
    second = next((make_safe(tmp_path / "b", np.ones((60, 30), np.uint16)) / "annotation").glob("*.xml"))
    (path / "annotation" / second.name.replace("iw-grd", "iw2-slc")).write_text(second.read_text())
    first.rename(first.with_name(first.name.replace("iw-grd", "iw1-slc")))
    product = read_safe(path)
    columns, rows = np.meshgrid(np.arange(50) + 0.5, np.arange(60) + 0.5)
    pixel, line = _inverse(500_150 + 10 * columns, 4_999_900 - 10 * rows)
    inside = (line > 0) & (line < 59) & (pixel > 0) & (pixel < 58)
    assert (pixel[inside] > 30).any() and (pixel[inside] < 29).any()
    angles = incidence_on(product, GRID)
    np.testing.assert_allclose(angles[inside], incidence(pixel[inside]), atol=1e-3)
    assert mean_incidence((product,), GRID) == pytest.approx(np.nanmean(angles), abs=0.01)


def test_places_far_away_are_never_taken_for_the_image(real: Path) -> None:
    image = read_safe(real / f"{DESCENDING}.SAFE").images[0]
    placement = placement_of(image)
    x, y = np.random.default_rng(0).uniform(-500_000, 500_000, (2, 50_000))
    x[:2], y[:2] = (61_939.38005252, 305_180.80785502), (-405_704.69989244, -1_033_780.37014173)
    line, pixel = placement.positions(x, y)
    inside = (line > -1) & (line < image.shape[0]) & (pixel > -1) & (pixel < image.shape[1])
    assert inside.sum() > 1000
    assert np.abs(x[inside]).max() < 200_000
    assert np.abs(y[inside]).max() < 200_000


def test_nothing_outside_the_image(tmp_path: Path, dn: np.ndarray) -> None:
    product = read_safe(make_safe(tmp_path, dn))
    far = GeoBox((8, 8), Affine(10, 0, 700_000, 0, -10, 4_000_000), "EPSG:32631")
    assert np.isnan(incidence_on(product, far)).all()
    assert np.isnan(read_grd(product, far)).all()
    assert math.isnan(mean_incidence((product,), far))


# calibration


@pytest.mark.parametrize(("measure", "factor"), [("sigma0", 1), ("gamma0", 2)])
@pytest.mark.parametrize("denoise", [True, False])
def test_calibration_is_the_formula(
    tmp_path: Path, dn: np.ndarray, measure: Any, factor: int, denoise: bool
) -> None:
    dn[3, 4] = 0
    dn[5, 6] = 1
    product = read_safe(make_safe(tmp_path, dn))
    power = calibrate(dn, product, "VV", measure, noise=denoise)
    for line, pixel in ((0, 0), (119, 139), (60, 69), (60, 70), (5, 6), (17, 100)):
        value = float(dn[line, pixel]) ** 2 - denoise * noise(line, pixel, 140)
        assert power[line, pixel] == pytest.approx(value / (factor * gain(line, pixel)) ** 2, rel=1e-6)
    assert np.isnan(power[3, 4])
    assert (power[5, 6] < 0) == denoise
    part = calibrate(dn[40:70, 50:90], product, "VV", measure, noise=denoise, first=(40, 50))
    np.testing.assert_array_equal(part, power[40:70, 50:90])


def slow_table(vectors: list[ElementTree.Element], name: str, line: int, pixel: int) -> float:
    """Bilinear, straight from the XML."""
    rows = [int(vector.find("line").text) for vector in vectors]
    first, second = next(
        (one, other) for one, other in pairwise(range(len(rows))) if rows[one] <= line <= rows[other]
    )
    values = []
    for index in (first, second):
        pixels = [int(text) for text in vectors[index].find("pixel").text.split()]
        table = [float(text) for text in vectors[index].find(name).text.split()]
        at = next(k for k in range(len(pixels) - 1) if pixels[k] <= pixel <= pixels[k + 1])
        part = (pixel - pixels[at]) / (pixels[at + 1] - pixels[at])
        values.append(table[at] * (1 - part) + table[at + 1] * part)
    part = (line - rows[first]) / (rows[second] - rows[first])
    return values[0] * (1 - part) + values[1] * part


def slow_noise_factor(root: ElementTree.Element, line: int, pixel: int) -> float:
    for vector in root.iter("noiseAzimuthVector"):
        if int(vector.find("firstRangeSample").text) <= pixel <= int(vector.find("lastRangeSample").text):
            lines = [int(text) for text in vector.find("line").text.split()]
            factors = [float(text) for text in vector.find("noiseAzimuthLut").text.split()]
            at = next(k for k in range(len(lines) - 1) if lines[k] <= line <= lines[k + 1])
            part = (line - lines[at]) / (lines[at + 1] - lines[at])
            return factors[at] * (1 - part) + factors[at + 1] * part
    raise AssertionError


@pytest.mark.parametrize(("name", "band"), [(NAME, "VH"), (DESCENDING, "VV")])
def test_calibration_with_real_tables(real: Path, name: str, band: str) -> None:
    product = read_safe(real / f"{name}.SAFE")
    folder = real / f"{name}.SAFE/annotation/calibration"
    stem = product.image(band).stem
    gains = ElementTree.parse(folder / f"calibration-{stem}.xml").getroot()
    noises = ElementTree.parse(folder / f"noise-{stem}.xml").getroot()
    for line, pixel in ((0, 0), (700, 8759), (700, 8760), (9001, 17600), (16600, 26000)):
        dn = np.array([[111, 95], [60, 130]], np.uint16)
        fast = calibrate(dn, product, band, "gamma0", first=(line, pixel))
        for (row, column), value in np.ndenumerate(dn):
            place = line + row, pixel + column
            floor = slow_table(list(noises.iter("noiseRangeVector")), "noiseRangeLut", *place)
            floor *= slow_noise_factor(noises, *place)
            amplitude = slow_table(list(gains.iter("calibrationVector")), "gamma", *place)
            assert fast[row, column] == pytest.approx((float(value) ** 2 - floor) / amplitude**2, rel=1e-5)


def test_noise_of_old_products(tmp_path: Path, dn: np.ndarray) -> None:
    path = make_safe(tmp_path, dn)
    file = next((path / "annotation/calibration").glob("noise*"))
    text = file.read_text().replace("noiseRangeVector", "noiseVector").replace("noiseRangeLut", "noiseLut")
    file.write_text(text[: text.index("<noiseAzimuthVector>")] + "</noise>")
    power = calibrate(dn, read_safe(path), "VV")
    assert power[7, 9] == pytest.approx((dn[7, 9] ** 2 - (900 + 2 * 9 + 7)) / gain(7, 9) ** 2, rel=1e-6)


def test_what_cannot_be_calibrated_is_named(tmp_path: Path, dn: np.ndarray) -> None:
    path = make_safe(tmp_path, dn)
    product = read_safe(path)
    with pytest.raises(InputError, match="measure 'sigma' is unknown; take one of sigma0, gamma0"):
        calibrate(dn, product, "VV", "sigma")  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="has no HH, but VV"):
        calibrate(dn, product, "HH")
    with pytest.raises(SourceError, match="has no betaNought"):
        calibrate(dn, product, "VV", "beta0")
    write_dn(next((path / "measurement").iterdir()), dn[:50])
    with pytest.raises(SourceError, match=r"50 x 140 pixels, its annotation 120 x 140"):
        read_grd(path, GRID)


# images on a map


def slow_grd(dn: np.ndarray, grid: GeoBox) -> np.ndarray:
    """Calibrated, then bilinear at each pixel's exact place."""
    lines, pixels = np.mgrid[: dn.shape[0], : dn.shape[1]]
    floor = np.vectorize(noise)(lines, pixels, dn.shape[1])
    power = (dn.astype(float) ** 2 - floor) / gain(lines, pixels) ** 2
    result = np.full(grid.shape, np.nan)
    for row, column in np.ndindex(*grid.shape):
        x, y = grid.affine @ (column + 0.5, row + 0.5)
        pixel, line = _inverse(x, y)
        top, left = math.floor(line), math.floor(pixel)
        down, across = line - top, pixel - left
        low = power[top, left] * (1 - across) + power[top, left + 1] * across
        high = power[top + 1, left] * (1 - across) + power[top + 1, left + 1] * across
        result[row, column] = low * (1 - down) + high * down
    return result


def test_pixels_on_a_map_are_those_of_the_slow_way(tmp_path: Path, dn: np.ndarray) -> None:
    path = make_safe(tmp_path, dn, bands=("VV", "VH"))
    both = read_grd(path, GRID)
    assert both.shape == (2, 60, 50)
    expected = slow_grd(dn, GRID)
    np.testing.assert_allclose(both[0], np.where(expected > 0, expected, np.nan), rtol=0.02)
    np.testing.assert_allclose(read_grd(path, GRID, ("VH",))[0], both[1])
    blocks = [read_grd(path, GRID[:, left : left + 8])[0] for left in range(0, 48, 8)]
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), both[0][:, :48], rtol=1e-5)


def test_coarser_grids_take_the_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dn = np.random.default_rng(2).integers(20, 400, (400, 400))
    path = make_safe(tmp_path, dn)
    fine = GeoBox((240, 240), Affine(10, 0, 500_700, 0, -10, 4_999_300), "EPSG:32631")
    coarse = read_grd(path, fine.zoom_out(8))[0]
    lines, pixels = np.mgrid[:400, :400]
    power = (dn**2.0 - np.vectorize(noise)(lines, pixels, 400)) / gain(lines, pixels) ** 2
    assert coarse.mean() == pytest.approx(np.nanmean(read_grd(path, fine, noise=True)[0]), rel=0.05)
    assert coarse.std() < power.std() / 5
    assert np.isfinite(coarse).all()
    monkeypatch.setattr("terradelta.sources.resampling.LARGEST", 10_000)
    np.testing.assert_allclose(read_grd(path, fine.zoom_out(8))[0], coarse, rtol=1e-5)


def test_border_and_noise_are_no_data(tmp_path: Path, dn: np.ndarray) -> None:
    dn[:, :40] = 0
    dn[80:] = 5
    product = read_safe(make_safe(tmp_path, dn))
    image = read_grd(product, GRID)[0]
    line, pixel = positions_in(product.images[0], GRID)
    assert np.isnan(image[pixel < 39.4]).all()
    assert np.isnan(image[line > 80.01]).all()
    assert np.isfinite(image[(pixel > 40) & (line < 78)]).mean() > 0.95


def test_other_products_are_refused(tmp_path: Path, dn: np.ndarray) -> None:
    path = make_safe(tmp_path, dn, measured=False)
    with pytest.raises(SourceError, match=r"has no measurement/s1a-iw-grd-vv.*fetch the whole product"):
        read_grd(path, GRID)
    text = (path / "manifest.safe").read_text()
    (path / "manifest.safe").write_text(text.replace(">GRD<", ">SLC<"))
    with pytest.raises(SourceError, match="is SLC, not GRD"):
        read_grd(path, GRID)


def test_a_real_product_with_pixels_becomes_a_cube(real: Path, tmp_path: Path) -> None:
    """A bright square around a point of the geolocation grid lies where the grid says."""
    path = tmp_path / "in" / f"{DESCENDING}.SAFE"
    (path / "measurement").mkdir(parents=True)
    shutil.copytree(real / path.name / "annotation", path / "annotation", copy_function=shutil.copyfile)
    shutil.copy(real / path.name / "manifest.safe", path)
    image = read_safe(path).images[0]
    line, pixel = int(image.grid.lines[4]), int(image.grid.pixels[8])
    options = {"tiled": True, "sparse_ok": True, "compress": "deflate"}
    with rasterio.open(
        path / image.measurement, "w", driver="GTiff", count=1, height=image.shape[0], width=image.shape[1],
        dtype="uint16", **options,
    ) as file:  # fmt: skip
        dn = np.full((200, 240), 100, np.uint16)
        dn[98:103, 118:123] = 2000
        file.write(dn, 1, window=Window(pixel - 120, line - 100, 240, 200))
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform(
        image.grid.longitude[4, 8], image.grid.latitude[4, 8]
    )
    box = (x - 405, y - 405, x + 405, y + 405)
    report = build_cube(tmp_path / "in", tmp_path / "c.zarr", bounds=box, crs="EPSG:32633", resolution=10)
    assert report.added == 1
    assert check_cube(tmp_path / "c.zarr") == []
    sar = open_cube(tmp_path / "c.zarr")["sar"].to_dataset().load().isel(time=0)
    power = sar.backscatter.sel(band="VV").values
    assert np.isfinite(power).all()
    rows, columns = np.nonzero(power > 0.3 * power.max())
    assert (rows.mean(), columns.mean()) == (pytest.approx(40, abs=1), pytest.approx(40, abs=1))
    assert (sar.platform, sar.relative_orbit, sar.orbit_direction) == ("S1B", 22, "descending")
    assert (sar.radiometry, sar.estimated, sar.source_id) == ("sigma0-ellipsoid", "", DESCENDING)
    assert sar.heading == pytest.approx(-166.3129, abs=1e-3)
    assert sar.incidence_angle == pytest.approx(image.grid.incidence[4, 8], abs=0.1)


def test_a_folder_of_products(tmp_path: Path, dn: np.ndarray) -> None:
    make_safe(tmp_path / "in", dn, bands=("VV", "VH"))
    (tmp_path / "in/terradelta.yaml").write_text("radiometry: gamma0-ellipsoid\n")
    build_cube(tmp_path / "in", tmp_path / "c.zarr", geobox=GRID)
    assert len(scan(tmp_path / "in", pattern="**/*", geobox=GRID).sar) == 1
    assert len(scan(tmp_path / f"in/{NAME}.SAFE", geobox=GRID).sar) == 1
    sar = open_cube(tmp_path / "c.zarr")["sar"].to_dataset().load().isel(time=0)
    np.testing.assert_array_equal(
        sar.backscatter, read_grd(tmp_path / f"in/{NAME}.SAFE", GRID, measure="gamma0")
    )
    assert (sar.radiometry, sar.heading) == ("gamma0-ellipsoid", -13.5)
    (tmp_path / "in/terradelta.yaml").write_text("radiometry: gamma0-rtc\n")
    with pytest.raises(SourceError, match="gamma0-rtc needs the terrain"):
        scan(tmp_path / "in", geobox=GRID)
    (tmp_path / "in/terradelta.yaml").write_text("radiometry: gama0\n")
    with pytest.raises(ConfigError, match="radiometry"):
        scan(tmp_path / "in", geobox=GRID)


def test_old_products_are_told_of_their_border(tmp_path: Path, dn: np.ndarray) -> None:
    make_safe(tmp_path, dn, ipf="002.72")
    assert any("IPF 002.72, which leaves noise" in line for line in scan(tmp_path, geobox=GRID).warnings)


# files made from them


@pytest.mark.parametrize(
    ("name", "radiometry"),
    [
        (f"{NAME}_Orb_Cal_TC_Sigma0_{{}}", "sigma0-ellipsoid"),
        (f"{NAME}_Orb_NR_Cal_TF_TC_Gamma0_{{}}", "gamma0-rtc"),
        (f"{NAME}_Cal_TC_{{}}", ""),
        ("S1A__IW___A_20210809T173953_{}_gamma0-rtc", "gamma0-rtc"),
        ("S1A__IW___A_20210809T173953_{}_sigma0-elp", "sigma0-ellipsoid"),
        ("S1A__IW___A_20210809T173953_{}_grd_dem_tc", ""),
    ],
)
def test_files_take_what_the_product_beside_them_says(
    tmp_path: Path, dn: np.ndarray, write_tif: Any, name: str, radiometry: str
) -> None:
    make_safe(tmp_path / "in", dn)
    values = np.random.default_rng(3).gamma(4, 0.02, (60, 50)).astype("f4")
    for band in ("VV", "VH"):
        path = tmp_path / "in" / f"{name.format(band)}.tif"
        write_tif(path, values, left=500_150, top=4_999_900, step=10)
    build_cube(tmp_path / "in", tmp_path / "c.zarr")
    sar = open_cube(tmp_path / "c.zarr")["sar"].to_dataset().load()
    assert sar.sizes["time"] == 1
    one = sar.isel(time=0)
    np.testing.assert_array_equal(one.backscatter.sel(band="VV"), values)
    assert (one.platform, one.relative_orbit, one.orbit_direction) == ("S1A", 59, "ascending")
    assert (one.heading, one.estimated, one.radiometry) == (-13.5, "", radiometry)
    product = read_safe(tmp_path / f"in/{NAME}.SAFE")
    assert one.incidence_angle == pytest.approx(incidence_on(product, GRID).mean(), abs=0.01)


def test_products_in_another_folder(tmp_path: Path, dn: np.ndarray, write_tif: Any, speckle: Any) -> None:
    make_safe(tmp_path / "products", dn, measured=False)
    file = write_tif(tmp_path / "in/S1A__IW___A_20210809T173953_VV_gamma0-rtc.tif", speckle())
    estimated = scan(file.parent).sar[0]
    assert estimated.flight.relative_orbit == 0
    assert estimated.estimated == ("heading",)
    (file.parent / "terradelta.yaml").write_text("safe: ../products\nincidence_angle: 40\n")
    known = scan(file.parent).sar[0]
    assert (known.flight.relative_orbit, known.flight.heading, known.estimated) == (59, -13.5, ())
    assert known.flight.incidence_angle == 40
    (file.parent / "terradelta.yaml").write_text("safe: ../nowhere\n")
    with pytest.raises(SourceError, match=r"nowhere: has no Sentinel-1 SAFE product; correct 'safe'"):
        scan(file.parent)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("S1B__IW___A_20210809T173953_VV_gamma0-rtc", "platform is S1B, but S1A in S1A_IW_GRDH.*SAFE"),
        ("S1A__IW___D_20210809T173953_VV_gamma0-rtc", "orbit direction is descending, but ascending"),
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, dn: np.ndarray, write_tif: Any, speckle: Any, name: str, words: str
) -> None:
    make_safe(tmp_path, dn, measured=False)
    write_tif(tmp_path / f"{name}.tif", speckle())
    with pytest.raises(SourceError, match=words):
        scan(tmp_path)
    assert any("platform" in line or "direction" in line for line in _failures(tmp_path))


def _failures(folder: Path) -> tuple[str, ...]:
    try:
        return scan(folder, on_error="skip").failures
    except SourceError as error:
        return (str(error),)


def test_zeros_around_processed_images_are_no_data(tmp_path: Path, write_tif: Any, speckle: Any) -> None:
    values = speckle()
    values[:, :4] = 0
    write_tif(tmp_path / "S1A__IW___A_20210809T173953_VV_gamma0-rtc.tif", values)
    image = next(iter(scan(tmp_path).acquisitions())).backscatter.compute()[0]
    np.testing.assert_array_equal(image, np.where(values == 0, np.nan, values))


def test_products_without_images_are_mentioned(
    tmp_path: Path, dn: np.ndarray, write_tif: Any, speckle: Any
) -> None:
    make_safe(tmp_path, dn, measured=False)
    write_tif(tmp_path / "S1A__IW___A_20210821T173953_VV_gamma0-rtc.tif", speckle())
    assert any("belongs to no image here" in line for line in scan(tmp_path).warnings)
