"""From an outline to a cube by the command line: plan, build, go on, bring up to date; bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from terradelta.cube import check_cube, open_cube
from terradelta.cube.manifest import Manifest

WEST, SOUTH, EAST, NORTH = 3.0002, 45.1390, 3.0060, 45.1430
"""Some 450 x 440 m around the images, degrees."""
SHAPE, STEP, LEFT, TOP = (60, 80), 10.0, 499_900.0, 4_998_900.0


def outline(path: Path, ring: list[list[float]] | None = None, **more: Any) -> Path:
    ring = ring or [[WEST, SOUTH], [EAST, SOUTH], [EAST, NORTH], [WEST, NORTH], [WEST, SOUTH]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]} | more))
    return path


@pytest.fixture
def aoi(tmp_path: Path) -> Path:
    return outline(tmp_path / "aoi.geojson")


@pytest.fixture
def archive(tmp_path: Path, write_tif: Callable[..., Path]) -> Path:
    """A folder of radar images every six days, with a DEM and weather."""
    folder = tmp_path / "archive"
    for number in range(6):
        radar(folder, number, write_tif)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    write_tif(folder / "dem.tif", (rows + columns).astype("f4"))
    days = "\n".join(f"2020-01-{day:02d},273.15,1.5" for day in range(1, 31))
    (folder / "weather.csv").write_text(f"date,temperature [K],precipitation [mm]\n{days}\n")
    return folder


def radar(folder: Path, number: int, write_tif: Callable[..., Path]) -> None:
    rng = np.random.default_rng(number)
    date = str(np.datetime64("2020-01-02") + 6 * number).replace("-", "")
    for band in ("VV", "VH"):
        values = rng.gamma(4, 0.02, SHAPE).astype("f4") + np.float32(1e-4)
        name = f"S1A_{date}T173000_{band}.tif"
        write_tif(folder / name, values, relative_orbit="88", orbit_direction="ascending")


@pytest.fixture
def write_tif() -> Callable[..., Path]:
    def write(path: Path, values: np.ndarray, **tags: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path, "w", driver="GTiff", count=1, height=SHAPE[0], width=SHAPE[1], dtype=values.dtype,
            crs="EPSG:32631", transform=Affine(STEP, 0, LEFT, 0, -STEP, TOP),
        ) as file:  # fmt: skip
            file.write(values, 1)
            file.update_tags(**tags)
        return path

    return write


def build(aoi: Path, archive: Path, cube: Path, *more: Any) -> list[Any]:
    return ["cube", "build", aoi, "--time", "2020", "--source", archive, "-o", cube, *more]


def test_an_outline_becomes_a_cube(cli: Any, aoi: Path, archive: Path, tmp_path: Path) -> None:
    cube = tmp_path / "place.zarr"
    done = cli(*build(aoi, archive, cube)).done("6 images added", "layers dem", "30 days of weather")
    assert "there already" in done
    tree = open_cube(cube)
    assert tree["sar"].sizes["time"] == 6
    assert set(tree["sar"].relative_orbit.values.tolist()) == {88}
    assert float(tree["weather"].temperature[0]) == 0
    west, north = float(tree["sar"].x[0]) - 5, float(tree["sar"].y[0]) + 5
    assert west % 10 == 0 and north % 10 == 0
    assert check_cube(cube) == []
    cli(*build(aoi, archive, cube)).done("0 images added, 6 there already")


def test_it_equals_the_direct_import_of_the_same_pixels(
    cli: Any, aoi: Path, archive: Path, tmp_path: Path
) -> None:
    cli(*build(aoi, archive, tmp_path / "built.zarr")).done()
    tree = open_cube(tmp_path / "built.zarr")["sar"]
    y, x = tree.y.values, tree.x.values
    bounds = f"{x[0] - 5},{y[-1] - 5},{x[-1] + 5},{y[0] + 5}"
    cli("cube", "build", archive, tmp_path / "direct.zarr", "--bounds", bounds).done()
    direct = open_cube(tmp_path / "direct.zarr")["sar"]
    np.testing.assert_array_equal(tree.backscatter.values, direct.backscatter.values)
    for name in ("time", "platform", "relative_orbit", "orbit_direction", "source_id"):
        assert tree[name].values.tolist() == direct[name].values.tolist(), name


def test_a_dry_run_tells_and_writes_nothing(cli: Any, aoi: Path, archive: Path, tmp_path: Path) -> None:
    cube = tmp_path / "place.zarr"
    told = cli(*build(aoi, archive, cube, "--dry-run")).done("88 ascending", "6 images to fetch", "layer dem")
    assert "2020-01-02" in told and "2020-02-01" in told and "grows by about" in told
    assert not cube.exists()
    cli(*build(aoi, archive, cube)).done()
    cli(*build(aoi, archive, cube, "--dry-run")).done("0 images to fetch")


def test_a_cube_is_brought_up_to_date(
    cli: Any, aoi: Path, archive: Path, tmp_path: Path, write_tif: Callable[..., Path]
) -> None:
    cube = tmp_path / "place.zarr"
    cli(*build(aoi, archive, cube)).done()
    aoi.unlink()
    radar(archive, 7, write_tif)
    radar(archive, 61, write_tif)
    cli("cube", "update", cube, "--dry-run").done("2 images to fetch")
    cli("cube", "update", cube, "--until", "2020-06").done("1 image added, 6 there already")
    cli("cube", "update", cube).done("1 image added, 7 there already")
    cli("cube", "update", cube).done("0 images added, 8 there already")
    assert [one["asked"]["time"] for one in Manifest(cube).requests] == ["2020", "2020/2020-06", "2020/"]


def test_only_some_orbits_and_bands(cli: Any, aoi: Path, archive: Path, tmp_path: Path) -> None:
    cube = tmp_path / "place.zarr"
    cli(*build(aoi, archive, cube, "--polarisations", "VV", "--orbits", "88")).done("6 images added")
    assert open_cube(cube)["sar"].band.values.tolist() == ["VV"]
    cli(*build(aoi, archive, cube, "--orbits", "37")).refused("nothing of 2020", "orbits")
    cli(*build(aoi, archive, cube)).refused("VH/VV", "the cube", "polarisations")


def test_an_update_asks_again_for_all_that_was_asked(
    cli: Any, aoi: Path, archive: Path, tmp_path: Path, write_tif: Callable[..., Path]
) -> None:
    cube, other = tmp_path / "place.zarr", tmp_path / "other"
    radar(other, 3, write_tif)
    (archive / "S1A_20200120T173000_VV.tif").unlink()
    (archive / "S1A_20200120T173000_VH.tif").unlink()
    cli(*build(aoi, archive, cube)).done("5 images added")
    cli(*build(aoi, other, cube)).done("1 image added")
    radar(archive, 7, write_tif)
    radar(other, 8, write_tif)
    told = cli("cube", "update", cube).done(
        "1 image added, 5 there already", "1 image added, 1 there already"
    )
    assert len(told.splitlines()) == 2
    assert open_cube(cube)["sar"].sizes["time"] == 8


def test_an_end_that_makes_no_sense(cli: Any, aoi: Path, archive: Path, tmp_path: Path) -> None:
    cli(*build(aoi, archive, tmp_path / "place.zarr")).done()
    cli("cube", "update", tmp_path / "place.zarr", "--until", "2019").refused("2020/2019", "before it starts")
    cli("cube", "update", tmp_path / "place.zarr", "--until", "soon").refused("soon", "is no time")


def test_a_pass_that_its_source_names_anew_is_not_taken_twice(
    cli: Any, aoi: Path, archive: Path, tmp_path: Path
) -> None:
    cube = tmp_path / "place.zarr"
    cli(*build(aoi, archive, cube)).done("6 images added")
    for file in sorted(archive.glob("S1A_20200108*")):
        file.rename(archive / file.name.replace("T173000", "T172935"))  # an earlier slice was published
    outcome = cli("cube", "update", cube)
    outcome.done("0 images added, 5 there already")
    assert "note: 1 images of archive are left out, for the cube has these passes already" in outcome.err
    cli(*build(aoi, archive.rename(tmp_path / "renamed"), cube)).done("0 images added, 0 there already")
    assert open_cube(cube)["sar"].sizes["time"] == 6


def test_a_cube_that_was_moved(
    cli: Any, aoi: Path, archive: Path, tmp_path: Path, write_tif: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    cli("cube", "build", "aoi.geojson", "--time", "2020/", "--source", "archive", "-o", "a.zarr").done()
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.zarr").rename(tmp_path / "deep" / "b.zarr")
    radar(archive, 7, write_tif)
    monkeypatch.chdir(tmp_path / "deep")
    cli("cube", "update", "b.zarr").done("1 image added, 6 there already")
    assert len(Manifest(tmp_path / "deep" / "b.zarr").requests) == 1


def test_a_folder_does_not_hide_a_source_of_its_name(
    cli: Any, aoi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from terradelta.workflows.building.request import Request
    from terradelta.workflows.config import BuildSettings

    (tmp_path / "opera").mkdir()
    monkeypatch.chdir(tmp_path)
    settings = BuildSettings(place=aoi, cube="a.zarr", source="opera,archive,.", time="2020")
    assert Request.of(settings).asked["source"] == ["opera", "archive", str(tmp_path)]


def test_all_settings_from_a_file(cli: Any, aoi: Path, archive: Path, tmp_path: Path) -> None:
    text = cli("config", "cube build").out or cli("config", "cube", "build").out
    given = {"place": aoi, "cube": tmp_path / "no.zarr", "source": [str(archive)], "time": 2020}
    lines = [line for line in text.splitlines() if not line.startswith(("source:", "time:"))]
    file = tmp_path / "build.yaml"
    file.write_text("\n".join(lines + [f"{key}: {value}" for key, value in given.items()]))
    cli("cube", "build", "--config", file, "-o", tmp_path / "place.zarr").done("6 images added")
    assert not (tmp_path / "no.zarr").exists()


def test_help_begins_with_what_matters(cli: Any) -> None:
    text = cli("cube", "build", "--help").out
    order = [text.index(f"\n  --{name} ") for name in ("source", "time", "products", "dry-run", "pattern")]
    assert order == sorted(order)


def test_a_cube_from_files_cannot_be_updated(cli: Any, archive: Path, tmp_path: Path) -> None:
    cli("cube", "build", archive, tmp_path / "place.zarr").done()
    cli("cube", "update", tmp_path / "place.zarr").refused("not built from sources", "cube import")


def test_two_builds_at_a_time(cli: Any, aoi: Path, archive: Path, tmp_path: Path) -> None:
    from terradelta.cube.locking import exclusive

    cube = tmp_path / "place.zarr"
    with exclusive(cube.with_name("place.zarr.build")):
        cli(*build(aoi, archive, cube)).refused("is being written by", code=2)


# bad input


def test_nothing_there(cli: Any, archive: Path, tmp_path: Path) -> None:
    far = outline(tmp_path / "far.geojson", [[9, 50], [9.01, 50], [9.01, 50.01], [9, 50]])
    line = cli(*build(far, archive, tmp_path / "place.zarr")).refused("9.0000,50.0000")
    assert "outline" in line or "place" in line
    assert not (tmp_path / "place.zarr").exists()


def test_a_dry_run_changes_no_file(cli: Any, aoi: Path, archive: Path, tmp_path: Path, field: Any) -> None:
    cli(*build(aoi, archive, tmp_path / "place.zarr")).done()
    before = field.digest(tmp_path), {path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for cube in ("place.zarr", "new/other.zarr"):
        cli(*build(aoi, archive, tmp_path / cube, "--dry-run")).done("dry run")
    cli("cube", "update", tmp_path / "place.zarr", "--dry-run").done("dry run")
    assert before == (field.digest(tmp_path), {path.stat().st_mtime_ns for path in tmp_path.rglob("*")})


def test_a_cube_of_another_place_is_refused_before_sources_are_asked(
    cli: Any, aoi: Path, archive: Path, tmp_path: Path
) -> None:
    cube = tmp_path / "place.zarr"
    cli(*build(aoi, archive, cube)).done()
    for more in ((), ("--dry-run",)):
        cli(*build(aoi, archive, cube, "--resolution", "20", *more)).refused("grid", "choose another path")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    cli(*build(aoi, archive, tmp_path / "mine")).refused("mine is no terradelta cube")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize("name", ["manifest", "sar", "."])
def test_a_damaged_description_is_named_and_nothing_is_lost(
    cli: Any, aoi: Path, archive: Path, tmp_path: Path, write_tif: Callable[..., Path], name: str
) -> None:
    cube = tmp_path / "place.zarr"
    cli(*build(aoi, archive, cube)).done()
    file = cube / name / "zarr.json"
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    radar(archive, 7, write_tif)
    for command in (build(aoi, archive, cube), ["cube", "update", cube]):
        cli(*command).refused(str(cube), "zarr.json")
    file.write_text(whole)
    cli(*build(aoi, archive, cube)).done("1 image added, 6 there already")
    assert check_cube(cube) == []


@pytest.mark.parametrize(
    "more",
    [("--weather", "missing.nc"), ("--weather", "https://me:secret@example.org/w.zarr"),
     ("--weather", "https://example.org/w.zarr?token=secret"), ("--dem", "missing.tif")],
)  # fmt: skip
def test_files_beside_the_images_are_checked_before_anything_is_fetched(
    cli: Any, aoi: Path, archive: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    line = cli(*build(aoi, archive, tmp_path / "place.zarr", *more)).refused()
    assert ("missing" in line or "credentials" in line) and "secret" not in line
    assert not (tmp_path / "place.zarr").exists()


def test_a_bow_tie_is_mended_and_said(cli: Any, archive: Path, tmp_path: Path) -> None:
    ring = [[WEST, SOUTH], [EAST, NORTH], [EAST, SOUTH], [WEST, NORTH], [WEST, SOUTH]]
    outcome = cli(*build(outline(tmp_path / "bow.geojson", ring), archive, tmp_path / "place.zarr"))
    outcome.done("6 images added")
    assert "note: " in outcome.err and "bow.geojson" in outcome.err


def test_a_place_far_too_large_for_the_disk(cli: Any, archive: Path, tmp_path: Path) -> None:
    ring = [[0.1, 44], [5.9, 44], [5.9, 48], [0.1, 48], [0.1, 44]]
    huge = outline(tmp_path / "huge.geojson", ring)
    more = ("--resolution", "0.5")
    cli(*build(huge, archive, tmp_path / "place.zarr", *more)).refused("B", "free", "resolution")
    assert not (tmp_path / "place.zarr").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--time", "2020/2019"), ("2020/2019", "before it starts")),
        (("--time", "yesterday"), ("yesterday", "is no time")),
        (("--time", "2017/9999"), ("9999", "is no time")),
        (("--products", "nosuch"), ("nosuch", "sar, optical, static")),
        (("--resolution", "nan"), ("resolution", "nan")),
        (("--parallel", "0"), ("parallel", "0")),
        (("--source", "earth-serch"), ("earth-serch", "earth-search", "opera", "planetary-computer")),
        (("--source", "https://me:secret@example.org/stac"), ("credentials", "netrc")),
        (("--record", "2"), ("record", "without source")),
        (("--resolution", "-3"), ("resolution", "-3")),
        (("--crs", "EPSG:99999"), ("EPSG:99999",)),
        (("--max-cloud", "120"), ("max_cloud", "100")),
    ],
)
def test_words_that_make_no_sense(
    cli: Any, aoi: Path, archive: Path, tmp_path: Path, more: tuple[str, ...], words: tuple[str, ...]
) -> None:
    told = build(aoi, archive, tmp_path / "place.zarr")
    if more[0] in told:
        del told[told.index(more[0]) : told.index(more[0]) + 2]
    line = cli(*told, *more).refused(*words)
    assert "secret" not in line
    assert not (tmp_path / "place.zarr").exists()


def test_a_source_needs_a_period(cli: Any, aoi: Path, archive: Path, tmp_path: Path) -> None:
    cli("cube", "build", aoi, tmp_path / "p.zarr", "--source", archive).refused("needs time", "2017/2020")
    cli("cube", "build", archive, tmp_path / "p.zarr", "--time", "2020").refused("time needs a source")


def test_a_cube_named_twice(cli: Any, aoi: Path, archive: Path, tmp_path: Path) -> None:
    cli(*build(aoi, archive, tmp_path / "a.zarr", "--out", tmp_path / "b.zarr"))
    cli("cube", "build", aoi, tmp_path / "a.zarr", "-o", tmp_path / "b.zarr").refused(
        "twice", "leave one out"
    )


def test_no_credentials(cli: Any, aoi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SH_CLIENT_ID", "SH_CLIENT_SECRET", "SH_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    cli(
        "cube", "build", aoi, "--time", "2020", "--source", "sentinel-hub", "-o", tmp_path / "p.zarr"
    ).refused("SH_CLIENT_ID", "SH_CLIENT_SECRET")


def test_a_layer_in_pieces_comes_whole(
    cli: Any, aoi: Path, archive: Path, tmp_path: Path, write_tif: Callable[..., Path]
) -> None:
    whole = rasterio.open(archive / "dem.tif").read(1)
    for number, columns in enumerate((slice(0, 40), slice(40, 80))):
        part = np.full(SHAPE, np.nan, "f4")
        part[:, columns] = whole[:, columns]
        write_tif(archive / f"dem_{number}.tif", part)
    (archive / "dem.tif").unlink()
    cli(*build(aoi, archive, tmp_path / "place.zarr")).done("layers dem")
    assert np.isfinite(open_cube(tmp_path / "place.zarr")["static"].dem.values).all()
