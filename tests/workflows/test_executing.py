"""Who does the work: little waits at a time, a dead worker costs nothing, clear lines where it cannot be."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from terradelta.errors import InputError, TerradeltaError, UnavailableError
from terradelta.tasks import Crowd, mapped
from terradelta.workflows.executing import executing

distributed = pytest.importorskip("distributed")
cloudpickle = pytest.importorskip("cloudpickle")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it

HERE: dict[str, Any] = {
    "threads_per_worker": 1, "processes": False, "protocol": "tcp", "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
}  # fmt: skip
"""A scheduler in this process."""


@pytest.fixture(scope="module")
def executor(cluster: Any) -> Iterator[Any]:
    with executing(cluster.scheduler_address) as executor:
        yield executor


@dataclass
class Noting:
    """Squares a number; notes in a folder which process began with which number."""

    folder: Path
    seconds: float = 0.0
    calls: int = 0

    def __call__(self, number: int) -> tuple[int, int, int]:
        self.calls += 1
        (self.folder / f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(self.seconds)
        return number**2, os.getpid(), self.calls


def begun(folder: Path) -> list[list[int]]:
    """Give number and process of what began, in order."""
    every = [[int(part) for part in file.name.split("-")] for file in folder.iterdir()]
    return [one[:2] for one in sorted(every, key=lambda one: one[2])]


# equal results, few at a time


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("kind", ["none", "threads", "cluster"])
def test_every_item_once(kind: str, ordered: bool, executor: Any) -> None:
    with ThreadPoolExecutor(3) as threads:
        chosen = {"none": None, "threads": threads, "cluster": executor}[kind]
        found = list(mapped(chosen, abs, iter(range(-9, 3)), ordered=ordered))
    assert sorted(found) == [(number, abs(number)) for number in range(-9, 3)]
    if ordered:
        assert found == sorted(found)


@pytest.mark.parametrize("kind", ["threads", "cluster"])
def test_few_wait_at_a_time(kind: str, executor: Any) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while taken < 30:
            taken += 1
            yield taken

    with ThreadPoolExecutor(2) as threads:
        for count, _ in enumerate(mapped(executor if kind == "cluster" else threads, abs, items()), 1):
            assert taken <= count - 1 + 4, "twice as many as run at once"
    assert count == 30


def test_ahead_bounds_what_is_in_flight(executor: Any) -> None:
    taken = []
    results = mapped(executor, abs, (taken.append(n) or n for n in range(20)), ahead=3)
    assert taken == []
    next(results)
    assert len(taken) == 3
    results.close()
    assert len(taken) == 3


def test_both_workers_work_and_get_the_function_once(executor: Any, tmp_path: Path) -> None:
    found = list(mapped(executor, Noting(tmp_path, 0.02), range(16)))
    processes = {one[1] for _, one in found}
    assert len(processes) == executor.hands == 2
    for process in processes:  # the same object counts its calls
        calls = sorted(calls for _, (_, own, calls) in found if own == process)
        assert calls == list(range(1, len(calls) + 1))


def test_an_error_arrives_as_it_is_and_the_rest_is_left(executor: Any) -> None:
    with pytest.raises(UnavailableError, match=r"^tile 3: try again$"):
        list(mapped(executor, _fails_at_3, range(1000)))


def _fails_at_3(number: int) -> int:
    if number == 3:
        raise UnavailableError("tile 3: try again")
    return number


def test_one_thread_per_task(executor: Any) -> None:
    assert set(dict(mapped(executor, _threads, range(4))).values()) == {(1, 1)}


def _threads(_: int) -> tuple[int, int]:
    import torch
    from threadpoolctl import threadpool_info

    return torch.get_num_threads(), max(library["num_threads"] for library in threadpool_info())


def test_what_a_crowd_is(executor: Any) -> None:
    assert isinstance(executor, Crowd)
    assert not isinstance(ThreadPoolExecutor(1), Crowd) and not isinstance(ProcessPoolExecutor, Crowd)


def test_threads_of_this_machine() -> None:
    with executing(None, 2) as threads:
        assert isinstance(threads, ThreadPoolExecutor)
    with executing(None) as nobody:
        assert nobody is None


# workers that die


def test_a_killed_worker_costs_nothing(executor: Any, tmp_path: Path) -> None:
    found, killed = {}, 0
    for number, (square, _, _) in mapped(executor, Noting(tmp_path, 0.15), range(12)):
        found[number] = square
        running = [one for one in begun(tmp_path) if one[0] not in found]
        if not killed and running:
            killed_number, killed = running[-1]
            os.kill(killed, signal.SIGKILL)
    assert found == {number: number**2 for number in range(12)}
    processes = [process for number, process in begun(tmp_path) if number == killed_number]
    assert processes[0] == killed and len(processes) == 2, "it began again, elsewhere"


def test_what_kills_every_worker_is_one_clear_line(cluster: Any) -> None:
    words = r"4 workers died of the same piece of work, the last one tcp://127\.0\.0\.1:\d+, perhaps for want"
    with pytest.raises(TerradeltaError, match=words), executing(cluster.scheduler_address) as executor:
        list(mapped(executor, _dies, [1]))


def _dies(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_scheduler_that_goes_away() -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, **HERE) as short:

        def leave() -> None:
            time.sleep(0.3)
            short.close()

        leaving = Thread(target=leave)
        words = r"the scheduler at tcp://.* has gone; start it, and run the same command again"
        with pytest.raises(UnavailableError, match=words), executing(short.scheduler_address) as executor:
            leaving.start()
            list(mapped(executor, time.sleep, [1] * 10))
        leaving.join()


# refused, quickly


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("nonsense", InputError, "scheduler is 'nonsense': missing port .*; give an address such as tcp://"),
        ("http://x:1", InputError, "unknown address scheme 'http'"),
        (
            "tcp://127.0.0.1:{port}",
            UnavailableError,
            r"no scheduler answers at tcp://127\.0\.0\.1:\d+ \(",
        ),
    ],
)
def test_addresses_without_a_scheduler(address: str, error: type[Exception], words: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(error, match=words) as caught, executing(address.format(port=port)):
        pass
    assert time.monotonic() - began < 3 and "\n" not in str(caught.value)


def test_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    from terradelta.workflows import cluster as module

    monkeypatch.setattr(module, "_JOIN", 0.2)
    with LocalCluster(n_workers=0, **HERE) as empty:
        words = "has no workers; start some with `dask worker tcp://"
        with pytest.raises(UnavailableError, match=words), executing(empty.scheduler_address):
            pass


def test_workers_that_do_not_see_the_cube(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from terradelta.workflows import cluster as module

    address, cube = cluster.scheduler_address, tmp_path / "place.zarr"
    monkeypatch.setattr(module, "_mark", lambda path: "as it is seen here")
    words = rf"worker tcp://.* does not see {cube}; put it on a shared file"
    with pytest.raises(InputError, match=words), executing(address, reads=[cube]):
        pass
    cube.mkdir()
    (cube / "zarr.json").write_text("{}")
    words = rf"worker tcp://.* sees something else at {cube}; put it on a"
    with pytest.raises(InputError, match=words), executing(address, reads=[cube]):
        pass
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    with executing(address, reads=["place.zarr", cube / "zarr.json", tmp_path]):
        pass


def test_workers_of_another_version(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from terradelta import __version__
    from terradelta.workflows import cluster as module

    monkeypatch.setattr(module, "__version__", "99.1")
    words = rf"worker tcp://.* runs terradelta {__version__}, this is 99\.1; install the same version there"
    with pytest.raises(InputError, match=words), executing(cluster.scheduler_address):
        pass


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "terradelta.workflows.cluster", None)
    monkeypatch.delitem(sys.modules, "terradelta.workflows.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'terradelta\[distributed\]'"), executing("tcp://a:1"):
        pass
