"""The command line against servers on this machine: a catalogue that works, and one that does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stac_queries import GRID, HASTY, as_folder, profile_at
from stac_server import Holdings, StacServer, synthetic

from terradelta.cube import check_cube, open_cube
from terradelta.cube.manifest import Manifest

PLACE = "3.0006,45.1446,3.0140,45.1528"
"""Inside the 1600 x 1200 m that the server has."""
BANDS = ("--bands", "B03,B04,B08")


@pytest.fixture(scope="module")
def held() -> Holdings:
    return synthetic(GRID, dates=2)


@pytest.fixture
def server(held: Holdings) -> Iterator[StacServer]:
    with StacServer(held, page_size=2) as running:
        yield running


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no server longer than a moment."""
    from terradelta.sources.remote import registry
    from terradelta.sources.remote.stac import StacSource

    monkeypatch.setattr(registry, "_stac", lambda text: StacSource(text, patience=HASTY))


@pytest.fixture
def build(cli: Any, server: StacServer, tmp_path: Path) -> Any:
    profile = profile_at(server, tmp_path)

    def run(cube: Path, *more: Any, code: int = 0) -> str:
        return cli(
            "cube",
            "build",
            PLACE,
            "--time",
            "2020",
            "--source",
            profile,
            "-o",
            cube,
            *BANDS,
            *more,
            code=code,
        )

    return run


def same(one: Path, other: Path) -> None:
    """Check that two cubes hold the same images and layers, bit for bit."""
    first, second = open_cube(one), open_cube(other)
    for group in ("sar", "optical", "static"):
        assert first[group].to_dataset().load().equals(second[group].to_dataset().load()), group


def test_an_outline_becomes_a_cube_of_both_sensors_and_terrain(build: Any, tmp_path: Path) -> None:
    text = build(tmp_path / "a.zarr")
    assert "4 images added" in text and "dem" in text
    tree = open_cube(tmp_path / "a.zarr")
    assert (tree["sar"].sizes["time"], tree["optical"].sizes["time"]) == (2, 2)
    assert tree["optical"].band.values.tolist() == ["B03", "B04", "B08"]
    assert set(tree["sar"].radiometry.values) == {"gamma0-rtc"}
    assert "dem" in tree["static"]
    assert check_cube(tmp_path / "a.zarr") == []
    assert "0 images added, 4 there already" in build(tmp_path / "a.zarr")


def test_it_equals_the_import_of_the_same_files(build: Any, cli: Any, held: Holdings, tmp_path: Path) -> None:
    build(tmp_path / "a.zarr", "--products", "sentinel-2-l2a")
    names = {
        name: f"{'_'.join(name.split('/')[0].split('_')[:3])}_{Path(name).stem}.tif"
        for name in held.files
        if name.startswith("S2") and Path(name).stem in ("B03", "B04", "B08", "SCL")
    }
    folder = as_folder(held, tmp_path / "files", names)
    tree = open_cube(tmp_path / "a.zarr")["optical"]
    y, x = tree.y.values, tree.x.values
    bounds = f"{x[0] - 5},{y[-1] - 5},{x[-1] + 5},{y[0] + 5}"
    cli("cube", "build", folder, tmp_path / "b.zarr", "--bounds", bounds)
    direct = open_cube(tmp_path / "b.zarr")["optical"]
    np.testing.assert_array_equal(tree.reflectance.values, direct.reflectance.values)
    np.testing.assert_array_equal(tree.clear.values, direct.clear.values)


def test_a_dry_run_reads_no_pixels(build: Any, server: StacServer, tmp_path: Path) -> None:
    text = build(tmp_path / "a.zarr", "--dry-run")
    assert "sentinel-1-rtc" in text and "137 ascending" in text and "4 images to fetch" in text
    assert not [path for path in server.paths if path.startswith("/files")]
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("kind", ["429", "503", "truncated", "short"])
def test_faults_that_pass_leave_no_trace(build: Any, server: StacServer, tmp_path: Path, kind: str) -> None:
    build(tmp_path / "good.zarr")
    server.fault(kind, match="/files", times=2)
    build(tmp_path / "a.zarr")
    same(tmp_path / "a.zarr", tmp_path / "good.zarr")


