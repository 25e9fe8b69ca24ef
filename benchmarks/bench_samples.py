"""Samples per second from a cube, from a training file, from TFRecord; without and with a network.

    python benchmarks/bench_samples.py --size 512 --samples 20 --networks conditioned unet

Prints a table; the training file is measured in the ways it can be stored. With a network each sample is read
and then trained on, in one process and in batches of one: its share of the time is what the network waits for
data. Reading in worker processes would hide it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

import terradelta as td
from terradelta.expected.networks.losses import gaussian, mse
from terradelta.expected.networks.registry import build_network
from terradelta.expected.samples.feeding import SampleDataset
from terradelta.expected.samples.files import SampleFile, write_samples
from terradelta.expected.samples.plans import PlannedSamples, plan_samples
from terradelta.expected.samples.sample import record_of_sample
from terradelta.expected.statistics import statistics_of
from terradelta.tfrecord.published import write_raw


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        place = td.simulate.place(seed=0, size=arguments.size + 64, years=0.3, changes=0, optical_days=0)
        cube = Path(folder, "cube.zarr")
        td.cube.write_cube(place, cube)
        plan = plan_samples(cube, count=arguments.samples, size=arguments.size)
        planned = PlannedSamples(cube, plan)
        statistics = statistics_of(planned[:4])
        print(f"{len(plan)} samples of {arguments.size} x {arguments.size}, 4 previous images, 2 bands")
        sources = {"cube on disk": SampleDataset(planned, statistics)}
        _measure("cube on disk", sources["cube on disk"], arguments.repeat)
        for precision in ("int16", "float32"):
            file = Path(folder, f"{precision}.zarr")
            start = time.perf_counter()
            write_samples(file, planned, precision=precision)
            written = len(plan) / (time.perf_counter() - start)
            note = f"{_megabytes(file) / len(plan):.2f} MB each, written at {written:.1f} per second"
            sources[f"training file, {precision}"] = data = SampleDataset(SampleFile(file), statistics)
            _measure(f"training file, {precision}", data, arguments.repeat, note)
        records = Path(folder, "records.tfrecord.GZIP")
        write_raw(records, (record_of_sample(sample) for sample in planned))
        note = f"{records.stat().st_size / 1e6 / len(plan):.2f} MB each"
        sources["TFRecord, gzip"] = SampleDataset([records], statistics)
        _measure("TFRecord, gzip", sources["TFRecord, gzip"], arguments.repeat, note)
        for network in arguments.networks:
            _train(network, arguments, sources)


def _measure(name: str, data: Sequence[Any] | SampleDataset, repeat: int, note: str = "") -> None:
    speeds = []
    for _ in range(repeat):
        start = time.perf_counter()
        for index in range(len(data)):
            data[index]
        speeds.append(len(data) / (time.perf_counter() - start))
    print(f"{name:24s} {max(speeds):7.1f} samples per second  {note}", flush=True)


def _train(name: str, arguments: argparse.Namespace, sources: dict[str, SampleDataset]) -> None:
    """Read and train in turn, all sources one after the other in each round; medians over the rounds."""
    config = {"preset": "code_default", "size": arguments.size} if name == "unet" else {}
    network = build_network(name, config).train()
    loss = mse if name == "unet" else gaussian
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    took: dict[str, list[tuple[float, float]]] = {source: [] for source in sources}
    for number in range(arguments.steps + 1):
        for source, data in sources.items():
            start = time.perf_counter()
            batch = data[number % len(data)]
            read = time.perf_counter()
            optimiser.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
                value = loss(network(batch.inputs), batch)
            value.backward()
            optimiser.step()
            took[source].append((read - start, time.perf_counter() - read))
    kind = "bfloat16" if arguments.bfloat16 else "float32"
    print(f"with a training step of {name}, {kind}, {torch.get_num_threads()} threads")
    for source, times in took.items():
        data, step = (median(column) for column in zip(*times[1:], strict=True))
        waits = data / (data + step)
        print(
            f"{source:24s} {1 / (data + step):7.2f} samples per second, step {step:.2f} s, waits {waits:.1%}"
        )


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=128, help="edge of the samples in pixels")
    parser.add_argument("--samples", type=int, default=16, help="number of samples")
    parser.add_argument("--repeat", type=int, default=2, help="passes; the best counts")
    parser.add_argument("--networks", nargs="*", default=[], choices=["conditioned", "unet"])
    parser.add_argument("--steps", type=int, default=3, help="training steps per source; the median counts")
    parser.add_argument("--bfloat16", action="store_true", help="networks in mixed precision")
    return parser.parse_args()


if __name__ == "__main__":
    main()
