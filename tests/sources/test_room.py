from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from terradelta.cube import (
    OpticalAcquisition,
    SarAcquisition,
    append_all,
    create_cube,
    write_static,
)
from terradelta.errors import StorageError
from terradelta.sources.room import expected_bytes, readable, require_room

GRID = GeoBox.from_bbox((500_000, 5_000_000, 505_120, 5_005_120), "EPSG:32631", resolution=10)


def test_estimate_is_close_to_a_cube_of_speckle(tmp_path: Path):
    shape, random = tuple(GRID.shape), np.random.default_rng(1)
    ground = random.lognormal(-3, 0.7, shape)

    def radar(day: int) -> SarAcquisition:
        power = (ground * random.gamma(4.4, 1 / 4.4, (2, *shape))).astype(np.float32)
        return SarAcquisition(time=f"2020-01-{day:02}", bands=("VV", "VH"), backscatter=power)

    def optical(day: int) -> OpticalAcquisition:
        numbers = np.round(1200 + 2000 * ground + 60 * random.normal(size=(3, *shape)))
        return OpticalAcquisition(
            time=f"2020-01-{day:02}", bands=("B02", "B03", "B04"), clear=ground > 0.01,
            reflectance=(numbers * 1e-4).astype(np.float32),
        )  # fmt: skip

    path = create_cube(tmp_path / "c.zarr", GRID) or tmp_path / "c.zarr"
    append_all(path, [radar(day) for day in range(1, 4)])
    append_all(path, [optical(day) for day in range(1, 3)])
    x, y = np.meshgrid(*(np.linspace(0, 9, edge) for edge in shape))
    write_static(path, "dem", np.round(100 * np.sin(x) * np.cos(y)).astype(np.float32))
    size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    assert expected_bytes(GRID, 3, 2, 2, 3, 1) == pytest.approx(size, rel=0.1)


def test_nothing_takes_no_room_and_twice_takes_twice():
    assert expected_bytes(GRID, 0, 2, 0, 13, 0) == 0
    assert expected_bytes(GRID, 20, 2, 10, 13, 2) == pytest.approx(2 * expected_bytes(GRID, 10, 2, 5, 13, 1))


def test_a_full_disk_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def usage(place: Path) -> object:
        asked.append(place)
        return namedtuple("usage", "free")(1_300_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    require_room(tmp_path / "new" / "c.zarr", 1_300_000_000)
    with pytest.raises(StorageError, match=r"will take about 2.5 TB, but 1.3 GB are free; take a smaller"):
        require_room(tmp_path / "new" / "c.zarr", 2_500_000_000_000)
    assert asked == [tmp_path, tmp_path]


def test_sizes_are_readable():
    assert [readable(n) for n in (0, 999, 1000, 999_999, 5e15)] == [
        "0 B",
        "999 B",
        "1 kB",
        "1 MB",
        "5e+03 TB",
    ]
