"""Any part of a scene as a network takes it: prepared like the samples it was trained on, but seamless."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray

from terradelta.errors import CubeError, InputError
from terradelta.expected.conditions import GROUPS, WEATHER, Conditions, kept_features
from terradelta.expected.inputs import Inputs
from terradelta.expected.model import ExpectedImage
from terradelta.expected.prediction.acquisitions import Chosen
from terradelta.expected.preparation import Preparation, Prepared, despeckle
from terradelta.expected.samples.cube_images import CubeImages, Grid
from terradelta.expected.scene import SceneState, fit_scene_states, usual
from terradelta.expected.scene_nodes import SceneStates, around, pool, sample_cell
from terradelta.tasks import mapped
from terradelta.types import BoolArray, FloatArray, Size
from terradelta.windows.blocks import Block, Slices
from terradelta.windows.nodes import Nodes

__all__ = ["NEIGHBOURHOOD", "Change", "Part", "SceneReader", "halo_of"]

Change: TypeAlias = Callable[[Conditions], Conditions]
"""Turns the conditions as they were into others."""

NEIGHBOURHOOD = 1024
"""Pixels between the places where the state of a scene is fitted, blended between."""

_HALO = {"none": 0, "lee": 3, "tv": 16}
_LOG = logging.getLogger(__name__)


def halo_of(preparation: Preparation) -> int:
    """Tell how many pixels around a part its despeckling needs.

    Examples
    --------
    >>> halo_of(Preparation(despeckle="tv"))
    16
    """
    return _HALO[preparation.despeckle]


class Part(NamedTuple):
    """A part of a scene, prepared.

    Attributes
    ----------
    inputs : Inputs
        A batch of one.
    target : ndarray
        (band, y, x), the image to expect as it is compared: dB, despeckled; NaN = no data.
    known : ndarray of bool
        (y, x), true where a previous image has data, so that something can be expected.
    """

    inputs: Inputs
    target: FloatArray
    known: BoolArray


class _Pooled(NamedTuple):
    """Pixels around a node, (time, band, pixel)."""

    node: int
    sample: FloatArray


class _Window(NamedTuple):
    """Rows and columns of a rectangle, as `CubeImages` asks for them."""

    part: Slices

    def rows(self) -> NDArray[np.intp]:
        return np.arange(self.part[0].start, self.part[0].stop)

    def columns(self) -> NDArray[np.intp]:
        return np.arange(self.part[1].start, self.part[1].stop)


@dataclass
class SceneReader:
    """Reads a target and its previous images part by part.

    Attributes
    ----------
    model : ExpectedImage
        Its statistics and preparation are applied.
    images : CubeImages
        The cube.
    chosen : Chosen
        Which images of it.
    change : callable, optional
        What the conditions are turned into.
    neighbourhood : int
        Pixels between the nodes of the scenes' states.

    Raises
    ------
    CubeError
        If the cube lacks bands, or a layer or weather that the network needs.
    """

    model: ExpectedImage
    images: CubeImages
    chosen: Chosen
    change: Change | None = None
    neighbourhood: int = NEIGHBOURHOOD
    states: SceneStates | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        missing = [band for band in self.model.bands if band not in self.images.bands]
        if missing:
            raise CubeError(
                f"the cube has the bands {', '.join(self.images.bands)}, the model was trained on "
                f"{', '.join(self.model.bands)}; {missing[0]} is missing: add it or train again"
            )
        self._bands = [self.images.bands.index(band) for band in self.model.bands]
        self._layers = int(getattr(self.model.network, "static", 0))
        if self._layers > 1:
            raise InputError(f"the network takes {self._layers} static layers; only elevation is known")
        # trained without elevation, the network was given zeros, and the statistics know of none
        if self._layers and self.model.statistics.dem_max and not self.images.has_layer("dem"):
            raise CubeError(
                "the model was trained with elevation, but the cube has no layer dem; add one with "
                "`terradelta cube import`, or train a model without"
            )
        self.require_conditions()

    @property
    def size(self) -> Size:
        """Rows and columns of the scene."""
        return Size(*self.images.size)

    def conditions(self, part: Slices | None = None) -> Conditions:
        """Give the conditions in the middle of a part, or of the scene, changed as told."""
        rows, columns = part or (slice(0, self.size.y), slice(0, self.size.x))
        # a grid of one large pixel has its middle where the part has
        grid = Grid(rows.start, columns.start, 1, rows.stop - rows.start, columns.stop - columns.start)
        found = self.images.conditions(self.chosen.places, grid)
        return found if self.change is None else self.change(found)

    def require_conditions(self) -> None:
        """Refuse weather that the network was trained with and the cube lacks; note other unknown conditions.

        Raises
        ------
        CubeError
            With the name of what is missing.
        """
        ranges = self.model.ranges
        wanted = [
            group
            for group in cast(Any, self.model.network).requires
            if not ranges or any(feature in ranges for feature in GROUPS[group])
        ]
        missing = [group for group in self.conditions().missing() if group in wanted]
        weather = [group for group in missing if group in WEATHER]
        if weather:
            days = sorted({image.time[:10] for image in self.chosen.acquired})
            raise CubeError(
                f"the model was trained with {', '.join(weather)}, which the cube does not have for all of "
                f"{', '.join(days)} (precipitation: and three days before); add it with "
                "`terradelta cube import`, or use a model trained with --no-weather"
            )
        for group in missing:
            name = group.replace("_", " ")
            _LOG.warning("%s is unknown for at least one image; the model goes without", name)

    def series(self, part: Slices) -> FloatArray:
        """Read (time, band, y, x) of a part, target last, dB, despeckled; NaN = no data."""
        block = around(part, self.size, halo_of(self.model.preparation))
        return np.stack(list(self._despeckled(block)))

    def _despeckled(self, block: Block) -> Iterator[FloatArray]:
        for place in self.chosen.places:
            window = cast(Grid, _Window(block.read))
            decibel = self.images.decibel([place], window)[0][self._bands]
            smooth = despeckle(decibel, self.model.preparation)
            yield np.asarray(smooth[..., block.inner[0], block.inner[1]], np.float32)

    def fit_states(self, executor: Executor | None = None) -> None:
        """Fit the state of every scene, once for the whole; nothing where the model leaves states out.

        Parameters
        ----------
        executor : Executor, optional
            Who reads the samples and fits; by default, and for a single node, this process.
        """
        if self.model.preparation.state == "none":
            return
        nodes = Nodes(self.size, self.neighbourhood)
        numbers = range(len(nodes))
        executor = executor if len(nodes) > 1 else None
        samples = dict(mapped(executor, partial(sample_cell, self._despeckled, nodes), numbers))
        pooled = (_Pooled(node, pool(samples, nodes, node)) for node in numbers)
        fitted = {one.node: states for one, states in mapped(executor, self._fitted, pooled)}
        self.states = SceneStates(nodes, fitted)

    @property
    def _degree(self) -> int:
        """Give the polynomial's degree; with one previous image there is no spread to know the cover by."""
        preparation = self.model.preparation
        of_cover = preparation.state == "scene" and len(self.chosen.places) > 2
        return preparation.robust.degree if of_cover else 0

    def _fitted(self, pooled: _Pooled) -> list[SceneState]:
        """Fit the state of each image."""
        sample = pooled.sample
        count, bands = sample.shape[:2]
        if self.model.preparation.state == "scene" and count > 2:
            return fit_scene_states(sample, count - 1, self.model.preparation.robust)
        departures = sample - usual(sample[:-1])[0]
        known = np.isfinite(departures).any(axis=2, keepdims=True)
        middle = np.nanmedian(np.where(known, departures, 0), axis=2).astype(np.float64)
        plain = (np.zeros(2 * bands), np.ones(2 * bands))
        return [SceneState(*plain, image[:, None], np.ones(bands)) for image in middle]

    def prepared(self, part: Slices) -> tuple[Prepared, FloatArray]:
        """Prepare a part as samples are, but with states that were fitted on the whole scene.

        Returns
        -------
        prepared : Prepared
            Images and target without the state of their scenes.
        target : ndarray
            (band, y, x), the target despeckled, with its state.
        """
        series = self.series(part)
        if self.states is None:
            nothing, plain = np.zeros_like(series[-1]), np.ones_like(series[-1])
            return Prepared(series[:-1], series[-1], nothing, plain), series[-1]
        mean, spread = usual(series[:-1])
        found = [self.states.at(time, part, mean, spread, self._degree) for time in range(len(series))]
        level = np.stack([image - offset for image, (offset, _) in zip(series, found, strict=True)])
        return Prepared(level[:-1], level[-1], found[-1][0], found[-1][1]), series[-1]

    def part(self, part: Slices) -> Part:
        """Read a part as the network takes it.

        Parameters
        ----------
        part : slices
            Rows and columns.

        Returns
        -------
        Part
            Inputs, the target that they are compared with, and where something is known.
        """
        ready, target = self.prepared(part)
        valid: BoolArray = np.asarray(np.isfinite(ready.images).all(axis=1))
        images = np.where(valid[:, None], self.model.statistics.images(ready.images), 0)
        known: BoolArray = np.asarray(valid.any(axis=0) & np.isfinite(ready.offset).all(axis=0))
        values, told = self.model.statistics.features(self.conditions(part))
        told &= kept_features(**self.model.told)
        parts: Sequence[Any] = (
            images.astype(np.float32),
            valid,
            self._static(part),
            ready.state(self.model.half_width),
            np.where(told, values, 0).astype(np.float32),
            told,
        )
        inputs = Inputs(*(torch.from_numpy(np.ascontiguousarray(one))[None] for one in parts))
        return Part(inputs, target, known)

    def _static(self, part: Slices) -> NDArray[np.float32]:
        shape = tuple(span.stop - span.start for span in part)
        layer = self.images.layer("dem", cast(Grid, _Window(part))) if self._layers else None
        if layer is None:
            return np.zeros((self._layers, *shape), np.float32)
        return np.nan_to_num(np.asarray(self.model.statistics.dem(layer), np.float32), nan=0.0)[None]
