"""Simulated changes: `terradelta.simulate.injected` against the plain double loop, in one run.

The alternative, `row_scan`, is what one writes first: it visits the pixels one after the other; with `sets`
it also lists the pixels of each superpixel, as the published program does. Both ways give the same numbers
and pixels, which this script checks. Wall times suffer from other work on the machine, so processor seconds
and the least wall time are printed too; all ways use one thread. Where measured figures of the published
program lie beside the checkout, the ratio to them is printed; they come from another run.

    python benchmarks/bench_inject.py --size 512 --repeats 15
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terradelta.simulate.injected import Recipe, inject, superpixel_sets, superpixel_sets_json, superpixels

BASELINES = Path(__file__).resolve().parents[2] / "shared/reference/sar/baselines.json"
SOURCES = {"about_25600_superpixels": 160, "about_90000_superpixels": 300}


def scene(size: int, source: int, seed: int, degrees: float = 0.0) -> NDArray[np.float32]:
    """Two bands in dB, (band, y, x), enlarged from `source` pixels a side by nearest neighbour.

    Without a turn many rows and columns are copies of those before, which is the easy case.
    """
    small = np.random.default_rng(seed).normal(-12, 2, (2, source, source)).astype(np.float32)
    turn, scale = np.deg2rad(degrees), source / size
    y, x = np.mgrid[:size, :size] * scale
    rows = np.floor(y * np.cos(turn) + x * np.sin(turn)).astype(int) % source
    columns = np.floor(x * np.cos(turn) - y * np.sin(turn)).astype(int) % source
    return np.ascontiguousarray(small[:, rows, columns])


def row_scan(image: NDArray[np.float32], sets: dict[int, list[list[int]]] | None = None) -> NDArray[np.int64]:
    """Visit the pixels one by one: upper neighbour, then left, else a new number."""
    _, rows, columns = image.shape
    first, second = image
    labels, count = np.zeros((rows, columns), np.int64), 0
    for y in range(rows):
        for x in range(columns):
            a, b = first[y, x], second[y, x]
            if y > 0 and first[y - 1, x] == a and second[y - 1, x] == b:
                number = labels[y - 1, x]
            elif x > 0 and first[y, x - 1] == a and second[y, x - 1] == b:
                number = labels[y, x - 1]
            else:
                number = count = count + 1
            labels[y, x] = number
            if sets is not None:
                sets.setdefault(int(number), []).append([x, y])
    return labels


class Taken(NamedTuple):
    """Seconds of some runs."""

    wall: float
    least: float
    processor: float


def seconds(work: Callable[[], Any], repeats: int) -> Taken:
    """Give median and least wall time and median processor time."""
    wall, processor = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        work()
        processor.append(time.process_time() - busy)
        wall.append(time.perf_counter() - start)
    return Taken(float(np.median(wall)), min(wall), float(np.median(processor)))


def show(name: str, taken: Taken, slow: Taken | None = None) -> None:
    """Print one line of the table."""
    times = "".join(f"{each * 1e3:10.2f}" for each in taken)
    ratios = "" if slow is None else "".join(f"{s / t:8.0f}x" for s, t in zip(slow, taken, strict=True))
    print(f"{name:<36}{times}{ratios}")


def compare(name: str, size: int, repeats: int, baselines: dict[str, Any], degrees: float) -> None:
    """Time all ways on one scene."""
    image = scene(size, SOURCES[name] * size // 512, seed=0, degrees=degrees)
    sets: dict[int, list[list[int]]] = {}
    labels = row_scan(image, sets)
    np.testing.assert_array_equal(superpixels(image), labels)
    assert superpixel_sets(labels) == sets
    assert superpixel_sets_json(labels) == json.dumps(sets)
    print(f"\n{size} x {size} pixels, {labels.max()} superpixels, grid turned by {degrees:g} degrees")
    slow = seconds(lambda: row_scan(image), 5)
    show("double loop", slow)
    fast = seconds(lambda: superpixels(image), repeats)
    show("superpixels, as published", fast, slow)
    show("superpixels, connected", seconds(lambda: superpixels(image, connected=True), repeats), slow)

    def loop_text() -> str:
        row_scan(image, found := {})
        return json.dumps(found)

    slow_text = seconds(loop_text, 3)
    show("double loop, and sets as text", slow_text)
    show("the same", seconds(lambda: superpixel_sets_json(superpixels(image)), 5), slow_text)
    stored = baselines.get("compute_superpixels_512x512", {}).get(name)
    if stored and size == 512 and degrees == 0:
        ratios = f"{stored['median'] / fast.wall:.0f}x, {stored['min'] / fast.least:.0f}x"
        print(
            f"published program, stored: {stored['median'] * 1e3:.0f}, {stored['min'] * 1e3:.0f} ms: {ratios}"
        )


def whole(size: int, repeats: int, baselines: dict[str, Any]) -> None:
    """Time whole samples of three changes."""
    image = scene(size, 160 * size // 512, seed=1)
    forest = np.ones((size, size), bool)
    target = np.random.default_rng(2).normal(-15, 2, (2, 20_000))
    print("\nThree changes in one image")
    recipes = {
        kind: Recipe(kind=kind, count=(3, 3)) for kind in ("offset", "gaussian", "texture", "statistical")
    }
    recipes["statistical, as published"] = Recipe.published(count=(3, 3))
    for name, recipe in recipes.items():
        taken = seconds(lambda r=recipe: inject(image, forest, r, seed=3, target=target), repeats)
        show(name, taken)
    stored = baselines.get("simulate_change_whole_sample_s")
    if stored and size == 512:
        ratio = stored["median"] / taken.wall
        print(f"published program, stored: {stored['median'] * 1e3:.0f} ms: {ratio:.0f}x")


def main() -> None:
    """Read the options and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, help="rows and columns")
    parser.add_argument("--repeats", type=int, default=15, help="runs of the fast ways")
    options = parser.parse_args()
    baselines = json.loads(BASELINES.read_text()) if BASELINES.is_file() else {}
    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    print("milliseconds: median wall, least wall, median processor; then how many times faster, by each")
    for name in SOURCES:
        for degrees in (0.0, 10.0):
            compare(name, options.size, options.repeats, baselines, degrees)
    whole(options.size, options.repeats, baselines)


if __name__ == "__main__":
    main()
