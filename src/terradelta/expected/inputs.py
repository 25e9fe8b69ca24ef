"""What every network of the expected image takes and gives."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Batch", "Expected", "Inputs"]


class Inputs(NamedTuple):
    """Previous images and conditions of a batch; images are normalised, missing values are 0.

    Attributes
    ----------
    images : Tensor
        (batch, time, band, y, x) float, previous images, oldest first, normalised.
    valid : Tensor
        (batch, time, y, x) bool, true where a previous image has data; all false for one that is not there.
    static : Tensor
        (batch, layer, y, x) float, elevation (normalised) and whatever else never changes; may have no layer.
    state : Tensor
        (batch, 2 * band, y, x) float, what was found of the target's scene (rain, frost): per band the
        departure that was taken off the target, in units of normalised images, then per band the logarithm of
        how much wider the scene scatters than those before (`Prepared.state`); 0 where that step is not used.
    conditions : Tensor
        (batch, time + 1, feature) float, by `terradelta.expected.conditions.FEATURES`; the target comes last.
    known : Tensor
        (batch, time + 1, feature) bool, false where a condition is unknown or left out (its value is 0).
    """

    images: Tensor
    valid: Tensor
    static: Tensor
    state: Tensor
    conditions: Tensor
    known: Tensor


class Expected(NamedTuple):
    """What a network expects of the target, normalised.

    Attributes
    ----------
    mean : Tensor
        (batch, band, y, x).
    sigma : Tensor or None
        (batch, band, y, x), standard deviation, more than 0; None if the network does not tell.
    """

    mean: Tensor
    sigma: Tensor | None = None


class Batch(NamedTuple):
    """Inputs with what was really seen.

    Attributes
    ----------
    inputs : Inputs
        What the network is given.
    target : Tensor
        (batch, band, y, x), normalised; 0 where there is no data.
    valid : Tensor
        (batch, y, x) bool, false where the target has no data.
    forest : Tensor
        (batch, y, x) float, 1 = forest; NaN where unknown.
    names : tuple of str
        One per sample, for messages.
    """

    inputs: Inputs
    target: Tensor
    valid: Tensor
    forest: Tensor
    names: tuple[str, ...]
