"""Ctrl-C: one line, exit code 130, no process left behind, and the same command completes what was begun."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from terradelta.cube import check_cube

pytestmark = [
    pytest.mark.usefixtures("plain_pictures"),
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C is sent to a process group"),
]
GROUP_IS_GONE = 10.0


def interrupt(arguments: list[str], at: str, log: Path) -> tuple[int, list[str]]:
    """Start a command as a terminal does, press Ctrl-C once it says `at`; give its code and what it said."""
    with log.open("w") as stream:
        process = subprocess.Popen(arguments, stderr=stream, stdout=stream, start_new_session=True)
        try:
            end = time.monotonic() + 90
            while at not in log.read_text() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.005)
            os.killpg(process.pid, signal.SIGINT)
            code = process.wait(60)
            require_gone(process.pid)
        finally:
            if process.poll() is None:
                process.kill()
    return code, log.read_text().splitlines()


def require_gone(group: int) -> None:
    end = time.monotonic() + GROUP_IS_GONE
    while (left := alive(group)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left


def alive(group: int) -> list[str]:
    """Processes of a group but for those that only wait to be counted."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(path.parent.name)
    return found


@pytest.mark.parametrize(
    "at", ["filling the cube: 7", pytest.param("filling the cube: 0", marks=pytest.mark.slow)]
)
def test_cube_build(tmp_path: Path, images: Path, cube: Path, field: Any, cli: Any, at: str):
    path = tmp_path / "field.zarr"
    code, lines = interrupt(field.command("cube", "build", images, path), at, tmp_path / "log")
    assert code == 130
    said = [line for line in lines if not line.startswith("filling the cube")]
    assert said == ["terradelta: interrupted; the same command goes on where it stopped"]
    if path.exists():
        assert check_cube(path) == []
    cli("cube", "build", images, path).done()
    assert field.digest(path) == field.digest(cube)


@pytest.mark.parametrize(
    ("workers", "at"),
    [
        pytest.param(1, "state of the scenes: 0", marks=pytest.mark.slow),
        (1, "blocks: 0"),
        pytest.param(1, "writing products: 0", marks=pytest.mark.slow),
        (2, "state of the scenes: 0"),
        pytest.param(2, "state of the scenes: 1", marks=pytest.mark.slow),
        pytest.param(2, "blocks: 0", marks=pytest.mark.slow),
    ],
)
def test_detect(tmp_path: Path, cube: Path, found: Path, field: Any, cli: Any, workers: int, at: str):
    out, before = tmp_path / "out", field.digest(cube)
    command = field.command("detect", cube, out, "--workers", workers)
    code, lines = interrupt(command, at, tmp_path / "log")
    assert code == 130
    said = [line for line in lines if not line.startswith(("orbit-037-ascending: ", "writing products: "))]
    assert said == ["terradelta: interrupted; the same command goes on where it stopped"]
    assert not (out / "summary.json").exists()
    assert field.digest(cube) == before
    cli("detect", cube, out, "--workers", 1).done()
    cli("compare", out, found).done("equal")
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
