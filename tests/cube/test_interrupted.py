from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.cube import append, append_all, check_cube, create_cube, open_cube
from terradelta.errors import LockedError

SIZE = (40, 56)
NUMBERS = list(range(4))


def make(path: Path, size: tuple[int, int] = SIZE) -> Path:
    create_cube(path, GeoBox(size, Affine(10.0, 0.0, 5e5, 0.0, -10.0, 56e5), "EPSG:32631"))
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: Any, images: Any) -> dict[str, bytes]:
    path = make(tmp_path_factory.mktemp("undisturbed") / "cube.zarr")
    for number in NUMBERS:
        append(path, images.acquisition(number, SIZE))
    return contents(path)


def require_readable(path: Path, images: Any, size: tuple[int, int] = SIZE) -> int:
    """Check that exactly the first acquisitions are there, whole, and tell how many."""
    tree = open_cube(path)
    if "sar" not in tree.children:
        return 0
    sar = tree["sar"].to_dataset()
    wanted = {a.time: a for a in (images.acquisition(n, size) for n in range(sar.sizes["time"]))}
    assert set(sar.time.values) == set(wanted)
    for moment, image in wanted.items():
        np.testing.assert_array_equal(sar.backscatter.sel(time=moment).values, image.backscatter)
    assert check_cube(path) == []
    return len(wanted)


@pytest.mark.parametrize(
    ("after", "step"),
    [
        pytest.param(False, 9, id="before some"),
        pytest.param(False, 1, id="before each", marks=pytest.mark.slow),
        pytest.param(True, 1, id="after each", marks=pytest.mark.slow),
    ],
)
def test_kill_at_every_file_leaves_a_readable_cube_and_the_same_command_completes_it(
    tmp_path: Path, writer: Any, images: Any, undisturbed: dict[str, bytes], after: bool, step: int
) -> None:
    seen = []
    for count in range(0, 200, step):
        path = make(tmp_path / f"{count}.zarr")
        task = {"path": str(path), "numbers": NUMBERS[:2], "size": SIZE, "die_at": count, "after": after}
        writer.start(task)
        status = writer.ended()[0]
        seen.append(require_readable(path, images))
        if count % 4 == 0 or status == 0:
            for number in NUMBERS:
                append(path, images.acquisition(number, SIZE))
            assert contents(path) == undisturbed
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2}
    assert count > 40


def test_kill_at_random_moments_again_and_again(
    tmp_path: Path, writer: Any, images: Any, undisturbed: dict[str, bytes]
) -> None:
    random = np.random.default_rng(1)
    path = make(tmp_path / "cube.zarr")
    last = kills = 0
    for _ in range(40):
        number = writer.start({"path": str(path), "numbers": NUMBERS, "size": SIZE, "slow": 0.002})[0]
        time.sleep(random.uniform(0.02, 0.25))
        with suppress(ProcessLookupError):  # it was done already
            os.kill(number, signal.SIGKILL)
        kills += writer.ended()[0] == -signal.SIGKILL
        now = require_readable(path, images)
        assert now >= last
        last = now
        if last == len(NUMBERS):
            break
    assert kills >= 2
    for number in NUMBERS:
        append(path, images.acquisition(number, SIZE))
    assert contents(path) == undisturbed


@pytest.mark.parametrize("count", [3, 21, 24, 30, 42])
def test_kill_while_many_are_appended_together(
    tmp_path: Path, writer: Any, images: Any, undisturbed: dict[str, bytes], count: int
) -> None:
    path = make(tmp_path / "cube.zarr")
    task = {"path": str(path), "numbers": NUMBERS, "size": SIZE, "die_at": count, "together": True}
    writer.start(task)
    assert writer.ended() == [-signal.SIGKILL]
    assert require_readable(path, images) == 0
    assert append_all(path, (images.acquisition(n, SIZE) for n in NUMBERS)) == ["added"] * len(NUMBERS)
    assert contents(path) == undisturbed


def test_rest_of_another_acquisition_does_not_show_through(tmp_path: Path, writer: Any, images: Any) -> None:
    path = make(tmp_path / "cube.zarr")
    append(path, images.acquisition(0, SIZE))
    writer.start({"path": str(path), "numbers": [3], "size": SIZE, "die_at": 8})
    assert writer.ended() == [-signal.SIGKILL]
    append(path, images.acquisition(1, SIZE))
    assert require_readable(path, images) == 2


def test_two_processes_at_once_add_everything_once(
    tmp_path: Path, writer: Any, images: Any, undisturbed: dict[str, bytes]
) -> None:
    path = make(tmp_path / "cube.zarr")
    forth = {"path": str(path), "numbers": NUMBERS, "size": SIZE, "slow": 0.002}
    writer.start(forth, {**forth, "numbers": NUMBERS[::-1]})
    assert writer.ended() == [0, 0]
    assert check_cube(path) == []
    assert require_readable(path, images) == len(NUMBERS)


def test_a_held_cube_is_refused_with_the_holder_and_free_again_when_it_dies(
    tmp_path: Path, writer: Any, images: Any
) -> None:
    path = make(tmp_path / "cube.zarr")
    holder = writer.start({"path": str(path), "hold": 30})[0]
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(LockedError, match=rf"process {holder} .*try again"):
        append(path, images.acquisition(0, SIZE), timeout=0.1)
    assert open_cube(path) is not None
    os.kill(holder, signal.SIGKILL)
    writer.ended()
    assert append(path, images.acquisition(0, SIZE), timeout=5) == "added"


def test_no_room_in_the_file_system(tmp_path: Path, writer: Any, images: Any) -> None:
    path = make(tmp_path / "cube.zarr", (400, 400))
    append(path, images.acquisition(0, (400, 400)))
    task = {"path": str(path), "numbers": [1], "size": (400, 400), "file_limit": 200_000}
    writer.start(task)
    assert writer.ended() == [3]
    message = Path(f"{path}.error").read_text()
    assert message.startswith("StorageError: cannot write ")
    assert "\n" not in message
    assert require_readable(path, images, (400, 400)) == 1
    assert append(path, images.acquisition(1, (400, 400))) == "added"
    assert require_readable(path, images, (400, 400)) == 2
