"""No room, no permission: one line each, what was there stays, and the same command completes later."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from terradelta.cube import check_cube, open_cube

pytestmark = pytest.mark.usefixtures("plain_pictures")
resource = pytest.importorskip("resource", reason="limits of a process are a matter of Unix")


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let every write beyond this size of a file fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs the rights for it")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("size", [5_000, 30_000])
def test_no_room_for_a_cube(tmp_path: Path, images: Path, cube: Path, field: Any, cli: Any, size: int):
    with files_up_to(size):
        cli("cube", "build", images, tmp_path / "field.zarr").refused("field.zarr", "raise the limit")
    cli("cube", "build", images, tmp_path / "field.zarr").done()
    assert check_cube(tmp_path / "field.zarr") == []
    assert field.digest(tmp_path / "field.zarr") == field.digest(cube)


def test_no_room_for_more_images(tmp_path: Path, images: Path, cube: Path, field: Any, cli: Any):
    shutil.copytree(cube, tmp_path / "field.zarr")
    more = field.write(tmp_path / "more", range(field.dates, field.dates + 2))
    with files_up_to(30_000):
        cli("cube", "import", tmp_path / "field.zarr", more).refused("field.zarr", "raise the limit")
    assert check_cube(tmp_path / "field.zarr") == []
    kept = open_cube(tmp_path / "field.zarr")["sar"].to_dataset().load()
    assert kept.equals(open_cube(cube)["sar"].to_dataset().load())
    cli("cube", "import", tmp_path / "field.zarr", more).done("2 acquisitions added")


@pytest.mark.parametrize("size", [pytest.param(3_000, marks=pytest.mark.slow), 20_000])
def test_no_room_for_results(tmp_path: Path, cube: Path, found: Path, field: Any, cli: Any, size: int):
    before = field.digest(cube)
    with files_up_to(size):
        cli("detect", cube, tmp_path / "out", "--workers", 1).refused(str(tmp_path / "out"), "free some room")
    assert not (tmp_path / "out" / "summary.json").exists()
    assert field.digest(cube) == before
    cli("detect", cube, tmp_path / "out", "--workers", 1).done()
    cli("compare", tmp_path / "out", found).done("equal")


def test_no_room_to_replace_results(tmp_path: Path, cube: Path, found: Path, field: Any, cli: Any):
    shutil.copytree(found, tmp_path / "out")
    before = field.digest(found)
    with files_up_to(20_000):
        cli("detect", cube, tmp_path / "out", "--method", "logratio", "--workers", 1, "--overwrite").refused(
            str(tmp_path / "out"), "free some room"
        )
    kept = {name: value for name, value in field.digest(tmp_path / "out").items() if not name.startswith(".")}
    assert kept == before


def test_a_full_disk(small_disk: Path, images: Path, cube: Path, cli: Any):
    cli("cube", "build", images, small_disk / "field.zarr").refused("field.zarr", "free some, then")
    assert check_cube(small_disk / "field.zarr") == []
    shutil.rmtree(small_disk / "field.zarr")
    cli("detect", cube, small_disk / "out", "--workers", 1).refused("out", "free some room")
    assert not (small_disk / "out" / "summary.json").exists()


def test_no_room_for_an_export(tmp_path: Path, found: Path, field: Any, cli: Any):
    before = field.digest(found)
    for name in ("a.zarr", "a.gpkg", "a.parquet", "a.csv", "a.geojson", "a.shp"):
        with files_up_to(500):
            cli("export", found, tmp_path / name).refused(name)
        assert list(tmp_path.iterdir()) == []
    assert field.digest(found) == before


def test_no_room_for_an_export_of_rasters(small_disk: Path, found: Path, cli: Any):
    (small_disk / "ballast").write_bytes(bytes(396_000))
    for name, kind in (("a.nc", "netcdf"), ("tifs", "geotiff"), ("pngs", "png")):
        cli("export", found, small_disk / name, "--format", kind).refused("free some room")
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A file system that takes nothing; /proc where none can be mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(path)]
    if shutil.which("mount") is not None and not subprocess.run(mount, capture_output=True).returncode:
        yield path
        subprocess.run(["umount", str(path)], check=True)
    elif Path("/proc/self").exists():
        yield Path("/proc")
    else:
        pytest.skip("there is no place here that cannot be written")


def require_refused_everywhere(
    target: Path, said: str, images: Path, cube: Path, found: Path, cli: Any
) -> None:
    cli("cube", "build", images, target).refused(said)
    cli("detect", cube, target, "--workers", 1).refused(said)
    cli("detect", cube, target, "--workers", 1, "--overwrite").refused(said)
    cli("config", "detect", "--out", target / "a.yaml").refused(said)
    cli("export", found, target / "out.csv").refused(said)
    cli("demo", "--out", target).refused(said)


def test_a_read_only_disk(read_only: Path, images: Path, cube: Path, found: Path, cli: Any):
    require_refused_everywhere(read_only / "out", str(read_only), images, cube, found, cli)


def test_a_file_in_the_way(tmp_path: Path, images: Path, cube: Path, found: Path, cli: Any):
    (tmp_path / "notes.txt").write_text("mine")
    require_refused_everywhere(tmp_path / "notes.txt", "notes.txt", images, cube, found, cli)
    require_refused_everywhere(tmp_path / "notes.txt" / "out", "notes.txt", images, cube, found, cli)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} <= {"notes.txt", ".notes.txt.lock"}


def test_a_configuration_is_not_written_over(tmp_path: Path, cli: Any):
    cli("config", "detect", "--out", tmp_path / "a.yaml").done("a.yaml")
    cli("config", "demo", "--out", tmp_path / "a.yaml").refused("a.yaml exists already")
    assert "terradelta detect" in (tmp_path / "a.yaml").read_text()
