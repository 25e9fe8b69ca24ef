"""From offers into a cube: order, outcomes, faults, and runs that are stopped."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from synthetic import LARGE, SMALL, Server, day, truth

from terradelta.cube import append_all, check_cube, create_cube, open_cube
from terradelta.cube.manifest import Manifest
from terradelta.errors import (
    AccessError,
    ConflictError,
    SourceError,
    StorageError,
    UnavailableError,
)
from terradelta.sources.remote.ahead import ReadAhead
from terradelta.sources.remote.collecting import Limits, collect
from terradelta.sources.remote.offers import LayerOffer


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    create_cube(tmp_path / "place.zarr", SMALL)
    return tmp_path / "place.zarr"


def pixels(cube: Path, group: str = "sar", variable: str = "backscatter") -> np.ndarray:
    return open_cube(cube)[group][variable].values


def test_what_is_offered_lies_in_the_cube_in_the_order_of_time(server: Server, cube: Path) -> None:
    offers = [server.offer(number, group) for number in (3, 1, 2) for group in ("sar", "optical")]
    result = collect(cube, offers, [], Manifest(cube))
    assert result.outcomes == {"added": 6, "there": 0}
    tree = open_cube(cube)
    assert tree["sar"].time.values.tolist() == [int(day(n).astype(int)) for n in (1, 2, 3)]
    for index, number in enumerate((1, 2, 3)):
        np.testing.assert_array_equal(pixels(cube)[index], truth(number, SMALL, 2))
        np.testing.assert_array_equal(tree["optical"].clear.values[index], truth(number, SMALL, 3)[0] > 0.1)
    assert tree["sar"].source_id.values.tolist() == ["image-1", "image-2", "image-3"]
    assert check_cube(cube) == []


def test_blocks_read_ahead_equal_images_appended_whole(server: Server, tmp_path: Path) -> None:
    offers = [server.offer(n, group) for n in range(2) for group in ("sar", "optical")]
    for name in ("ahead.zarr", "whole.zarr"):
        create_cube(tmp_path / name, LARGE)
    collect(tmp_path / "ahead.zarr", offers, [], Manifest(tmp_path / "ahead.zarr"))
    ordered = [one for one in offers if one.group == "sar"] + [
        one for one in offers if one.group == "optical"
    ]
    append_all(tmp_path / "whole.zarr", (one.load(LARGE) for one in ordered))
    for group in ("sar", "optical"):
        one, other = (
            sorted(p for p in (tmp_path / name / group).rglob("*") if p.is_file() and "c" in p.parts)
            for name in ("ahead.zarr", "whole.zarr")
        )
        assert [p.read_bytes() for p in one] == [p.read_bytes() for p in other]
    np.testing.assert_array_equal(pixels(tmp_path / "ahead.zarr")[1], truth(1, LARGE, 2))


def test_the_same_call_again_reads_nothing(server: Server, cube: Path) -> None:
    offers = [server.offer(number) for number in range(4)]
    collect(cube, offers, [], Manifest(cube))
    server.reads.clear()
    result = collect(cube, [*offers, server.offer(9)], [], Manifest(cube))
    assert result.outcomes["there"] == 4 and result.outcomes["added"] == 1
    assert server.reads == {"synthetic/sar/9": 1}


def test_empty_images_are_noted_and_not_asked_for_again(server: Server, cube: Path) -> None:
    server.empty = {"synthetic/sar/1", "synthetic/sar/2"}
    offers = [server.offer(number) for number in range(4)]
    result = collect(cube, offers, [], Manifest(cube))
    assert result.outcomes == {"added": 2, "empty": 2, "there": 0}
    server.reads.clear()
    assert collect(cube, offers, [], Manifest(cube)).outcomes["there"] == 4
    assert not server.reads
    assert Manifest(cube).counts() == {"added": 2, "empty": 2}


def test_a_failure_is_noted_and_asked_for_again(server: Server, cube: Path) -> None:
    server.faults["synthetic/sar/1"] = SourceError("no.tif is no raster")
    offers = [server.offer(number) for number in range(4)]
    result = collect(cube, offers, [], Manifest(cube))
    assert result.outcomes["failed"] == 1 and result.outcomes["added"] == 3
    assert result.failures == ["synthetic/sar/1: no.tif is no raster"]
    assert not result.unavailable
    entry = Manifest(cube).entries["synthetic/sar/1"]
    assert (entry.outcome, entry.why) == ("failed", "no.tif is no raster")
    server.faults.clear()
    assert collect(cube, offers, [], Manifest(cube)).outcomes["added"] == 1
    assert Manifest(cube).counts() == {"added": 4}
    np.testing.assert_array_equal(pixels(cube), np.stack([truth(n, SMALL, 2) for n in range(4)]))


def test_a_server_that_is_away_ends_the_run_and_loses_nothing(server: Server, cube: Path) -> None:
    for number in range(2, 10):
        server.faults[f"synthetic/sar/{number}"] = UnavailableError("503")
    offers = [server.offer(number) for number in range(10)]
    with pytest.raises(UnavailableError, match="3 acquisitions in a row did not come") as caught:
        collect(cube, offers, [], Manifest(cube), limits=Limits(parallel=1, patience=3))
    assert caught.value.exit_code == 1
    assert Manifest(cube).counts() == {"added": 2, "failed": 3}
    server.faults.clear()
    result = collect(cube, offers, [], Manifest(cube))
    assert result.outcomes["added"] == 8
    assert len(pixels(cube)) == 10


def test_wrong_credentials_end_the_run_at_once(server: Server, cube: Path) -> None:
    server.faults["synthetic/sar/1"] = AccessError("wrong password")
    with pytest.raises(AccessError, match="wrong password"):
        collect(cube, [server.offer(n) for n in range(9)], [], Manifest(cube), limits=Limits(parallel=1))
    assert len(pixels(cube)) == 1
    assert Manifest(cube).counts() == {"added": 1}


def test_other_pixels_under_the_same_identity_are_a_failure_of_that_image(server: Server, cube: Path) -> None:
    collect(cube, [server.offer(0)], [], Manifest(cube))
    twin = server.offer(1, key="elsewhere/0", time=day(0))
    result = collect(cube, [twin, server.offer(2)], [], Manifest(cube))
    assert result.outcomes["failed"] == 1 and result.outcomes["added"] == 1
    assert "other pixels" in result.failures[0]


def test_no_more_blocks_wait_than_memory_allows(tmp_path: Path) -> None:
    server = Server(wait=0.01)
    create_cube(tmp_path / "p.zarr", LARGE)
    block = 3 * 4 * 2 * 1024 * 1024
    counted = Counting(ThreadPoolExecutor(4))
    limits = Limits(parallel=4, memory=3 * block)
    collect(tmp_path / "p.zarr", [server.offer(n) for n in range(3)], [], Manifest(tmp_path / "p.zarr"),
            limits=limits, executor=counted)  # fmt: skip
    assert counted.total == 3 * 4
    assert counted.most <= 3


class Counting(Executor):
    """Counts the blocks that are submitted and not taken yet."""

    def __init__(self, inner: Executor) -> None:
        self.inner, self.waiting, self.most, self.total = inner, 0, 0, 0

    def submit(self, function, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.waiting += 1
        self.total += 1
        self.most = max(self.most, self.waiting)
        future: Future = self.inner.submit(function, *args, **kwargs)
        taken = future.result

        def result(timeout: float | None = None) -> object:
            self.waiting -= 1
            return taken(timeout)

        future.result = result  # type: ignore[method-assign]
        return future


def test_blocks_of_a_dropped_image_are_not_read(server: Server) -> None:
    offers = [server.offer(0), server.offer(1), server.offer(2)]
    with ThreadPoolExecutor(1) as executor:
        ahead = ReadAhead(offers, LARGE, executor, 2)
        first = ahead.acquisition(offers[0])
        first.backscatter[(..., slice(0, 1024), slice(0, 1024))]
        ahead.drop(offers[0])
        ahead.drop(offers[1])
        last = ahead.acquisition(offers[2])
        part = last.backscatter[(..., slice(0, 1024), slice(0, 1024))]
        ahead.close()
    np.testing.assert_array_equal(part, truth(2, LARGE[:1024, :1024], 2))
    assert server.reads["synthetic/sar/1"] == 0
    assert server.reads["synthetic/sar/0"] <= 3


def test_layers_come_once(server: Server, cube: Path) -> None:
    reads = []

    def read(grid):  # type: ignore[no-untyped-def]
        reads.append(grid.shape)
        return np.full(grid.shape, 64, dtype=np.float32)

    layer = LayerOffer(
        key="synthetic/dem", source="synthetic", product="dem", name="dem", categorical=False, read=read
    )
    assert collect(cube, [], [layer], Manifest(cube)).layers == ["dem"]
    assert (open_cube(cube)["static"].dem == 64).all()
    count = len(reads)
    assert collect(cube, [], [layer], Manifest(cube)).layers == []
    assert len(reads) == count


def test_a_layer_that_shows_nothing_is_a_failure(cube: Path) -> None:
    def read(grid):  # type: ignore[no-untyped-def]
        return np.full(grid.shape, np.nan, dtype=np.float32)

    layer = LayerOffer(key="a/dem", source="a", product="dem", name="dem", categorical=False, read=read)
    result = collect(cube, [], [layer], Manifest(cube))
    assert "no valid pixel" in result.failures[0]
    assert "static" not in open_cube(cube).children


def test_a_full_disk_loses_nothing(server: Server, cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from terradelta.cube import batch

    written, sync = [], batch.sync_tree

    def full(folder: Path) -> None:
        written.append(folder)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        sync(folder)

    offers = [server.offer(number) for number in range(6)]
    monkeypatch.setattr(batch, "sync_tree", full)
    with pytest.raises(StorageError, match="no room left"):
        collect(cube, offers, [], Manifest(cube))
    monkeypatch.undo()
    there = set(Manifest(cube).entries)
    assert len(there) <= len(open_cube(cube)["sar"].time) if "sar" in open_cube(cube).children else not there
    collect(cube, offers, [], Manifest(cube))
    np.testing.assert_array_equal(pixels(cube), np.stack([truth(n, SMALL, 2) for n in range(6)]))
    assert check_cube(cube) == []


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from synthetic import SMALL, Server
from terradelta.cube import create_cube
from terradelta.cube.manifest import Manifest
from terradelta.sources.remote.collecting import Limits, collect
import terradelta.cube.batch as batch, terradelta.cube.manifest as manifest
batch._COMMIT_SECONDS = manifest._SAVE_SECONDS = 0.05
create_cube({cube!r}, SMALL)
server = Server(wait=0.01, empty={{"synthetic/sar/5"}})
print("begun", flush=True)
collect({cube!r}, [server.offer(n) for n in range(60)], [], Manifest({cube!r}), limits=Limits(parallel=2))
"""


