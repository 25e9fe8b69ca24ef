"""How much room a cube will take, and whether the disk has it."""

from __future__ import annotations

import shutil
from pathlib import Path

from odc.geo.geobox import GeoBox

from terradelta.cube.summary import readable
from terradelta.errors import StorageError
from terradelta.types import PathType

__all__ = [
    "CLEAR_BYTES",
    "LAYER_BYTES",
    "OPTICAL_BYTES",
    "SAR_BYTES",
    "expected_bytes",
    "readable",
    "require_room",
]

SAR_BYTES = 4 * 0.85
"""Bytes per pixel and band of radar on disk: speckled float32 hardly compresses. Measured in the
layout of cubes on 12 images of OPERA RTC-S1: 0.80 to 0.85 of the plain size; simulated speckle: 0.83."""

OPTICAL_BYTES = 4 * 0.81
"""Bytes per pixel and band of optical images. Measured on 24 Sentinel-2 L1C bands of 10 m: 0.76 to 0.81 of
the plain size; on 13 L2A images with bands of 20 and 60 m brought to 10 m: 0.58 to 0.62."""

CLEAR_BYTES = 0.05
"""Bytes per pixel of a mask. Measured on simulated clouds some 40 pixels wide: 0.04 of the plain size."""

LAYER_BYTES = 4 * 0.26
"""Bytes per pixel of a layer without time. Measured on four elevation models: 0.13 to 0.25 of float32."""


def expected_bytes(
    grid: GeoBox, sar: int, sar_bands: int, optical: int, optical_bands: int, layers: int
) -> int:
    """Estimate the size of a cube on disk, as if all its images covered the whole grid.

    Parameters
    ----------
    grid : GeoBox
        Grid of the cube.
    sar, optical : int
        Number of radar and optical acquisitions.
    sar_bands, optical_bands : int
        Bands of each.
    layers : int
        Layers without time.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> from odc.geo.geobox import GeoBox
    >>> grid = GeoBox.from_bbox((500_000, 0, 510_000, 10_000), "EPSG:32631", resolution=10)
    >>> readable(expected_bytes(grid, sar=100, sar_bands=2, optical=50, optical_bands=13, layers=1))
    '2.79 GB'
    """
    per_pixel = (
        sar * sar_bands * SAR_BYTES
        + optical * (optical_bands * OPTICAL_BYTES + CLEAR_BYTES)
        + layers * LAYER_BYTES
    )
    rows, columns = grid.shape
    return round(rows * columns * per_pixel)


def require_room(path: PathType, nbytes: int) -> None:
    """Refuse to start what will not fit on the disk.

    Parameters
    ----------
    path : path
        What is going to be written; it need not exist yet.
    nbytes : int
        From :func:`expected_bytes`.

    Raises
    ------
    StorageError
        Fewer bytes are free.
    """
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < nbytes:
        raise StorageError(
            f"{path} will take about {readable(nbytes)}, but {readable(free)} are free; take a smaller area, "
            "a coarser resolution or a shorter period, or choose another disk"
        )
