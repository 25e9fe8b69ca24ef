"""Evaluation of all pixels: the area under the curve, against one small array per pixel, in one run.

The alternative, `pixel_by_pixel`, is what the published evaluation is described to do: every pixel becomes
one small array in a list, for both difference images, and scikit-learn computes the curve of the whole list.
Both give the same areas, which this script checks. Samples are read before; both sides start from arrays, and
both run on one thread: processor seconds are measured, the least of some runs.

    python benchmarks/bench_evaluate.py --samples 4 --size 512
    python benchmarks/bench_evaluate.py --baselines baselines.json
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc, roc_curve

from terradelta.evaluate.curves import RocStream
from terradelta.expected.differences.kinds import compare, length


class Images(NamedTuple):
    """A target with what two methods expected of it, (band, y, x) dB, and where it changed, (y, x)."""

    target: NDArray[np.float32]
    prediction: NDArray[np.float32]
    previous: NDArray[np.float32]
    changed: NDArray[np.bool_]


def images(number: int, size: int) -> Images:
    """Make one sample in which 1 % changed by -2.5 dB."""
    rng = np.random.default_rng(number)
    level = rng.normal(-12, 2, (2, size, size))
    changed = np.zeros((size, size), bool)
    edge = size // 10
    changed[edge : 2 * edge, edge : 2 * edge] = True
    seen = [(level + rng.normal(0, noise, level.shape)).astype(np.float32) for noise in (1.0, 0.3, 1.0)]
    seen[0][:, changed] -= 2.5
    return Images(*seen, changed)


def pixel_by_pixel(samples: list[Images]) -> tuple[float, float]:
    """Collect every pixel as a small array in a list, then let scikit-learn compute the curves."""
    differences: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
    truth: list[bool] = []
    for sample in samples:
        for rows, expected in zip(differences, (sample.prediction, sample.previous), strict=True):
            difference = np.moveaxis(sample.target - expected, 0, -1)
            for y in range(difference.shape[0]):
                for x in range(difference.shape[1]):
                    rows.append(difference[y, x])
        truth += [bool(one) for one in sample.changed.ravel()]
    areas = []
    for rows in differences:
        false, true, _ = roc_curve(truth, np.linalg.norm(np.array(rows), axis=1))
        areas.append(float(auc(false, true)))
    return areas[0], areas[1]


def by_stream(samples: list[Images], exact: int) -> tuple[float, float, float]:
    """Collect scores in bounded memory; gives both areas and the larger bound of their errors."""
    streams = RocStream(exact=exact), RocStream(exact=exact)
    for sample in samples:
        for stream, expected in zip(streams, (sample.prediction, sample.previous), strict=True):
            stream.add(length(compare(sample.target, expected)), sample.changed)
    first, second = (stream.area() for stream in streams)
    return first.auc, second.auc, max(first.bound, second.bound)


def timed(function: Callable[[], object], repeats: int) -> tuple[float, object]:
    """Give the least time of some runs, and the result."""
    took, result = [], None
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        took.append(time.process_time() - start)
    return min(took), result


def peak(function: Callable[[], object]) -> float:
    """Give the most memory in use during a run, MiB."""
    tracemalloc.start()
    function()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--baselines", type=Path, help="JSON with figures of the published evaluation")
    options = parser.parse_args()
    samples = [images(number, options.size) for number in range(options.samples)]
    print(f"{platform.processor() or platform.machine()}, {options.samples} samples of {options.size}²")
    slow, areas = timed(lambda: pixel_by_pixel(samples), min(2, options.repeat))
    print(f"pixel by pixel      {1e3 * slow / len(samples):9.2f} ms per sample")
    best = slow
    for name, exact in (("exact ranks", 2**30), ("histograms", 0)):
        took, found = timed(lambda exact=exact: by_stream(samples, exact), options.repeat)
        error = np.abs(np.array(found[:2]) - areas).max()
        assert error <= found[2] + 1e-9
        used = peak(lambda exact=exact: by_stream(samples, exact))
        best = min(best, took)
        print(
            f"{name:<19} {1e3 * took / len(samples):9.2f} ms per sample, {slow / took:6.0f} times faster, "
            f"error {error:.1e} (bound {found[2]:.1e}), peak {used:.0f} MiB"
        )
    if options.baselines:
        told = json.loads(options.baselines.read_text())["threshold_classifier_end_to_end"]["all_pixels"]
        marginal = told["marginal_wall_s_per_sample"]
        print(
            f"published, another run: {1e3 * marginal:.0f} ms per sample with reading, "
            f"{marginal * len(samples) / best:.0f} times as long"
        )


if __name__ == "__main__":
    main()
