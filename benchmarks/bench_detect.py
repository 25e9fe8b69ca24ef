"""Detection on scenes of several sizes: seconds, and peak memory against the memory setting.

Writes a synthetic radar cube (gamma speckle on a plain landscape, a square that becomes darker, a rainy
date), runs `run_detect` in a process of its own, and sums the resident memory of that process and its
workers ten times a second. Pages that processes share are counted once for each of them, so the sum is an
upper bound.

    python benchmarks/bench_detect.py --sizes 1000 4000 --memory 1GiB 2GiB --methods robust omnibus logratio
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube import SarAcquisition, append_all, create_cube
from terradelta.products import read_summary

LOOKS, BANDS = 4.4, ("VV", "VH")
_INTERVAL = 0.1
_CHILD = """
import sys
from terradelta.workflows.config import DetectSettings, load_settings
from terradelta.workflows.detect import run_detect

if __name__ == "__main__":
    cube, out, method, memory, workers = sys.argv[1:]
    given = {"cube": cube, "out": out, "method": method, "memory": memory, "workers": int(workers)}
    run_detect(load_settings(DetectSettings, given=given))
"""


def landscape(size: int) -> NDArray[np.float32]:
    """Level of the ground in dB, (band, y, x): fields of 40 pixels."""
    rng = np.random.default_rng(0)
    cells = -(-size // 40)
    fields = rng.normal(-11, 2.5, (cells, cells)).astype(np.float32)
    level = np.kron(fields, np.ones((40, 40), np.float32))[:size, :size]
    return np.stack([level, level - 6])


def scenes(size: int, dates: int) -> Iterator[SarAcquisition]:
    """Give the acquisitions one by one; at half of the time a square becomes 5 dB darker."""
    level = landscape(size)
    for date in range(dates):
        rng = np.random.default_rng([1, date])
        decibel = level + np.float32(2.0 if date == dates - 5 else 0.0)
        if date >= dates // 2:
            decibel[:, size // 3 : size // 2, size // 3 : size // 2] -= 5
        speckle = rng.standard_gamma(LOOKS, decibel.shape, dtype=np.float32) / np.float32(LOOKS)
        yield SarAcquisition(
            time=np.datetime64("2023-01-01T05:00", "ns") + np.timedelta64(12 * date, "D"),
            bands=BANDS, backscatter=10 ** (decibel / 10) * speckle, orbit_direction="descending",
            relative_orbit=37, platform="S1A", incidence_angle=39.0, heading=-167.0, source_id=f"date-{date}",
        )  # fmt: skip


def make_cube(folder: Path, size: int, dates: int) -> Path:
    """Write the cube."""
    path = folder / f"bench-{size}-{dates}.zarr"
    if not path.exists():
        create_cube(path, GeoBox((size, size), Affine(10, 0, 600_000, 0, -10, 5_600_000), "EPSG:32631"))
        append_all(path, scenes(size, dates))
    return path


def tree_memory(root: int) -> int:
    """Sum the resident memory of a process and its descendants, bytes, from /proc."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)], resident[int(entry.name)] = int(fields[1]), int(fields[21])
    total, family = 0, {root}
    for process in sorted(parents):  # children have larger numbers, but for a wrap-around
        if process in family or parents[process] in family:
            family.add(process)
            total += resident[process]
    return total * os.sysconf("SC_PAGE_SIZE")


def run(cube: Path, out: Path, method: str, memory: str, workers: int) -> tuple[float, float]:
    """Detect in a process of its own; give seconds and the peak in MiB."""
    script = out.with_suffix(".py")
    script.write_text(_CHILD)
    start, peak = time.perf_counter(), 0
    command = [sys.executable, str(script), str(cube), str(out), method, memory, str(workers)]
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid))
            time.sleep(_INTERVAL)
    if process.returncode:
        raise SystemExit(f"{method} with {memory} failed")
    return time.perf_counter() - start, peak / 2**20


def main() -> None:
    """Print one Markdown row per size, method and memory setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000])
    parser.add_argument("--dates", type=int, default=30)
    parser.add_argument("--methods", nargs="+", default=["robust", "omnibus", "logratio"])
    parser.add_argument("--memory", nargs="+", default=["2GiB"])
    parser.add_argument("--workers", type=int, default=0, help="0: one per core")
    parser.add_argument("--folder", type=Path, help="where to keep the cubes; a temporary one unless told")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    columns = ("method", "pixels", "dates", "memory", "peak", "within", "seconds", "pixel-dates/s", "changed")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for size in options.sizes:
            cube = make_cube(folder, size, options.dates)
            for memory in options.memory:
                for method in options.methods:
                    out = Path(scratch) / f"{size}-{method}-{memory}"
                    seconds, peak = run(cube, out, method, memory, options.workers)
                    report(size, options.dates, method, memory, seconds, peak, out)


def report(size: int, dates: int, method: str, memory: str, seconds: float, peak: float, out: Path) -> None:
    """Print one row."""
    from terradelta.workflows.config.base import parse_bytes

    limit = parse_bytes(memory) / 2**20
    change = read_summary(out).change
    share = change.changed_share if change is not None else 0
    cells = (
        method, f"{size}²", dates, f"{limit:.0f} MiB", f"{peak:.0f} MiB", "yes" if peak <= limit else "NO",
        f"{seconds:.0f}", f"{size * size * dates / seconds:,.0f}", f"{share:.2%}",
    )  # fmt: skip
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
