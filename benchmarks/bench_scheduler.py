"""What a scheduler brings and costs: monitoring and prediction here, on one worker and on two, in one run.

Every worker is a process of this machine with one thread, and so is "here". The results are compared byte by
byte. Besides: the time to start and to connect, empty tasks per second, and bytes per second of results.

    OMP_NUM_THREADS=1 python benchmarks/bench_scheduler.py
    OMP_NUM_THREADS=1 python benchmarks/bench_scheduler.py --size 64 --years 0.8 --tile 48 --repeats 1
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from distributed import LocalCluster
from numpy.typing import NDArray

import terradelta as td
from terradelta.expected import ExpectedImage, predict
from terradelta.expected.networks.conditioned import ConditionedUNet, ConditionedUNetConfig
from terradelta.expected.preparation import Preparation
from terradelta.expected.statistics import Statistics
from terradelta.tasks import mapped
from terradelta.urban import ERCNN, monitor
from terradelta.workflows.executing import executing

MIB = 2**20
JOBS = ("monitor", "predict")


def started(workers: int) -> LocalCluster:
    """Start a scheduler with some workers."""
    return LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1",
        memory_limit=0,
    )  # fmt: skip


def seconds(call: Callable[[], Any]) -> float:
    """Time a call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def content(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def zeros(count: int) -> NDArray[np.uint8]:
    """Make bytes that hardly compress."""
    return np.random.default_rng(count).integers(0, 256, count, np.uint8)


def cost(repeats: int) -> dict[str, float]:
    """Measure what a scheduler takes by itself."""
    clusters: list[LocalCluster] = []
    found = {"start s": seconds(lambda: clusters.append(started(2)))}
    with clusters[0] as cluster:
        address = cluster.scheduler_address

        def connect() -> None:
            with executing(address):
                pass

        def times(work: Callable[[Any], Any]) -> float:
            with executing(address) as executor:
                work(executor)
                return median(seconds(lambda: work(executor)) for _ in range(repeats))

        found["connect s"] = median(seconds(connect) for _ in range(repeats))
        for ahead in (4, 64):
            took = times(lambda executor, ahead=ahead: list(mapped(executor, abs, range(300), ahead=ahead)))
            found[f"empty tasks/s, {ahead} ahead"] = 300 / took
        took = times(lambda executor: list(mapped(executor, zeros, [16 * MIB] * 8)))
        made = seconds(lambda: zeros(16 * MIB))
        found["results MiB/s"] = 8 * 16 / (took - 8 * made / 2)
    return found


class Jobs:
    """The same work in one place or another."""

    def __init__(self, told: argparse.Namespace, folder: Path) -> None:
        place = td.simulate.place(seed=1, size=told.size, years=told.years, changes=0)
        self.cube, self._folder, self._told = folder / "place.zarr", folder, told
        td.cube.write_cube(place, self.cube)
        torch.manual_seed(0)
        self._net = ERCNN("s1s2").eval()
        network = ConditionedUNet(ConditionedUNetConfig(weather=False), static=0)
        statistics = Statistics(-14.0, 20.25, 300.0, 10.0, 50.0)
        self._model = ExpectedImage(network, statistics, Preparation("lee", "median"))
        self._count = 0

    def _store(self) -> Path:
        self._count += 1
        return self._folder / f"{self._count}.zarr"

    def monitor(self, executor: Any, steps: list[int]) -> Path:
        """Map one network's windows."""
        store, tile = self._store(), self._told.tile

        def progress(label: str, total: int) -> Any:
            steps.append(total)
            return nullcontext(lambda _: None)

        monitor(
            self.cube, self._net, tile=tile, fewest=10, store=store, executor=executor, progress=progress
        )  # fmt: skip
        return store

    def predict(self, executor: Any, steps: list[int]) -> Path:
        """Expect the last image."""
        store = self._store()
        block = self._told.block
        predict(self._model, self.cube, block=block, memory=8e9, store=store, executor=executor, device="cpu")
        return store


def compared(jobs: Jobs, name: str, repeats: int) -> dict[str, Any]:
    """Run a job here, on one worker and on two, in turns."""
    work: Callable[[Any, list[int]], Path] = getattr(jobs, name)
    times: dict[str, list[float]] = {}
    steps: list[int] = []
    truth: dict[str, bytes] = {}
    with started(1) as one, started(2) as two:
        places = {"here": None, "1 worker": one.scheduler_address, "2 workers": two.scheduler_address}
        for turn in range(repeats + 1):  # the first one warms up
            for place, address in places.items():
                with executing(address, reads=[jobs.cube]) as executor:
                    began = time.perf_counter()
                    store = work(executor, steps)
                    if turn:
                        times.setdefault(place, []).append(time.perf_counter() - began)
                found = content(store)
                truth = truth or found
                assert found == truth, f"{place} gives other bytes"
    middles = {place: median(all_) for place, all_ in times.items()}
    told: dict[str, Any] = {"job": name, **{f"{place} s": value for place, value in middles.items()}}
    told["2 workers / 1 worker"] = middles["1 worker"] / middles["2 workers"]
    told["1 worker / here"] = middles["1 worker"] / middles["here"]
    if steps:
        told["frames"] = steps[0]
    return told


def main() -> None:
    """Measure and print one JSON line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256, help="pixels on a side of the place")
    parser.add_argument("--years", type=float, default=1.0)
    parser.add_argument("--tile", type=int, default=80, help="tile of monitoring, dead zone included")
    parser.add_argument("--block", type=int, default=128, help="block of prediction")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    told = parser.parse_args()
    torch.set_num_threads(1)
    show(cost(told.repeats))
    with tempfile.TemporaryDirectory() as folder:
        jobs = Jobs(told, Path(folder))
        for name in told.jobs:
            show(compared(jobs, name, told.repeats))


def show(row: dict[str, Any]) -> None:
    """Print figures as a line of JSON."""
    short = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
    print(json.dumps(short), flush=True)


if __name__ == "__main__":
    main()