@pytest.mark.parametrize("kind", ["503", "truncated"])
def test_what_does_not_come_is_named_and_comes_next_time(
    build: Any, server: StacServer, tmp_path: Path, kind: str
) -> None:
    server.fault(kind, match="/files/S2.*0602.*B04", times=1000)
    text = build(tmp_path / "a.zarr", code=1)
    assert "3 images added" in text and "1 did not come" in text and "the same command again" in text
    assert Manifest(tmp_path / "a.zarr").counts()["failed"] == 1
    server._faults.clear()
    assert "1 image added, 3 there already" in build(tmp_path / "a.zarr")
    build(tmp_path / "good.zarr")
    same(tmp_path / "a.zarr", tmp_path / "good.zarr")


def test_a_server_that_goes_down_in_the_middle(build: Any, server: StacServer, tmp_path: Path) -> None:
    server.fault("503", match="/files/S(2|1A_IW_GRDH_1SDV_20200607)", times=1000)
    text = build(tmp_path / "a.zarr", "--parallel", 1, code=1)
    assert "acquisitions in a row did not come" in text
    assert open_cube(tmp_path / "a.zarr")["sar"].sizes["time"] == 1
    server._faults.clear()
    build(tmp_path / "a.zarr")
    build(tmp_path / "good.zarr")
    same(tmp_path / "a.zarr", tmp_path / "good.zarr")


def test_an_asset_that_is_no_raster_spoils_only_its_image(
    build: Any, server: StacServer, tmp_path: Path
) -> None:
    server.fault("no raster", match="/files/S2.*0602.*B04", times=1000)
    text = build(tmp_path / "a.zarr")
    assert "3 images added, 0 there already, 1 did not come" in text
    assert "B04" in text and "no raster" in text.lower().replace("not a raster", "no raster")


def test_items_without_a_band_are_left_out_and_said(cli: Any, held: Holdings, tmp_path: Path) -> None:
    poor = Holdings([json.loads(json.dumps(item)) for item in held.items], held.files)
    victim = next(item for item in poor.items if item["collection"] == "sentinel-2-l2a")
    del victim["assets"]["B04"]
    with StacServer(poor) as server:
        profile = profile_at(server, tmp_path)
        text = cli(
            "cube", "build", PLACE, "--time", "2020", "--source", profile, "-o", tmp_path / "a.zarr", *BANDS
        )
    assert "3 images added" in text
    assert "B04" in text


def test_an_outline_where_the_catalogue_has_nothing(cli: Any, server: StacServer, tmp_path: Path) -> None:
    profile = profile_at(server, tmp_path)
    far, asked = "9,50,9.01,50.01", ("--source", profile, "-o", tmp_path / "a.zarr")
    text = cli("cube", "build", far, "--time", "2020", *asked, code=2)
    assert "9.0000,50.0000,9.0100,50.0100" in text
    text = cli(
        "cube", "build", PLACE, "--time", "1999", "--source", profile, "-o", tmp_path / "a.zarr", code=2
    )
    assert "1999-01-01/1999-12-31" in text
    assert not (tmp_path / "a.zarr").exists()


def test_an_update_after_a_year(cli: Any, held: Holdings, tmp_path: Path) -> None:
    early = [
        item for item in held.items if not "2020-06-05" < (item["properties"]["datetime"] or "") < "2020-07"
    ]
    first = Holdings(early, held.files)
    profile = tmp_path / "own.yaml"
    cube = tmp_path / "a.zarr"
    with StacServer(first) as server:
        profile_at(server, tmp_path)
        cli("cube", "build", PLACE, "--time", "2020/", "--source", profile, "-o", cube, *BANDS)
    with StacServer(held) as server:
        profile_at(server, tmp_path)
        before = server.requests
        assert "2 images added, 2 there already" in cli("cube", "update", cube)
        assert server.requests > before
        files = [path for path in server.paths if path.startswith("/files")]
        assert files and all("0607" in path or "0608" in path for path in files)
        server.paths.clear()
        assert "0 images added, 4 there already" in cli("cube", "update", cube)
        assert not [path for path in server.paths if path.startswith("/files")]


