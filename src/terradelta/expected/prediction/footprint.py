"""What a network needs in memory, found by running it without numbers, and the block that fits."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from terradelta.errors import InputError
from terradelta.expected.conditions import FEATURES
from terradelta.expected.inputs import Inputs

__all__ = ["PROCESS_BYTES", "Demand", "Probe", "blank_inputs", "probe"]

PROCESS_BYTES = 600 * 2**20
"""What Python, PyTorch, the other libraries and the open cube take whatever the size of a block."""

_STEP, _LARGEST, _LEAST = 32, 512, 32
_CONVOLUTION = 1.5  # buffers that convolutions fill inside, beside their inputs and outputs
_TRIAL = 128


@dataclass(frozen=True)
class Demand:
    """What a prediction takes.

    Attributes
    ----------
    per_pixel : int
        Bytes per pixel of a block.
    fixed : int
        Bytes besides.

    Examples
    --------
    >>> Demand(1000, 0).side(10**9, margin=16)
    512
    """

    per_pixel: int
    fixed: int

    def of(self, side: int) -> int:
        """Give the bytes that a block of this side needs."""
        return self.fixed + self.per_pixel * side**2

    def side(self, memory: float, margin: int) -> int:
        """Choose the side of what comes out of a block.

        Parameters
        ----------
        memory : float
            Bytes that may be used.
        margin : int
            Pixels that are read around it.

        Returns
        -------
        int
            A multiple of 32 pixels, at most 512.

        Raises
        ------
        InputError
            If not even the smallest block fits.
        """
        self.require(_LEAST + 2 * margin, memory, "the smallest block")
        side = math.isqrt(int(max(memory - self.fixed, 0) / self.per_pixel)) - 2 * margin
        return min(max(side // _STEP * _STEP, _LEAST), _LARGEST)

    def require(self, side: int, memory: float, what: str) -> None:
        """Refuse a block that does not fit.

        Raises
        ------
        InputError
            With the memory that would do.
        """
        if self.of(side) > memory:
            raise InputError(
                f"memory is {memory / 2**20:.0f} MiB, but {what} ({side} pixels) needs "
                f"{math.ceil(self.of(side) / 2**20)} MiB ({self.per_pixel} bytes per pixel); give more memory"
            )


def blank_inputs(network: nn.Module, images: int, side: int, device: str = "cpu") -> Inputs:
    """Give inputs of zeros that a network takes.

    Parameters
    ----------
    network : nn.Module
        With `bands` and `static`.
    images : int
        Previous images.
    side : int
        Rows and columns.
    device : str
        ``"meta"`` for shapes without numbers.
    """
    bands, static = int(getattr(network, "bands", 2)), int(getattr(network, "static", 0))
    plane = (side, side)
    shapes = [(images, bands, *plane), (images, *plane), (static, *plane), (2 * bands, *plane)]
    shapes += [(images + 1, len(FEATURES))] * 2
    kinds = [torch.float32, torch.bool, *[torch.float32] * 3, torch.bool]
    pairs = zip(shapes, kinds, strict=True)
    return Inputs(*(torch.zeros((1, *shape), dtype=kind, device=device) for shape, kind in pairs))


class Probe(NamedTuple):
    """What was found of a network.

    Attributes
    ----------
    per_pixel : int
        Bytes that it needs at its peak, per pixel, weights aside.
    tells_sigma : bool
        Whether it gives standard deviations.
    """

    per_pixel: int
    tells_sigma: bool


def probe(network: nn.Module, images: int, side: int | None = None) -> Probe:
    """Find what a network needs and gives.

    It is run with tensors that have shapes but no numbers, which costs no memory, while the sizes of all that
    live at once are counted; half as much again is added for the buffers of the convolutions.

    Parameters
    ----------
    network : nn.Module
        Any of `terradelta.expected.networks.registry.NETWORKS`.
    images : int
        Previous images.
    side : int, optional
        The only size that it takes.

    Returns
    -------
    Probe
        Bytes per pixel, and whether there is a sigma.
    """
    length = side or _TRIAL
    try:
        state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        blank = {name: torch.empty_like(value, device="meta") for name, value in state.items()}
        inputs = blank_inputs(network, images, length, "meta")
        with torch.inference_mode(), _Live() as live:
            found = torch.func.functional_call(network, blank, (inputs,))
    except (NotImplementedError, RuntimeError):  # a network that looks at numbers
        inputs = blank_inputs(network, images, length)
        with torch.inference_mode(), _Live() as live:
            device = next(network.parameters()).device
            found = network(Inputs(*(part.to(device) for part in inputs)))
    given = sum(part.numel() * part.element_size() for part in inputs)
    return Probe(math.ceil((_CONVOLUTION * live.peak + given) / length**2), found.sigma is not None)


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that live at the same time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known.add(storage)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.now -= size
