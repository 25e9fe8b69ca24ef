"""The compiled step of many ConvLSTM states: built once by the machine's own compiler, then loaded."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

from terradelta.urban.defaults import Precision

__all__ = ["Job", "Kernel", "kernel"]

_LOG = logging.getLogger(__name__)
_SWITCH = "TERRADELTA_NATIVE"
_FLAGS = (
    "-O3", "-std=c++17", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros",
    "-ffinite-math-only", "-ffp-contract=fast",
)  # fmt: skip
_WISHES = (("-march=native", "-mprefer-vector-width=512", "-fopenmp"), ("-march=native", "-fopenmp"), ())
_PATIENCE = 120


class Job(ctypes.Structure):
    """One step, as ``convlstm.cpp`` describes it; sizes in elements."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in (
            "filters", "rows", "columns", "tiles", "states", "band", "threads", "reserved",
        )),
        ("memory_stride", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in (
            "state", "result", "gates", "weights", "before", "after", "c", "results",
        )),
    )  # fmt: skip


class Kernel:
    """The compiled functions.

    Parameters
    ----------
    path : Path
        A library made from ``convlstm.cpp``.

    Attributes
    ----------
    precisions : tuple of str
        What pays on this processor: float32 with AVX-512, bfloat16 with AMX.
    """

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        has = {"float32": library.td_has_float32, "bfloat16": library.td_has_bfloat16}
        self.precisions = tuple(name for name, tell in has.items() if tell())
        self._steps = {"float32": library.td_step_float32, "bfloat16": library.td_step_bfloat16}

    def step(self, precision: Precision, job: Job) -> None:
        """Do one step."""
        self._steps[precision](ctypes.byref(job))


@cache
def kernel() -> Kernel | None:
    """Load the compiled step, built first where it is missing.

    The library lies in the user's cache folder under a name that tells source, compiler flags and processor.
    The environment variable ``TERRADELTA_NATIVE=0`` switches it off.

    Returns
    -------
    Kernel or None
        None where it is switched off or there is no compiler: PyTorch then does the same, more slowly.
    """
    if os.environ.get(_SWITCH) == "0":
        return None
    try:
        return Kernel(_library())
    except (OSError, subprocess.SubprocessError) as error:
        _LOG.info("no compiled recurrence, PyTorch does it: %s", error)
        return None


def _library() -> Path:
    source = (files("terradelta.urban") / "convlstm.cpp").read_bytes()
    name = hashlib.sha256(source + repr((_FLAGS, _WISHES, _processor())).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terradelta"
    path = folder / f"convlstm-{name}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            made = _compile(source, Path(place))
            made.replace(path)
    return path


def _processor() -> str:
    """Tell what the code is compiled for: a home folder may be shared by different machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"


def _compile(source: bytes, folder: Path) -> Path:
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
    code, made = folder / "convlstm.cpp", folder / "convlstm.so"
    code.write_bytes(source)
    for wishes in _WISHES:
        command = [compiler, *_FLAGS, *wishes, str(code), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
        if done.returncode == 0:
            return made
    raise OSError(f"{compiler} does not compile it: {done.stderr.decode(errors='replace')[:200]}")
