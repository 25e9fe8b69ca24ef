"""What each way of expecting an image makes of one sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.expected.differences.choice import choose, is_descending, nearest_geometry
from terradelta.expected.differences.kinds import Kind, compare, length, scale_together
from terradelta.expected.samples.sample import Sample
from terradelta.types import BoolArray, FloatArray

__all__ = [
    "CHANGES",
    "LABELS",
    "Change",
    "Expect",
    "Expectations",
    "changed_image",
    "expectations",
    "features",
    "scores",
    "valid_pixels",
]

Change: TypeAlias = Literal["stored", "shift"]
CHANGES: tuple[Change, ...] = get_args(Change)
"""The simulated change of the file; and the same place lowered by 2.5 dB in all bands."""

Expect: TypeAlias = Callable[[Sample], tuple[FloatArray, FloatArray | None]]
"""Gives the expected image (band, y, x) and its standard deviation, dB."""

Expectations: TypeAlias = dict[str, NDArray[np.float32]]
"""Way of expecting to its image (band, y, x), dB."""

LABELS = {
    "prediction": "expected image",
    "standardised": "expected image, in standard deviations",
    "nearest-geometry": "previous image nearest in geometry (1)",
    "same-direction": "last previous image of the same direction (2)",
    "latest": "last previous image (3)",
    "mean": "mean of the previous images of the same direction",
    "median": "median of the previous images of the same direction",
}
"""Every way by its key, in the order of the table."""

_SHIFT = np.float32(-2.5)


def changed_image(sample: Sample, change: Change) -> NDArray[np.float32]:
    """Give the target with a change.

    Parameters
    ----------
    sample : Sample
        With a mask of changes, and for ``"stored"`` the changed image.
    change : str
        ``"stored"``: the changed image of the sample, which may differ outside the mask too (whole
        superpixels change). ``"shift"``: the target, 2.5 dB lower within the mask.

    Returns
    -------
    ndarray
        (band, y, x), dB.

    Raises
    ------
    InputError
        If the sample has not what is needed.
    """
    if sample.change_mask is None or (change == "stored" and sample.changed is None):
        raise InputError(
            f"sample {sample.name} has no simulated change; give samples that were made with changes"
        )
    if change == "stored" and sample.changed is not None:
        return sample.changed
    return np.where(sample.change_mask > 0, sample.target + _SHIFT, sample.target)


def expectations(sample: Sample, expect: Expect | None = None) -> Expectations:
    """Expect the target of a sample in every way that it allows.

    Parameters
    ----------
    sample : Sample
        Previous images, oldest first, and conditions.
    expect : callable, optional
        A network; the sample's own prediction if left out.

    Returns
    -------
    dict
        Keys of `LABELS`; ``"sigma"`` beside them if the network tells it. What the sample does not allow is
        left out.

    Raises
    ------
    InputError
        A heading or an incidence angle of the sample is unknown.
    """
    found: Expectations = {}
    if expect is not None:
        mean, sigma = expect(sample)
        found["prediction"] = np.asarray(mean, np.float32)
        if sigma is not None:
            found["sigma"] = np.asarray(sigma, np.float32)
    elif sample.prediction is not None:
        found["prediction"] = sample.prediction
    try:
        return found | _plain(sample)
    except InputError as error:
        raise InputError(f"sample {sample.name}: {error}") from None


def _plain(sample: Sample) -> Expectations:
    """Expect a previous image, or the mean or median of those of the target's direction."""
    found: Expectations = {}
    seen = sample.conditions
    for choice in ("nearest-geometry", "same-direction", "latest"):
        place = choose(choice, seen.incidence, seen.heading, age=seen.age[:-1])
        if place is not None:
            found[choice] = sample.images[place]
    ways = is_descending(seen.heading)
    alike = sample.images[ways[:-1] == ways[-1]]
    if len(alike):
        found["mean"], found["median"] = alike.mean(axis=0), np.median(alike, axis=0)
    return found


def scores(image: FloatArray, expected: Expectations) -> dict[str, FloatArray]:
    """Give the length of the difference over the bands, in every way.

    Parameters
    ----------
    image : ndarray
        (band, y, x), the image to judge, dB.
    expected : dict
        From `expectations`.

    Returns
    -------
    dict
        Key to (y, x): dB, or standard deviations for ``"standardised"``; NaN = no data.
    """
    found = {name: length(compare(image, one)) for name, one in expected.items() if name != "sigma"}
    if "sigma" in expected:
        found["standardised"] = length(compare(image, expected["prediction"]) / expected["sigma"])
    return {name: found[name] for name in LABELS if name in found}


def features(
    sample: Sample, image: FloatArray, prediction: FloatArray | None, kind: Kind
) -> dict[str, FloatArray]:
    """Give the differences of every band to the expected image and to the previous one, for a classifier.

    Parameters
    ----------
    sample : Sample
        Its previous image is chosen by geometry.
    image : ndarray
        (band, y, x), the image to judge, dB.
    prediction : ndarray or None
        (band, y, x), the expected image, dB.
    kind : str
        Kind of difference; for the scaled ones the three images are scaled together.

    Returns
    -------
    dict
        ``"prediction"`` (unless there is none) and ``"previous"`` to (band, y, x).
    """
    place = nearest_geometry(sample.conditions.incidence, sample.conditions.heading)
    others = {"previous": sample.images[place]}
    if prediction is not None:
        others = {"prediction": prediction, **others}
    if not kind.startswith("scaled"):
        return {name: compare(image, one, kind) for name, one in others.items()}
    lifted = scale_together(image, *others.values())
    ratios = {name: lifted[0] / one for name, one in zip(others, lifted[1:], strict=True)}
    return {name: one if kind == "scaled-ratio" else np.log(one) for name, one in ratios.items()}


def valid_pixels(maps: dict[str, FloatArray]) -> BoolArray:
    """Tell where every map has data: all ways are judged on the same pixels."""
    valid: BoolArray = np.logical_and.reduce([np.isfinite(one) for one in maps.values()])
    return valid
