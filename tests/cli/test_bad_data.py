"""Bad data at the door: one clear line each, exit code 2, and nothing lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from terradelta.cube import check_cube, open_cube


@pytest.fixture
def few(tmp_path: Path, field: Any) -> Path:
    """A folder of three dates, one band."""
    return field.write(tmp_path / "few", range(3), bands=("VV",))


@pytest.fixture
def built(tmp_path: Path, few: Path, cli: Any) -> Path:
    """Their cube."""
    cli("cube", "build", few, tmp_path / "few.zarr").done("3 acquisitions added")
    return tmp_path / "few.zarr"


def dates(cube: Path) -> int:
    assert check_cube(cube) == []
    return int(open_cube(cube)["sar"].sizes["time"])


def test_missing_folder(tmp_path: Path, cli: Any):
    cli("cube", "build", tmp_path / "gone", tmp_path / "c.zarr").refused(
        "gone does not exist", "check the path"
    )
    cli("cube", "info", tmp_path / "gone.zarr").refused("gone.zarr does not exist", "cube build")
    cli("detect", tmp_path / "gone.zarr", tmp_path / "out").refused("gone.zarr does not exist")
    cli("export", tmp_path / "gone", tmp_path / "a.csv").refused("gone")
    cli("compare", tmp_path / "gone", tmp_path / "gone").refused("gone")
    cli("evaluate", "--data", tmp_path / "gone", "--out", tmp_path / "e").refused("gone")
    assert list(tmp_path.iterdir()) == []


def test_empty_folder(tmp_path: Path, built: Path, field: Any, cli: Any):
    (tmp_path / "empty").mkdir()
    before = field.digest(built)
    cli("cube", "build", tmp_path / "empty", tmp_path / "c.zarr").refused("empty is empty", "check the path")
    cli("cube", "import", built, tmp_path / "empty").refused("empty is empty")
    for verb in (["cube", "info"], ["cube", "import"], ["detect"]):
        cli(*verb, tmp_path / "empty", *([] if verb[-1] == "info" else [tmp_path / "x"])).refused("empty")
    cli("compare", tmp_path / "empty", tmp_path / "empty").refused("empty")
    assert not (tmp_path / "c.zarr").exists()
    assert not (tmp_path / "x").exists()
    assert field.digest(built) == before


def test_truncated_geotiff(tmp_path: Path, built: Path, field: Any, cli: Any):
    more = field.write(tmp_path / "more", range(3, 6), bands=("VV",))
    cut = more / f"field_{field.date_of(4)}_VV.tif"
    cut.write_bytes(cut.read_bytes()[:9000])
    before = field.digest(built)
    cli("cube", "import", built, more).refused(cut.name, "truncated")
    assert field.digest(built) == before
    result = cli("cube", "import", built, more, "--skip-damaged")
    result.done("2 acquisitions added", "1 left out")
    assert [line for line in result.complaints if cut.name in line] == result.complaints
    assert dates(built) == 5


def test_file_without_crs(tmp_path: Path, few: Path, field: Any, cli: Any):
    name = f"field_{field.date_of(1)}_VV.tif"
    field.write_tif(few / name, field.image(1, "VV"), crs=None)
    cli("cube", "build", few, tmp_path / "c.zarr").refused(name, "no CRS", "crs: EPSG")
    assert not (tmp_path / "c.zarr").exists()
    with (few / "terradelta.yaml").open("a") as file:
        file.write("crs: EPSG:32631\n")
    cli("cube", "build", few, tmp_path / "c.zarr").done("3 acquisitions added")


def test_another_crs_and_resolution_are_reprojected(tmp_path: Path, built: Path, field: Any, cli: Any):
    from rasterio.warp import transform_bounds

    west, south, east, north = transform_bounds(
        "EPSG:32631", "EPSG:4326", 499_000, 4_997_000, 503_000, 5_001_000
    )
    level = np.full((90, 90), 0.125, np.float32)
    step = max(east - west, north - south) / 90
    field.write_tif(
        tmp_path / "in" / "x_20220101_VV.tif", level, crs="EPSG:4326", step=step, left=west, top=north
    )
    field.write_tif(tmp_path / "in" / "x_20220113_VV.tif", level, step=100, left=499_000, top=5_001_000)
    shutil.copy(tmp_path / "few" / "terradelta.yaml", tmp_path / "in")
    cli("cube", "import", built, tmp_path / "in").done("2 acquisitions added")
    images = open_cube(built)["sar"].backscatter
    assert images.sizes["time"] == 5
    np.testing.assert_allclose(images[3:].values, 0.125, rtol=1e-6)
    np.testing.assert_array_equal(images[0, 0].values, field.image(0, "VV"))


def test_the_grid_can_be_chosen(tmp_path: Path, few: Path, cli: Any):
    bounds = "500120,4999000,500920,4999600"
    cli("cube", "build", few, tmp_path / "c.zarr", "--bounds", bounds, "--resolution", 40).done()
    cli("cube", "info", tmp_path / "c.zarr").done("15 x 20 pixels of 40 x 40", "EPSG:32631")
    cli("cube", "build", few, tmp_path / "d.zarr", "--crs", "EPSG:3035").done()
    cli("cube", "info", tmp_path / "d.zarr").done("EPSG:3035")
    cli("cube", "build", few, tmp_path / "e.zarr", "--crs", "EPSG:nope").refused("EPSG:nope")
    cli("cube", "build", few, tmp_path / "e.zarr", "--bounds", "1,2,3").refused(
        "bounds", "'1,2,3'", "west,south"
    )
    cli("cube", "build", few, tmp_path / "e.zarr", "--bounds", "5,2,3,4").refused("bounds", "rising order")
    cli("cube", "build", few, tmp_path / "e.zarr", "--resolution", "-20").refused("resolution", "-20")
    assert not (tmp_path / "e.zarr").exists()


def test_a_cube_on_another_grid_is_not_written_over(built: Path, few: Path, field: Any, cli: Any):
    before = field.digest(built)
    cli("cube", "build", few, built, "--resolution", 40).refused(str(built))
    assert field.digest(built) == before


def test_decibel_taken_for_linear(tmp_path: Path, few: Path, built: Path, field: Any, cli: Any):
    before = field.digest(built)
    name = f"field_{field.date_of(7)}_VV.tif"
    field.write_tif(tmp_path / "in" / name, 10 * np.log10(field.image(7, "VV")))
    cli("cube", "import", built, tmp_path / "in").refused(name, "below 0", "unit: dB")
    assert field.digest(built) == before
    settings = (few / "terradelta.yaml").read_text() + "unit: dB\n"
    (tmp_path / "dB.yaml").write_text(settings)
    cli("cube", "import", built, tmp_path / "in", "--sidecar", tmp_path / "dB.yaml").done(
        "1 acquisition added"
    )
    np.testing.assert_allclose(
        open_cube(built)["sar"].backscatter[3, 0].values, field.image(7, "VV"), rtol=1e-5
    )


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_all_no_data(tmp_path: Path, few: Path, built: Path, field: Any, cli: Any, value: float):
    nothing = np.full((field.size, field.size), value, np.float32)
    name = f"field_{field.date_of(7)}_VV.tif"
    field.write_tif(tmp_path / "in" / name, nothing)
    before = field.digest(built)
    cli("cube", "import", built, tmp_path / "in").refused("valid pixel", "nodata")
    assert field.digest(built) == before
    field.write_tif(few / name, nothing)
    result = cli("cube", "build", few, tmp_path / "c.zarr")
    result.done("3 acquisitions added", "1 empty")
    assert [name in line for line in result.complaints] == [True]


def test_one_date_only(tmp_path: Path, field: Any, cli: Any):
    folder = field.write(tmp_path / "one", [3])
    result = cli("cube", "build", folder, tmp_path / "one.zarr")
    result.done("1 acquisition added")
    assert [line.startswith("note: ") and "one radar date only" in line for line in result.complaints] == [
        True
    ]
    cli("cube", "info", tmp_path / "one.zarr").done("1 date")
    for method in ("robust", "omnibus", "logratio"):
        cli("detect", tmp_path / "one.zarr", tmp_path / "out", "--method", method).refused(
            "orbit-037-ascending has 1 image", "add acquisitions"
        )
    assert not (tmp_path / "out").exists()


def test_duplicated_dates(tmp_path: Path, few: Path, field: Any, cli: Any):
    name = f"field_{field.date_of(1)}_VV.tif"
    field.write_tif(few / f"again_{name}", field.image(1, "VV"), compress="deflate")
    result = cli("cube", "build", few, tmp_path / "c.zarr")
    result.done("3 acquisitions added")
    assert [name in line for line in result.complaints] == [True]
    field.write_tif(few / f"again_{name}", field.image(9, "VV"))
    cli("cube", "build", few, tmp_path / "d.zarr").refused(name, f"again_{name}", "different values")
    assert not (tmp_path / "d.zarr").exists()


def test_other_values_under_a_date_of_the_cube(tmp_path: Path, built: Path, few: Path, field: Any, cli: Any):
    before = field.digest(built)
    cli("cube", "import", built, few).done("0 acquisitions added, 3 there already")
    assert field.digest(built) == before
    field.write_tif(tmp_path / "in" / f"field_{field.date_of(1)}_VV.tif", field.image(9, "VV"))
    shutil.copy(few / "terradelta.yaml", tmp_path / "in")
    cli("cube", "import", built, tmp_path / "in").refused("2021-01-15", "other pixels", "stored")
    assert field.digest(built) == before


def test_dates_out_of_order(tmp_path: Path, built: Path, field: Any, cli: Any):
    for number in (1, 2, 0):
        folder = field.write(tmp_path / str(number), [number], bands=("VV",))
        cli(
            "cube",
            "import" if number != 1 else "build",
            *([tmp_path / "c.zarr", folder] if number != 1 else [folder, tmp_path / "c.zarr"]),
        ).done()
    assert dates(tmp_path / "c.zarr") == 3
    one, other = (open_cube(path)["sar"].to_dataset().load() for path in (built, tmp_path / "c.zarr"))
    assert one.equals(other)


def test_cube_of_a_newer_schema(tmp_path: Path, built: Path, few: Path, field: Any, cli: Any):
    file = built / "zarr.json"
    content = json.loads(file.read_text())
    content["attributes"]["terradelta_schema"] = 99
    file.write_text(json.dumps(content))
    before = field.digest(built)
    for arguments in (
        ["cube", "info", built], ["cube", "import", built, few], ["cube", "build", few, built],
        ["detect", built, tmp_path / "out"],
    ):  # fmt: skip
        cli(*arguments).refused("99", "upgrade terradelta")
    assert field.digest(built) == before
    assert not (tmp_path / "out").exists()


def test_something_else_in_place_of_a_cube(tmp_path: Path, few: Path, cli: Any):
    (tmp_path / "notes.txt").write_text("mine")
    cli("cube", "build", few, tmp_path / "notes.txt").refused("notes.txt")
    cli("cube", "info", tmp_path / "notes.txt").refused("notes.txt")
    cli("cube", "build", few, few).refused("few")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(few.iterdir())) == 4
