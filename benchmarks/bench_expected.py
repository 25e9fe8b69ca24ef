"""Seconds per megapixel of the expected image with all that belongs to it, ten previous images, two bands.

    python benchmarks/bench_expected.py --size 1000

*From scratch*: eleven images as observed, none of them seen before: despeckling, the scenes' states, expected
image, standard deviation, strength of change. *Streaming*: the ten previous images are despeckled and without
their states, as `PreparedSeries` keeps them; only the new image is all new. *Before*: total variation by the
split Bregman method of scikit-image, and one regression after the other on all pixels. Weights of the network
are random: time does not depend on them.

Wall time depends on what else the machine does; processor time, of all threads together, does so much less.
Half of it is what two idle cores need at best. The parts are timed in turn and the best of each counts.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_bregman

from terradelta.expected import ExpectedImage, RobustParameters, change_strength
from terradelta.expected.conditions import FEATURES
from terradelta.expected.inputs import Inputs
from terradelta.expected.networks.conditioned import ConditionedUNet, ConditionedUNetConfig
from terradelta.expected.preparation import Preparation, Prepared, PreparedSeries, prepare
from terradelta.expected.robust import compare_with_history, robust_difference
from terradelta.expected.scene import cover_design, cover_features, fit_scene_states, thinned, usual
from terradelta.expected.statistics import Statistics
from terradelta.learning.options import Precision
from terradelta.native import compiled, cores
from terradelta.sar import despeckle_tv

Images = NDArray[np.float32]
Run = Callable[[], object]

PREVIOUS = 10
NUMBERS = RobustParameters(history=PREVIOUS)
STEPS = Preparation("tv", "scene", robust=NUMBERS)
HALF_WIDTH = 18.0


def series(size: int, seed: int) -> Images:
    """Fields of many levels with the speckle of some four looks, and rain in the last image, dB."""
    rng = np.random.default_rng(seed)
    fields = np.kron(rng.uniform(-18, -6, (size // 20 + 1, size // 20 + 1)), np.ones((20, 20)))
    level = np.stack([fields, fields - 6])[:, :size, :size]
    images = level + rng.normal(0, 2.0, (PREVIOUS + 1, *level.shape))
    images[-1] += 2 + 0.2 * (level + 12)
    return images.astype(np.float32)


def robust_streaming(images: Images) -> Run:
    """Judge the last image, the others known."""
    known = PreparedSeries(images[:-1], STEPS)

    def run() -> object:
        ready = known.add(images[-1])
        found = compare_with_history(ready.target, ready.images, ready.offset, ready.inflation, NUMBERS)
        return strength(found.standardised)

    return run


def strength(standardised: Images) -> Images:
    """Regularise and take the length over the bands."""
    return change_strength(
        standardised, regularisation=NUMBERS.regularisation, iterations=NUMBERS.tv_iterations
    )


class Network:
    """The conditioned network, from prepared images to the strength of change."""

    def __init__(self, width: int, precision: Precision) -> None:
        torch.manual_seed(0)
        net = ConditionedUNet(ConditionedUNetConfig(width=width), images=PREVIOUS, bands=2, static=0)
        self.model = ExpectedImage(net, Statistics(-14.0, 20.25, 300.0, 10.0, 50.0), precision=precision)

    def judge(self, ready: Prepared) -> Images:
        """Expect the target and compare."""
        size = ready.target.shape[1:]
        images = torch.from_numpy((ready.images + 14) / HALF_WIDTH)[None]
        told = torch.zeros(1, PREVIOUS + 1, len(FEATURES))
        inputs = Inputs(
            images,
            torch.isfinite(images).all(dim=2),
            torch.zeros(1, 0, *size),
            torch.from_numpy(ready.state(HALF_WIDTH))[None],
            told,
            told > 0,
        )
        found = self.model.expect(inputs)
        if found.sigma is None:
            raise ValueError("the network tells no sigma")
        target = (ready.target + 14) / HALF_WIDTH
        return strength((target - found.mean[0].numpy()) / found.sigma[0].numpy())

    def scratch(self, images: Images) -> Run:
        """All images new."""
        return lambda: self.judge(prepare(images[:-1], images[-1], STEPS))

    def streaming(self, images: Images) -> Run:
        """Only the last one new."""
        known = PreparedSeries(images[:-1], STEPS)
        return lambda: self.judge(known.add(images[-1]))


class Before:
    """The same without what makes it fast: scikit-image, and one regression after the other on all pixels."""

    def __init__(self, images: Images, new: int) -> None:
        self.images, self.new = images, new
        self.smooth, self.offsets = images.copy(), np.zeros_like(images)

    def __call__(self) -> Images:
        """Judge the last image; those before `new` are taken as done."""
        self.smooth[self.new :] = split_bregman(self.images[self.new :])
        mean, spread = usual(self.smooth[:-1])
        features = cover_features(mean, spread).reshape(4, -1)
        design = cover_design(mean, spread, features.mean(axis=1), features.std(axis=1), NUMBERS.degree)
        rows = np.ascontiguousarray(design.reshape(len(design), -1).T, dtype=np.float64)
        for image in range(self.new, len(self.images)):
            for band in range(2):
                departure = (self.smooth[image, band] - mean[band]).ravel().astype(np.float64)
                self.offsets[image, band] = (rows @ one_by_one(rows, departure)).reshape(mean.shape[1:])
        level = self.smooth - self.offsets
        one = np.ones((2, 1, 1), np.float32)
        found = compare_with_history(level[-1], level[:-1], self.offsets[-1], one, NUMBERS)
        return np.asarray(np.sqrt((split_bregman(found.standardised) ** 2).sum(axis=0)))


def split_bregman(images: Images) -> Images:
    """Despeckle image by image."""
    out = np.empty_like(images)
    for index in np.ndindex(images.shape[:-2]):
        padded = np.pad(images[index], 8, mode="symmetric")
        smooth = denoise_tv_bregman(
            padded, weight=NUMBERS.tv_weight, max_num_iter=NUMBERS.tv_iterations, eps=0.0
        )
        out[index] = smooth[8:-8, 8:-8]
    return out


def one_by_one(rows: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tukey's regression in its plainest form, from both starts."""
    found = []
    for start in (values, values - rows @ np.linalg.lstsq(rows, values, rcond=None)[0]):
        ordered = np.sort(start)
        half = len(start) // 2
        first = int(np.argmin(ordered[half:] - ordered[: len(start) - half]))
        dense = ordered[first : first + half + 1]
        residuals, scale = start - dense.mean(), (dense[-1] - dense[0]) / 2 * 1.4826
        for _ in range(NUMBERS.fit_iterations):
            weights = np.clip(1 - (residuals / (NUMBERS.cutoff * scale)) ** 2, 0, None) ** 2
            weighted = rows.T * weights
            coefficients = np.linalg.solve(weighted @ rows, weighted @ values)
            residuals = values - rows @ coefficients
            scale = 1.4826 * float(np.median(np.abs(residuals)))
        found.append((scale, coefficients))
    return min(found, key=lambda one: one[0])[1]


