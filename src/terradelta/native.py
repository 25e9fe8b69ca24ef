"""What makes full use of the machine: compiled steps, built by its own compiler, and threads."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

__all__ = ["compiled", "cores", "in_threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)
_SWITCH = "TERRADELTA_NATIVE"
_FLAGS = (
    "-O3", "-std=c++17", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros",
    "-ffinite-math-only", "-ffp-contract=fast",
)  # fmt: skip
_WISHES = (("-march=native", "-mprefer-vector-width=512", "-fopenmp"), ("-march=native", "-fopenmp"), ())
_PATIENCE = 120


def compiled(package: str, source: str) -> ctypes.CDLL | None:
    """Load the functions of a C++ file of this package, compiled first where that is missing.

    The library lies in the user's cache folder under a name that tells source, compiler flags and processor.
    The environment variable ``TERRADELTA_NATIVE=0`` switches it off. Numbers must be finite: the compiler is
    told so.

    Parameters
    ----------
    package : str
        Where the file lies, for example ``terradelta.sar``.
    source : str
        Its name.

    Returns
    -------
    CDLL or None
        None where it is switched off or there is no compiler; the caller then does the same more slowly.

    Examples
    --------
    >>> import os
    >>> os.environ["TERRADELTA_NATIVE"] = "0"
    >>> compiled("terradelta.sar", "variation.cpp") is None
    True
    >>> del os.environ["TERRADELTA_NATIVE"]
    """
    if os.environ.get(_SWITCH) == "0":
        return None
    try:
        return ctypes.CDLL(str(_library(package, source)))
    except (OSError, subprocess.SubprocessError) as error:
        _LOG.info("%s is not compiled, it goes on more slowly: %s", source, error)
        return None


def cores() -> int:
    """Tell how many threads to use: ``OMP_NUM_THREADS``, else the processors that this process may use.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> cores() >= 1
    True
    """
    wish = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wish.isdigit():
        return max(int(wish), 1)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Apply a function to every item, with as many threads as `cores` says.

    Meanwhile matrix products take one thread each, as two ways of sharing processors do not go together.

    Parameters
    ----------
    function : callable
        Takes an item; mostly NumPy or compiled code, which lets other threads go on.
    items : sequence
        What to apply it to.

    Returns
    -------
    list
        The results, in the order of the items.

    Examples
    --------
    >>> in_threads(lambda x: x * x, [1, 2, 3])
    [1, 4, 9]
    """
    threads = min(cores(), len(items))
    if threads < 2:
        return [function(item) for item in items]
    with _one_thread_each(), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


class _Products:
    """How many sections keep matrix products to one thread, and what undoes that after the last one."""

    lock = Lock()
    sections = 0
    limit: Any = None


@contextmanager
def _one_thread_each() -> Iterator[None]:
    with _Products.lock:
        if not _Products.sections:
            _Products.limit = _controller().limit(limits=1, user_api="blas")
        _Products.sections += 1
    try:
        yield
    finally:
        with _Products.lock:
            _Products.sections -= 1
            if not _Products.sections:
                _Products.limit.restore_original_limits()


@cache
def _controller() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _library(package: str, source: str) -> Path:
    code = (files(package) / source).read_bytes()
    name = hashlib.sha256(code + repr((_FLAGS, _WISHES, _processor())).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terradelta"
    path = folder / f"{Path(source).stem}-{name}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            made = _compile(code, Path(place) / source)
            made.replace(path)
    return path


def _processor() -> str:
    """Tell what the code is compiled for: a home folder may be shared by different machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"


def _compile(code: bytes, source: Path) -> Path:
    compiler = next(
        (
            found
            for name in (os.environ.get("CXX"), "c++", "g++", "clang++")
            if name and (found := shutil.which(name))
        ),
        None,
    )
    if compiler is None:
        raise OSError("no C++ compiler is installed")
    source.write_bytes(code)
    made = source.with_suffix(".so")
    for wishes in _WISHES:
        command = [compiler, *_FLAGS, *wishes, str(source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
        if done.returncode == 0:
            return made
    raise OSError(f"{compiler} does not compile it: {done.stderr.decode(errors='replace')[:200]}")
