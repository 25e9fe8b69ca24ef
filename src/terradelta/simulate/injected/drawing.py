"""Draws where changes lie in a scene."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terradelta.simulate.injected.placing import place_shapes
from terradelta.simulate.injected.polygons import random_shape
from terradelta.simulate.injected.recipe import Recipe
from terradelta.simulate.injected.superpixels import superpixels, whole_superpixels
from terradelta.simulate.streams import stream
from terradelta.types import BoolArray, Offset

__all__ = ["Drawn", "draw", "no_changes"]


class Drawn(NamedTuple):
    """Places of the changes of a scene.

    Attributes
    ----------
    outlines : ndarray of int32, (y, x)
        Numbers of the changes as drawn, inside the allowed ground.
    touched : ndarray of int32, (y, x)
        The same with whole superpixels.
    superpixels : ndarray of int64, (y, x), or None
        Their numbers.
    centres : tuple of Offset
        Row and column of each change.
    why : str
        Why there are none; "" if there are some.
    """

    outlines: NDArray[np.int32]
    touched: NDArray[np.int32]
    superpixels: NDArray[np.int64] | None
    centres: tuple[Offset, ...]
    why: str


def draw(image: NDArray[Any], allowed: BoolArray, valid: BoolArray, recipe: Recipe, seed: int) -> Drawn:
    """Draw number, places and outlines of the changes; `image` (band, y, x) gives the superpixels."""
    labels = None
    if recipe.superpixels != "none":
        labels = superpixels(image, connected=recipe.superpixels == "connected")
    ground = np.flatnonzero(allowed & valid)
    count = int(stream(seed, "injected", "count").integers(recipe.count[0], recipe.count[1] + 1))
    why = no_changes(allowed, valid, count)
    if why:
        nothing = np.zeros(allowed.shape, np.int32)
        return Drawn(nothing, nothing, labels, (), why)
    chosen = stream(seed, "injected", "places").choice(ground, count)
    y, x = np.divmod(chosen, allowed.shape[1])
    shapes = [_shape(recipe, seed, number) for number in range(1, count + 1)]
    outlines = place_shapes(allowed, shapes, np.stack([x, y], axis=1), valid)
    touched = outlines if labels is None else np.where(valid, whole_superpixels(outlines, labels), 0)
    centres = tuple(Offset(*each) for each in zip(y.tolist(), x.tolist(), strict=True))
    return Drawn(outlines, touched.astype(np.int32), labels, centres, "")


def _shape(recipe: Recipe, seed: int, number: int) -> BoolArray:
    rng = stream(seed, "injected", "shape", number)
    return random_shape(rng, recipe.box, recipe.corners, recipe.irregularity, recipe.spikiness)


def no_changes(allowed: BoolArray, valid: BoolArray, count: int) -> str:
    """Say why a scene gets no changes; "" if it gets some."""
    if not valid.any():
        return "no changes: the image has no pixel with data in all bands"
    if not allowed.any():
        return "no changes: no pixel is allowed (no forest in the scene)"
    if not (allowed & valid).any():
        return "no changes: no allowed pixel has data in all bands"
    return "" if count else "no changes: zero were drawn"
