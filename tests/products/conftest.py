"""A small synthetic result with known changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import odc.geo.xr
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr, xr_coords

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


BOX = (slice(10, 16), slice(20, 28))
CHANGED = range(3, 6)


def window_grid(size: tuple[int, int] = (40, 60), crs: str = "EPSG:32631") -> GeoBox:
    step = 10 if crs == "EPSG:32631" else 0.0001
    left, bottom = (656000, 5600000) if crs == "EPSG:32631" else (5.0, 50.0)
    box = (left, bottom, left + size[1] * step, bottom + size[0] * step)
    return GeoBox.from_bbox(box, crs, shape=size)


def window_maps(size: tuple[int, int] = (40, 60), windows: int = 8, crs: str = "EPSG:32631") -> xr.DataArray:
    values = np.random.default_rng(0).random((windows, *size)).astype("float32") * 0.3
    for window in (window for window in CHANGED if window < windows):
        values[window, *BOX] = 0.6 + 0.1 * (window - 3)
    values[:, :, -4:] = np.nan
    start = np.datetime64("2018-01-05T05:50", "ns") + np.arange(windows) * np.timedelta64(30, "D")
    end = start + np.timedelta64(180, "D")
    maps = xr.DataArray(values, dims=("window", "y", "x"), name="change_probability")
    times = {"start": start, "end": end, "time": start + (end - start) // 2, "count": np.arange(windows) + 40}
    maps = maps.assign_coords({name: ("window", value) for name, value in times.items()})
    return maps.assign_coords(xr_coords(window_grid(size, crs)))


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
def make_maps() -> Callable[..., xr.DataArray]:
    return window_maps


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
