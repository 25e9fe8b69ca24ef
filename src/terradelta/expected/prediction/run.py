"""The expected image of a whole scene: block by block, blended, within a memory setting, resumable."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
import torch
import xarray as xr
from odc.geo.geobox import GeoBox

from terradelta.cube.grid import grid_document
from terradelta.cube.location import path_of
from terradelta.expected.conditions import Conditions
from terradelta.expected.inputs import Inputs
from terradelta.expected.model import ExpectedImage
from terradelta.expected.prediction.acquisitions import choose_images
from terradelta.expected.prediction.layers import KeptTiles, TileLayers
from terradelta.expected.prediction.plan import PredictionPlan
from terradelta.expected.prediction.reader import NEIGHBOURHOOD, Change, SceneReader
from terradelta.expected.prediction.store import (
    MemoryImages,
    PredictionStore,
    Sink,
    as_dataset,
    open_prediction,
)
from terradelta.expected.prediction.tiling import Tiling
from terradelta.expected.samples.cube_images import CubeImages
from terradelta.types import PathType

__all__ = ["MEMORY", "Progress", "identity", "predict", "same_orbit_of", "silent"]

Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Takes a label and a number of steps, gives a context manager that gives a function to advance by some."""

MEMORY = 2_000_000_000
"""Bytes to stay within unless told otherwise."""

_LOG = logging.getLogger(__name__)
_SPACING_TOLERANCE = 0.02
_DEGREE_METRES = 111_320.0


