"""The compiled summary of previous images, for networks that only look and do not learn."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from terradelta.native import compiled, cores, in_threads

__all__ = ["Described", "Looking", "available", "describe"]

_GROUP = 8
_ROWS = 32


class Looking(NamedTuple):
    """How the previous images are looked at.

    Attributes
    ----------
    weight : Tensor
        (batch, time, width, 2 * band + 1, 3, 3), a convolution per image.
    bias : Tensor
        (batch, time, width).
    weigh : Tensor
        (width,), what makes a logit of a look.
    logit : Tensor
        (batch, time), added to it.
    """

    weight: Tensor
    bias: Tensor
    weigh: Tensor
    logit: Tensor


class Described(NamedTuple):
    """What was found, each (batch, plane, y, x).

    Attributes
    ----------
    mean, variance : Tensor
        Per band, weighted.
    seen : Tensor
        One plane: 1 where any image has data.
    plain_mean, plain_variance : Tensor
        Per band, of equal weights.
    looks : Tensor
        The weighted mean of the looks, `width` planes.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor
    plain_mean: Tensor
    plain_variance: Tensor
    looks: Tensor


class _Job(ctypes.Structure):
    """What ``summary.cpp`` takes."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in (
            "time", "bands", "width", "rows", "columns", "first", "last", "reserved",
        )),
        ("unit", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in (
            "images", "valid", "weights", "bias", "weigh", "logit", "results",
        )),
    )  # fmt: skip


def available(images: Tensor) -> bool:
    """Tell whether images can be described here: without gradients, on the processor, with a compiler.

    Parameters
    ----------
    images : Tensor
        Any.
    """
    plain = images.device.type == "cpu" and images.dtype == torch.float32
    return plain and not torch.is_grad_enabled() and _library() is not None


def describe(images: Tensor, valid: Tensor, looking: Looking, unit: float) -> Described:
    """Weigh the previous images against each other, in one pass over them.

    Parameters
    ----------
    images : Tensor
        (batch, time, band, y, x) float32; whatever where not valid.
    valid : Tensor
        (batch, time, y, x) bool.
    looking : Looking
        How.
    unit : float
        What departures from the plain mean are divided by.

    Returns
    -------
    Described
        Views of one tensor.

    Raises
    ------
    MemoryError
        If there is no memory.
    """
    batch, time, bands, rows, columns = images.shape
    width, step = len(looking.weigh), max(-(-rows // cores()), _ROWS)
    results = torch.empty(batch, 4 * bands + 1 + width, rows, columns)
    weight, bias, weigh, logit = _grouped(looking)
    parts = (images.contiguous(), valid.contiguous(), weight, bias, weigh.expand(batch, -1), logit, results)
    library: Any = _library()

    def some(place: tuple[int, int]) -> int:
        sample, first = place
        sizes = (time, bands, width, rows, columns, first, min(first + step, rows), 0)
        pointers = (part[sample].data_ptr() for part in parts)
        return int(library.td_summary(ctypes.byref(_Job(*sizes, unit, *pointers))))

    if any(in_threads(some, [(sample, first) for sample in range(batch) for first in range(0, rows, step)])):
        raise MemoryError(f"there is no memory to describe images of {rows} x {columns}")
    return Described(*torch.split(results, [bands, bands, 1, bands, bands, width], dim=1))


def _grouped(looking: Looking) -> tuple[Tensor, ...]:
    """Put eight channels beside each other; those that are missing give zero."""
    batch, time, width = looking.bias.shape
    missing = -width % _GROUP
    weight = functional.pad(looking.weight.reshape(batch, time, width, -1), (0, 0, 0, missing))
    weight = weight.reshape(batch, time, -1, _GROUP, weight.shape[-1]).transpose(-1, -2)
    others = (functional.pad(part, (0, missing)) for part in (looking.bias, looking.weigh))
    return tuple(part.contiguous() for part in (weight, *others, looking.logit))


@cache
def _library() -> ctypes.CDLL | None:
    return compiled("terradelta.expected.networks", "summary.cpp")
