from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from terradelta.cli import main

START = np.datetime64("2021-01-03T05:50")
DATES = 14
CHANGED_FROM = 8
SIZE = 96
CHANGE = (slice(40, 64), slice(36, 60))
PROGRESS = (
    "filling the cube: ", "writing products: ", "orbit-", "simulating a place: ", "window maps: ", "drawing ",
    "following places ", "asking the sources: ", "fetching: ", "beta of windows: ", "synthetic labels: ",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """Lines on stderr but for those that tell how far the work is."""
        return [line for line in self.err.splitlines() if not line.startswith(PROGRESS)]

    def refused(self, *words: str, code: int = 2) -> str:
        """Check that exactly one line came, with these words in it, and the exit code."""
        assert self.code == code, self
        assert len(self.complaints) == 1, self.err
        line = self.complaints[0]
        assert line.startswith("terradelta: ")
        assert "Traceback" not in self.err
        for word in words:
            assert word in line, f"{word!r} is not in {line!r}"
        return line

    def done(self, *words: str) -> str:
        """Check that all went well and the words are in the output."""
        assert self.code == 0, self
        for word in words:
            assert word in self.out, f"{word!r} is not in {self.out!r}"
        return self.out


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process."""

    def run(*arguments: Any) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(one) for one in arguments])
        return Outcome(int(stop.value.code or 0), *capfd.readouterr())

    return run


def command(*arguments: Any, before: str = "") -> list[str]:
    """Give the same as a command for another process, which may do something first."""
    start = ["-c", f"{before}\nimport sys\nfrom terradelta.cli import main\nmain(sys.argv[1:])"]
    return [sys.executable, *(start if before else ["-m", "terradelta"]), *(str(one) for one in arguments)]


@pytest.fixture
def process() -> Cli:
    """Run the command line in a process of its own."""

    def run(*arguments: Any, before: str = "") -> Outcome:
        done = subprocess.run(
            command(*arguments, before=before), capture_output=True, text=True, timeout=120,
            env={**os.environ, "COLUMNS": "100"},
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


def digest(folder: Path) -> dict[str, str]:
    """Names and contents of all files."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def write_tif(
    path: Path, values: np.ndarray, *, crs: str | None = "EPSG:32631", step: float = 20, left: float = 5e5,
    top: float = 5e6, **options: Any,
) -> Path:  # fmt: skip
    """Write one band; 20 m pixels in UTM 31N unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=values.shape[0], width=values.shape[1], dtype=values.dtype,
        crs=crs, transform=Affine(step, 0, left, 0, -step, top), **options,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def date_of(number: int) -> str:
    """Date of an image as in a file's name."""
    return str(START + np.timedelta64(12 * number, "D"))[:10].replace("-", "")


def image(number: int, band: str, size: int = SIZE) -> np.ndarray:
    """Linear power of fields of different brightness under speckle of five looks; one part gets darker."""
    seed = np.random.default_rng(1000 * number + len(band) + ord(band[1]))
    ground = np.kron(np.random.default_rng(5).uniform(-3, 3, (8, 8)), np.ones((size // 8, size // 8)))
    decibel = {"VV": -9.0, "VH": -16.0}[band] + ground
    if number >= CHANGED_FROM:
        decibel[CHANGE] -= 5
    return (10 ** (decibel / 10) * seed.gamma(5, 1 / 5, decibel.shape)).astype(np.float32)


def write_images(folder: Path, numbers: Any = range(DATES), bands: tuple[str, ...] = ("VV", "VH")) -> Path:
    """Write a folder of images of one orbit, with its sidecar."""
    for number in numbers:
        for band in bands:
            write_tif(folder / f"field_{date_of(number)}_{band}.tif", image(number, band))
    (folder / "terradelta.yaml").write_text("relative_orbit: 37\norbit_direction: ascending\nplatform: S1A\n")
    return folder


class Field:
    """The helpers above, for tests that write data of their own."""

    start, dates, changed_from, size, change = START, DATES, CHANGED_FROM, SIZE, CHANGE
    write_tif = staticmethod(write_tif)
    date_of = staticmethod(date_of)
    image = staticmethod(image)
    write = staticmethod(write_images)
    digest = staticmethod(digest)
    command = staticmethod(command)


@pytest.fixture(scope="session")
def field() -> type[Field]:
    """Helpers."""
    return Field


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of radar images; not to be changed."""
    return write_images(tmp_path_factory.mktemp("cli") / "images")


@pytest.fixture(scope="session")
def cube(images: Path) -> Path:
    """The cube of these images; not to be changed."""
    return _made(images.parent / "field.zarr", "cube", "build", images)


@pytest.fixture(scope="session")
def found(cube: Path) -> Path:
    """Results of `detect` as it is; not to be changed."""
    return _made(cube.parent / "found", "detect", cube, "--workers", 1)


@pytest.fixture
def plain_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing of maps, which takes most of the time of small results."""
    from terradelta.products import report, writing

    blank = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    )
    for module in (report, writing):
        if hasattr(module, "draw_map"):
            monkeypatch.setattr(module, "draw_map", lambda *_, **__: blank)


def _made(path: Path, *arguments: Any) -> Path:
    with pytest.raises(SystemExit) as stop:
        main([*(str(one) for one in arguments), str(path)])
    assert not stop.value.code
    return path
