"""Omnibus test: `terradelta.sar.omnibus` against the straightforward per-date version, in one run.

The alternative, `omnibus_scipy`, is what one writes first: for each date NumPy arrays of the whole scene and
`scipy.stats.chi2` for the p-values. Both give the same counts and dates, which this script checks.

    python benchmarks/bench_omnibus.py --size 512 --dates 20 80
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from terradelta.sar import OmnibusResult, omnibus, omnibus_stream

LOOKS, SIGNIFICANCE, BANDS = 4.0, 0.001, 2


def scene(time: int, size: int, seed: int) -> NDArray[np.float32]:
    """One image (band, y, x) of 4 looks; a tenth of it becomes 5 dB darker at date 10."""
    rng = np.random.default_rng([seed, time])
    level = np.full((BANDS, size, size), 0.1)
    if time >= 10:
        level[:, : size // 10] /= 10**0.5
    return (level * rng.standard_gamma(LOOKS, level.shape) / LOOKS).astype(np.float32)


def scenes(dates: int, size: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Give the images one by one."""
    return (scene(time, size, seed) for time in range(dates))


def omnibus_scipy(series: NDArray[np.float32], looks: float, significance: float) -> OmnibusResult:
    """Test date by date with whole arrays and `scipy.stats.chi2`; no missing values."""
    images = series.astype(np.float64)
    bands = images.shape[1]
    shape = images.shape[2:]
    sums, number = images[0].copy(), np.ones(shape)
    count = np.zeros(shape, np.uint16)
    first, last = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
    for step, image in enumerate(images[1:], start=1):
        j = number + 1
        together = sums + image
        log_r = looks * (
            bands * (j * np.log(j) - (j - 1) * np.log(j - 1))
            + (j - 1) * np.log(sums.prod(axis=0))
            + np.log(image.prod(axis=0))
            - j * np.log(together.prod(axis=0))
        )
        rho = 1 - (1 + 1 / (j * (j - 1))) / (6 * looks)
        omega = -bands / 4 * (1 - 1 / rho) ** 2
        statistic = -2 * rho * log_r
        p = 1 - ((1 - omega) * chi2.cdf(statistic, bands) + omega * chi2.cdf(statistic, bands + 4))
        changed = p <= significance
        count += changed
        first = np.where(changed & (first < 0), step, first)
        last = np.where(changed, step, last)
        sums = np.where(changed, image, together)
        number = np.where(changed, 1, j)
    k = len(images)
    log_q = looks * (
        bands * k * np.log(k)
        + np.log(images.prod(axis=1)).sum(axis=0)
        - k * np.log(images.sum(axis=0).prod(axis=0))
    )
    scale = 1 - (1 + 1 / k) / (6 * looks)
    freedom = bands * (k - 1)
    weight = -freedom / 4 * (1 - 1 / scale) ** 2
    total = -2 * scale * log_q
    p = 1 - ((1 - weight) * chi2.cdf(total, freedom) + weight * chi2.cdf(total, freedom + 4))
    seen = np.full(shape, k, np.uint16)
    return OmnibusResult(count, first, last, p.astype(np.float32), seen)


def check_same(ours: OmnibusResult, theirs: OmnibusResult) -> None:
    """Stop if the two differ."""
    for name in ("count", "first", "last", "observations"):
        different = int((getattr(ours, name) != getattr(theirs, name)).sum())
        if different:
            sys.exit(f"{name} differs in {different} pixels")
    worst = float(np.abs(ours.p_value - theirs.p_value).max())
    if worst > 1e-5:
        sys.exit(f"p_value differs by {worst}")


def best_of(repeat: int, *works: Callable[[], object]) -> list[float]:
    """Give the shortest processor time of `repeat` runs of each, in turn so that a busy machine hits all."""
    shortest = [float("inf")] * len(works)
    for _ in range(repeat):
        for index, work in enumerate(works):
            start = time.process_time()
            work()
            shortest[index] = min(shortest[index], time.process_time() - start)
    return shortest


def speed(size: int, dates: int, seed: int, repeat: int) -> str:
    """Measure both on one series and give a row of the table."""
    series = np.stack(list(scenes(dates, size, seed)))
    check_same(omnibus(series, LOOKS, SIGNIFICANCE), omnibus_scipy(series, LOOKS, SIGNIFICANCE))
    plain, ours, streamed = best_of(
        repeat,
        lambda: omnibus_scipy(series, LOOKS, SIGNIFICANCE),
        lambda: omnibus(series, LOOKS, SIGNIFICANCE),
        lambda: omnibus_stream(iter(series), LOOKS, SIGNIFICANCE),
    )
    per = 1e9 / (size * size * dates)
    cells = [f"{dates}", f"{plain * per:.0f}"]
    cells += [f"{t * per:.1f} ({plain / t:.1f} x)" for t in (ours, streamed)]
    return "| " + " | ".join(cells) + " |"


def peak_memory(way: str, size: int, dates: int, seed: int) -> float:
    """Give the most memory that one way holds at once, images included, in MiB (as `tracemalloc` counts)."""
    tracemalloc.start()
    if way == "stream":
        omnibus_stream(scenes(dates, size, seed), LOOKS, SIGNIFICANCE)
    else:
        omnibus_scipy(np.stack(list(scenes(dates, size, seed))), LOOKS, SIGNIFICANCE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def main() -> None:
    """Print two Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, help="rows and columns (default: 512)")
    parser.add_argument(
        "--dates", type=int, nargs="+", default=[20, 80], help="numbers of dates (default: 20 80)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many runs counts (default: 3)")
    options = parser.parse_args()
    print(f"{options.size} x {options.size} pixels, {BANDS} bands, one thread, {platform.machine()};")
    print("nanoseconds per pixel and date (times faster than the first), same counts, dates and p-values\n")
    print("| dates | per date, scipy.stats.chi2 | omnibus | omnibus_stream |")
    print("| --- | --- | --- | --- |")
    for dates in options.dates:
        print(speed(options.size, dates, options.seed, options.repeat))
    print("\nPeak memory, MiB, images and results included\n")
    print("| dates | per date, scipy.stats.chi2 | omnibus_stream |\n| --- | --- | --- |")
    for dates in options.dates:
        used = [peak_memory(way, options.size, dates, options.seed) for way in ("scipy", "stream")]
        print(f"| {dates} | {used[0]:.0f} | {used[1]:.0f} |")


if __name__ == "__main__":
    main()
