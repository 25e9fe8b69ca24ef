"""Samples per second without a network: from a cube, from a training file, from TFRecord.

    python benchmarks/bench_samples.py --size 512 --samples 40

Prints a table; the training file is measured in the ways it can be stored. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import terradelta as td
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
        _measure("cube on disk", SampleDataset(planned, statistics), arguments.repeat)
        for precision in ("int16", "float32"):
            file = Path(folder, f"{precision}.zarr")
            start = time.perf_counter()
            write_samples(file, planned, precision=precision)
            written = len(plan) / (time.perf_counter() - start)
            note = f"{_megabytes(file) / len(plan):.2f} MB each, written at {written:.1f} per second"
            data = SampleDataset(SampleFile(file), statistics)
            _measure(f"training file, {precision}", data, arguments.repeat, note)
        records = Path(folder, "records.tfrecord.GZIP")
        write_raw(records, (record_of_sample(sample) for sample in planned))
        note = f"{records.stat().st_size / 1e6 / len(plan):.2f} MB each"
        _measure("TFRecord, gzip", SampleDataset([records], statistics), arguments.repeat, note)


def _measure(name: str, data: Sequence[Any] | SampleDataset, repeat: int, note: str = "") -> None:
    speeds = []
    for _ in range(repeat):
        start = time.perf_counter()
        for index in range(len(data)):
            data[index]
        speeds.append(len(data) / (time.perf_counter() - start))
    print(f"{name:24s} {max(speeds):7.1f} samples per second  {note}", flush=True)


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=128, help="edge of the samples in pixels")
    parser.add_argument("--samples", type=int, default=16, help="number of samples")
    parser.add_argument("--repeat", type=int, default=2, help="passes; the best counts")
    return parser.parse_args()


if __name__ == "__main__":
    main()
