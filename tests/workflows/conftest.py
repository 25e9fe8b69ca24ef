from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube import SarAcquisition, append_all, create_cube, open_cube
from terradelta.workflows.config import DetectSettings, load_settings
from terradelta.workflows.detect import run

IMAGES, CHANGED_FROM = 16, 9
QUICK = {"history": 6, "fewest": 3, "tv_iterations": 15, "degree": 1, "fit_iterations": 4}
CHANGE = (slice(30, 52), slice(40, 66))


def day_of(image: int) -> str:
    return str(np.datetime64("2023-01-01") + 12 * image)


def scenes(
    orbit: int, *, shape: tuple[int, int], gain: float = 0.0, hour: int = 5, **choices: Any
) -> Iterator[SarAcquisition]:
    """One orbit: fields, speckle of 12 looks, a wet image, and a lasting change of -6 dB."""
    bands: tuple[str, ...] = choices.get("bands", ("VV", "VH"))
    rng = np.random.default_rng([7, orbit])
    fields = np.kron(rng.normal(-11, 2, (12, 12)), np.ones((10, 10)))[: shape[0], : shape[1]]
    for image in range(choices.get("images", IMAGES)):
        level = fields[None] - 6 * np.arange(len(bands))[:, None, None] + gain
        if image == 12:
            level = level + 3 - 0.3 * (fields + 11)
        if image >= CHANGED_FROM:
            level[:, *CHANGE] -= 6
        linear = 10 ** (level / 10) * rng.gamma(12, 1 / 12, level.shape)
        linear[:, ~choices.get("valid", np.ones(shape, bool))] = np.nan
        yield SarAcquisition(
            time=np.datetime64(f"{day_of(image)}T{hour:02d}:00", "ns"), bands=bands,
            backscatter=linear.astype(np.float32), orbit_direction="ascending" if hour > 12 else "descending",
            relative_orbit=orbit, platform="S1A", incidence_angle=39.0, heading=-167.0,
            source_id=f"{orbit}-{image}",
        )  # fmt: skip


@pytest.fixture(scope="session")
def geobox() -> GeoBox:
    return GeoBox((80, 100), Affine(20.0, 0.0, 600_000.0, 0.0, -20.0, 5_600_000.0), "EPSG:32631")


MakeCube = Callable[..., Path]


@pytest.fixture(scope="session")
def make_cube(tmp_path_factory: pytest.TempPathFactory, geobox: GeoBox) -> MakeCube:
    """Write a cube of some orbits, each told by its number and what differs."""

    def make(*orbits: tuple[int, dict[str, Any]]) -> Path:
        path = tmp_path_factory.mktemp("cubes") / "place.zarr"
        create_cube(path, geobox)
        for number, choices in orbits:
            append_all(path, scenes(number, shape=tuple(geobox.shape), **choices))
        return path

    return make


@pytest.fixture(scope="session")
def cube(make_cube: MakeCube) -> Path:
    """One orbit."""
    return make_cube((37, {}))


@pytest.fixture(scope="session")
def memory(cube: Path) -> xr.DataTree:
    """The same, in memory."""
    tree = open_cube(cube).load()
    return xr.DataTree.from_dict({node.path: node.to_dataset() for node in tree.subtree})


@pytest.fixture(scope="session")
def changed(geobox: GeoBox) -> NDArray[np.bool_]:
    inside = np.zeros(geobox.shape, bool)
    inside[CHANGE] = True
    return inside


@pytest.fixture
def settings(cube: Path, tmp_path: Path) -> Callable[..., DetectSettings]:
    """Settings of a quick run into a fresh folder."""

    def make(**given: Any) -> DetectSettings:
        known = {"cube": cube, "out": tmp_path / "out", "workers": 1, "robust": QUICK}
        return load_settings(DetectSettings, given=known | given)

    return make


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Force small blocks, and processes even for them."""

    def force(block: int, workers: int = 1) -> None:
        def choose(*_: Any, block: int | None = None, **__: Any) -> tuple[int, int]:
            return workers, block or side

        side = block
        monkeypatch.setattr(run, "choose", choose)

    return force
