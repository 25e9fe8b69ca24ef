"""The compiled step of many ConvLSTM states: see `terradelta.native`."""

from __future__ import annotations

import ctypes
from functools import cache

from terradelta.native import compiled
from terradelta.urban.defaults import Precision

__all__ = ["Job", "Kernel", "kernel"]


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
    library : CDLL
        Made from ``convlstm.cpp``.

    Attributes
    ----------
    precisions : tuple of str
        What pays on this processor: float32 with AVX-512, bfloat16 with AMX.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        has = {"float32": library.td_has_float32, "bfloat16": library.td_has_bfloat16}
        self.precisions = tuple(name for name, tell in has.items() if tell())
        self._steps = {"float32": library.td_step_float32, "bfloat16": library.td_step_bfloat16}

    def step(self, precision: Precision, job: Job) -> None:
        """Do one step."""
        self._steps[precision](ctypes.byref(job))


@cache
def kernel() -> Kernel | None:
    """Load the compiled step, built first where it is missing; see `terradelta.native.compiled`.

    Returns
    -------
    Kernel or None
        None where it is switched off or there is no compiler: PyTorch then does the same, more slowly.
    """
    library = compiled("terradelta.urban", "convlstm.cpp")
    return None if library is None else Kernel(library)
