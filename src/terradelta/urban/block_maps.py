"""The maps of one piece of a place, computed here or on another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terradelta.learning.devices import device_of
from terradelta.types import FloatArray
from terradelta.urban.defaults import Precision
from terradelta.urban.inference import WindowRunner
from terradelta.urban.network import ERCNN
from terradelta.urban.plan import Piece
from terradelta.urban.stack import Stack
from terradelta.windows.times import TimeWindow

__all__ = ["BlockMaps", "Lacking"]


@dataclass(frozen=True)
class Lacking:
    """What there is to do of a piece.

    Attributes
    ----------
    number : int
        Of the piece.
    piece : Piece
        What to read, and whose maps come out.
    first : int
        First window that it lacks.
    """

    number: int
    piece: Piece
    first: int


@dataclass(frozen=True)
class BlockMaps:
    """Computes the maps of pieces; can be pickled where the cube lies on disk.

    Attributes
    ----------
    stack : Stack
        Frames of the cube.
    nets : sequence of ERCNN
        Networks that read them.
    windows : sequence of TimeWindow
        All windows.
    device : str or None
        Where to compute; None: the GPU of the machine that computes, if it has one.
    precision : {"float32", "bfloat16"}
        Of the arithmetic.
    """

    stack: Stack
    nets: Sequence[ERCNN]
    windows: Sequence[TimeWindow]
    device: str | None
    precision: Precision

    def __call__(self, lacking: Lacking) -> list[tuple[int, FloatArray]]:
        """Give all maps of a piece at once, see `stream`."""
        return list(self.stream(lacking))

    def stream(
        self, lacking: Lacking, advance: Callable[[int], None] = lambda _: None
    ) -> Iterator[tuple[int, FloatArray]]:
        """Compute the maps of a piece.

        Parameters
        ----------
        lacking : Lacking
            The piece.
        advance : callable
            Called with 1 for each frame that was read.

        Yields
        ------
        int
            Number of a window.
        ndarray
            Its maps (net, y, x), float32 in 0..1.
        """
        span = [window.slice for window in self.windows[lacking.first :]]
        runner = WindowRunner(self.nets, device=device_of(self.device), precision=self.precision)
        frames = self._frames(lacking.piece, span, advance)
        for index, maps in runner.run(frames, span, first=span[0].start):
            yield lacking.first + index, lacking.piece.join(maps)

    def _frames(
        self, piece: Piece, span: Sequence[slice], advance: Callable[[int], None]
    ) -> Iterator[NDArray[np.float32]]:
        for frame in self.stack.frames(*piece.read, first=span[0].start, last=span[-1].stop):
            advance(1)
            yield piece.cut(frame)

    def steps(self, first: int) -> int:
        """Count the frames that the windows from one on read.

        Parameters
        ----------
        first : int
            The window.
        """
        return 0 if first >= len(self.windows) else self.windows[-1].stop - self.windows[first].start

    def bytes_per_pixel(self, stride: int, most: int, device: str) -> int:
        """Estimate the need of a pixel from the settings alone, so that blocks stay as a cube grows.

        Parameters
        ----------
        stride : int
            Observations from window to window.
        most : int
            Observations of a window at most.
        device : str
            Where it is needed.
        """
        era = self.stack.era
        active = -(-min(most, int(era.window // era.step) + 1) // stride)
        runner = WindowRunner(self.nets, device=device, precision=self.precision)
        return runner.bytes_per_pixel(active) + 24 * self.stack.channels + 24 * len(self.nets) + 64
