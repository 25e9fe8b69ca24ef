"""Synthetic labels: pixel-windows per second of a cube on disk, of both variants, against window by window.

The naive way takes each window of a block by itself, with the same functions: it reads all frames from the
one before to the one behind, averages them, once for beta and once for the label, and tests the radar at
every pixel. Both are compared in processor time, reading included.

    python benchmarks/bench_labels.py --size 512 --years 4
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from terradelta.cube import OpticalAcquisition, SarAcquisition, append_all, create_cube, open_cube
from terradelta.optical import beta_sums
from terradelta.urban.era import S1S2
from terradelta.urban.labels import label_of_means, mean_frame, rule_of, window_activity
from terradelta.urban.labels.series import label_windows, synthetic_labels
from terradelta.urban.stack import Stack

DAY = np.timedelta64(1, "D")
START = np.datetime64("2018-01-01T05:00", "ns")


def acquisitions(size: int, days: int, shape: tuple[int, int]) -> object:
    """Radar of both directions every 6 days, optical images every 5; some ground gets built up."""
    grass = np.array([10, 6, 8, 5, 10, 22, 28, 30, 31, 31, 1, 16, 8], np.float32) / 100
    roof = np.array([16, 17, 18, 20, 21, 22, 23, 24, 24, 24, 2, 26, 25], np.float32) / 100
    ground = np.random.default_rng(0).integers(0, days * 3, (-(-size // 16),) * 2)
    built = np.kron(ground, np.ones((16, 16), int))[:size, :size]
    for day in range(days):
        rng = np.random.default_rng(day)
        now = (built < day)[None]
        if day % 6 in (0, 3):
            power = np.where(now, 0.4, 0.08) * rng.gamma(4, 0.25, (2, *shape))
            yield SarAcquisition(
                time=START + day * DAY, bands=S1S2.sar_bands, backscatter=power.astype(np.float32),
                orbit_direction="ascending" if day % 6 else "descending", platform="S1A", relative_orbit=7,
            )  # fmt: skip
        if day % 5 == 1:
            image = np.where(now, roof[:, None, None], grass[:, None, None])
            image = image * (1 + 0.1 * np.sin(day / 58)) + rng.normal(0, 0.004, image.shape)
            clear = np.kron(rng.random((8, 8)) > 0.2, np.ones((-(-size // 8),) * 2, bool))[:size, :size]
            yield OpticalAcquisition(
                time=START + day * DAY + DAY // 4, bands=S1S2.optical_bands,
                reflectance=image.astype(np.float32), clear=clear, platform="S2A",
            )  # fmt: skip


def naive(tree: xr.DataTree, stride: int, side: int, few: int, *, as_published: bool) -> float:
    """Pixel-windows per processor second of a block, each window by itself."""
    rule = rule_of(S1S2, as_published=as_published)
    stack = Stack.of(tree, S1S2)
    part = (slice(0, min(side, stack.size.y)), slice(0, min(side, stack.size.x)))
    new = [np.diff(np.searchsorted(s.times, stack.times, "right"), prepend=0) > 0 for s in stack.sensors[:2]]
    windows = label_windows(stack, S1S2, stride)[:few]
    began = time.process_time()
    for window in windows:
        for _ in ("beta", "label"):
            first, last = window.previous.start, window.next.stop
            frames = np.stack([frame.copy() for frame in stack.frames(*part, first=first, last=last)])
            spans = (slice(0, window.start - first), slice(window.next.start - first, None))
            means = [mean_frame(frames[span, 4:], as_published=as_published) for span in spans]
        betas = [beta_sums(mean, rule.bands, as_published=as_published).beta for mean in means]
        own = frames[window.start - first : window.stop - first]
        keep = [np.ones(len(window), bool) if as_published else one[window.slice] for one in new]
        radar = [own[keep[k], 2 * k : 2 * k + 2] for k in range(2)]
        label_of_means(*means, betas, window_activity(*radar, rule), rule)
    return len(windows) * frames[0, 0].size / (time.process_time() - began)


def streamed(cube: Path, store: Path, args: argparse.Namespace, *, as_published: bool) -> str:
    """Run the whole in a process of its own; tell its figures."""
    variant = ["--one", str(cube), str(store), *(["--as-published"] if as_published else [])]
    rest = ["--stride", str(args.stride), "--workers", str(args.workers), "--memory", str(args.memory)]
    command = [sys.executable, __file__, *variant, *rest]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def one(args: argparse.Namespace) -> None:
    """Label a cube, and print windows, pixels, seconds of wall and processor time, and the most memory."""
    cube, store = args.one
    rule = rule_of(S1S2, as_published=args.as_published)
    wall, own = time.perf_counter(), time.process_time()
    labels = synthetic_labels(
        cube, S1S2, store, rule=rule, stride=args.stride, workers=args.workers, memory=args.memory * 2**20
    )
    print(
        labels["label"].shape[0], labels["label"][0].size, time.perf_counter() - wall,
        time.process_time() - own, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )  # fmt: skip


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--years", type=float, default=3.0)
    parser.add_argument("--stride", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--memory", type=int, default=2000, help="MiB")
    parser.add_argument("--few", type=int, default=3, help="windows of the naive way")
    parser.add_argument("--side", type=int, default=256, help="block of the naive way, pixels")
    parser.add_argument("--one", nargs=2, metavar=("CUBE", "STORE"), help=argparse.SUPPRESS)
    parser.add_argument("--as-published", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args)
        return
    shape = (args.size, args.size)
    with tempfile.TemporaryDirectory() as folder:
        cube = Path(folder, "place.zarr")
        box = (500_000, 0, 500_000 + 10 * args.size, 10 * args.size)
        create_cube(cube, GeoBox.from_bbox(box, "EPSG:32631", resolution=10))
        append_all(cube, acquisitions(args.size, round(365 * args.years), shape))
        # all runs of their own first: a process inherits the most memory of the one that starts it
        told = [
            streamed(cube, Path(folder, f"{published}.zarr"), args, as_published=published)
            for published in (False, True)
        ]
        for published, figures in zip((False, True), told, strict=True):
            windows, pixels, wall, own, memory = map(float, figures.split())
            rate = windows * pixels / own
            plain = naive(open_cube(cube), args.stride, args.side, args.few, as_published=published)
            print(
                f"{'published' if published else 'default'}: {windows:.0f} windows of {pixels:.0f} pixels, "
                f"{wall:.1f} s ({own:.1f} s of processor), {windows * pixels / wall:,.0f} pixel-windows/s, "
                f"{rate:,.0f} per processor second, naive {plain:,.0f}: {rate / plain:.1f} x; "
                f"at most {memory:.0f} MiB; load {os.getloadavg()[0]:.1f}"
            )


if __name__ == "__main__":
    main()
