from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

import terradelta.products as products
from terradelta.errors import InputError, LockedError, StorageError
from terradelta.products import files, writing
from terradelta.products.files import STAGING, publish, require_room, staging, storing

Make = Callable[..., xr.Dataset]


def test_staging_clears_what_a_killed_run_left_and_itself(tmp_path: Path) -> None:
    (tmp_path / STAGING).mkdir()
    (tmp_path / STAGING / "change.raw.tif").write_text("half")
    with staging(tmp_path) as stage:
        assert list(stage.iterdir()) == []
        (stage / "a").write_text("whole")
        publish(stage / "a", tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_only_one_process_writes_into_a_folder(tmp_path: Path, make: Make) -> None:
    with staging(tmp_path), pytest.raises(LockedError, match="another process"):
        products.write(make()[["change"]], tmp_path)


def test_too_little_room_is_told_before_anything_is_written(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="MB are needed"):
        require_room(tmp_path, 2**62)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: _Usage())
    with pytest.raises(StorageError, match="free some room"):
        products.write(make()[["change"]], tmp_path)
    assert list(tmp_path.iterdir()) == []


class _Usage:
    free = 10


def test_an_output_that_cannot_be_a_folder(tmp_path: Path, make: Make) -> None:
    (tmp_path / "file").write_text("here already")
    for out in (tmp_path / "file", tmp_path / "file" / "out", Path("/proc/out")):
        with pytest.raises(StorageError, match=r"cannot write to .*choose another folder"):
            products.write(make()[["change"]], out)
    assert (tmp_path / "file").read_text() == "here already"


def test_own_errors_pass_through_unchanged() -> None:
    with pytest.raises(InputError, match="mine"), storing("x"):
        raise InputError("mine")
    with pytest.raises(StorageError, match="No space left"), storing("x"):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_failed_run_leaves_the_earlier_result_as_it_was(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | BaseException
) -> None:
    products.write(make()[["change"]], tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_: object, **__: object) -> bytes:
        raise error

    monkeypatch.setattr(writing, "draw_map", fail)
    with pytest.raises((KeyboardInterrupt, StorageError)):
        products.write(make(seed=5)[["change", "score"]], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_of_an_earlier_result_go_but_others_stay(tmp_path: Path, make: Make) -> None:
    scene = make()[["change", "score"]]
    products.write({"combined": scene, "orbit-1": scene[["change"]]}, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "date.tif").write_text("mine, of the same name as a layer that was not written")
    products.write(scene[["change"]], tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"notes.txt", "date.tif", "change.tif"} <= names
    assert not {"score.tif", "score.png", "orbit-1"} & names
    assert products.compare(tmp_path, tmp_path) == []


WRITE = """
import signal, sys
sys.path.insert(0, {tests!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import resource
from conftest import result
import terradelta.products as products
from terradelta.errors import StorageError
scene = result(size=(600, 600))[["change", "score"]]
products.write(scene[["change"]], {out!r})
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    products.write(scene, {out!r})
except StorageError as error:
    print("StorageError", str(error).count(chr(10)), error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [30_000, 900_000, 1_200_000, 4_300_000])
def test_a_full_disk_at_any_moment_is_one_clear_line(tmp_path: Path, limit: int) -> None:
    code = WRITE.format(tests=str(Path(__file__).parent), out=str(tmp_path / "out"), limit=limit)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    whole = limit > 4_000_000
    assert run.stdout.startswith("" if whole else "StorageError 0 "), run.stdout + run.stderr
    assert products.compare(tmp_path / "out", tmp_path / "out") == []
    assert (tmp_path / "out" / "score.tif").exists() == whole
    assert not (tmp_path / "out" / STAGING).exists()


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_file_and_can_be_repeated(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = WRITE.format(tests=str(Path(__file__).parent), out=str(out), limit=-1)
    code += f"\nwhile True:\n    products.write(scene, {str(out)!r})\n"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        for _ in range(2000):
            if (out / STAGING / "score.raw.tif").exists():
                break
            process.poll()
            assert process.returncode is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert (out / STAGING).exists(), "killed in the middle"
    assert products.compare(out, out) == []
    products.write(xr.Dataset(_scene(out)), out)
    assert not (out / STAGING).exists()


def _scene(out: Path) -> dict[str, xr.DataArray]:
    import odc.geo.xr
    import rasterio
    from odc.geo.geobox import GeoBox

    with rasterio.open(out / "change.tif") as file:
        grid = GeoBox(file.shape, file.transform, file.crs.to_wkt())
        return {"change": odc.geo.xr.wrap_xr(file.read(1), grid)}
