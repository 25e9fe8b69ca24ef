"""Urban monitoring: windows per second of one tile against plain PyTorch and against Keras, in one run.

The alternatives run every window by itself, 32 at once: (a) the network of this project as a plain
PyTorch module; (b) a Keras `ConvLSTM2D` network of the same shape and weights, padded to 92 steps, from
public TensorFlow, by an interpreter that has it (`--tensorflow`; left out otherwise). All maps are
compared. The rounds of all contestants alternate, so that other work on the machine hits all of them;
told are the best round and the median of the ratios within a round. The fraction of the peak is that of
the recurrent 3 x 3 convolution 26 -> 104 alone, measured in the same rounds.

    python benchmarks/bench_urban.py --tensorflow /path/to/python
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from terradelta.urban import ERCNN, S1S2, WindowRunner, load_network
from terradelta.urban.native import kernel

BATCH, STEPS, TILE = 32, 92, 32
SHARED, RECURRENT = 75e3, 56e3  # FLOP per pixel and observation


def series(count: int, seed: int) -> NDArray[np.float32]:
    """Frames (time, 17, y, x) with speckle and seasons, sized like backscatter and reflectance."""
    rng = np.random.default_rng(seed)
    frames = np.empty((count, S1S2.channels, TILE, TILE), np.float32)
    level = rng.uniform(0.05, 0.4, (S1S2.channels, TILE, TILE))
    for step, frame in enumerate(frames):
        frame[:4] = level[:4] * rng.gamma(4, 0.25, (4, TILE, TILE))
        frame[4:] = level[4:] * (1 + 0.3 * np.sin(step / 22)) + rng.normal(0, 0.01, (13, TILE, TILE))
    return frames


def plain(net: ERCNN, frames: NDArray[np.float32], windows: list[slice]) -> NDArray[np.float32]:
    """Every window by itself, 32 at once, padded to the longest of them."""
    maps = []
    with torch.inference_mode():
        for first in range(0, len(windows), BATCH):
            some = windows[first : first + BATCH]
            length = torch.tensor([window.stop - window.start for window in some])
            x = torch.zeros(len(some), int(length.max()), *frames.shape[1:])
            for row, window in enumerate(some):
                x[row, : length[row]] = torch.from_numpy(frames[window])
            maps.append(net(x, length).numpy())
    return np.concatenate(maps)


def shared(
    net: ERCNN, frames: NDArray[np.float32], windows: list[slice], precision: str
) -> NDArray[np.float32]:
    """All windows in lock-step, as `monitor` does."""
    maps = np.empty((len(windows), TILE, TILE), np.float32)
    for number, found in WindowRunner([net], precision=precision).run(frames[:, None], windows):
        maps[number] = found[0, 0]
    return maps


def keras_case(net: ERCNN, frames: NDArray[np.float32], windows: list[slice], folder: Path) -> None:
    """Write what `keras_ercnn.py` reads."""
    weights: dict[str, NDArray[np.float32]] = {}

    def kernel_of(conv: torch.nn.Conv2d) -> NDArray[np.float32]:
        return conv.weight.detach().permute(2, 3, 1, 0).numpy()

    def block(block: torch.nn.Module) -> list[list[NDArray[np.float32]]]:
        norm = block.norm
        values = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        return [
            [kernel_of(block.conv), block.conv.bias.detach().numpy()],
            [v.detach().numpy() for v in values],
        ]

    branches = (net.sar, net.optical)
    layers = [part for branch in branches for each in branch.blocks for part in block(each)]
    for memory in (branch.memory for branch in branches):
        layers.append([kernel_of(memory.input), kernel_of(memory.state), memory.input.bias.detach().numpy()])
    layers += [part for each in net.head for part in block(each)]
    layers.append([kernel_of(net.out), net.out.bias.detach().numpy()])
    for number, parts in enumerate(layers):
        weights |= {f"w{number}_{part}": value for part, value in enumerate(parts)}
    np.savez(
        folder / "case.npz",
        frames=frames.transpose(0, 2, 3, 1),
        windows=np.array([(window.start, window.stop) for window in windows]),
        steps=STEPS,
        channels=np.array([4, 13]),
        filters=np.array([S1S2.sar_filters, S1S2.optical_filters]),
        threads=torch.get_num_threads(),
        **weights,
    )


@contextmanager
def keras(interpreter: str, folder: Path) -> Iterator[Callable[[], float] | None]:
    """Start the other interpreter; gives a function that runs all windows once and tells the seconds."""
    script = str(Path(__file__).with_name("keras_ercnn.py"))
    has = subprocess.run(
        [interpreter, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('tensorflow') is None)"]
    )
    if has.returncode:
        print("no TensorFlow: the comparison with Keras is left out (--tensorflow PYTHON)")
        yield None
        return
    command = [interpreter, script, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:

        def once() -> float:
            server.stdin.write("go\n")
            server.stdin.flush()
            return float(server.stdout.readline())

        yield once
        server.stdin.close()


def timed(work: Callable[[], NDArray[np.float32]]) -> tuple[float, NDArray[np.float32]]:
    """Seconds and result."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def peak(precision: str) -> float:
    """FLOP/s of the recurrent convolution alone, on the states of 14 windows."""
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    x = torch.rand(14, 26, TILE, TILE).to(kind).contiguous(memory_format=torch.channels_last)
    w = torch.rand(104, 26, 3, 3).to(kind).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        functional.conv2d(x, w, padding=1)
        began = time.perf_counter()
        for _ in range(20):
            functional.conv2d(x, w, padding=1)
    return 20 * 2 * 9 * 26 * 104 * x.shape[0] * TILE**2 / (time.perf_counter() - began)