def test_several_sources_take_turns(cli: Any, held: Holdings, server: StacServer, tmp_path: Path) -> None:
    names = {name: f"S1A_{name.split('_')[4]}_{Path(name).stem.upper()}.tif"
             for name in held.files if name.startswith("S1A") and "20200601" in name}  # fmt: skip
    folder = as_folder(held, tmp_path / "mine", names)
    (folder / "terradelta.yaml").write_text("relative_orbit: 137\norbit_direction: ascending\n")
    profile = profile_at(server, tmp_path)
    asked = ("--time", "2020", "--source", f"{folder},{profile}", "--products", "sar,sentinel-1-rtc")
    text = cli("cube", "build", PLACE, *asked, "-o", tmp_path / "a.zarr")
    assert "1 images of planetary-computer come from mine" in text
    assert open_cube(tmp_path / "a.zarr")["sar"].sizes["time"] == 2
    assert not [path for path in server.paths if "files/S1A" in path and "20200601" in path]


def test_ctrl_c_ends_at_once_and_keeps_what_came(
    build: Any, cli: Any, server: StacServer, tmp_path: Path
) -> None:
    profile, cube = profile_at(server, tmp_path), tmp_path / "a.zarr"
    server.fault("slow", match="/files/S2", times=1000, seconds=60)
    command = ("cube", "build", PLACE, "--time", "2020", "--source", profile, "-o", str(cube), *BANDS)
    with subprocess.Popen(
        [sys.executable, "-m", "terradelta", *command], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "no_proxy": "127.0.0.1"},
    ) as process:  # fmt: skip
        while not any("files/S2" in path for path in server.paths):
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        err = process.communicate(timeout=30)[1]
        assert time.monotonic() - begun < 5
    assert process.returncode == 130
    assert err.splitlines()[-1] == "terradelta: interrupted; the same command goes on where it stopped"
    assert Manifest(cube).counts() == {"added": 2}
    server._faults.clear()
    assert "2 images added, 2 there already" in build(cube)
    build(tmp_path / "good.zarr")
    same(cube, tmp_path / "good.zarr")


def test_a_first_build_of_which_nothing_comes_leaves_nothing(
    build: Any, server: StacServer, tmp_path: Path
) -> None:
    server.fault("missing", match="/files", times=10_000)
    assert "nothing came of" in build(tmp_path / "a.zarr", code=2)
    assert not (tmp_path / "a.zarr").exists()
    server._faults.clear()
    server.fault("401", match="/files", times=10_000)
    assert "401" in build(tmp_path / "a.zarr", code=2)
    assert not (tmp_path / "a.zarr").exists()


def test_a_band_that_no_image_has_is_named(cli: Any, server: StacServer, tmp_path: Path) -> None:
    asked = ("--time", "2020", "--source", profile_at(server, tmp_path), "-o", tmp_path / "a.zarr")
    text = cli("cube", "build", PLACE, *asked, "--products", "sentinel-2-l2a", "--bands", "B99", code=2)
    assert "no B99" in text
    assert not (tmp_path / "a.zarr").exists()


def test_a_tile_that_is_published_later_is_told(cli: Any, held: Holdings, tmp_path: Path) -> None:
    slices = [item for item in held.items if item["collection"] == "sentinel-1-rtc"]
    late = max(slices[:2], key=lambda item: str(item["properties"]["datetime"]))
    cube, asked = tmp_path / "a.zarr", ("--time", "2020", "--products", "sentinel-1-rtc")
    with StacServer(Holdings([item for item in held.items if item is not late], held.files)) as server:
        profile = profile_at(server, tmp_path)
        cli("cube", "build", PLACE, *asked, "--source", profile, "-o", cube)
    with StacServer(held) as server:
        profile_at(server, tmp_path)
        text = cli("cube", "update", cube)
    assert "0 images added, 2 there already" in text
    assert "1 images have changed at" in text and "sentinel-1-rtc/S1A/137" in text
    assert open_cube(cube)["sar"].sizes["time"] == 2


def test_land_cover_of_a_newer_year_leaves_that_of_the_cube(build: Any, cli: Any, tmp_path: Path) -> None:
    cube = tmp_path / "a.zarr"
    assert "land_cover" in build(cube)
    before = open_cube(cube)["static"].land_cover.values
    text = cli("cube", "update", cube)
    assert "0 images added, 4 there already" in text and "did not come" not in text
    assert (
        "the cube keeps its layer land_cover; planetary-computer/esa-worldcover/2021 is another one" in text
    )
    np.testing.assert_array_equal(open_cube(cube)["static"].land_cover.values, before)
    assert Manifest(cube).counts() == {"added": 6}
