"""The images of an orbit as they are compared: in dB and despeckled, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from terradelta.expected import scene_nodes
from terradelta.expected.parameters import RobustParameters
from terradelta.sar import despeckle_tv, to_db
from terradelta.types import FloatArray
from terradelta.windows import Block
from terradelta.windows.nodes import Nodes
from terradelta.workflows.detect.series import OrbitSeries

__all__ = ["despeckled", "sample_cell"]


def despeckled(series: OrbitSeries, block: Block, parameters: RobustParameters) -> Iterator[FloatArray]:
    """Read a block image by image, in dB and despeckled.

    Yields
    ------
    ndarray
        (band, y, x), dB, the core of the block.
    """
    for image in range(len(series)):
        decibel = to_db(series.read(block.read, slice(image, image + 1))[0])
        smooth = despeckle_tv(decibel, parameters.tv_weight, iterations=parameters.tv_iterations)
        yield smooth[..., block.inner[0], block.inner[1]]


def sample_cell(series: OrbitSeries, nodes: Nodes, node: int, parameters: RobustParameters) -> FloatArray:
    """Read a sample of a cell's pixels, despeckled; see `terradelta.expected.scene_nodes.sample_cell`.

    Returns
    -------
    ndarray
        (time, band, pixel), dB; pixels without any data are left out.
    """
    return scene_nodes.sample_cell(partial(despeckled, series, parameters=parameters), nodes, node)
