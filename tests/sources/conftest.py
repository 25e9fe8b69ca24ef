from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

sys.path.insert(0, str(Path(__file__).parent))

WriteTif = Callable[..., Path]


@pytest.fixture
def write_tif() -> WriteTif:
    """Small GeoTIFFs: 30 m pixels in UTM 31N unless told otherwise."""

    def write(
        path: Path, values: Any, *, left: float = 500_000, top: float = 5_000_000, step: float = 30,
        crs: str | None = "EPSG:32631", nodata: float | None = None, labels: Sequence[str] = (),
        tags: dict[str, str] | None = None, **options: Any,
    ) -> Path:  # fmt: skip
        array = np.atleast_3d(np.asarray(values)) if np.ndim(values) == 2 else np.asarray(values)
        array = array[np.newaxis, ..., 0] if np.ndim(values) == 2 else array
        count, height, width = array.shape
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype, crs=crs,
            transform=Affine(step, 0, left, 0, -step, top), nodata=nodata, **options,
        ) as file:  # fmt: skip
            file.write(array)
            for index, label in enumerate(labels, start=1):
                file.set_band_description(index, label)
            file.update_tags(**(tags or {}))
        return path

    return write


@pytest.fixture
def speckle() -> Callable[..., np.ndarray]:
    """Linear power like that of a radar, never 0."""

    def make(seed: int = 0, shape: tuple[int, ...] = (20, 30)) -> np.ndarray:
        return np.random.default_rng(seed).gamma(4, 0.02, shape).astype(np.float32) + np.float32(1e-6)

    return make
