"""The state of every scene over a large area: fitted at nodes on samples, blended between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from terradelta.expected.scene import SAMPLE, SceneState
from terradelta.types import FloatArray, Offset, Size
from terradelta.windows.blocks import Block, Slices
from terradelta.windows.nodes import Nodes

__all__ = ["SAMPLE", "TV_HALO", "ReadBlock", "SceneStates", "around", "pack", "pool", "sample_cell", "unpack"]

ReadBlock: TypeAlias = Callable[[Block], Iterable[FloatArray]]
"""Gives a block image by image, (band, y, x) of its core, dB, despeckled."""

TV_HALO = 16
"""Pixels around a block that the despeckling needs; more would change it by less than 4e-3 dB."""

_ATTRIBUTES = ("centre", "width", "coefficients", "inflation")
_PATCH, _PATCHES = 32, 4


@dataclass(frozen=True)
class SceneStates:
    """States of the scenes of a series: per node, per image.

    Attributes
    ----------
    nodes : Nodes
        Where they were fitted.
    states : mapping
        Number of a node to one state per image.
    """

    nodes: Nodes
    states: Mapping[int, Sequence[SceneState]]

    def near(self, part: Slices) -> SceneStates:
        """Keep only the nodes that matter for a part of the raster."""
        which, _ = self.nodes.weights(part)
        return SceneStates(self.nodes, {int(node): self.states[int(node)] for node in which})

    def at(
        self, image: int, part: Slices, mean: FloatArray, spread: FloatArray, degree: int
    ) -> tuple[FloatArray, FloatArray]:
        """Blend the departures and the inflation of the nodes around a part of the raster.

        Parameters
        ----------
        image : int
            Index in the series.
        part : slices
            Rows and columns.
        mean, spread : ndarray
            (band, y, x) of the history in the part, dB.
        degree : int
            The polynomial's.

        Returns
        -------
        offset : ndarray
            (band, y, x), dB.
        inflation : ndarray
            (band, y, x).
        """
        offset, inflation = np.zeros_like(mean), np.zeros_like(mean)
        for node, weight in zip(*self.nodes.weights(part), strict=True):
            state = self.states[int(node)][image]
            offset += state.offset(mean, spread, degree) * weight
            inflation += state.inflation.astype(mean.dtype)[:, None, None] * weight
        return offset, inflation


def sample_cell(read: ReadBlock, nodes: Nodes, node: int) -> FloatArray:
    """Read a sample of a cell's pixels, despeckled.

    Small cells are read whole; of larger ones a regular pattern of patches, as despeckling needs neighbours.

    Parameters
    ----------
    read : callable
        Gives a block image by image.
    nodes : Nodes
        All nodes.
    node : int
        The one whose cell it is.

    Returns
    -------
    ndarray
        (time, band, pixel), dB; pixels without any data are left out.
    """
    budget = SAMPLE if len(nodes) == 1 else SAMPLE // 4
    patches = list(_patches(nodes.size, nodes.cell(node)))
    number = sum(patch.core_size.y * patch.core_size.x for patch in patches)
    stride = max(1, math.ceil(math.sqrt(number / budget) - 0.1))
    thin = [np.stack([_flat(image[:, ::stride, ::stride]) for image in read(patch)]) for patch in patches]
    sample = np.concatenate(thin, axis=2)
    return sample[:, :, np.isfinite(sample).any(axis=(0, 1))]


def _flat(image: FloatArray) -> FloatArray:
    return image.reshape(len(image), -1)


def _patches(size: Size, cell: Slices) -> Iterator[Block]:
    height, width = (part.stop - part.start for part in cell)
    if height * width <= (_PATCHES * (_PATCH + 2 * TV_HALO)) ** 2:
        yield around(cell, size)
        return
    rows, columns = (_places(part) for part in cell)
    for row in rows:
        for column in columns:
            yield around((row, column), size)


def _places(part: slice) -> list[slice]:
    """Spread patches evenly along one side of a cell."""
    length = part.stop - part.start
    number = min(_PATCHES, max(length // _PATCH, 1))
    middles = [part.start + length * (2 * i + 1) // (2 * number) for i in range(number)]
    return [slice(max(m - _PATCH // 2, part.start), min(m + _PATCH // 2, part.stop)) for m in middles]


def around(part: Slices, size: Size, halo: int = TV_HALO) -> Block:
    """Give the block with this core, and a halo that is cut at the raster's edge.

    Parameters
    ----------
    part : slices
        Rows and columns of the core.
    size : Size
        Of the raster.
    halo : int
        Pixels on every side; by default what the despeckling needs.

    Returns
    -------
    Block
        What to read, and what of it to keep.

    Examples
    --------
    >>> around((slice(0, 8), slice(20, 30)), Size(64, 40)).read
    (slice(0, 24, None), slice(4, 40, None))
    """
    read = [(max(p.start - halo, 0), min(p.stop + halo, n)) for p, n in zip(part, size, strict=True)]
    return Block(
        Offset(part[0].start, part[1].start),
        Size(part[0].stop - part[0].start, part[1].stop - part[1].start),
        Offset(read[0][0], read[1][0]),
        Size(read[0][1] - read[0][0], read[1][1] - read[1][0]),
    )


def pool(samples: Mapping[int, FloatArray], nodes: Nodes, node: int) -> FloatArray:
    """Put the samples of the cells around a node together, thinned to a bounded number of pixels.

    Where these hold too few pixels, at the rim of the data, those of wider rings of cells join in.

    Parameters
    ----------
    samples : mapping of ndarray
        Number of a node to its sample, from `sample_cell`.
    nodes : Nodes
        All nodes.
    node : int
        The one in the middle.

    Returns
    -------
    ndarray
        (time, band, pixel), dB.
    """
    for reach in range(1, max(nodes.shape) + 1):
        near = nodes.around(node, reach)
        if sum(samples[one].shape[2] for one in near) >= SAMPLE // 4:
            break
    pooled = np.concatenate([samples[one] for one in near], axis=2)
    return pooled[:, :, :: max(1, pooled.shape[2] // SAMPLE)]


def pack(states: SceneStates) -> dict[str, NDArray[np.float64]]:
    """Give plain arrays, fit for a file: (node, image, ...) per attribute."""
    nodes = [states.states[node] for node in range(len(states.nodes))]
    return {
        name: np.array([[getattr(state, name) for state in images] for images in nodes])
        for name in _ATTRIBUTES
    }


def unpack(nodes: Nodes, arrays: Mapping[str, NDArray[np.float64]]) -> SceneStates:
    """Undo `pack`."""
    rows = list(zip(*(arrays[name] for name in _ATTRIBUTES), strict=True))
    states = {node: [SceneState(*one) for one in zip(*row, strict=True)] for node, row in enumerate(rows)}
    return SceneStates(nodes, states)
