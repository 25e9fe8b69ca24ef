"""Methods of the expected image and pre-trained transformers: time and memory per method, in one run.

Each method runs in a process of its own on the same series: ten previous images and a target, two bands, from
linear power to the score. Seconds are processor seconds of one thread, so that a busy machine counts less;
the load average is printed beside them. Memory is what the process grew by at most, beyond the series itself.

    python benchmarks/bench_peers.py --wheel distmetrics-1.0.8-py3-none-any.whl --size 256 512
"""

from __future__ import annotations

import argparse
import platform

from terradelta.evaluate.peers.cost import Task, measure

METHODS = ("robust", "last-raw", "last-smooth", "z-median", "omnibus")
HEAD = (
    "method",
    "pixels",
    "s / Mpx",
    "of these despeckling",
    "only the newest to despeckle",
    "on the clock",
    "peak MiB",
    "load",
)


def tasks(options: argparse.Namespace) -> dict[str, Task]:
    """Name what is measured."""
    found = {key: Task(key) for key in options.methods}
    if options.network:
        found["conditioned network"] = Task("conditioned", network=options.network)
    if options.wheel:
        from terradelta.expected.peers import weight_sets

        for name in options.sets or weight_sets(options.wheel):
            for stride in options.strides:
                found[f"{name}, stride {stride}"] = Task(name, options.wheel, name, stride)
    return found


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheel", default="", help="package of distmetrics; without it only our methods")
    parser.add_argument("--sets", nargs="*", default=[], help="weight sets (default: all)")
    parser.add_argument("--strides", type=int, nargs="+", default=[16, 7, 4], help="default: 16 7 4")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), help=f"default: {' '.join(METHODS)}")
    parser.add_argument("--network", default="", help="model folder of a conditioned network")
    parser.add_argument("--size", type=int, nargs="+", default=[256], help="rows and columns (default: 256)")
    parser.add_argument("--repeat", type=int, default=1, help="the best of so many runs counts (default: 1)")
    options = parser.parse_args()
    print(f"Ten previous images, two bands, one thread, {platform.machine()}\n")
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    for size in options.size:
        for label, task in tasks(options).items():
            cost = measure(task, size, repeat=options.repeat)
            seconds = (cost.seconds, cost.despeckling, cost.newest, cost.wall)
            cells = [label, str(size), *(f"{value:.2f}" for value in seconds)]
            print(f"| {' | '.join([*cells, f'{cost.memory:.0f}', f'{cost.load:.1f}'])} |", flush=True)


if __name__ == "__main__":
    main()
