"""Weak labels by the verb: the folder it writes, what it draws, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox

from terradelta.cube import create_cube
from terradelta.errors import ConfigError, ConflictError, InputError, TerradeltaError
from terradelta.windows import Tile, parse_tiles
from terradelta.workflows.config import LabelSettings, load_settings
from terradelta.workflows.label import run_label
from terradelta.workflows.label.weak import read_weak, run_weak

LEFT, TOP = 600_000, 5_600_000
BUILT = [
    shapely.box(LEFT + 203, TOP - 611, LEFT + 517, TOP - 308),
    shapely.box(LEFT + 1_211, TOP - 1_503, LEFT + 1_634, TOP - 1_102),
    shapely.box(LEFT + 1_504, TOP - 404, LEFT + 1_813, TOP - 151),
]
DAYS = ["2023-02-01", "2023-04-15", "2023-06-20"]
Make = Callable[..., LabelSettings]


@pytest.fixture
def changes(tmp_path: Path) -> Path:
    return write(tmp_path / "changes.gpkg")


def write(file: Path, shapes: Any = BUILT, crs: Any = "EPSG:4326", days: Any = DAYS) -> Path:
    frame = gpd.GeoDataFrame({"day": days[: len(shapes)], "geometry": shapes}, crs="EPSG:32631")
    frame = frame.set_crs(None, allow_override=True) if crs is None else frame.to_crs(crs)
    frame.to_file(file)
    return file


@pytest.fixture
def make(cube: Path, changes: Path, tmp_path: Path) -> Make:
    """Settings for the cube of 80 x 100 pixels: 10 x 12 tiles of 8."""

    def settings(**given: Any) -> LabelSettings:
        known = {"cube": cube, "out": tmp_path / "labels", "method": "polygons", "source": changes, "tile": 8}
        return load_settings(LabelSettings, given=known | given)

    return settings


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def test_the_folder(make: Make, geobox: GeoBox, tmp_path: Path) -> None:
    line = run_label(make())
    out = tmp_path / "labels"
    assert sorted(digests(out)) == sorted(
        ["truth.tif", "labels.json", "labels.png", "tiles_test.txt"]
        + [f"tiles_V{n}_{part}.txt" for n in (1, 2, 3) for part in ("train", "validation")]
    )
    with rasterio.open(out / "truth.tif") as file:
        truth = file.read(1)
        assert file.crs.to_epsg() == 32631 and file.transform == geobox.affine and file.nodata == 255
        assert file.colormap(1)[1][:3] == (203, 24, 29) and file.dtypes == ("uint8",)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    expected = np.zeros((80, 100), np.uint8)
    for row in range(80):
        for column in range(100):
            centre = shapely.Point(LEFT + 20 * column + 10, TOP - 20 * row - 10)
            expected[row, column] = any(shape.contains(centre) for shape in BUILT)
    assert (truth != expected).sum() <= 2 and expected.sum() > 500
    document = json.loads((out / "labels.json").read_text())
    assert (document["start"], document["end"], document["tile"]) == ("2023-01-01", "2023-06-30", 8)
    assert document["counts"]["changed"] == (truth == 1).sum()
    assert document["made_from"]["source"][0]["name"] == "changes.gpkg"
    labels = read_weak(out)
    assert labels.geobox == geobox and (labels.start, labels.end) == tuple(
        np.array(["2023-01-01", "2023-06-30"], "M8[D]")
    )
    np.testing.assert_array_equal(labels.truth, truth)
    first = labels.versions[0]
    counts = (
        f"{len(first.train)} tiles to train, {len(first.validation)} to validate, {len(first.test)} to test"
    )
    assert f"120 of 120 tiles labelled, {document['counts']['tiles_changed']} with changes" in line
    assert f"{labels.changed_share:.2%} of the pixels changed" in line and f"V1 to V3: {counts}" in line


def test_the_lists(make: Make, tmp_path: Path) -> None:
    run_weak(make(counts=[24, 6, 6], seed=1))
    labels = read_weak(tmp_path / "labels")
    for lists in labels.versions:
        assert [len(part) for part in (lists.train, lists.validation, lists.test)] == [24, 6, 6]
        for part in (lists.train, lists.validation, lists.test):
            assert any(labels.shares[tile] > 0 for tile in part)
            assert any(labels.shares[tile] == 0 for tile in part)
    for some, others in combinations(labels.versions, 2):
        assert not set(some.validation) & set(others.validation)
    written = parse_tiles((tmp_path / "labels" / "tiles_V2_validation.txt").read_text())
    assert written == labels.versions[1].validation


def test_the_same_command_again(make: Make, tmp_path: Path, changes: Path) -> None:
    out = run_weak(make())
    before, moments = digests(out), {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    assert run_weak(make()) == out
    assert moments == {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    other = run_weak(make(out=tmp_path / "again"))
    assert digests(other) == before
    (out / "labels.png").unlink()
    assert digests(run_weak(make())) == before
    with pytest.raises(ConflictError, match=r"made otherwise \(seed, versions\); choose another folder"):
        run_weak(make(seed=1, versions=1))
    run_weak(make(seed=1, versions=1, overwrite=True))
    assert not (out / "tiles_V2_train.txt").exists() and len(read_weak(out).versions) == 1
    write(changes, BUILT[:2])
    with pytest.raises(ConflictError, match=r"made otherwise \(source\)"):
        run_weak(make(seed=1, versions=1))


def test_period_area_and_other_sources(make: Make, tmp_path: Path, geobox: GeoBox) -> None:
    run_weak(make(dates="day", start="2023-03-01", end="2023-05-31", versions=1, out=tmp_path / "one"))
    one = read_weak(tmp_path / "one")
    assert one.truth[60, 70] == 1 and one.truth[20, 15] == 0 and one.truth[10, 80] == 0
    area = write(tmp_path / "area.geojson", [shapely.box(LEFT, TOP - 1600, LEFT + 997, TOP)])
    run_weak(make(area=area, versions=1, counts=[6, 2, 2], out=tmp_path / "two"))
    two = read_weak(tmp_path / "two")
    assert (two.truth[:, 51:] == 255).all() and (two.truth[:, :49] != 255).all()
    assert all(tile.column < 6 for lists in two.versions for tile in lists.train + lists.test)
    run_weak(make(source=tmp_path / "one" / "truth.tif", versions=1, out=tmp_path / "three"))
    np.testing.assert_array_equal(read_weak(tmp_path / "three").truth, one.truth)
    tiles = tmp_path / "tiles"
    tiles.mkdir()
    for tile, share in one.shares.items():
        np.save(tiles / f"{tile.column}_{tile.row}.npy", one.truth[one.grid.part(tile)][..., None])
        assert 0 <= share <= 1
    run_weak(make(source=tiles, order="column-row", versions=1, out=tmp_path / "four"))
    four = read_weak(tmp_path / "four")
    np.testing.assert_array_equal(four.truth[:80, :96], one.truth[:80, :96])
    assert (four.truth[:, 96:] == 255).all()


def lists(folder: Path, **contents: str) -> Path:
    folder.mkdir()
    known = {"V1_train": "1:1\n7:7\n", "V1_val": "4:4\n", "V3_testing": "9:0\n"}
    for name, text in (known | contents).items():
        (folder / f"tiles_{name}.txt").write_text(text)
    return folder


def test_given_lists(make: Make, tmp_path: Path) -> None:
    given = lists(tmp_path / "lists", V2_train="2:2\n", V2_val="0:0")
    run_weak(make(lists=given))
    first, second = read_weak(tmp_path / "labels").versions
    assert first.train == (Tile(1, 1), Tile(7, 7)) and first.test == second.test == (Tile(9, 0),)
    assert second.validation == (Tile(0, 0),)
    turned = lists(tmp_path / "turned", V3_testing="0:9\n")
    run_weak(make(lists=turned, order="column-row", out=tmp_path / "other"))
    assert read_weak(tmp_path / "other").versions[0] == first


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        ({"V1_val": "1:1"}, "V1: tiles 1:1 are among both train and validation; keep them in one list"),
        ({"V3_testing": "7:7"}, "V1: tiles 7:7 are among both train and test"),
        ({"V1_train": "2:2\n10:0"}, "V1: tiles 10:0 do not exist: the area of 80 x 100 pixels has 10 rows"),
        ({"V1_train": "2:2\n2:2"}, "V1: tiles 2:2 are twice in train"),
        ({"V1_train": "2:2\nx"}, "tiles_V1_train.txt: line 2: 'x' is no tile; write row:column"),
        ({"V1_train": "9:2"}, "V1: no tile to train with has a change"),
        ({"V1_validation": "4:4"}, r"holds 2 lists tiles_V1_val\*.txt; keep one"),
        ({"V2_train": "4:4"}, r"holds no list tiles_V2_val\*.txt; write one"),
    ],
)
def test_wrong_lists(make: Make, tmp_path: Path, contents: dict[str, str], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as error:
        run_weak(make(lists=lists(tmp_path / "lists", **contents)))
    assert "\n" not in str(error.value) and not (tmp_path / "labels").exists()


def test_no_lists(make: Make, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "tiles_test.txt").write_text("")
    with pytest.raises(InputError, match=r"holds no tiles_V1_train\.txt; write such a list"):
        run_weak(make(lists=tmp_path / "lists"))


@pytest.mark.parametrize(
    ("shapes", "crs", "given", "problem"),
    [
        ([shapely.box(0, 0, 9, 9)], "EPSG:32631", {}, "none of its 1 polygons lies on the area of the cube"),
        (BUILT, None, {}, "has no CRS; write one into it"),
        (BUILT, "EPSG:3035", {"dates": "day", "end": "2023-01-31"}, "no polygon changed from 2023-01-01 to"),
        (BUILT, "EPSG:3035", {"start": "2010-01-01", "end": "2012-01-01"}, "none lies in that period"),
        ([], "EPSG:32631", {}, "no polygon that can be used"),
        ([shapely.box(LEFT + 1, TOP - 9, LEFT + 9, TOP - 1)], "EPSG:32631", {}, "no pixel has changed"),
        ([shapely.box(LEFT - 99, 0, LEFT + 9_999, TOP + 99)], "EPSG:32631", {}, "every labelled pixel has"),
        (BUILT, "EPSG:3035", {"tile": 90}, "tile of 90 x 90 is larger than the area of 80 x 100"),
        (BUILT, "EPSG:3035", {"counts": [100, 10, 10]}, "120 of 120 tiles with 1 between"),
        (BUILT, "EPSG:3035", {"tile": 40}, "4 of 4 tiles with 1 between the lists do not fit"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_bad_labels(
    make: Make, tmp_path: Path, shapes: Any, crs: Any, given: dict[str, Any], problem: str
) -> None:
    source = write(tmp_path / "bad.shp" if crs is None else tmp_path / "bad.gpkg", shapes, crs)
    with pytest.raises(TerradeltaError, match=problem) as error:
        run_weak(make(source=source, **given))
    assert "\n" not in str(error.value) and not (tmp_path / "labels").exists()


def test_period_that_the_cube_shows_in_part(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run_weak(make(start="2020-01-01"))
    assert "labels are for 2020-01-01 to 2023-06-30, but the images are of 2023-01-01" in caplog.text


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"source": None}, "method polygons reads labels; name their file with source"),
        ({"counts": [3, 1]}, "give three: to train, to validate and to test"),
        ({"counts": [3, 1, 1], "lists": "x"}, "lists names the tiles already; leave counts out"),
        ({"stride": 3}, "method polygons takes no stride"),
        ({"method": "synthetic"}, "method synthetic takes no source"),
        ({"start": "2023-05-01", "end": "2023-01-01"}, "start 2023-05-01 is after end 2023-01-01"),
        ({"order": "rows"}, "order is 'rows'"),
    ],
)
def test_settings_that_do_not_fit(make: Make, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make(**given)


def test_a_folder_of_synthetic_labels_is_left_alone(make: Make, tmp_path: Path) -> None:
    (tmp_path / "labels" / "labels.zarr").mkdir(parents=True)
    with pytest.raises(ConflictError, match="holds synthetic labels; choose another folder"):
        run_weak(make(overwrite=True))
    assert [file.name for file in (tmp_path / "labels").iterdir()] == ["labels.zarr"]


def test_folders_that_are_none(make: Make, tmp_path: Path, geobox: GeoBox) -> None:
    with pytest.raises(InputError, match=r"holds no weak labels .*: terradelta label CUBE"):
        read_weak(tmp_path)
    out = run_weak(make())
    (out / "tiles_V1_train.txt").write_text("0:0\n99:0\n")
    with pytest.raises(InputError, match="labels: V1: tiles 99:0 do not exist"):
        read_weak(out)
    (out / "truth.tif").write_bytes(b"")
    with pytest.raises(InputError, match=r"truth\.tif cannot be read"):
        read_weak(out)
    document = json.loads((out / "labels.json").read_text())
    (out / "labels.json").write_text(json.dumps({"format": document["format"], "format_version": 1}))
    with pytest.raises(InputError, match=r"labels\.json lacks grid, start, end, tile; make the labels again"):
        read_weak(out)
    (out / "labels.json").write_text(json.dumps(document | {"format_version": 9}))
    with pytest.raises(InputError, match="has format 9, this terradelta reads up to 1"):
        read_weak(out)
    create_cube(tmp_path / "empty.zarr", geobox)
    with pytest.raises(InputError, match="the cube holds no image"):
        run_weak(make(cube=tmp_path / "empty.zarr", out=tmp_path / "none"))
