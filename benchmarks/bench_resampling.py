"""Reading a Sentinel-2 image onto other grids, against ``odc.stac.load``: seconds, and holes.

Four bands of 1100 x 1100 pixels, 1 % of single pixels without data, served over HTTP on this machine; read
onto the same lattice, a shifted one and the neighbouring UTM zone. Printed are the least seconds of both, the
share of pixels without data in the results, and by how much the others differ.

    python benchmarks/bench_resampling.py --repeats 5
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import odc.stac
import pystac
from affine import Affine
from odc.geo.geobox import GeoBox

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "remote"))
from stac_queries import asked, planetary
from stac_server import Holdings, StacServer, s2_item

BANDS = ("B02", "B03", "B04", "B08")
SIZE = 1024


def grid_at(left: float, top: float, zone: int = 31) -> GeoBox:
    """Give a grid of 10 m in a UTM zone."""
    return GeoBox((SIZE, SIZE), Affine(10, 0, left, 0, -10, top), f"EPSG:326{zone}")


GRIDS = {
    "same lattice": grid_at(500_000, 5_000_000),
    "shifted": grid_at(500_103.7, 4_999_896.1),
    "other zone": grid_at(29_000, 5_017_200, 32),
}


def least(work: Callable[[], object], repeats: int) -> float:
    """Give the least seconds of some runs."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    """Measure as told."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    whole = GeoBox((SIZE + 76, SIZE + 76), GRIDS["same lattice"].affine, "EPSG:32631")
    rng, held = np.random.default_rng(0), Holdings()
    holes = rng.random(whole.shape) < 0.01
    bands = {name: np.where(holes, 0, rng.integers(1000, 3000, whole.shape)).astype("u2") for name in BANDS}
    held.add(s2_item("2020-06-02T10:53:31Z"), whole, bands)
    for asset in held.items[0]["assets"].values():
        asset["raster:bands"] = [{"data_type": "uint16", "nodata": 0}]
    with StacServer(held) as server, tempfile.TemporaryDirectory() as folder:
        query = asked(whole, products=("sentinel-2-l2a",), bands=BANDS)
        (offer,) = planetary(server, Path(folder)).search(query).offers
        item = pystac.Item.from_dict(held.linked(f"{server.root}/files")[0])
        for name, grid in GRIDS.items():
            compare(name, grid, offer, item, repeats)


def compare(name: str, grid: GeoBox, offer: object, item: pystac.Item, repeats: int) -> None:
    """Print one line for one grid."""

    def by_odc() -> np.ndarray:
        loaded = odc.stac.load([item], bands=list(BANDS), geobox=grid, resampling="bilinear")
        values = np.stack([loaded[band].values[0] for band in BANDS]).astype("f4")
        return np.where(values == 0, np.nan, values * 1e-4)

    ours, theirs = offer.read(grid).values, by_odc()
    both = np.isfinite(ours) & np.isfinite(theirs)
    difference = np.abs(ours - theirs)[both] / ours[both]
    changed = difference[difference > 1e-3]
    far = np.percentile(changed, 95) if changed.size else 0.0
    seconds = least(lambda: offer.read(grid), repeats), least(by_odc, repeats)
    print(
        f"{name:13s} here {seconds[0]:.3f} s, odc {seconds[1]:.3f} s; "
        f"without data {np.isnan(ours).mean():.2%} and {np.isnan(theirs).mean():.2%}; "
        f"{changed.size / both.sum():.1%} of the others differ, 95th percentile {far:.1%}"
    )


if __name__ == "__main__":
    main()
