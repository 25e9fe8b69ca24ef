"""Every verb as a user types it, when all is well."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml

from terradelta import __version__
from terradelta.workflows.config import SETTINGS, load_settings

pytestmark = pytest.mark.usefixtures("plain_pictures")


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


def test_detect_finds_the_change_and_its_date(found: Path, field: Any):
    change, date = read(found / "change.tif"), read(found / "date.tif")
    truth = np.zeros_like(change)
    truth[field.change] = 1
    assert (change[truth == 1] == 1).mean() > 0.9
    assert (change[truth == 0] == 1).mean() < 0.05
    first = int(
        (field.start + np.timedelta64(12 * field.changed_from, "D")).astype("datetime64[D]").astype(int)
    )
    assert np.median(date[(change == 1) & (truth == 1)]) == first
    with rasterio.open(found / "change.tif") as file:
        assert (file.crs.to_epsg(), file.nodata, file.res) == (32631, 255, (20, 20))
    assert (found / "orbit-037-ascending" / "report.html").exists()
    assert not list(found.glob(".*"))


def test_detect_again_says_that_all_is_done(found: Path, cube: Path, field: Any, cli: Any):
    before = field.digest(found)
    result = cli("detect", cube, found, "--workers", 2)
    result.done("robust", "% changed", "ha in", "report.html")
    assert result.err == ""
    assert field.digest(found) == before
    cli("detect", cube, found, "--method", "omnibus").refused("differ in method", "--overwrite")
    assert field.digest(found) == before


@pytest.mark.parametrize(
    ("options", "unit"),
    [
        (["--method", "omnibus", "--set", "omnibus.significance=0.01"], "-log10 of the p-value"),
        (["--method", "logratio", "--start", "2021-03-01", "--end", "2021-06-30", "--orbits", "37,37"], "dB"),
        (["--time", "last", "--threshold", "3"], "standard deviations"),
    ],
    ids=["omnibus", "logratio", "last"],
)
def test_other_ways_to_detect(
    tmp_path: Path, cube: Path, field: Any, cli: Any, options: list[str], unit: str
):
    cli("detect", cube, tmp_path / "out", "--workers", 1, *options).done("% changed", "report.html")
    with rasterio.open(tmp_path / "out" / "score.tif") as file:
        assert file.units[0] == unit
    if "last" not in options:
        changed = read(tmp_path / "out" / "change.tif") == 1
        inside = np.zeros_like(changed)
        inside[field.change] = True
        assert changed[inside].mean() > 5 * changed[~inside].mean()


def test_borders_without_data_stay_so_to_the_end(tmp_path: Path, field: Any, cli: Any):
    folder = field.write(tmp_path / "in", range(12))
    for number in range(12):
        for band in ("VV", "VH"):
            values = field.image(number, band)
            values[:9], values[:, -7:], values[70:74, 20:24] = 0, np.nan, 0
            field.write_tif(folder / f"field_{field.date_of(number)}_{band}.tif", values)
    cli("cube", "build", folder, tmp_path / "c.zarr").done()
    nothing = np.zeros((field.size, field.size), bool)
    nothing[:9], nothing[:, -7:], nothing[70:74, 20:24] = True, True, True
    for method in ("robust", "omnibus"):
        out = tmp_path / method
        cli("detect", tmp_path / "c.zarr", out, "--workers", 1, "--method", method).done()
        np.testing.assert_array_equal(read(out / "change.tif") == 255, nothing)
        np.testing.assert_array_equal(read(out / "count.tif") == 65535, nothing)
        np.testing.assert_array_equal(np.isnan(read(out / "score.tif")), nothing)
        assert (read(out / "date.tif")[nothing] == -1).all()
        edge = np.zeros_like(nothing)
        edge[9:12, :-7], edge[9:, -10:-7] = True, True
        assert (read(out / "change.tif")[edge] == 1).mean() < 0.1


def test_export_to_every_format(tmp_path: Path, found: Path, cli: Any):
    number = len(gpd.read_parquet(found / "polygons.parquet"))
    for name in ("a.geojson", "a.gpkg", "a.parquet", "a.shp", "a.csv", "a.nc", "a.zarr"):
        cli("export", found, tmp_path / name).done(name)
    for name in ("a.geojson", "a.gpkg", "a.shp"):
        assert len(gpd.read_file(tmp_path / name)) == number
    assert len((tmp_path / "a.csv").read_text().splitlines()) == number + 1
    for name, engine in (("a.nc", "h5netcdf"), ("a.zarr", "zarr")):
        with xr.open_dataset(tmp_path / name, engine=engine, mask_and_scale=False) as dataset:
            np.testing.assert_array_equal(dataset["change"].values, read(found / "change.tif"))
    cli("export", found, tmp_path / "tifs", "--format", "geotiff", "--layers", "change,date").done("tifs")
    assert sorted(path.name for path in (tmp_path / "tifs").iterdir()) == ["change.tif", "date.tif"]
    cli("export", found, tmp_path / "c.png", "--layers", "change").done("c.png")
    box = "500400,4999000,500800,4999500"
    cli(
        "export",
        found,
        tmp_path / "part.tif",
        "--layers",
        "score",
        "--bounds",
        box,
        "--bounds-crs",
        "EPSG:32631",
    ).done()
    assert read(tmp_path / "part.tif").shape == (25, 20)


def test_compare_says_where(tmp_path: Path, found: Path, cli: Any):
    cli("compare", found, found).done("are equal within 1e-06")
    shutil.copytree(found, tmp_path / "other")
    with rasterio.open(tmp_path / "other" / "score.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        score = file.read(1)
        score[7, 3] += 1
        file.write(score, 1)
    result = cli("compare", found, tmp_path / "other")
    assert (result.code, result.err) == (1, "")
    assert result.out.startswith(
        "score.tif: 1 of 9216 pixels differ; first at row 7, column 3 (x 500070, y 4999850)"
    )
    assert len(result.out.splitlines()) == 1
    cli("compare", found, tmp_path / "other", "--tolerance", 2).done("equal within 2")


@pytest.mark.parametrize("verb", sorted(SETTINGS))
def test_config_writes_what_the_verb_reads(tmp_path: Path, cli: Any, verb: str):
    model = SETTINGS[verb]
    text = cli("config", *verb.split("-")).done(f"terradelta {verb.replace('-', ' ')}")
    (tmp_path / "a.yaml").write_text(text)
    fields = model.model_fields
    required = {key: "x" for key, field in fields.items() if field.is_required() or key == "data"}
    assert load_settings(model, tmp_path / "a.yaml", required) == load_settings(model, None, required)
    assert set(yaml.safe_load(text) or {}) | set(required) == set(model.model_fields)
    assert cli("config", verb).out == text


def test_a_configuration_and_options_over_it(tmp_path: Path, cube: Path, cli: Any):
    file = tmp_path / "detect.yaml"
    cli("config", "detect", "--out", file).done(str(file))
    text = (
        file.read_text()
        .replace("# cube: (required)", f"cube: {cube}")
        .replace("# out: (required)", f"out: {tmp_path / 'out'}")
    )
    file.write_text(text.replace("method: robust", "method: omnibus"))
    cli("detect", "--config", file, "--workers", 1, "--minimum-area", 900, "--set", "omnibus.looks=5").done(
        "omnibus"
    )
    told = json.loads((tmp_path / "out" / "summary.json").read_text())["configuration"]
    assert (told["method"], told["minimum_area"], told["omnibus"]["looks"]) == ("omnibus", 900, 5)


def test_info(cube: Path, cli: Any):
    cli("cube", "info", cube).done(
        "96 x 96 pixels of 20 x 20, EPSG:32631", "S1A", "orbit 37 ascending: 14 dates", "2021-01-03", "valid"
    )


def test_doctor(cli: Any):
    out = cli("doctor").done("Python", "GDAL", "PROJ", "memory", "extra train")
    assert all(line.startswith("ok") for line in out.splitlines())


def test_help_and_version(cli: Any, process: Any):
    assert cli("--version").done() == f"terradelta {__version__}\n"
    assert process("--version").done() == f"terradelta {__version__}\n"
    top = process("--help").done("cube", "detect", "--debug")
    assert "Traceback" not in top
    text = " ".join(cli("detect", "--help").done("--orbits", "--set").split())
    assert "[default: robust]" in text
    assert "[default: 2 GiB]" in text


@pytest.mark.slow
def test_demo(tmp_path: Path, cli: Any):
    out = cli("demo", "--out", tmp_path / "demo", "--size", 64).done("Against the known truth", "report.html")
    assert (tmp_path / "demo" / "result" / "change.tif").exists()
    assert cli("demo", "--out", tmp_path / "demo", "--size", 64).out == out
