"""The kinds of change: from the values of one image to its changed values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.simulate.injected.mappings import KernelMapping, QuantileMapping
from terradelta.simulate.injected.recipe import PerBand, Recipe
from terradelta.simulate.injected.texture import Moves
from terradelta.simulate.streams import stream
from terradelta.types import BoolArray, FloatArray

__all__ = ["Scene", "changed", "difference", "per_band"]

Float32 = NDArray[np.float32]


class Scene(NamedTuple):
    """One image with all that a change of it needs.

    Attributes
    ----------
    image : ndarray of float32, (band, y, x)
        dB.
    ground : ndarray of bool, (y, x)
        Allowed pixels with data: the class that is left.
    touched : ndarray of int32, (y, x)
        Number of the change of each pixel; 0 where nothing changes.
    superpixels : ndarray of int64, (y, x), or None
        Pixels of one number keep equal values.
    target : ndarray, (band, n), or None
        dB; pixels of the class that comes.
    moves : Moves or None
        Where copied texture comes from.
    time : int
        Index of the image in its series.
    """

    image: Float32
    ground: BoolArray
    touched: NDArray[np.int32]
    superpixels: NDArray[np.int64] | None = None
    target: FloatArray | None = None
    moves: Moves | None = None
    time: int = 0


def changed(scene: Scene, recipe: Recipe, seed: int) -> Float32:
    """Give the image with the full change; a pixel without data in all bands stays as it is."""
    new = scene.image.copy()
    places = (scene.touched > 0) & np.isfinite(scene.image).all(axis=0)
    if not places.any():
        return new
    if recipe.kind == "offset":
        new[:, places] += per_band(recipe.offset, len(new), "offset")[:, None]
    elif recipe.kind == "statistical":
        new[:, places] = _statistical(scene, recipe, places) if scene.ground.any() else new[:, places]
    elif recipe.kind == "gaussian":
        for number in np.unique(scene.touched[places]).tolist():
            own = places & (scene.touched == number)
            new[:, own] = _gaussian(
                scene, recipe, own, stream(seed, "injected", "gaussian", number, scene.time)
            )
    elif scene.moves is not None:
        _copy(scene, places, scene.moves, new)
    return new


def difference(after: Float32, before: Float32) -> Float32:
    """Give after minus before in dB; 0 where they are equal, infinite values too."""
    return np.subtract(after, before, out=np.zeros_like(before), where=after != before)


def per_band(value: PerBand, bands: int, name: str) -> Float32:
    """Give one number per band."""
    if not isinstance(value, tuple):
        return np.full(bands, value, np.float32)
    if len(value) != bands:
        raise InputError(
            f"{name} has {len(value)} values, the image {bands} bands; give one value or one per band"
        )
    return np.array(value, np.float32)


def _statistical(scene: Scene, recipe: Recipe, places: BoolArray) -> Float32:
    target = _checked_target(scene)
    return np.stack(
        [
            _fit(band[scene.ground], pixels, recipe)(band[places]).astype(np.float32)
            for band, pixels in zip(scene.image, target, strict=True)
        ]
    )


def _fit(forest: NDArray[Any], target: NDArray[Any], recipe: Recipe) -> QuantileMapping | KernelMapping:
    if recipe.mapping == "kernel":
        return KernelMapping.fit(forest, target)
    return QuantileMapping.fit(forest, target, published=recipe.mapping == "published")


def _checked_target(scene: Scene) -> FloatArray:
    if scene.target is None:
        raise InputError(
            "target is missing; a statistical change needs pixels (band, n) of the cover that comes"
        )
    target = np.asarray(scene.target)
    if target.ndim != 2 or len(target) != len(scene.image):
        raise InputError(f"target is {target.shape}; give one of ({len(scene.image)} bands, n pixels) in dB")
    return target


def _gaussian(scene: Scene, recipe: Recipe, own: BoolArray, rng: np.random.Generator) -> FloatArray:
    values = scene.image[:, own].astype(np.float64)
    shift = per_band(recipe.gaussian_shift, len(values), "gaussian_shift")
    mean = values.mean(axis=1) + shift
    spread = recipe.gaussian_spread * values.std(axis=1)
    if scene.superpixels is None:
        each = np.arange(values.shape[1])
    else:
        each = np.unique(scene.superpixels[own], return_inverse=True)[1]
    draws = rng.normal(size=(len(values), int(each.max()) + 1))[:, each]
    return np.asarray(mean[:, None] + spread[:, None] * draws)


def _copy(scene: Scene, places: BoolArray, moves: Moves, new: Float32) -> None:
    rows, columns = np.nonzero(places)
    step = moves.steps[scene.touched[rows, columns] - 1]
    values = scene.image[:, rows + step[:, 0], columns + step[:, 1]]
    good = np.isfinite(values).all(axis=0)
    new[:, rows[good], columns[good]] = values[:, good]
