"""Burst products for tests: small synthetic ones, and real ones cut from stacks."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from asf_server import Granule
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile
from shapely import Polygon

PROCESSED = "20250830T065219Z"
CRS = "EPSG:32611"
LEFT, TOP = 242_070, 3_835_110
GRID = GeoBox((90, 110), Affine(30, 0, LEFT, 0, -30, TOP), CRS)
"""Grid that the three synthetic bursts cover together."""

PLACES = (
    ("T137-292320-IW2", 0, GeoBox((60, 70), Affine(30, 0, LEFT, 0, -30, TOP), CRS)),
    ("T137-292320-IW3", 1, GeoBox((60, 60), Affine(30, 0, LEFT + 1500, 0, -30, TOP), CRS)),
    ("T137-292321-IW2", 3, GeoBox((50, 110), Affine(30, 0, LEFT, 0, -30, TOP - 1200), CRS)),
)


def name_of(place: str, time: str, *, platform: str = "S1A", processed: str = PROCESSED) -> str:
    """Name of a product; the time is 20211201T015903."""
    return f"OPERA_L2_RTC-S1_{place}_{time}Z_{processed}_{platform}_30_v1.0"


def geotiff(values: np.ndarray, grid: GeoBox) -> bytes:
    """Write what OPERA writes: float32 tiles, deflated, NaN for no data."""
    with MemoryFile() as file:
        with file.open(
            driver="GTiff", height=grid.shape[0], width=grid.shape[1], count=1, dtype="float32", tiled=True,
            blockxsize=64, blockysize=64, compress="deflate", nodata=np.nan, crs=str(grid.crs),
            transform=grid.affine,
        ) as target:  # fmt: skip
            target.write(values.astype(np.float32), 1)
        return bytes(file.getbuffer())


def outline(grid: GeoBox) -> Polygon:
    return Polygon(grid.extent.to_crs("EPSG:4326").exterior.coords)


def synthetic(
    time: str, places: Iterable[tuple[str, int, GeoBox]] = PLACES, *, bands: tuple[str, ...] = ("VV", "VH"),
    seed: int = 0, **naming: str,
) -> list[Granule]:  # fmt: skip
    """Bursts of one pass with speckle, a corner without data and a zero."""
    moment = np.datetime64(f"{time[:4]}-{time[4:6]}-{time[6:11]}:{time[11:13]}:{time[13:]}")
    made = []
    for place, second, grid in places:
        files = {}
        for band in bands:
            random = np.random.default_rng([seed, second, len(files), *map(ord, time)])
            values = random.gamma(4, 0.02, grid.shape).astype(np.float32)
            values[:6, -9:], values[20, 20] = np.nan, 0
            files[band] = geotiff(values, grid)
        start = str(moment + np.timedelta64(second, "s")).replace("-", "").replace(":", "")
        made.append(Granule(name_of(place, start, **naming), files, outline(grid)))
    return made


def real(shared: Path, places: Iterable[str], day: str) -> list[Granule]:
    """Real bursts of one day (2021-12-01), cut from the stacks of all days."""
    folder = shared / "data" / "opera_rtc_s1_t137"
    with (folder / "acquisitions.csv").open() as file:
        names = {
            row["burst_id"]: row["product_id"]
            for row in csv.DictReader(file)
            if row["acquisition_datetime"].startswith(day) and row["extent"] == "100x100"
        }
    made = []
    for place in places:
        files = {}
        for band in ("VV", "VH"):
            with rasterio.open(folder / f"{place}_{band}.tif") as source:
                index = next(i + 1 for i, text in enumerate(source.descriptions) if text.startswith(day))
                grid = GeoBox(source.shape, source.transform, str(source.crs))
                files[band] = geotiff(source.read(index), grid)
        made.append(Granule(names[place], files, outline(grid)))
    return made


def write(granules: Iterable[Granule], folder: Path) -> Path:
    """Lay the files of products into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for granule in granules:
        for band, data in granule.files.items():
            (folder / f"{granule.name}_{band}.tif").write_bytes(data)
    return folder
