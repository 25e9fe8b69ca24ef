"""Samples made by hand, for the tests of what feeds the networks."""

from typing import Any

import numpy as np

from terradelta.expected.conditions import Conditions
from terradelta.expected.samples.sample import Sample


def conditions_of(images: int, rng: np.random.Generator) -> Conditions:
    return Conditions(
        temperature=rng.uniform(-20, 20, images),
        snow_depth=rng.uniform(0, 50, images),
        heading=rng.choice([-14.0, -166.0], images),
        incidence=rng.uniform(30, 45, images),
        precipitation=rng.uniform(0, 20, (images, 4)),
        platform=tuple(rng.choice(["S1A", "S1B"], images)),
        age=np.arange(images)[::-1] * 6.0,
    )


def sample_of(seed: int = 0, *, size: int = 16, previous: int = 4, **parts: Any) -> Sample:
    rng = np.random.default_rng(seed)
    images = rng.normal(-12, 3, (previous + 1, 2, size, size)).astype(np.float32)
    given = {
        "name": f"sample {seed}",
        "images": images[:-1],
        "target": images[-1],
        "conditions": conditions_of(previous + 1, rng),
        "dem": rng.uniform(0, 300, (size, size)).astype(np.float32),
        "forest": rng.integers(0, 2, (size, size)).astype(np.float32),
        "time": np.datetime64("2021-06-20T05:24:09.693301", "ns"),
        "location": (61.5, 24.25),
    }
    return Sample(**{**given, **parts})


def equal(one: Sample, other: Sample, *, within: float = 0.0) -> None:
    """Fail where two samples differ."""
    assert (one.name, one.bands, one.time, one.location) == (
        other.name,
        other.bands,
        other.time,
        other.location,
    )
    for name in ("images", "target", "dem", "forest", "change_mask", "changed", "prediction"):
        left, right = getattr(one, name), getattr(other, name)
        if left is None or right is None:
            assert left is right, name
        else:
            np.testing.assert_allclose(left, right, rtol=0, atol=within, err_msg=name)
    for name in ("temperature", "snow_depth", "heading", "incidence", "precipitation", "age"):
        np.testing.assert_array_equal(getattr(one.conditions, name), getattr(other.conditions, name), name)
    assert one.conditions.platform == other.conditions.platform
