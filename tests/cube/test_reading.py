"""Some images of a series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from terradelta.cube import open_cube, write_cube
from terradelta.cube.reading import pick_images
from terradelta.simulate import place

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place") / "place.zarr"
    write_cube(place(seed=0, size=32, years=0.3, changes=0, optical_days=10), folder)
    return folder


@pytest.mark.parametrize("places", [[0, 3, 4], [5], []])
def test_picked_images_are_those_of_the_series(path: Path, places: list[int]) -> None:
    for group in ("sar", "optical"):
        opened = open_cube(path)[group].to_dataset()
        where = np.array(places, np.intp)
        picked = pick_images(opened, where)
        xr.testing.assert_identical(picked.compute(), opened.isel(time=where).compute())
        xr.testing.assert_identical(picked.compute(), pick_images(opened.compute(), where))
        twice = pick_images(picked, where[:0])
        assert twice.sizes["time"] == 0 and twice.sizes["y"] == 32


def test_one_picked_image_is_read_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_cube(path)["optical"].to_dataset()
    asked: list[object] = []
    source = opened["reflectance"].data.dask[f"original-{opened['reflectance'].data.name}"]
    read = type(source).__getitem__
    monkeypatch.setattr(type(source), "__getitem__", lambda own, key: asked.append(key) or read(own, key))
    picked = pick_images(opened, np.array([1, 4]))["reflectance"]
    assert not asked
    original = picked.data.dask[f"original-{picked.data.name}"]
    assert original.shape == picked.shape
    image = original[(1, slice(None), slice(0, 8), slice(0, 32))]
    assert len(asked) == 1 and image.shape == (13, 8, 32)
    np.testing.assert_array_equal(image, opened["reflectance"].values[4, :, :8])
