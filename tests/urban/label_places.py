"""A small place to label, and the obvious way to its labels; also run as a process that can be killed."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube import OpticalAcquisition, SarAcquisition, append_all, create_cube, open_cube
from terradelta.optical import Bands, BetaSums, beta_sums
from terradelta.urban.era import Era
from terradelta.urban.labels import LabelRule, label_of_window, mean_frame
from terradelta.urban.labels.series import synthetic_labels
from terradelta.urban.plan import PROCESS_BYTES
from terradelta.urban.stack import Stack
from terradelta.windows import Slices, time_windows

ERA = Era(
    name="tiny", sar_bands=("VV", "VH"), optical_bands=("B1", "B2", "B3", "B4", "B5"),
    step=np.timedelta64(2, "D"), window=np.timedelta64(24, "D"), fewest=4, most=20, sar_filters=2,
    optical_filters=2, resolution=10.0,
)  # fmt: skip
BANDS = Bands(1, 0, 3, 4)
RULE = LabelRule(looks=4, significance=0.1, gain=3, shift=0.25, bands=BANDS)
PUBLISHED = LabelRule(looks=4, significance=0.05, gain=10, shift=0.25, bands=BANDS, as_published=True)
SETTINGS: dict[str, Any] = {"stride": 3, "rule": RULE}
SMALL = PROCESS_BYTES + 2 * 2**20
"""Memory that makes blocks of 32 pixels."""
GRID = GeoBox.from_bbox((500_000, 0, 500_750, 600), "EPSG:32631", resolution=10)
START = np.datetime64("2020-01-01T10:00", "ns")


def acquisition(number: int) -> SarAcquisition | OpticalAcquisition:
    """Make the same image for the same number; some share a step, and a corner is seen late or never."""
    random = np.random.default_rng(number)
    moment = START + np.timedelta64(39 * number, "h")
    late = number > 40
    if number % 3 == 1:
        image = random.uniform(0.05, 0.5, (5, *GRID.shape)).astype(np.float32)
        image[:, 20:50, 10:60] *= 1.6 if late else 1
        image[:, 5, 5:9] = 0
        clear = random.random(GRID.shape) > 0.3
        clear[:12, :9] = False
        clear[40:, 50:] &= number > 22
        return OpticalAcquisition(
            time=moment, bands=ERA.optical_bands, reflectance=image, clear=clear, platform="S2A"
        )
    image = random.gamma(4.0, 0.025, (2, *GRID.shape)).astype(np.float32)
    image[:, 20:50, 10:60] *= 12 if late else 1
    image[:, :, : number % 7] = np.nan
    image[1, 55:, 3] = np.nan
    image[:, 30:34, 66:] = np.nan
    return SarAcquisition(
        time=moment, bands=("VV", "VH"), backscatter=image,
        orbit_direction="ascending" if number % 3 == 0 else "descending", platform="S1A", relative_orbit=7,
    )  # fmt: skip


def fill(path: Path, numbers: range) -> Path:
    """Append images to a cube, made where it is missing."""
    create_cube(path, GRID)
    append_all(path, map(acquisition, numbers))
    return path


def plain_labels(
    cube: xr.DataTree, rule: LabelRule, stride: int, **period: Any
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Label every window by itself from whole arrays: labels (window, y, x), and β (window, 2)."""
    stack = Stack.of(cube, ERA, **period)
    everywhere = (slice(0, stack.size.y), slice(0, stack.size.x))
    frames = np.stack([frame.copy() for frame in stack.frames(*everywhere)])
    windows = time_windows(
        stack.times, length=ERA.window, stride=stride, fewest=ERA.fewest, most=ERA.most, triples=True
    )
    labels, betas = [], []
    for window in windows:
        before, after = frames[window.previous, 4:], frames[window.next, 4:]
        betas.append([_beta(each, rule) for each in (before, after)])
        if rule.as_published:
            radar = [frames[window.slice, :2], frames[window.slice, 2:4]]
        else:
            span = stack.times[[window.start - 1, window.stop - 1]]
            radar = [_observed(stack, sensor, span, everywhere) for sensor in range(2)]
        labels.append(label_of_window(*radar, before, after, betas[-1], rule))
    return np.stack(labels), np.array(betas)


def _observed(stack: Stack, which: int, span: NDArray[Any], part: Slices) -> NDArray[np.float32]:
    """Every image of one direction after the first and until the last moment, each by itself."""
    sensor = stack.sensors[which]
    wanted = np.flatnonzero((sensor.times > span[0]) & (sensor.times <= span[1]))
    images = []
    for index in wanted.tolist():
        values, good = sensor.read(index, part, np.ones(stack.size, bool))
        images.append(np.where(good, np.asarray(values)[list(sensor.bands)], np.nan))
    return np.array(images, np.float32)


def _beta(frames: NDArray[np.float32], rule: LabelRule) -> float:
    mean = mean_frame(frames, as_published=rule.as_published)
    if not rule.as_published:
        return beta_sums(mean, rule.bands).beta
    total = BetaSums()
    for y in range(0, mean.shape[1] - 31, 32):
        for x in range(0, mean.shape[2] - 31, 32):
            total += beta_sums(mean[:, y : y + 32, x : x + 32], rule.bands, as_published=True)
    return total.beta


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
        done = die_at(task.get("die_at", -1), task.get("after", False))
        synthetic_labels(open_cube(task["cube"]), ERA, task["store"], memory=SMALL, **SETTINGS)
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
