"""Transfer: seconds and peak memory of a training step, with all windows kept and with one at a time.

Each case runs in a process of its own on random observations (the time does not depend on them). On the CPU
the memory is the largest resident one above that before the step; on a GPU the largest that PyTorch held.
`plain` keeps all windows for the gradient, `saving` is what transfer does, `stepwise` is the plain way with
the recurrence differentiated step by step by PyTorch.

    python benchmarks/bench_transfer.py --batch 8 --windows 1 5 10
    python benchmarks/bench_transfer.py --batch 8 --windows 10 --device cuda --precision bfloat16
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from terradelta.urban import ERCNN, S1S2
from terradelta.urban.convlstm import ConvLSTM
from terradelta.urban.training.batch import WindowBatch
from terradelta.urban.training.loss import tanimoto_loss
from terradelta.urban.training.winning import maximum_over_windows

MIB = 2**20
WAYS = ("plain", "saving", "stepwise")


def batch_of(count: int, windows: int, steps: int, size: int) -> WindowBatch:
    """Make tiles whose windows overlap by a little less than a half, as in a transfer."""
    stride = (steps * 50) // 92
    frames = torch.rand(count, steps + stride * (windows - 1), S1S2.channels, size, size)
    first = stride * torch.arange(windows)
    limits = torch.stack([first, first + steps], 1).expand(count, -1, -1)
    label = (torch.rand(count, size, size) > 0.9).float()
    return WindowBatch(frames, limits, label, torch.zeros_like(label, dtype=torch.bool), ("tile",) * count)


def step_by_step(memory: ConvLSTM, packed: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Do what `ConvLSTM.remember` does with PyTorch's own differentiation; all windows are of one length."""
    steps = real.shape[1]
    x = packed.unflatten(0, (steps, -1)).transpose(0, 1)  # type: ignore[no-untyped-call]
    return list(memory.states(x, real.sum(1)))[-1]


def measure(told: argparse.Namespace) -> dict[str, float]:
    """Run steps of one case; give seconds of the quickest, and MiB."""
    torch.manual_seed(0)
    device = torch.device(told.device)
    net = ERCNN("s1s2").to(device).train()
    batch = batch_of(told.batch, told.windows[0], told.steps, told.size)
    batch = WindowBatch(*(part.to(device) for part in batch[:4]), batch.names)  # type: ignore[arg-type]
    if told.way == "stepwise":
        ConvLSTM.remember = step_by_step  # type: ignore[assignment]
    begun = resident()
    seconds = []
    for _ in range(told.repeat):
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=told.precision == "bfloat16"):
            found = maximum_over_windows(net, batch, saving=told.way == "saving")
        tanimoto_loss(found.float(), batch.label).backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else resident(peak=True) - begun
    return {"seconds": min(seconds), "mib": peak / MIB}


def resident(*, peak: bool = False) -> int:
    """Give the resident memory of this process, B."""
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def case(told: argparse.Namespace, way: str, windows: int) -> dict[str, float]:
    """Measure one case in a process of its own."""
    command = [sys.executable, __file__, "--way", way, "--windows", str(windows)]
    for name in ("batch", "steps", "size", "device", "precision", "repeat"):
        command += [f"--{name}", str(getattr(told, name))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--windows", type=int, nargs="+", default=[10])
    parser.add_argument("--steps", type=int, default=92, help="observations in a window")
    parser.add_argument("--size", type=int, default=32, help="pixels on a side of a tile")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["plain", "saving"])
    parser.add_argument("--tiles", type=int, default=120, help="of an epoch")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.way:
        print(json.dumps(measure(told)))
        return
    print("| windows | way | step, s | tiles/s | epoch, min | peak memory, MiB |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    for windows in told.windows:
        found = {way: case(told, way, windows) for way in told.ways}
        for way, one in found.items():
            rate = told.batch / one["seconds"]
            epoch = told.tiles / rate / 60
            print(
                f"| {windows} | {way} | {one['seconds']:.1f} | {rate:.3f} | {epoch:.1f} | {one['mib']:.0f} |"
            )
        if {"plain", "saving"} <= found.keys():
            plain, saving = found["plain"], found["saving"]
            memory, seconds = (saving[key] / plain[key] for key in ("mib", "seconds"))
            print(
                f"{windows} windows: saving / plain = {memory:.2f} of the memory, {seconds:.2f} of the time"
            )


if __name__ == "__main__":
    main()