@pytest.mark.parametrize("after", [0, 10, 35])
def test_a_killed_run_goes_on_and_ends_alike(tmp_path: Path, after: int) -> None:
    cube = tmp_path / "place.zarr"
    script = KILLED.format(tests=str(Path(__file__).parent), cube=str(cube))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while Manifest(cube).counts().get("added", 0) < after:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    noted = {key for key, entry in Manifest(cube).entries.items() if entry.outcome == "added"}
    tree = open_cube(cube)
    there = set(tree["sar"].source_id.values) if "sar" in tree.children else set()
    assert after <= len(noted) < 59
    assert {f"image-{key.rpartition('/')[2]}" for key in noted} <= there
    server = Server(empty={"synthetic/sar/5"})
    collect(cube, [server.offer(n) for n in range(60)], [], Manifest(cube))
    wanted = np.stack([truth(n, SMALL, 2) for n in range(60) if n != 5])
    np.testing.assert_array_equal(pixels(cube), wanted)
    assert Manifest(cube).counts() == {"added": 59, "empty": 1}
    assert check_cube(cube) == []


def test_the_manifest_never_tells_of_what_could_not_be_committed(
    server: Server, cube: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from terradelta.cube import batch

    def tell(done: int, total: int, what: str) -> None:
        if done == 2:
            monkeypatch.setattr(batch, "_COMMIT_SECONDS", -1.0)

    monkeypatch.setattr(batch, "_COMMIT_SECONDS", 60.0)
    monkeypatch.setattr(batch, "_write_columns", Full())
    with pytest.raises(StorageError, match="no room left"):
        collect(cube, [server.offer(number) for number in range(6)], [], Manifest(cube), tell=tell)
    assert Manifest(cube).counts() == {}
    monkeypatch.undo()
    collect(cube, [server.offer(number) for number in range(6)], [], Manifest(cube))
    np.testing.assert_array_equal(pixels(cube), np.stack([truth(n, SMALL, 2) for n in range(6)]))


class Full:
    """A disk without room."""

    def __call__(self, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_radar_counts_before_optical_images_come(server: Server, cube: Path) -> None:
    offers = [server.offer(0), server.offer(1), server.offer(0, "optical"), server.offer(1, "optical")]
    seen = []

    def tell(done: int, total: int, what: str) -> None:
        tree = open_cube(cube)
        seen.append(tree["sar"].sizes["time"] if "sar" in tree.children else 0)

    collect(cube, offers, [], Manifest(cube), tell=tell)
    assert seen[3] == 2


def test_an_interruption_after_the_commit_takes_nothing_away(
    server: Server, cube: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from terradelta.cube import series

    write = series.write_json

    def interrupted(file: Path, document: dict[str, object]) -> None:
        write(file, document)
        if document["attributes"]["committed"]:  # type: ignore[index]
            raise KeyboardInterrupt

    monkeypatch.setattr(series, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        collect(cube, [server.offer(number) for number in range(3)], [], Manifest(cube))
    monkeypatch.undo()
    np.testing.assert_array_equal(pixels(cube), np.stack([truth(n, SMALL, 2) for n in range(3)]))
    assert check_cube(cube) == []
    collect(cube, [server.offer(number) for number in range(4)], [], Manifest(cube))
    assert Manifest(cube).counts() == {"added": 4}
    assert check_cube(cube) == []


def test_what_showed_nothing_is_asked_for_again_once_its_source_has_more(server: Server, cube: Path) -> None:
    server.empty = {"synthetic/sar/1"}
    collect(cube, [server.offer(0), server.offer(1)], [], Manifest(cube))
    server.empty.clear()
    assert collect(cube, [server.offer(1)], [], Manifest(cube)).outcomes == {"there": 1}
    more = server.offer(1, source_id="image-1 +1")
    assert collect(cube, [more], [], Manifest(cube)).outcomes["added"] == 1


def test_reads_in_flight_are_not_waited_for_when_a_run_ends(server: Server, cube: Path) -> None:
    def slow(grid):  # type: ignore[no-untyped-def]
        time.sleep(20)

    server.faults["synthetic/sar/0"] = AccessError("wrong password")
    begun = time.monotonic()
    with pytest.raises(AccessError):
        collect(cube, [server.offer(0), server.offer(1, read=slow)], [], Manifest(cube))
    assert time.monotonic() - begun < 5


def test_gamma0_and_sigma0_are_not_mixed(server: Server, cube: Path) -> None:
    collect(cube, [server.offer(0, radiometry="gamma0-rtc")], [], Manifest(cube))
    result = collect(cube, [server.offer(1, radiometry="sigma0-ellipsoid")], [], Manifest(cube))
    assert "gamma0-rtc" in result.failures[0] and "sigma0-ellipsoid" in result.failures[0]


def test_errors_of_sources_can_travel() -> None:
    for error in (AccessError("a"), UnavailableError("b"), SourceError("c"), ConflictError("d")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