def compare(args: argparse.Namespace, net: ERCNN, stride: int) -> None:
    """Print one table."""
    frames = series(args.frames, args.seed)
    windows = [slice(start, start + args.length) for start in range(0, args.frames - args.length + 1, stride)]
    flop = TILE**2 * (len(windows) * args.length * RECURRENT + args.frames * SHARED)
    few = windows[: args.few]
    contestants: dict[str, Callable[[], NDArray[np.float32]]] = {
        "shared, float32": lambda: shared(net, frames, windows, "float32"),
        "shared, bfloat16": lambda: shared(net, frames, windows, "bfloat16"),
        "plain PyTorch (a)": lambda: plain(net, frames, few),
    }
    rates: dict[str, list[float]] = {}
    peaks = {"float32": 0.0, "bfloat16": 0.0}
    maps: dict[str, NDArray[np.float32]] = {}
    with tempfile.TemporaryDirectory() as folder:
        keras_case(net, frames, few, Path(folder))
        with keras(args.tensorflow, Path(folder)) as once:
            for _ in range(args.repeat):
                for precision in peaks:
                    peaks[precision] = max(peaks[precision], peak(precision))
                for name, work in contestants.items():
                    seconds, maps[name] = timed(work)
                    rates.setdefault(name, []).append(len(maps[name]) / seconds)
                if once is not None:
                    rates.setdefault("Keras (b)", []).append(len(few) / once())
                    maps["Keras (b)"] = np.load(Path(folder) / "maps.npy")
    print(f"\nstride {stride}: {len(windows)} windows of {args.length} observations, {TILE} x {TILE} pixels")
    base = rates.get("Keras (b)", rates["plain PyTorch (a)"])
    for name, every in rates.items():
        best, ratio = max(every), float(np.median(np.array(every) / base))
        line = f"{name:20s} {best:7.1f} windows/s, {best / max(base):5.1f} x (best), {ratio:5.1f} x (median)"
        if name.startswith("shared"):
            plainly, alone = best * flop / len(windows), peaks[name.split()[-1]]
            line += (
                f", {plainly / 1e9:.0f} GFLOP/s, {plainly / alone:.2f} of the convolution's {alone / 1e9:.0f}"
            )
        print(line)
    exact = maps["plain PyTorch (a)"]
    for name, found in maps.items():
        if name != "plain PyTorch (a)":
            error = np.abs(found[: len(few)] - exact)
            over = (error > 0.02).mean()
            print(f"{name:20s} maps against (a): largest {error.max():.1e}, over 0.02: {over:.3%}")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="", help="published weights; empty: random ones")
    parser.add_argument("--tensorflow", default=sys.executable, help="an interpreter that has TensorFlow")
    parser.add_argument("--strides", type=int, nargs="+", default=[5, 1])
    parser.add_argument("--frames", type=int, default=560, help="observations in all: 4 years")
    parser.add_argument("--length", type=int, default=70, help="observations in a window")
    parser.add_argument("--few", type=int, default=32, help="windows for the slow contestants")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    net = load_network(args.weights) if args.weights else ERCNN("s1s2").eval()
    built = kernel()
    how = "none" if built is None else ", ".join(built.precisions) or "none that pays here"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    print(f"compiled recurrence: {how}; load {os.getloadavg()[0]:.1f}")
    for stride in args.strides:
        compare(args, net, stride)


if __name__ == "__main__":
    main()
