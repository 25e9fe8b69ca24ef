"""Urban monitoring of whole places: seconds as they grow, and peak memory against the setting.

The cube is made up as it is read (noise; both radar directions every six days, an optical image every
five), so that places of any size cost no room. Each case runs in a process of its own, whose largest
resident memory is told. With `--frames` a run stops after some frames: all pieces of a place are alike,
so the memory is that of the whole.

    python benchmarks/bench_monitor.py --weights weights_s1s2.hdf5
    python benchmarks/bench_monitor.py --weights weights_s1s2.hdf5 --areas --sizes 512 2048 --frames 1000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import torch
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from terradelta.urban import ERCNN, S1S2, load_network, monitor

RADAR_DAYS, OPTICAL_DAYS = 6, 5


class Images:
    """An array (time, band, y, x) that is made up where it is read."""

    def __init__(self, times: int, bands: int, size: int, level: float) -> None:
        self.shape, self.dtype, self.ndim = (times, bands, size, size), np.dtype("float32"), 4
        self._level = level

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        place, _, rows, columns = key
        shape = (self.shape[1], rows.stop - rows.start, columns.stop - columns.start)
        noise = np.random.default_rng([int(place), rows.start, columns.start]).random(shape, np.float32)
        return self._level * (0.5 + noise)


def group(name: str, images: Images, bands: tuple[str, ...], **coords: Any) -> xr.Dataset:
    """Wrap images as a group of a cube."""
    size = images.shape[-1]
    lazy = da.from_array(images, chunks=(1, images.shape[1], size, size), name=f"{name}-images")
    coords = {key: ("time", values) for key, values in coords.items()}
    return xr.Dataset({name: (("time", "band", "y", "x"), lazy)}, {**coords, "band": list(bands)})


def place(size: int, years: float) -> xr.DataTree:
    """Make a place: both radar directions every six days, optical images every five."""
    start, days = np.datetime64("2018-01-01T05:00", "ns"), round(365.25 * years)
    grid = xr_coords(GeoBox((size, size), Affine(10, 0, 600_000, 0, -10, 5_600_000), "EPSG:32631"))

    def every(step: int, first: int) -> NDArray[np.datetime64]:
        return start + np.arange(first, days, step) * np.timedelta64(1, "D")

    both = np.sort(np.concatenate([every(RADAR_DAYS, 0), every(RADAR_DAYS, 3)]))
    ascending = np.arange(len(both)) % 2 == 0
    optical = every(OPTICAL_DAYS, 1) + np.timedelta64(5, "h")
    radar = group(
        "backscatter", Images(len(both), 2, size, 0.1), S1S2.sar_bands, time=both,
        orbit_direction=np.where(ascending, "ascending", "descending"),
        relative_orbit=np.where(ascending, 88, 37), platform=np.full(len(both), "S1A"),
        source_id=np.full(len(both), ""),
    )  # fmt: skip
    seen = group(
        "reflectance", Images(len(optical), 13, size, 0.2), S1S2.optical_bands, time=optical,
        platform=np.full(len(optical), "S2A"), source_id=np.full(len(optical), ""),
    )  # fmt: skip
    return xr.DataTree.from_dict({"sar": radar.assign_coords(grid), "optical": seen.assign_coords(grid)})


class EnoughError(Exception):
    """Some pieces are done."""


def stop_after(frames: int) -> Callable[[str, int], Any]:
    """Make a progress that ends the run after some frames and counts them."""

    @contextmanager
    def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if frames and done >= frames:
                raise EnoughError(f"{done} of {total} frames")

        yield advance

    return progress


def child(case: dict[str, Any]) -> None:
    """Run one case and tell its figures as JSON."""
    net = load_network(case["weights"]) if case["weights"] else ERCNN("s1s2").eval()
    libraries = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tree = place(case["size"], case["years"])
    windows, whole = 0, "whole"
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        try:
            maps = monitor(
                tree, net, stride=case["stride"], memory=case["memory"], precision=case["precision"],
                tile=case["tile"], store=Path(folder) / "maps.zarr", progress=stop_after(case["frames"]),
            )  # fmt: skip
            windows = maps.sizes["window"]
        except EnoughError as reason:
            whole = str(reason)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {"seconds": seconds, "peak": peak, "libraries": libraries, "windows": windows, "run": whole}
        )
    )


def run(args: argparse.Namespace, **case: Any) -> dict[str, Any]:
    """Run one case in a process of its own."""
    given = {
        "weights": args.weights, "precision": args.precision, "stride": args.stride, "memory": args.memory,
        "years": args.years, "frames": args.frames, "tile": None, **case,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(given)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**given, **found}


def line(x: list[float], y: list[float]) -> str:
    """Fit y = a + b x and tell how well it fits."""
    b, a = np.polyfit(x, y, 1)
    rest = np.var(y - (a + b * np.array(x))) / np.var(y)
    return f"seconds = {a:.2f} + {b:.4g} x, R² = {1 - rest:.4f}"


def growth(args: argparse.Namespace) -> None:
    """Print seconds over area, then over the number of windows."""
    print("\narea (side in pixels), seconds, seconds per 1,000 pixels")
    areas, seconds = [], []
    for size in args.areas:
        found = run(args, size=size, years=args.growth_years, frames=0)
        areas.append(size**2 / 1000)
        seconds.append(found["seconds"])
        print(f"{size:6d} {seconds[-1]:8.1f} {seconds[-1] / areas[-1]:8.3f}   {found['windows']} windows")
    print("x = 1,000 pixels: " + line(areas, seconds))
    print("\nyears, windows, seconds, seconds per window")
    numbers, seconds = [], []
    for years in args.series:
        found = run(args, size=args.areas[0], years=years, frames=0)
        numbers.append(found["windows"])
        seconds.append(found["seconds"])
        print(f"{years:6.1f} {numbers[-1]:4d} {seconds[-1]:8.1f} {seconds[-1] / numbers[-1]:8.3f}")
    print("x = windows: " + line(numbers, seconds))


def memory(args: argparse.Namespace) -> None:
    """Print peak memory."""
    allowed = f"{args.memory / 2**20:.0f} MiB"
    print(f"\nside, years, seconds, peak MiB (libraries alone) of {allowed} allowed, what ran")
    for size in args.sizes:
        found = run(args, size=size)
        ran = f"{found['windows']} windows" if found["run"] == "whole" else found["run"]
        figures = f"{found['seconds']:8.1f} {found['peak']:6.0f} ({found['libraries']:.0f})"
        print(f"{size:6d} {args.years:4.1f} {figures}  {ran}")


def main() -> None:
    """Run."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--weights", default="", help="published weights; empty: random ones")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--stride", type=int, default=5)
    parser.add_argument("--memory", type=int, default=2 * 10**9, help="setting, bytes")
    parser.add_argument(
        "--areas", type=int, nargs="*", default=[64, 96, 128, 192], help="sides for the growth"
    )
    parser.add_argument("--growth-years", type=float, default=1.0)
    parser.add_argument("--series", type=float, nargs="*", default=[1.0, 1.5, 2.0, 3.0, 4.0], help="years")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="sides for the peak memory")
    parser.add_argument("--years", type=float, default=4.0, help="of these")
    parser.add_argument("--frames", type=int, default=0, help="stop after so many frames; 0: whole")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(json.loads(args.child))
        return
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads, {args.precision}, stride {args.stride}")
    if args.areas:
        growth(args)
    memory(args)


if __name__ == "__main__":
    main()
