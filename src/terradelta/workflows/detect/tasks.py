"""What one process is given to do at a time: a sample, a fit, or a block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from terradelta.errors import InputError
from terradelta.expected.scene import SceneState, fit_scene_states
from terradelta.expected.scene_nodes import SceneStates
from terradelta.sar import equivalent_looks
from terradelta.types import FloatArray
from terradelta.windows import Block
from terradelta.windows.nodes import Nodes
from terradelta.workflows.config import DetectSettings
from terradelta.workflows.detect.crew import Context
from terradelta.workflows.detect.methods import Layers, process_block
from terradelta.workflows.detect.seen import Seen
from terradelta.workflows.detect.series import OrbitSeries
from terradelta.workflows.detect.states import sample_cell

__all__ = ["BlockTask", "FitTask", "SampleTask", "do_block", "estimate_looks", "fit_node", "sample_node"]

_IMAGES = 5
_WINDOW = 512


@dataclass(frozen=True)
class SampleTask:
    """A node whose cell is to be sampled."""

    orbit: str
    node: int


@dataclass(frozen=True)
class FitTask:
    """A node whose scenes' states are to be fitted on pooled samples."""

    orbit: str
    node: int
    sample: FloatArray


@dataclass(frozen=True)
class BlockTask:
    """A block to judge.

    `states` are for the robust method, `looks` for the omnibus test (NaN: unknown), `seen` for the expected.
    """

    orbit: str
    number: int
    block: Block
    states: SceneStates | None
    looks: float
    seen: Seen | None = None


def sample_node(context: Context, task: SampleTask) -> FloatArray:
    """Sample the pixels of a node's cell, see `sample_cell`."""
    series, settings = context.series[task.orbit], context.settings
    nodes = Nodes(series.size, settings.neighbourhood)
    return sample_cell(series, nodes, task.node, settings.robust.parameters())


def fit_node(context: Context, task: FitTask) -> list[SceneState]:
    """Fit the states of all images at one node."""
    first = context.series[task.orbit].targets[0]
    return fit_scene_states(task.sample, first, context.settings.robust.parameters())


def do_block(context: Context, task: BlockTask) -> Layers:
    """Find the changes of one block."""
    series = context.series[task.orbit]
    return process_block(series, task.block, context.settings, task.states, task.looks, task.seen)


def estimate_looks(series: OrbitSeries, settings: DetectSettings) -> float:
    """Give the number of looks: as told, or the median over a few images of the middle of the scene.

    Returns
    -------
    float
        At least 1; NaN where the middle holds too little data.
    """
    if settings.omnibus.looks is not None:
        return settings.omnibus.looks
    rows, columns = (slice(max(n - _WINDOW, 0) // 2, (n + _WINDOW) // 2) for n in series.size)
    found = []
    for image in np.linspace(0, len(series) - 1, min(len(series), _IMAGES)).astype(int):
        try:
            found.append(equivalent_looks(series.read((rows, columns), slice(image, image + 1))[0]))
        except InputError:
            continue
    return max(float(np.median(found)), 1.0) if found else float("nan")
