"""What a network says of one tile of a scene, computed here or on another machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from terradelta.expected.inputs import Inputs
from terradelta.expected.model import ExpectedImage
from terradelta.expected.prediction.reader import SceneReader
from terradelta.expected.prediction.store import Sink
from terradelta.expected.prediction.tiling import Tiling
from terradelta.learning.devices import device_of
from terradelta.tasks import mapped
from terradelta.types import FloatArray

__all__ = ["KeptTiles", "TileLayers"]


@dataclass
class TileLayers:
    """Computes tiles; can be pickled where the cube lies on disk.

    Attributes
    ----------
    reader : SceneReader
        Reads the scene; its states are fitted.
    cut : Tiling
        The tiles.
    names : tuple of str
        Layers, see `terradelta.expected.prediction.store.TITLES`.
    fixed : int or None
        The only size that the network takes.
    device : str or None
        Where the network is moved to before the first tile: as PyTorch names it; ``""``: the GPU of the
        machine that computes, if it has one; None: nowhere.
    """

    reader: SceneReader
    cut: Tiling
    names: tuple[str, ...]
    fixed: int | None
    device: str | None = None

    @cached_property
    def _model(self) -> ExpectedImage:
        model = self.reader.model
        return model if self.device is None else model.to(device_of(self.device or None))

    def __call__(self, number: int) -> FloatArray:
        """Give the layers of a tile, one after the other.

        Parameters
        ----------
        number : int
            The tile's.

        Returns
        -------
        ndarray
            (layer * band, y, x) float32, dB, NaN = no data.
        """
        part = self.reader.part(self.cut.seen(number))
        given = part.inputs if self.fixed is None else _mirrored(part.inputs, self.fixed)
        rows, columns = part.target.shape[-2:]
        mean, sigma = self._model.decibel(self._model.expect(given), given)
        layers = {"expected": mean[0, :, :rows, :columns], "target": part.target}
        if sigma is not None:
            layers["sigma"] = sigma[0, :, :rows, :columns]
        for name in ("expected", "sigma"):
            if name in layers:
                layers[name] = np.where(part.known, layers[name], np.nan)
        inner = (..., *self.cut.inner(number))
        return np.concatenate([np.asarray(layers[name][inner], np.float32) for name in self.names])


@dataclass(frozen=True)
class KeptTiles:
    """Results of tiles, made few at a time, and kept in the sink until they are not needed any more.

    Attributes
    ----------
    layers : TileLayers
        Computes them.
    sink : Sink
        Keeps them.
    coming : iterator
        Numbers of tiles and their results, as they are ready.
    waiting : set of int
        Tiles that are still to come.
    """

    layers: TileLayers
    sink: Sink
    coming: Iterator[tuple[int, FloatArray]]
    waiting: set[int]

    @classmethod
    def of(
        cls, layers: TileLayers, sink: Sink, pieces: Sequence[int], executor: Executor | None
    ) -> KeptTiles:
        """Begin with the tiles that the sink lacks, in the order in which pieces need them.

        Parameters
        ----------
        layers : TileLayers
            Computes them.
        sink : Sink
            Keeps them.
        pieces : sequence of int
            What is to be blended of them, in order.
        executor : Executor or None
            Who computes them; None: this process.
        """
        cut = layers.cut
        needed = dict.fromkeys(tile for piece in pieces for tile in cut.touching(cut.pieces[piece]))
        lacking = [tile for tile in needed if sink.tile(tile) is None]
        return cls(layers, sink, mapped(executor, layers, lacking), set(lacking))

    def require(self, tiles: Sequence[int]) -> None:
        """Wait for some tiles; others that are ready before are kept, too."""
        while not self.waiting.isdisjoint(tiles):
            tile, values = next(self.coming)
            self.sink.keep(tile, values)
            self.waiting.remove(tile)

    def __call__(self, tile: int) -> FloatArray:
        """Give the layers of a tile, one after the other, (layer * band, y, x)."""
        kept = self.sink.tile(tile)
        return self.layers(tile) if kept is None else kept


def _mirrored(inputs: Inputs, side: int) -> Inputs:
    """Mirror what is smaller than the network at its lower and right edge."""
    rows, columns = inputs.images.shape[-2:]
    if (rows, columns) == (side, side):
        return inputs
    places = [torch.from_numpy(_reflected(length, side)) for length in (rows, columns)]
    parts = {name: getattr(inputs, name)[..., places[0], :][..., places[1]]
             for name in ("images", "valid", "static", "state")}  # fmt: skip
    return inputs._replace(**parts)


def _reflected(length: int, side: int) -> NDArray[np.intp]:
    """Give the pixels of a row that goes back and forth, the last one not twice."""
    return np.pad(np.arange(length), (0, side - length), mode="reflect" if length > 1 else "edge")
