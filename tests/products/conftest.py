"""A small synthetic result with known changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import odc.geo.xr
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

import terradelta.products as products
from terradelta.products import writing

assert odc.geo.xr

CONFIGURATION = {"images": 10, "threshold": {"value": 3.5, "note": "<b>bold</b>"}}
ACQUISITIONS = [
    {"time": f"2020-{month:02d}-{day:02d}T05:50:00", "orbit": orbit, "platform": "S1A"}
    for month in range(1, 7)
    for day, orbit in ((1, 137), (7, 37), (13, 137))
]


def grid(crs: str = "EPSG:32631", size: tuple[int, int] = (120, 150)) -> GeoBox:
    rows, columns = size
    if crs == "EPSG:4326":
        box = (5.0, 60.0, 5.0 + columns * 0.0004, 60.0 + rows * 0.0002)
        return GeoBox.from_bbox(box, crs, shape=size)
    box = (656000, 5600000, 656000 + columns * 20, 5600000 + rows * 20)
    return GeoBox.from_bbox(box, crs, resolution=20)


def result(crs: str = "EPSG:32631", size: tuple[int, int] = (120, 150), *, seed: int = 0) -> xr.Dataset:
    """Three boxes of change on three dates, one strip without data, noise elsewhere."""
    rng = np.random.default_rng(seed)
    change = np.zeros(size, "uint8")
    date = np.full(size, -1, "int32")
    for index, (top, left) in enumerate(((10, 30), (40, 90), (70, 60))):
        change[top : top + 12, left : left + 8 + index] = 1
        date[top : top + 12, left : left + 8 + index] = 18262 + 12 * (index + 1)
    date[10, 30] = 18262 + 96  # a later date inside the first box
    score = np.where(change, 6, 0) + rng.normal(size=size).astype("float32") * 0.5 + 1
    count = np.where(change, 2, 0).astype("uint16")
    difference = np.stack([-3.0 * change, -4.0 * change]) + rng.normal(size=(2, *size)) * 0.4
    nothing = np.zeros(size, bool)
    nothing[:, :10] = True
    change[nothing], date[nothing], count[nothing], score[nothing] = 255, -1, 65535, np.nan
    difference[:, nothing] = np.nan
    box = grid(crs, size)
    dataset = xr.Dataset(
        {
            "change": wrap_xr(change, box),
            "score": wrap_xr(score.astype("float32"), box).assign_attrs(units="standard deviations"),
            "date": wrap_xr(date, box),
            "count": wrap_xr(count, box),
        }
    )
    bands = wrap_xr(difference.astype("float32"), box, axis=1)
    return dataset.assign(difference=bands.rename({bands.dims[0]: "band"}).assign_coords(band=["VV", "VH"]))


def provenance() -> products.Provenance:
    return products.Provenance(
        tool_version="9.9", method="robust", configuration=CONFIGURATION, inputs=["liège.zarr"],
        created="2020-12-31T10:00:00Z", acquisitions=ACQUISITIONS,
        notes={"images": ("images", "previous images of the same orbit")},
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps take most of the time; those of the session's folders are drawn, and tested, for real."""
    monkeypatch.setattr(writing, "draw_map", lambda *_, **__: b"\x89PNG")


@pytest.fixture
def make() -> Callable[..., xr.Dataset]:
    return result


@pytest.fixture
def make_grid() -> Callable[..., GeoBox]:
    return grid


@pytest.fixture
def origin() -> products.Provenance:
    return provenance()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One finished folder in UTM, with two orbits, and one in degrees; read-only for tests."""
    folder = tmp_path_factory.mktemp("written")
    utm, degrees = result(), result("EPSG:4326", seed=1).drop_vars(["difference", "count"])
    parts = {
        "combined": utm,
        "orbit-137-ascending": utm[["change", "score"]],
        "orbit-37-descending": result(seed=2)[["change", "date"]],
    }
    products.write(parts, folder / "utm", provenance=provenance(), title="Liège <2020> & more")
    products.write(degrees, folder / "degrees", provenance=provenance(), title="Bergen")
    return {"utm": folder / "utm", "degrees": folder / "degrees"}