def silent(label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Show no progress."""
    return nullcontext(lambda _: None)


def predict(
    model: ExpectedImage,
    cube: xr.DataTree | PathType,
    time: Any = "last",
    *,
    block: int | None = None,
    overlap: int | None = None,
    memory: float = MEMORY,
    store: PathType | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    conditions: Change | Conditions | None = None,
    same_orbit: bool | None = None,
    until: np.datetime64 | None = None,
    neighbourhood: int = NEIGHBOURHOOD,
    executor: Executor | None = None,
    device: str | None = None,
) -> xr.Dataset:
    """Expect one acquisition of a cube from those before it.

    Parameters
    ----------
    model : ExpectedImage
        A trained network with its statistics and preparation, and the precision to compute with.
    cube : DataTree or path
        The place.
    time : str or datetime64
        ``"last"``, a date, or a moment where a day has several images; UTC.
    block : int, optional
        Pixels on a side of what the network sees at once; by default what fits into the memory, up to 512 and
        what it reads around. A network of a fixed size takes no other.
    overlap : int, optional
        Pixels over which neighbouring results fade into each other; by default 16, for a network of a fixed
        size a quarter of that.
    memory : float
        Bytes to stay within, whatever the size of the scene (a result that is not written to a store comes on
        top). What a pixel needs is found by running the network without numbers.
    store : path, optional
        Zarr to write to, piece by piece. Killed at any moment, the same call again completes it.
    overwrite : bool
        Throw a store of other settings, model or images away instead of refusing.
    progress : callable
        Takes a label and a number of steps; gives a context manager that gives a function to advance.
    conditions : callable or Conditions, optional
        Other conditions than the real ones, or what makes them of these: *what if*.
    same_orbit : bool, optional
        Take previous images of the target's orbit only; by default as the model was trained.
    until : datetime64, optional
        Take previous images from before this moment only, UTC; by default from before the target.
    neighbourhood : int
        Pixels between the places where the state of a scene is fitted (where the model takes it off).
    executor : Executor, optional
        Who computes the blocks; by default this process, one after the other. Other processes and machines
        open the cube by its path; the memory is that of each. This process alone blends and writes.
    device : str, optional
        Where the network runs with an executor; by default the GPU of each machine that has one.

    Returns
    -------
    Dataset
        On the cube's grid, dB, NaN = no data: ``expected`` (band, y, x), the target as it should have been
        seen after the model's despeckling, with the state of its scene; ``target``, as it was seen, likewise
        despeckled; ``sigma``, if the network tells it: standard deviation of the target around the expected
        image. ``time`` is a coordinate; attributes tell the previous images, the model and its preparation.
        Lazy if there is a store.

    Raises
    ------
    ConflictError
        If the store holds a prediction of other settings, model or images.
    CubeError
        If the cube has too few images before that date, or lacks bands, elevation or weather that the
        network needs.
    InputError
        If a setting is out of range, the date is not there, or the memory does not suffice.
    LockedError
        If another process writes to the store.

    References
    ----------
    J. Alatalo, T. Sipola, M. Rantonen, Improved Difference Images for Change Detection Classifiers in SAR
    Imagery Using Deep Learning, IEEE TGRS 61, 5218714, 2023. Despeckling and state of the scene are ours.
    """
    images = CubeImages(cube if executor is None else path_of(cube))
    own = same_orbit_of(model, same_orbit)
    chosen = choose_images(images, time, model.previous, same_orbit=own, until=until)
    reader = SceneReader(model, images, chosen, _change(conditions), neighbourhood)
    job = _Job(reader, PredictionPlan.of(model), progress, executor, device)
    job.warn()
    if store is None:
        cut = job.plan.cut(reader.size, block, overlap, memory)
        held = MemoryImages(job.layers, len(model.bands), reader.size)
        job.run(cut, held)
        layers = dict(zip(job.layers, held.values, strict=True))
        return as_dataset(layers, model.bands, images.geobox, job.attributes())
    settings = job.settings(block, overlap)
    with PredictionStore(store, settings, overwrite=overwrite) as kept:
        if not kept.complete:
            cut = job.plan.cut(reader.size, block, overlap, memory, kept.block)
            kept.begin(job.layers, model.bands, images.geobox, job.attributes(), cut.tile)
            job.run(cut, kept)
            kept.finish()
    return open_prediction(store)


def same_orbit_of(model: ExpectedImage, told: bool | None = None) -> bool:
    """Tell whether previous images are of the target's orbit only: as told, or as in the model's training."""
    return bool(getattr(model, "same_orbit", False)) if told is None else told


def _change(conditions: Change | Conditions | None) -> Change | None:
    if isinstance(conditions, Conditions):
        return partial(_instead, conditions)
    return conditions


def _instead(conditions: Conditions, real: Conditions) -> Conditions:
    return conditions


@dataclass(frozen=True)
class _Job:
    """One scene to expect."""

    reader: SceneReader
    plan: PredictionPlan
    progress: Progress
    executor: Executor | None
    device: str | None

    @property
    def _model(self) -> ExpectedImage:
        return self.reader.model

    @property
    def layers(self) -> tuple[str, ...]:
        """Name what comes out."""
        return ("expected", "target", "sigma") if self.plan.tells_sigma else ("expected", "target")

    def warn(self) -> None:
        """Say what differs from the training."""
        ground, own = _spacing(self.reader.images.geobox), self._model.spacing
        if own is not None and abs(ground / own - 1) > _SPACING_TOLERANCE:
            _LOG.warning(
                "the model was trained at %.4g m per pixel, the cube has %.4g m: expect worse results",
                own,
                ground,
            )
        conditions, known = self._model.statistics.features(self.reader.conditions())
        inputs = _conditions_only(conditions, known)
        for line in self._model.beyond(inputs):
            _LOG.warning("extrapolation: %s", line)

    def run(self, cut: Tiling, sink: Sink) -> None:
        """Make the pieces that are not there yet, in order."""
        todo = [piece for piece in range(len(cut.pieces)) if not sink.has(piece)]
        if not todo:
            return
        with self.progress("expected image: state of the scenes", 1) as advance:
            self.reader.fit_states(self.executor)
            advance(1)
        tiles = KeptTiles.of(self._layers(cut), sink, todo, self.executor)
        with self.progress("expected image: blocks", len(cut.pieces)) as advance:
            advance(len(cut.pieces) - len(todo))
            for piece in todo:
                part = cut.pieces[piece]
                tiles.require(cut.touching(part))
                values = cut.blended(part, tiles)
                shape = (len(self.layers), len(self._model.bands), *values.shape[1:])
                sink.put(piece, part, values.reshape(shape))
                for tile in cut.freed(piece):
                    sink.keep(tile, None)
                advance(1)

    def _layers(self, cut: Tiling) -> TileLayers:
        device = None if self.executor is None else self.device or ""
        return TileLayers(self.reader, cut, self.layers, self.plan.fixed, device)

    def attributes(self) -> dict[str, Any]:
        """Tell what the expected image is."""
        chosen, model = self.reader.chosen, self._model
        return {
            "title": "Expected SAR image",
            "method": "expected",
            "time": chosen.acquired[-1].time[:26],
            "previous": list(chosen.previous),
            "network": type(model.network).__name__,
            "model": identity(model),
            "precision": model.precision,
            "preparation": json.dumps(model.preparation.to_dict(), sort_keys=True),
        }

    def settings(self, block: int | None, overlap: int | None) -> dict[str, Any]:
        """Tell what the prediction depends on."""
        chosen, reader = self.reader.chosen, self.reader
        told = reader.conditions()
        values, known = self._model.statistics.features(told)
        return {
            "model": identity(self._model),
            "precision": self._model.precision,
            "images": [list(image) for image in chosen.acquired],
            "cube": reader.images.digest(chosen.acquired),
            "grid": grid_document(reader.images.geobox),
            "conditions": sha256(values.tobytes() + known.tobytes()).hexdigest()[:16],
            "block": block,
            "overlap": overlap,
            "neighbourhood": reader.neighbourhood,
        }


def identity(model: ExpectedImage) -> str:
    """Tell a model from all others: by weights, statistics and preparation."""
    content = sha256(repr((model.statistics, model.preparation, model.bands, model.previous)).encode())
    for name, values in sorted(model.network.state_dict().items()):
        content.update(f"{name} {tuple(values.shape)}".encode())
        content.update(np.ascontiguousarray(values.detach().cpu().numpy()).tobytes())
    return content.hexdigest()[:32]


def _conditions_only(values: Any, known: Any) -> Inputs:
    nothing = torch.zeros(1, 0)
    told = torch.from_numpy(np.asarray(values))[None], torch.from_numpy(np.asarray(known))[None]
    return Inputs(nothing, nothing, nothing, nothing, *told)


def _spacing(geobox: GeoBox) -> float:
    """Give the metres between pixels, near the middle for a grid in degrees."""
    height, width = abs(geobox.affine.e), abs(geobox.affine.a)
    if geobox.crs is not None and geobox.crs.geographic:
        box = geobox.boundingbox
        width *= _DEGREE_METRES * math.cos(math.radians((box.top + box.bottom) / 2))
        height *= _DEGREE_METRES
    return math.sqrt(width * height)
