"""Training step and forward pass of the published network, beside the same network in Keras.

    python benchmarks/bench_unet.py --tensorflow PYTHON_WITH_TENSORFLOW

Both have the same weights and input; each round times every contestant once, so that other work on the
machine meets all of them. Printed are seconds per sample (best, median) and the median over the rounds of the
ratio to Keras; and how much the outputs differ.
"""

from __future__ import annotations

import argparse
import json
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
from torch import Tensor

from terradelta.expected.networks.unet import UNet
from terradelta.expected.networks.unet_config import UNetConfig
from terradelta.expected.networks.unet_keras import keras_arrays

Run = Callable[[str], float]


class Case:
    """One network and one batch."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        preset = getattr(UNetConfig, args.preset)
        self.net = UNet(preset(args.size))
        self.stack = torch.randn(args.batch, 9, args.size, args.size) / 2
        self.vector = torch.rand(args.batch, len(self.net.entries))
        self.target = torch.rand(args.batch, 2, args.size, args.size)

    def write(self, folder: Path, precision: str) -> None:
        """Write what `keras_unet.py` reads."""
        config = self.net.config
        stages = {
            name: [(each.filters, each.kernel) for each in getattr(config, name)]
            for name in ("encoder", "decoder")
        }
        more = {"threads": torch.get_num_threads(), "precision": precision}
        (folder / "stages.json").write_text(json.dumps({**stages, **more}), encoding="utf-8")
        images = {name: getattr(self, name).permute(0, 2, 3, 1).numpy() for name in ("stack", "target")}
        np.savez(folder / "case.npz", vector=self.vector.numpy(), **images, **keras_arrays(self.net))


def ours(case: Case, precision: str, layout: str) -> tuple[Run, Callable[[], Tensor]]:
    """Give a function that does one thing and tells the seconds, and one that gives the output."""
    kind = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    net = UNet(case.net.config)
    net.load_state_dict(case.net.state_dict())
    net = net.to(memory_format=kind)
    stack = case.stack.contiguous(memory_format=kind)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, eps=1e-7, weight_decay=0.0)
    half = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

    def forward() -> Tensor:
        net.eval()
        with torch.inference_mode(), half:
            return net.published(stack, case.vector)

    def step() -> None:
        net.train()
        optimiser.zero_grad()
        with half:
            mean = net.published(stack, case.vector)
        (mean - case.target).square().mean().backward()
        optimiser.step()

    def once(what: str) -> float:
        began = time.perf_counter()
        forward() if what == "forward" else step()
        return time.perf_counter() - began

    return once, forward


@contextmanager
def keras(interpreter: str, folder: Path) -> Iterator[Run | None]:
    """Start the other interpreter; gives a function that does one thing and tells the seconds."""
    find = "import importlib.util as u, sys; sys.exit(u.find_spec('tensorflow') is None)"
    if subprocess.run([interpreter, "-c", find]).returncode:
        print("no TensorFlow: the comparison with Keras is left out (--tensorflow PYTHON)")
        yield None
        return
    command = [interpreter, str(Path(__file__).with_name("keras_unet.py")), str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:

        def once(what: str) -> float:
            server.stdin.write(f"{what}\n")
            server.stdin.flush()
            return float(server.stdout.readline())

        yield once
        server.stdin.close()


def report(name: str, every: list[float], base: list[float] | None, batch: int) -> None:
    """Print one line."""
    line = (
        f"{name:34s} {min(every) / batch:8.4f} s per sample (best), {np.median(every) / batch:8.4f} (median)"
    )
    if base is not None:
        ratio = np.median(np.array(base) / np.array(every))
        line += f", {ratio:5.2f} x Keras, {min(base) / min(every):5.2f} x (best)"
    print(line)


def compare(args: argparse.Namespace, precision: str) -> None:
    """Print one table."""
    case = Case(args)
    runs: dict[str, Run] = {}
    outputs: dict[str, Tensor] = {}
    for layout in args.layouts:
        runs[layout], forward = ours(case, precision, layout)
        outputs[layout] = forward()
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as text:
        case.write(Path(text), precision)
        with keras(args.tensorflow, Path(text)) as once:
            if once is not None:
                runs["Keras"] = once
            for what in ("forward", "step"):
                for each in runs.values():
                    each(what)
                for _ in range(args.repeat):
                    for name, each in runs.items():
                        times.setdefault((what, name), []).append(each(what))
            if once is not None:
                outputs["Keras"] = torch.from_numpy(np.load(Path(text) / "output.npy")).permute(0, 3, 1, 2)
    print(f"\n{args.preset}, {args.size} x {args.size}, batch {args.batch}, {precision}")
    for (what, name), every in times.items():
        report(f"{what}, {name}", every, times.get((what, "Keras")), args.batch)
    first, *rest = outputs
    for name in rest:
        error = (outputs[first] - outputs[name]).abs().max().item()
        print(f"largest difference of the outputs, {first} and {name}: {error:.1e}")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="code_default", choices=["code_default", "paper", "tiny"])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument(
        "--layouts",
        nargs="+",
        default=["contiguous", "channels_last"],
        choices=["contiguous", "channels_last"],
    )
    parser.add_argument("--tensorflow", default=sys.executable, help="an interpreter that has TensorFlow")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    print(f"load {os.getloadavg()[0]:.1f}")
    for precision in args.precision:
        compare(args, precision)


if __name__ == "__main__":
    main()
