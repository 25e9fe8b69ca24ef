from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.cube import OpticalAcquisition, SarAcquisition, create_cube

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

WRITER = Path(__file__).with_name("writer.py")


@pytest.fixture
def geobox() -> GeoBox:
    return GeoBox((30, 40), Affine(10.0, 0.0, 681_230.0, 0.0, -10.0, 5_615_410.0), "EPSG:32631")


@pytest.fixture
def cube(tmp_path: Path, geobox: GeoBox) -> Path:
    path = tmp_path / "liege.zarr"
    create_cube(path, geobox, name="Liège")
    return path


@pytest.fixture
def sar(geobox: GeoBox) -> Callable[..., SarAcquisition]:
    def make(time: str, seed: int = 0, **changes: Any) -> SarAcquisition:
        image = np.random.default_rng(seed).gamma(4.0, 0.02, (2, *geobox.shape)).astype(np.float32)
        image[:, :3] = np.nan
        known = {
            "bands": ("VV", "VH"), "backscatter": image, "orbit_direction": "ascending", "relative_orbit": 37,
            "platform": "S1A", "incidence_angle": 39.2, "heading": -12.5, "source_id": f"product-{seed}",
        }  # fmt: skip
        return SarAcquisition(time=np.datetime64(time, "ns"), **{**known, **changes})

    return make


@pytest.fixture
def optical(geobox: GeoBox) -> Callable[..., OpticalAcquisition]:
    def make(time: str, seed: int = 0, **changes: Any) -> OpticalAcquisition:
        random = np.random.default_rng(seed)
        known = {
            "bands": ("B04", "B08"), "reflectance": random.random((2, *geobox.shape), np.float32),
            "clear": random.random(geobox.shape) < 0.7, "platform": "S2A", "source_id": f"tile-{seed}",
            "offset_applied": True,
        }  # fmt: skip
        return OpticalAcquisition(time=np.datetime64(time, "ns"), **{**known, **changes})

    return make


class Writer:
    """A process that appends in children, which may be killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WRITER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, *tasks: dict[str, Any]) -> list[int]:
        self._process.stdin.write(json.dumps(tasks) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def ended(self) -> list[int]:
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


@pytest.fixture(scope="session")
def writer() -> Iterator[Writer]:
    process = Writer()
    yield process
    process.close()


@pytest.fixture(scope="session")
def images() -> ModuleType:
    """The helper's module, for the images that it writes."""
    spec = importlib.util.spec_from_file_location("cube_writer", WRITER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
