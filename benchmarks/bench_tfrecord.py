r"""Reading of the published data set: seconds per sample, beside TensorFlow's reader in the same run.

Without files, small ones are made up. The two readers take turns, so that both meet the same other load.

    python benchmarks/bench_tfrecord.py --raw raw.tfrecord.GZIP --change change.tfrecord.GZIP \
        --tensorflow /path/to/python --baselines baselines.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from terradelta.tfrecord import RawRecord, read_many, read_raw, write_raw

KEYS = {"raw": "raw", "change": "with_simulated_change"}


def made_up(folder: Path, size: int) -> Path:
    """Three records of noise in steps of half a decibel."""
    rng = np.random.default_rng(0)

    def image(*shape: int) -> np.ndarray:
        return np.round(rng.normal(-11, 3, shape) * 2).astype(np.float32) / 2

    four = np.zeros(4)
    record = RawRecord(
        image_location="POINT (62 25)", dem_rast=image(size, size), forestmask=image(size, size),
        input_image_stack=image(8, size, size), target_image=image(2, size, size),
        input_image_temperatures=four, input_image_snow_depths=four, input_image_platform_headings=four,
        input_image_incidence_angles=four, input_image_precipitations=np.zeros((4, 4)),
        input_image_mission_ids=("S1A",) * 4, input_image_start_times=("2021-01-01",) * 4,
        input_image_data_take_ids=("1",) * 4, target_image_temperature=0.0, target_image_snow_depth=0.0,
        target_image_platform_heading=0.0, target_image_incidence_angle=0.0,
        target_image_precipitations=four, target_image_mission_id="S1A",
        target_image_start_time="2021-01-02", target_image_data_take_id="1",
    )  # fmt: skip
    write_raw(folder / "made.tfrecord.GZIP", [record] * 3)
    return folder / "made.tfrecord.GZIP"


def ours(file: Path, copies: int) -> float:
    """Seconds per sample of one pass; several copies of a file in parallel."""
    start = time.perf_counter()
    samples = read_raw(file) if copies == 1 else read_many([file] * copies, read_raw, workers=copies)
    count = sum(1 for _ in samples)
    return (time.perf_counter() - start) / count


def measure(kind: str, file: Path, told: argparse.Namespace) -> None:
    """Take turns with TensorFlow, and print medians."""
    single, parallel, theirs = [], [], []
    for _ in range(told.repeat):
        single += [ours(file, 1) for _ in range(3)]
        parallel.append(ours(file, 2))
        if told.tensorflow:
            reader = Path(__file__).with_name("tf_records.py")
            done = subprocess.run(
                [told.tensorflow, reader, file, kind, "3"], capture_output=True, text=True, check=True
            )
            theirs += [float(line) for line in done.stdout.split()[1:]]
    line = f"{kind}: {median(single) * 1e3:.1f} ms per sample (least {min(single) * 1e3:.1f})"
    line += f", two files at once {median(parallel) * 1e3:.1f} ms"
    if theirs:
        line += f"; TensorFlow {median(theirs) * 1e3:.1f} ms (least {min(theirs) * 1e3:.1f})"
        line += f": {median(theirs) / median(single):.1f} times as fast"
        line += f", {median(theirs) / median(parallel):.1f}"
    if told.baselines:
        known = json.loads(told.baselines.read_text())["read_and_parse_s_per_sample"][KEYS[kind]]["median"]
        line += f"; {known / median(single):.1f} times faster than the stored {known * 1e3:.1f} ms"
    print(line, flush=True)


def main() -> None:
    """Measure what the command line tells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, help="published raw file")
    parser.add_argument("--change", type=Path, help="published file with simulated change")
    parser.add_argument("--size", type=int, default=512, help="edge of the made-up images")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tensorflow", help="Python with TensorFlow")
    parser.add_argument("--baselines", type=Path, help="JSON with stored figures")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {"raw": told.raw, "change": told.change}
        if not any(files.values()):
            files = {"raw": made_up(Path(folder), told.size)}
        for kind, file in files.items():
            if file:
                measure(kind, file, told)


if __name__ == "__main__":
    main()