def parts(images: Images) -> dict[str, Run]:
    """Name the parts of the robust method."""
    smooth = despeckle_tv(images)
    return {
        "despeckling, 22 images": lambda: despeckle_tv(images),
        "despeckling, 2 images": lambda: despeckle_tv(images[-1]),
        "state of 11 scenes: fit": lambda: fit_scene_states(thinned(smooth), PREVIOUS, NUMBERS),
        "mean and spread of 20 images": lambda: usual(smooth[:-1]),
    }


def measure(run: Run, repeat: int) -> tuple[float, float]:
    """Give the best wall and processor seconds."""
    found = []
    for _ in range(repeat):
        wall, used = time.perf_counter(), processor()
        run()
        found.append((time.perf_counter() - wall, processor() - used))
    walls, uses = zip(*found, strict=True)
    return min(walls), min(uses)


def processor() -> float:
    """Seconds of processor time of all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def table(rows: dict[str, tuple[float, float]], megapixels: float) -> None:
    """Print seconds per megapixel."""
    print(f"\n{'':44s}{'wall':>8s}{'processor':>11s}   s per megapixel")
    for name, (wall, used) in rows.items():
        print(f"{name:44s}{wall / megapixels:8.2f}{used / megapixels:11.2f}")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--width", type=int, default=16, help="of the network")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="of the network"
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--before", action="store_true", help="time the plain implementation too (minutes)")
    args = parser.parse_args()
    torch.set_num_threads(cores())
    images, network = series(args.size, seed=0), Network(args.width, args.precision)
    way = "compiled" if compiled("terradelta.sar", "variation.cpp") else "NumPy"
    print(f"{args.size} x {args.size} pixels, {cores()} threads, total variation: {way}, {args.precision}")
    print(f"load {os.getloadavg()[0]:.1f}")
    runs: dict[str, Run] = {
        "robust, from scratch": lambda: robust_difference(images[-1], images[:-1], NUMBERS),
        "robust, streaming": robust_streaming(images),
        "conditioned network, from scratch": network.scratch(images),
        "conditioned network, streaming": network.streaming(images),
        **{f"  {name}": run for name, run in parts(images).items()},
    }
    megapixels = args.size**2 / 1e6
    table({name: measure(run, args.repeat) for name, run in runs.items()}, megapixels)
    if args.before:
        old = {"before: robust, from scratch": 0, "before: robust, streaming": PREVIOUS}
        table({name: measure(Before(images, new), 1) for name, new in old.items()}, megapixels)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
