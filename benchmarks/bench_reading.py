"""Reading for the training of urban monitoring: samples per second, beside what a training step takes.

A simulated place is written to a cube on disk. Samples of pre-training (one window of a tile) and of transfer
(a visit of ten windows to a tile) are read in the order of an epoch, and the naive way: each window of each
tile by itself. The step is forward and backward of the network on one full window of 32 x 32 pixels.

    python benchmarks/bench_reading.py --size 512 --years 3 --memory 2
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import xarray as xr

import terradelta as td
from terradelta.urban import ERCNN, S1S2, Stack
from terradelta.urban.training.data import LabelledCube, PretrainTiles, TransferTiles
from terradelta.urban.training.frames import TileFrames
from terradelta.urban.training.visits import Visits, whole_windows
from terradelta.windows import TileGrid, checkerboard, time_windows

TILE = 32


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    memory = int(arguments.memory * 2**30)
    with tempfile.TemporaryDirectory() as folder:
        cube = _cube(Path(folder, "cube.zarr"), arguments)
        stack = Stack.of(cube, S1S2)
        grid = TileGrid(stack.size, TILE)
        print(
            f"{arguments.size} x {arguments.size} pixels, {len(grid.tiles)} tiles, {arguments.years} years: "
            f"{len(stack.identities)} images, {len(stack.times)} kept times"
        )
        step = _step(arguments.repeat)
        print(
            f"{'training step, one window':34s} {step:8.3f} s, {torch.get_num_threads()} threads", flush=True
        )
        windows = PretrainTiles(
            LabelledCube(cube, _labels(stack, arguments.stride)), share=1.0, memory=memory
        )
        _epochs("pre-training", windows, step)
        _naive("pre-training, window by window", stack, windows, arguments.naive, step)
        frames = TileFrames(stack, grid, checkerboard(grid).train, memory=memory)
        truth = np.zeros(stack.size, np.uint8)
        visits = TransferTiles(frames, truth, checkerboard(grid).train, _plan(stack))
        _epochs("transfer, ten windows", visits, 10 * step)


def _cube(path: Path, arguments: argparse.Namespace) -> xr.DataTree:
    place = td.simulate.place(
        seed=0, size=arguments.size, years=arguments.years, resolution=10.0, changes=2, optical_days=5
    )
    td.cube.write_cube(place, path)
    return td.open_cube(path)


def _labels(stack: Stack, stride: int) -> xr.Dataset:
    """Make labels of the right shape; what they say changes nothing here."""
    era, times = stack.era, stack.times
    windows = time_windows(
        times, length=era.window, stride=stride, fewest=era.fewest, most=era.most, triples=True
    )
    values = np.random.default_rng(0).random((len(windows), *stack.size), dtype=np.float32)
    return xr.Dataset(
        {"label": (("window", "y", "x"), values)},
        {
            "start": ("window", times[[window.start for window in windows]]),
            "end": ("window", times[[window.stop - 1 for window in windows]]),
            "count": ("window", [len(window) for window in windows]),
        },
        {"settings": {"era": era.name}},
    )


def _plan(stack: Stack) -> Visits:
    """Spread ten windows over the series, as far apart as it allows up to the published steps."""
    plan, available = Visits(), len(whole_windows(stack.times, stack.era))
    if available >= plan.needed:
        return plan
    largest = (available - 1) // (plan.count - 1)
    return Visits(plan.count, 0, (max(largest - 2, 1), largest))


def _step(repeat: int) -> float:
    """Time forward and backward of the whole network on one window; median seconds."""
    net = ERCNN(S1S2).train()
    x, length = torch.rand(1, S1S2.most, S1S2.channels, TILE, TILE), torch.tensor([S1S2.most])

    def step() -> None:
        net.zero_grad()
        net(x, length).sum().backward()

    step()
    return median(_seconds(step) for _ in range(repeat))


def _epochs(name: str, data: Any, step: float) -> None:
    """Read one epoch after another: the first, and one in which all may be in memory already."""
    order = data.order(0)
    for epoch in range(2):
        order.set_epoch(epoch)
        seconds = _seconds(lambda: _read(data, order)) / len(data)
        _tell(f"{name}, epoch {epoch}", seconds, step, f"{len(data)} samples")


def _naive(name: str, stack: Stack, data: PretrainTiles, count: int, step: float) -> None:
    """Read some of the samples by themselves: the tile's part of each image that the window needs."""
    grid = TileGrid(stack.size, TILE)
    windows = whole_windows(stack.times, stack.era)
    random = np.random.default_rng(0)
    tiles = random.choice(np.array(checkerboard(grid).train), count)
    chosen = random.choice(len(windows), count)

    def read() -> None:
        for (row, column), number in zip(tiles.tolist(), chosen.tolist(), strict=True):
            part = slice(row * TILE, row * TILE + TILE), slice(column * TILE, column * TILE + TILE)
            span = windows[number]
            walk = stack.frames(*part, first=span.start, last=span.stop)
            np.stack([frame.copy() for frame in walk])

    _tell(name, _seconds(read) / count, step, f"{count} of {len(data)} samples")


def _read(data: Any, order: Iterable[int]) -> None:
    for index in order:
        data[index]


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _tell(name: str, seconds: float, step: float, note: str) -> None:
    print(
        f"{name:34s} {1 / seconds:8.1f} samples per second, {seconds / step:8.3%} of the step  ({note})",
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256, help="edge of the place in pixels")
    parser.add_argument("--years", type=float, default=2.0, help="length of the series")
    parser.add_argument("--stride", type=int, default=10, help="kept times between labelled windows")
    parser.add_argument("--memory", type=float, default=1.0, help="GiB to keep")
    parser.add_argument("--naive", type=int, default=8, help="samples to read by themselves")
    parser.add_argument("--repeat", type=int, default=3, help="training steps; the median counts")
    return parser.parse_args()


if __name__ == "__main__":
    main()
