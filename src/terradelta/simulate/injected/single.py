"""Simulated changes in one image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.simulate.injected.drawing import Drawn, draw
from terradelta.simulate.injected.kinds import Scene, changed, difference, per_band
from terradelta.simulate.injected.recipe import Recipe
from terradelta.simulate.injected.results import Injected, InjectedChange
from terradelta.simulate.injected.texture import find_moves
from terradelta.types import BoolArray, FloatArray

__all__ = ["inject"]

Float32 = NDArray[np.float32]


def inject(
    image: NDArray[Any],
    allowed: NDArray[Any],
    recipe: Recipe | None = None,
    *,
    seed: int,
    target: NDArray[Any] | None = None,
) -> Injected:
    """Put simulated changes into one image.

    Parameters
    ----------
    image : ndarray, (band, y, x)
        dB. Pixels without data (NaN or infinite in a band) never change.
    allowed : ndarray of bool or 0/1, (y, x)
        Where changes may be drawn, by default forest.
    recipe : Recipe, optional
        Kind, strength, number and outline; the defaults if left out.
    seed : int
        Zero or positive; the same seed gives the same changes.
    target : ndarray, (band, n), optional
        dB; pixels of the cover that comes, for ``kind="statistical"``.

    Returns
    -------
    Injected
        With no allowed pixel: the image as it was, no changes, and why.

    Raises
    ------
    InputError
        If shapes do not fit, a target is missing or without values, or kernel densities are asked of a class
        with constant values.

    Notes
    -----
    Alatalo et al. 2023, IEEE TGRS 61; Inglada and Mercier 2007, IEEE TGRS 45 (5).

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(-10, 1, (2, 64, 64)).astype(np.float32)
    >>> found = inject(image, np.ones((64, 64), bool), Recipe(count=(1, 1), box=20), seed=1)
    >>> [round(each, 3) for each in found.changes[0].change]
    [-2.5, -2.5]
    >>> inject(image, np.zeros((64, 64), bool), seed=1).why
    'no changes: no pixel is allowed (no forest in the scene)'
    """
    recipe = Recipe() if recipe is None else recipe
    before = as_image(image)
    ground = as_allowed(allowed, before.shape[1:])
    valid = np.asarray(np.isfinite(before).all(axis=0))
    check_recipe(recipe, len(before), bool((ground & valid).any()) and target is None)
    drawn = draw(before, ground, valid, recipe, seed)
    drawn, scene = prepare(
        Scene(before, ground & valid, drawn.touched, target=target), drawn, valid, recipe, seed
    )
    after = changed(scene, recipe, seed)
    mask = drawn.touched if recipe.mask_says else drawn.outlines
    return Injected(
        after, mask, drawn.superpixels, list_changes(drawn, recipe, difference(after, before)), drawn.why
    )


def as_image(image: NDArray[Any]) -> Float32:
    """Check an image (band, y, x) and give it as float32."""
    array = np.asarray(image)
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"image is {array.shape}; give one of (band, y, x)")
    if array.dtype.kind not in "fiu":
        raise InputError(f"image holds {array.dtype}; give numbers in dB")
    return np.asarray(array, np.float32)


def as_allowed(allowed: NDArray[Any], size: tuple[int, ...]) -> BoolArray:
    """Check a mask of allowed pixels; 1 is allowed, anything else (NaN too) is not."""
    mask = np.asarray(allowed)
    if mask.shape != size:
        raise InputError(f"allowed mask is {mask.shape}; give one of the image's size {size}")
    return np.asarray(mask == 1)


def check_recipe(recipe: Recipe, bands: int, targetless: bool) -> None:
    """Refuse settings that do not fit the image, whatever number of changes is drawn."""
    per_band(recipe.offset, bands, "offset")
    per_band(recipe.gaussian_shift, bands, "gaussian_shift")
    if recipe.kind == "statistical" and targetless:
        raise InputError("target is missing; give pixels (band, n) in dB of the cover that comes")


def prepare(scene: Scene, drawn: Drawn, valid: BoolArray, recipe: Recipe, seed: int) -> tuple[Drawn, Scene]:
    """Add what the kind of change needs; copied texture leaves pixels without a source out of the change."""
    scene = scene._replace(superpixels=drawn.superpixels)
    if recipe.kind != "texture" or not drawn.centres:
        return drawn, scene
    moves = find_moves(drawn.touched, scene.ground, valid, len(drawn.centres), recipe, seed)
    touched = np.where(moves.usable, drawn.touched, 0).astype(np.int32)
    why = "" if touched.any() else "no changes: no other place in the image to copy texture from"
    outlines = np.where(moves.usable, drawn.outlines, 0).astype(np.int32)
    centres = drawn.centres if touched.any() else ()
    drawn = drawn._replace(touched=touched, outlines=outlines, centres=centres, why=why)
    return drawn, scene._replace(touched=touched, moves=moves)


def list_changes(drawn: Drawn, recipe: Recipe, steps: FloatArray) -> tuple[InjectedChange, ...]:
    """Describe each drawn change; `steps` from before to after are (band, y, x) in dB."""
    found = []
    for number, centre in enumerate(drawn.centres, 1):
        values = steps[:, drawn.touched == number].astype(np.float64)
        means = [float(each[np.isfinite(each)].mean()) if np.isfinite(each).any() else 0.0 for each in values]
        found.append(InjectedChange(number, recipe.kind, centre, values.shape[1], tuple(means)))
    return tuple(found)
