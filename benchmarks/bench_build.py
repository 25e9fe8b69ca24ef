"""Building from a catalogue over HTTP on this machine, against plain ``odc.stac.load`` of the same items.

A STAC API in a process of its own serves radar passes of two slices and Sentinel-2 tiles as COGs. Measured
in one run: images per second and MB/s (pixels as the cube keeps them, not compressed) of

- ``odc.stac.load`` of the same items onto the same grid into memory, radar and optical, with as many threads,
- reading alone: the blocks of our offers, by the same number of threads, thrown away,
- the whole build: search, reading, writing into a cube, manifest;

the share of the manifest in a build; the largest memory of a process that builds few and many images; and
the time to find out that there is nothing new.

    python benchmarks/bench_build.py --size 1024 --dates 12
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "remote"))
from stac_server import StacServer, synthetic

from terradelta.cube import create_cube
from terradelta.cube.manifest import Manifest
from terradelta.sources.area import Area
from terradelta.sources.remote.collecting import Limits, collect
from terradelta.sources.remote.offers import Findings, Offer, Query
from terradelta.sources.remote.stac import StacSource, load_profile
from terradelta.types import Period

BANDS = ("B02", "B03", "B04", "B08")
SAR = ("VV", "VH")


def grid_of(size: int) -> GeoBox:
    """Give the grid of the place."""
    return GeoBox((size, size), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")


def _serve(size: int, dates: int, ready: object, stop: object) -> None:
    with StacServer(synthetic(grid_of(size), dates=dates), page_size=100) as server:
        ready.put(server.address)  # type: ignore[attr-defined]
        stop.wait()  # type: ignore[attr-defined]


@contextmanager
def serving(size: int, dates: int) -> Iterator[str]:
    """Serve the catalogue from a process of its own."""
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Queue(), context.Event()
    process = context.Process(target=_serve, args=(size, dates, ready, stop), daemon=True)
    process.start()
    try:
        yield ready.get(timeout=600)
    finally:
        stop.set()
        process.join(10)
        process.terminate()


def source_at(address: str, folder: Path) -> StacSource:
    """Give a source like Planetary Computer at another address, without signing."""
    import yaml

    told = load_profile("planetary-computer").model_dump(mode="json") | {"address": address, "access": {}}
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(told))
    return StacSource(str(path))


def query(size: int) -> Query:
    """Ask for all radar and four optical bands."""
    grid = grid_of(size)
    always = Period(np.datetime64("2020-01-01", "ns"), np.datetime64("2030-01-01", "ns"))
    products = ("sentinel-1-rtc", "sentinel-2-l2a")
    return Query(
        area=Area(grid.geographic_extent.geom), grid=grid, period=always, products=products, bands=BANDS
    )


def volume(offers: tuple[Offer, ...], size: int) -> float:
    """MB of the pixels of all images as the cube keeps them."""
    return sum(4 * len(one.bands) + (one.group == "optical") for one in offers) * size**2 / 1e6


def by_odc(address: str, size: int, threads: int) -> None:
    """Load the same bands of the same items with odc-stac."""
    import odc.stac
    import pystac_client

    client = pystac_client.Client.open(address)
    for collection, bands in (("sentinel-1-rtc", ["vv", "vh"]), ("sentinel-2-l2a", [*BANDS, "SCL"])):
        items = list(client.search(collections=[collection]).items())
        odc.stac.load(items, bands=bands, geobox=grid_of(size), groupby="solar_day", pool=threads,
                      resampling={"*": "bilinear", "SCL": "nearest"})  # fmt: skip


def reading_alone(found: Findings, size: int, threads: int) -> None:
    """Read all blocks of all offers and forget them."""
    grid, edge = grid_of(size), range(0, size, 1024)
    with ThreadPoolExecutor(threads) as pool:
        blocks = [grid[top : top + 1024, left : left + 1024] for top in edge for left in edge]
        waiting = [pool.submit(one.read, block) for one in found.offers for block in blocks]
        for future in waiting:
            future.result()


def build(source: StacSource, size: int, cube: Path, threads: int, memory: int = 1024) -> float:
    """Build a cube; gives the seconds that went into the manifest."""
    create_cube(cube, grid_of(size))
    manifest, spent = Timed(cube), []
    manifest.spent = spent
    manifest.ask({"time": "2020"})
    collect(
        cube,
        source.search(query(size)).offers,
        [],
        manifest,
        limits=Limits(parallel=threads, memory=memory * 2**20),
    )
    return sum(spent)


class Timed(Manifest):
    """A manifest that counts the time it takes."""

    spent: list[float]

    def record(self, *entries: object) -> None:
        """Note, and count the time."""
        begun = time.perf_counter()
        super().record(*entries)  # type: ignore[arg-type]
        self.spent.append(time.perf_counter() - begun)

    def save(self, *, lazily: bool = False) -> None:
        """Write, and count the time."""
        begun = time.perf_counter()
        super().save(lazily=lazily)
        self.spent.append(time.perf_counter() - begun)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Give the median of some runs."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def compare(address: str, told: argparse.Namespace, folder: Path) -> None:
    """Print the speeds of all ways."""
    source = source_at(address, folder)
    found = source.search(query(told.size))
    count, megabytes = len(found.offers), volume(found.offers, told.size)
    cubes = iter(range(1000))
    in_manifest: list[float] = []
    ways = {
        "odc.stac.load": lambda: by_odc(address, told.size, told.threads),
        "reading alone": lambda: reading_alone(found, told.size, told.threads),
        "build": lambda: in_manifest.append(
            build(source, told.size, folder / f"{next(cubes)}.zarr", told.threads)
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(told.repeats):
        for name, work in ways.items():
            taken[name].append(seconds(work, 1))
    plain = statistics.median(taken["odc.stac.load"])
    print(f"{count} images, {megabytes:.0f} MB of pixels, {told.threads} threads")
    for name, times in taken.items():
        took = statistics.median(times)
        print(f"  {name:14s} {took:6.2f} s  {count / took:6.1f} images/s  {megabytes / took:6.0f} MB/s  "
              f"{took / plain:.2f} x odc.stac.load")  # fmt: skip
    share = statistics.median(in_manifest) / statistics.median(taken["build"])
    print(f"  manifest       {1000 * statistics.median(in_manifest):6.1f} ms, {share:.2%} of a build")
    cube = folder / "0.zarr"
    again = seconds(lambda: collect(cube, source.search(query(told.size)).offers, [], Manifest(cube)), 5)
    search = seconds(lambda: source.search(query(told.size)), 5)
    print(f"  nothing new    {again:6.2f} s, of which the search {search:.2f} s")


def memory(told: argparse.Namespace) -> None:
    """Tell the largest memory of builds of few and of many images, each in a process of its own."""
    for dates in (told.dates, 4 * told.dates):
        with serving(told.size, dates) as address:
            command = [sys.executable, __file__, "--only-build", address, "--size", str(told.size),
                       "--threads", str(told.threads), "--memory", str(told.memory)]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(f"  {dates} passes of each sensor: largest memory {done.stdout.strip()} MiB")


def main() -> None:
    """Measure as told."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1024, help="rows and columns of 10 m")
    parser.add_argument("--dates", type=int, default=12, help="passes of each sensor")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, default=1024, help="MiB for blocks under way")
    parser.add_argument("--only-build", default="", help=argparse.SUPPRESS)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if told.only_build:
            source, cube = source_at(told.only_build, Path(folder)), Path(folder) / "a.zarr"
            build(source, told.size, cube, told.threads, told.memory)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
            return
        with serving(told.size, told.dates) as address:
            compare(address, told, Path(folder))
        memory(told)


if __name__ == "__main__":
    main()
