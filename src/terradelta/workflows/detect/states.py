"""The state of every scene, fitted once on a sample of pixels around each node."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terradelta.expected.parameters import RobustParameters
from terradelta.expected.scene import SceneState
from terradelta.sar import despeckle_tv, to_db
from terradelta.types import FloatArray, Offset, Size
from terradelta.windows import Block, Slices
from terradelta.windows.nodes import Nodes
from terradelta.workflows.detect.series import OrbitSeries

__all__ = ["SAMPLE", "TV_HALO", "SceneStates", "despeckled", "pack", "pool", "sample_cell", "unpack"]

SAMPLE = 10_000
"""Pixels that the state of a scene is fitted on, per node."""

TV_HALO = 16
"""Pixels around a block that the despeckling needs (3e-4 dB)."""

_ATTRIBUTES = ("centre", "width", "coefficients", "inflation")
_PATCH = 64
_TIMES_AT_ONCE = 4


@dataclass(frozen=True)
class SceneStates:
    """States of all scenes of an orbit: per image, per node."""

    nodes: Nodes
    states: list[list[SceneState]]

    def at(
        self, image: int, part: Slices, mean: FloatArray, spread: FloatArray, degree: int
    ) -> tuple[FloatArray, FloatArray]:
        """Blend the departures and the inflation of the nodes around a part of the raster.

        Returns
        -------
        offset : ndarray
            (band, y, x), dB.
        inflation : ndarray
            (band, y, x).
        """
        which, weights = self.nodes.weights(part)
        offset, inflation = np.float32(0), np.float32(0)
        for node, weight in zip(which, weights, strict=True):
            state = self.states[image][node]
            offset = offset + state.offset(mean, spread, degree) * weight
            inflation = inflation + state.inflation.astype(np.float32)[:, None, None] * weight
        return np.asarray(offset), np.asarray(inflation)


def despeckled(series: OrbitSeries, block: Block, parameters: RobustParameters) -> FloatArray:
    """Read a block, turn it into dB and despeckle it, a few images at a time.

    Returns
    -------
    ndarray
        (time, band, y, x), dB, the core of the block.
    """
    total = len(series.times)
    smooth = np.empty((total, series.bands, *block.core_size), np.float32)
    for start in range(0, total, _TIMES_AT_ONCE):
        images = slice(start, min(start + _TIMES_AT_ONCE, total))
        decibel = to_db(series.read(block.read, images))
        some = despeckle_tv(decibel, parameters.tv_weight, iterations=parameters.tv_iterations)
        smooth[images] = some[..., block.inner[0], block.inner[1]]
    return smooth


def sample_cell(series: OrbitSeries, nodes: Nodes, node: int, parameters: RobustParameters) -> FloatArray:
    """Read a sample of a cell's pixels, despeckled.

    Small cells are read whole; of larger ones a regular pattern of patches, as despeckling needs neighbours.

    Returns
    -------
    ndarray
        (time, band, pixel), dB.
    """
    budget = SAMPLE if len(nodes) == 1 else SAMPLE // 4
    patches = [despeckled(series, patch, parameters) for patch in _patches(series, nodes.cell(node))]
    number = sum(patch.shape[2] * patch.shape[3] for patch in patches)
    stride = max(1, math.isqrt(max(number // budget, 1)))
    thin = [patch[:, :, ::stride, ::stride].reshape(*patch.shape[:2], -1) for patch in patches]
    return np.concatenate(thin, axis=2)


def _patches(series: OrbitSeries, cell: Slices) -> Iterator[Block]:
    height, width = (part.stop - part.start for part in cell)
    if height * width <= 4 * SAMPLE:
        yield _block(series, cell)
        return
    for row in (1, 3):
        for column in (1, 3):
            top = cell[0].start + max(height * row // 4 - _PATCH // 2, 0)
            left = cell[1].start + max(width * column // 4 - _PATCH // 2, 0)
            yield _block(
                series,
                (slice(top, min(top + _PATCH, cell[0].stop)), slice(left, min(left + _PATCH, cell[1].stop))),
            )


def _block(series: OrbitSeries, part: Slices) -> Block:
    """One block with this core, and the halo that the despeckling needs."""
    read = [
        (max(p.start - TV_HALO, 0), min(p.stop + TV_HALO, n)) for p, n in zip(part, series.size, strict=True)
    ]
    return Block(
        Offset(part[0].start, part[1].start),
        Size(part[0].stop - part[0].start, part[1].stop - part[1].start),
        Offset(read[0][0], read[1][0]),
        Size(read[0][1] - read[0][0], read[1][1] - read[1][0]),
    )


def pool(samples: dict[int, FloatArray], nodes: list[int]) -> FloatArray:
    """Put the samples of several cells together, thinned to a bounded number of pixels."""
    pooled = np.concatenate([samples[node] for node in nodes], axis=2)
    return pooled[:, :, :: max(1, pooled.shape[2] // SAMPLE)]


def pack(states: SceneStates) -> dict[str, NDArray[np.float64]]:
    """Give plain arrays, fit for a file: (image, node, ...) per attribute."""
    return {
        name: np.array([[getattr(state, name) for state in row] for row in states.states])
        for name in _ATTRIBUTES
    }


def unpack(nodes: Nodes, arrays: dict[str, NDArray[np.float64]]) -> SceneStates:
    """Undo `pack`."""
    images = len(arrays["centre"])
    states = [
        [SceneState(*(arrays[name][image, node] for name in _ATTRIBUTES)) for node in range(len(nodes))]
        for image in range(images)
    ]
    return SceneStates(nodes, states)
