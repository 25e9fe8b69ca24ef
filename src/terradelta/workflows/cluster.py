"""An executor on the workers of a dask scheduler; needs the extra ``distributed``."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

import dask
from distributed import Client, KilledWorker, Worker, WorkerPlugin, get_worker
from distributed.comm.addressing import get_address_host_port
from distributed.protocol.pickle import dumps, loads
from threadpoolctl import threadpool_limits

from terradelta import __version__
from terradelta.errors import InputError, TerradeltaError, UnavailableError
from terradelta.types import PathType

__all__ = ["Cluster"]

P = ParamSpec("P")
Result = TypeVar("Result")

_CONNECT, _JOIN = 5.0, 10.0
_HEADER = "zarr.json"


class Cluster(Executor):
    """Calls functions on the workers of a scheduler, each in one thread.

    What ran on a worker that dies runs again on another one.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://10.0.0.1:8786``.
    reads : sequence of path
        What every worker must see as this machine does.

    Raises
    ------
    InputError
        If the address makes no sense, or a worker runs another version or does not see a path.
    UnavailableError
        If nothing answers, or no worker is there.
    """

    def __init__(self, address: str, reads: Sequence[PathType] = ()) -> None:
        _require_answer(address)
        self.address = address
        self._client = _connected(address)
        try:
            self._require_workers()
            self._require_same(reads)
        except BaseException:
            self._client.close()
            raise
        self._executor = self._client.get_executor(pure=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the workers, and say in one line why they gave nothing."""
        self.shutdown(wait=False)
        if isinstance(error, KilledWorker):
            raise TerradeltaError(
                f"{error.allowed_failures + 1} workers died of the same piece of work, the last one "
                f"{error.last_worker.address}, perhaps for want of memory; run the same command again with "
                "less memory, or with fewer workers on a machine"
            ) from None
        if isinstance(error, CancelledError):
            raise self._gone() from None

    def submit(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
        """Have a function called by a worker."""
        future: Future[Result] = self._executor.submit(_called, fn, *args, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of the workers; they go on running for others."""
        self._executor.shutdown(wait=wait and not cancel_futures)
        self._client.close()

    @property
    def hands(self) -> int:
        """Tell how many calls run at once, now."""
        try:
            return sum(self._client.nthreads().values())
        except OSError:
            raise self._gone() from None

    @contextmanager
    def shared(self, function: Callable[..., Result]) -> Iterator[Callable[..., Result]]:
        """Send a function to every worker once, to those that join later, too.

        Parameters
        ----------
        function : callable
            May be large, such as one with networks.

        Yields
        ------
        callable
            What to submit instead.
        """
        name = f"terradelta-{uuid4().hex}"
        try:
            self._client.register_plugin(_Kept(dumps(function)), name=name)
        except OSError:
            raise self._gone() from None
        try:
            yield partial(_called_kept, name)
        finally:
            with suppress(OSError, ValueError):
                self._client.unregister_worker_plugin(name)

    def _gone(self) -> UnavailableError:
        return UnavailableError(
            f"the scheduler at {self.address} has gone; start it, and run the same command again"
        )

    def _require_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=_JOIN)
        except TimeoutError:
            raise UnavailableError(
                f"the scheduler at {self.address} has no workers; "
                f"start some with `dask worker {self.address}`"
            ) from None

    def _require_same(self, reads: Sequence[PathType]) -> None:
        paths = [str(Path(path).absolute()) for path in reads]
        marks = [_mark(path) for path in paths]
        for worker, told in self._client.run(_look, paths, on_error="return").items():
            if isinstance(told, Exception):
                raise InputError(
                    f"worker {worker} cannot use terradelta {__version__}: {told}; install it there"
                )
            version, found = told
            if version != __version__:
                raise InputError(
                    f"worker {worker} runs terradelta {version}, this is {__version__}; "
                    "install the same version there"
                )
            for path, mark, own in zip(paths, found, marks, strict=True):
                if mark != own:
                    what = "sees something else at" if mark else "does not see"
                    raise InputError(
                        f"worker {worker} {what} {path}; put it on a shared file system, at the same path"
                    )


def _require_answer(address: str) -> None:
    """Knock before a client does: it would not stop for long."""
    try:
        host, port = get_address_host_port(address)
    except ValueError as error:
        raise InputError(
            f"scheduler is {address!r}: {error}; give an address such as tcp://10.0.0.1:8786"
        ) from None
    try:
        socket.create_connection((host, port), timeout=_CONNECT).close()
    except OSError as error:
        raise UnavailableError(
            f"no scheduler answers at {address} ({error.strerror or error}); "
            "start one with `dask scheduler`, or check the address"
        ) from None


def _connected(address: str) -> Client:
    try:
        return Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise UnavailableError(f"what answers at {address} is no scheduler of dask: {error}") from None


def _look(paths: Sequence[str]) -> tuple[str, list[str]]:
    """Tell on a worker what it runs and sees."""
    return __version__, [_mark(path) for path in paths]


def _mark(path: str) -> str:
    """Tell a file or a Zarr folder from others; empty if it is not there."""
    place = Path(path)
    with suppress(OSError):
        if place.is_dir():
            header = place / _HEADER
            return sha256(header.read_bytes()).hexdigest() if header.exists() else "folder"
        return f"file of {place.stat().st_size} bytes"
    return ""


class _Kept(WorkerPlugin):
    """A function that stays on a worker; unpacked where it is called first."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def setup(self, worker: Worker) -> None:
        """Make ready for calls."""
        self._lock = Lock()
        self._function: Callable[..., Any] | None = None

    def function(self) -> Callable[..., Any]:
        """Give the function, the same one to all calls."""
        with self._lock:
            if self._function is None:
                self._function = loads(self._packed)
            return self._function


def _called_kept(name: str, *args: Any, **kwargs: Any) -> Any:
    kept: Any = get_worker().plugins[name]
    return kept.function()(*args, **kwargs)


def _called(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Call a function in one thread: sums do not depend on the machine then, and workers do not compete."""
    with threadpool_limits(limits=1), dask.config.set(scheduler="synchronous"):
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(1)
        return function(*args, **kwargs)
