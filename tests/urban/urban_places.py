"""Small places, networks and a simple way to the maps, for the tests of monitoring; also run as a process."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube import OpticalAcquisition, SarAcquisition, append_all, create_cube, open_cube
from terradelta.urban import ERCNN, Era, Stack, monitor
from terradelta.windows import time_windows

TINY = Era(
    name="tiny", sar_bands=("VV",), optical_bands=("B1", "B2"), step=np.timedelta64(2, "D"),
    window=np.timedelta64(20, "D"), fewest=3, most=20, sar_filters=2, optical_filters=2, resolution=10.0,
)  # fmt: skip
GRID = GeoBox.from_bbox((500_000, 0, 500_280, 200), "EPSG:32631", resolution=10)
SETTINGS: dict[str, Any] = {"stride": 3, "tile": 24, "dead_zone": 4}
"""Four pieces, with seams."""

START = np.datetime64("2020-01-01T10:00", "ns")


def network(seed: int = 0, era: Era = TINY, branches: str = "both") -> ERCNN:
    """Make a network with random weights whose maps are neither flat nor saturated."""
    torch.manual_seed(seed)
    net = ERCNN(era, branches)
    with torch.no_grad():
        for block in net.modules():
            if isinstance(block, torch.nn.BatchNorm2d):
                block.running_mean.uniform_(-0.2, 0.2)
                block.running_var.uniform_(0.5, 2)
        net.out.weight.mul_(3)
    net.origin = f"random {seed}"
    return net.eval()


def acquisition(number: int, grid: GeoBox = GRID) -> SarAcquisition | OpticalAcquisition:
    """Make the same image for the same number: in turns ascending, optical, descending; one every 2 days."""
    random = np.random.default_rng(number)
    moment = START + np.timedelta64(2 * number, "D")
    if number % 3 == 1:
        image = random.random((2, *grid.shape), dtype=np.float32)
        clear = random.random(grid.shape) > 0.3
        return OpticalAcquisition(
            time=moment, bands=("B2", "B1"), reflectance=image, clear=clear, platform="S2A"
        )
    image = random.gamma(2.0, 0.1, (1, *grid.shape)).astype(np.float32)
    image[:, : number % 7] = np.nan
    direction = "ascending" if number % 3 == 0 else "descending"
    return SarAcquisition(
        time=moment,
        bands=("VV",),
        backscatter=image,
        orbit_direction=direction,
        platform="S1A",
        relative_orbit=7,
    )


def fill(path: Path, numbers: range, grid: GeoBox = GRID) -> Path:
    """Append images to a cube, made where it is missing."""
    create_cube(path, grid)
    append_all(path, (acquisition(number, grid) for number in numbers))
    return path


def plain_maps(
    cube: xr.DataTree, nets: list[ERCNN], rows: slice, columns: slice, *, stride: int, mirrored: int = 0
) -> NDArray[np.float32]:
    """Run the plain networks on one rectangle and every window, one by one: (net, window, y, x).

    With `mirrored`, the rectangle is widened by so many pixels in mirror image, and narrowed again.
    """
    era = nets[0].era
    stack = Stack.of(cube, era, branches=nets[0].branches)
    frames = np.stack([frame.copy() for frame in stack.frames(rows, columns)])
    margin = (mirrored, mirrored)
    frames = np.pad(frames, ((0, 0), (0, 0), margin, margin), mode="symmetric")
    inner = slice(mirrored, -mirrored or None)
    windows = time_windows(stack.times, length=era.window, stride=stride, fewest=era.fewest, most=era.most)
    windows = [w for w in windows if w.stop < len(stack.times) or len(w) == era.most]
    with torch.inference_mode():
        parts = [(torch.tensor(frames[None, w.slice]), torch.tensor([len(w)])) for w in windows]
        maps = np.stack([np.concatenate([net(*part).numpy() for part in parts]) for net in nets])
    return maps[..., inner, inner]


def die_at(count: int, after: bool) -> list[int]:
    """Kill this process just before (or after) the given number of files was put in place; count them."""
    replace, done = Path.replace, [0]

    def counted(self: Path, target: object) -> Path:
        if done[0] == count and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = replace(self, target)
        if done[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        done[0] += 1
        return result

    Path.replace = counted
    return done


def child(task: dict[str, Any]) -> None:
    try:
        torch.set_num_threads(1)
        done = die_at(task.get("die_at", -1), task.get("after", False))
        monitor(open_cube(task["cube"]), [network(0), network(1)], store=task["store"], **SETTINGS)
        Path(task["store"] + ".count").write_text(str(done[0]))
    except BaseException as error:
        Path(task["store"] + ".error").write_text(f"{type(error).__name__}: {error}")
        os._exit(3)
    os._exit(0)


def main() -> None:
    """Read one task per line, do each in a child that can be killed, and tell how it ended."""
    for line in sys.stdin:
        number = os.fork()
        if number == 0:
            child(json.loads(line))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
