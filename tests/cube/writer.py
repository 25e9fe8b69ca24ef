"""A helper process that appends to cubes, so that tests can kill it for real.

It reads one JSON task per line, forks a child that does it and can be killed, prints the child's number, and
then how the child ended. Forking before Zarr has started its threads makes each child cheap and clean.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr.storage._local as local_store

from terradelta.cube import SarAcquisition, append, append_all
from terradelta.cube.locking import exclusive

BANDS = ("VV", "VH")


def acquisition(number: int, size: tuple[int, int]) -> SarAcquisition:
    """Make the same image for the same number, with a border without data."""
    random = np.random.default_rng(number)
    image = random.gamma(4.0, 0.02, (2, *size)).astype(np.float32)
    image[:, :, : size[1] // 8] = np.nan
    moment = np.datetime64("2020-01-01T17:30", "ns") + np.timedelta64(6 * (number * 7 % 11), "D")
    return SarAcquisition(
        time=moment, bands=BANDS, backscatter=image, orbit_direction="ascending", relative_orbit=37,
        platform="S1A", incidence_angle=39.5, heading=-12.0, source_id=f"image-{number}",
    )  # fmt: skip


def die_at(count: int, after: bool) -> None:
    """Kill this process just before (or after) the given number of files was put in place."""
    replace, left = Path.replace, [count]

    def counted(self: Path, target: Any) -> Path:
        left[0] -= 1
        if left[0] < 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = replace(self, target)
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = counted  # type: ignore[method-assign,assignment]


def slow_down(seconds: float) -> None:
    put = local_store._put

    def slowly(*args: Any, **kwargs: Any) -> int:
        time.sleep(seconds)
        return put(*args, **kwargs)

    local_store._put = slowly


def work(task: dict[str, Any]) -> None:
    if "die_at" in task:
        die_at(task["die_at"], task.get("after", False))
    if "file_limit" in task:
        resource.setrlimit(resource.RLIMIT_FSIZE, (task["file_limit"], task["file_limit"]))
    if "slow" in task:
        slow_down(task["slow"])
    if "hold" in task:
        with exclusive(Path(task["path"])):
            Path(task["path"], "..", "held").touch()
            time.sleep(task["hold"])
        return
    if task.get("together"):
        append_all(task["path"], (acquisition(number, tuple(task["size"])) for number in task["numbers"]))
        return
    for number in task["numbers"]:
        append(task["path"], acquisition(number, tuple(task["size"])), timeout=task.get("timeout", 60.0))


def child(task: dict[str, Any]) -> None:
    try:
        work(task)
    except BaseException as error:
        Path(task["path"] + ".error").write_text(f"{type(error).__name__}: {error}")
        os._exit(3)
    os._exit(0)


def answer(numbers: list[int]) -> None:
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()


def main() -> None:
    for line in sys.stdin:
        tasks = json.loads(line)
        children = []
        for task in tasks:
            number = os.fork()
            if number == 0:
                child(task)
            children.append(number)
        answer(children)
        answer([os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) for number in children])


if __name__ == "__main__":
    main()
