"""Networks over many overlapping windows: what depends on one observation alone is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from terradelta.errors import InputError
from terradelta.types import FloatArray, Size
from terradelta.urban.defaults import PRECISIONS, Precision
from terradelta.urban.network import ERCNN
from terradelta.urban.parts import NetParts
from terradelta.urban.recurrence import bytes_per_state

__all__ = ["WindowRunner", "most_active"]

_CHUNK_PIXELS = 2**15
_CHUNK_MOST = 16


def most_active(windows: Sequence[slice]) -> int:
    """Give the largest number of windows that hold the same observation.

    Examples
    --------
    >>> most_active([slice(0, 4), slice(2, 6), slice(4, 8)])
    2
    """
    steps = sorted([(window.start, 1) for window in windows] + [(window.stop, -1) for window in windows])
    active = most = 0
    for _, change in steps:
        active += change
        most = max(most, active)
    return most


class WindowRunner:
    """Networks that look at all windows of a series at once, observation by observation.

    The convolutions before the memory and the input half of its gates see one observation only: they are
    computed once per observation, whatever the number of windows that hold it. The recurrent half runs for
    all windows of that moment together. Windows may have any length: there is no padding.

    Parameters
    ----------
    nets : sequence of ERCNN
        Networks that read the same frames.
    device : str
        Where to compute, as PyTorch names it.
    precision : {"float32", "bfloat16"}
        Arithmetic of the convolutions; everything else is float32.

    Raises
    ------
    InputError
        If there is no network, they read different frames, or device or precision is unknown.

    Examples
    --------
    >>> net = ERCNN("ers12ls5").eval()
    >>> frames = np.random.default_rng(0).random((6, 1, 9, 8, 8), dtype=np.float32)
    >>> found = dict(WindowRunner([net]).run(frames, [slice(0, 4), slice(2, 6)]))
    >>> alone = net(torch.tensor(frames[2:6]).transpose(0, 1), torch.tensor([4]))
    >>> bool(np.allclose(found[1][0], alone.detach(), atol=1e-5))
    True
    """

    def __init__(
        self, nets: Sequence[ERCNN], *, device: str = "cpu", precision: Precision = "float32"
    ) -> None:
        if not nets:
            raise InputError("no network is given; give at least one")
        if len({(net.era, net.branches) for net in nets}) > 1:
            raise InputError("the networks read different frames; give some of one era and the same branches")
        if precision not in PRECISIONS:
            raise InputError(f"precision is {precision!r}; choose from {', '.join(PRECISIONS)}")
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError):
            raise InputError(f"device {device!r} cannot be used here; choose for example 'cpu'") from None
        self._nets = list(nets)
        self._parts = [NetParts(net, device, precision) for net in nets]
        self._device, self._precision = device, precision

    def bytes_per_pixel(self, active: int) -> int:
        """Give the working memory per pixel, B.

        Parameters
        ----------
        active : int
            Windows that hold the same observation, see `most_active`.
        """
        states = shared = 0
        for net in self._parts:
            for branch in net.branches:
                filters = branch.cell.filters
                states += bytes_per_state(filters, device=self._device, precision=self._precision)
                shared += 4 * (branch.channels + 3 * filters + 3 * 4 * filters)
        return int(1.1 * active * states) + shared

    @torch.inference_mode()
    def run(
        self, frames: Iterable[NDArray[np.float32]], windows: Sequence[slice], *, first: int = 0
    ) -> Iterator[tuple[int, FloatArray]]:
        """Run through a series.

        Parameters
        ----------
        frames : iterable of ndarray
            (tile, channels, Y, X) per kept time, in order; the same buffer may come again and again.
        windows : sequence of slice
            Kept times of each window, none without an observation.
        first : int
            Kept time of the first frame.

        Yields
        ------
        int
            Number of a window, in the order in which windows end.
        ndarray
            Its maps (net, tile, Y, X), float32 in [0, 1].

        Raises
        ------
        InputError
            If a window begins before the first frame or the frames end before a window does.
        """
        if any(window.start < first or window.stop <= window.start for window in windows):
            raise InputError(f"a window begins before kept time {first}, the first frame, or is empty")
        schedule = _Schedule(windows, first)
        needed = max((window.stop for window in windows), default=first) - first
        for number, chunk in enumerate(_chunks(islice(frames, needed))):
            if number == 0:
                for part in self._parts:
                    part.open(chunk.shape[1], Size(*chunk.shape[3:]), schedule.slots)
            shared = [part.shared(chunk.to(self._device)) for part in self._parts]
            for place in range(len(chunk)):
                yield from self._step([gates[place] for gates in shared], schedule)
        if schedule.waiting:
            raise InputError(f"the frames end at kept time {schedule.step}, before the last window does")

    def _step(self, gates: list[list[Tensor]], schedule: _Schedule) -> Iterator[tuple[int, FloatArray]]:
        begun, active, ended = schedule.next()
        if not active:
            return
        maps = [
            part.step(each, begun, active, list(ended)) for part, each in zip(self._parts, gates, strict=True)
        ]
        for place, number in enumerate(ended.values()):
            yield number, np.stack([each[place] for each in maps])


def _chunks(frames: Iterable[NDArray[np.float32]]) -> Iterator[Tensor]:
    """Take some frames at once: small ones alone would leave most of the machine idle."""
    source = (torch.from_numpy(np.array(frame)) for frame in frames)
    for frame in source:
        tiles, _, rows, columns = frame.shape
        count = max(1, min(_CHUNK_MOST, _CHUNK_PIXELS // (tiles * rows * columns)))
        yield torch.stack([frame, *islice(source, count - 1)])


class _Schedule:
    """Which windows begin, go on and end with each observation, and the slot that each one has meanwhile."""

    def __init__(self, windows: Sequence[slice], first: int) -> None:
        self.step = first
        self.slots = most_active(windows)
        self.waiting = len(windows)
        self._starts = sorted(range(len(windows)), key=lambda number: windows[number].start, reverse=True)
        self._windows = windows
        self._free = list(range(self.slots))[::-1]
        self._active: dict[int, int] = {}

    def next(self) -> tuple[list[int], list[int], dict[int, int]]:
        """Go one observation on: slots that begin, slots in use, and slot to window of those that end."""
        begun = []
        while self._starts and self._windows[self._starts[-1]].start == self.step:
            slot = self._free.pop()
            self._active[slot] = self._starts.pop()
            begun.append(slot)
        self.step += 1
        active = sorted(self._active)
        ended = {
            slot: self._active[slot] for slot in active if self._windows[self._active[slot]].stop == self.step
        }
        for slot in ended:
            del self._active[slot]
            self._free.append(slot)
        self.waiting -= len(ended)
        return begun, active, ended
