"""Expected images of one test scene under changed conditions (Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from terradelta.evaluate.images.differences import Expect
from terradelta.evaluate.paper.pictures import Expectation
from terradelta.expected.conditions import Conditions, with_geometry, with_rain
from terradelta.expected.differences.choice import is_descending
from terradelta.expected.samples.sample import Sample

__all__ = ["expectations_of", "telling_sample"]

_RAIN = 20.0
_LOOKED_AT = 60


def telling_sample(samples: Sequence[Sample]) -> Sample:
    """Choose the scene that shows most: with both orbit directions, forest and open land in equal parts.

    Parameters
    ----------
    samples : sequence of Sample
        Of the test; the first sixty are looked at.

    Returns
    -------
    Sample
    """
    return max((samples[number] for number in range(min(len(samples), _LOOKED_AT))), key=_telling)


def _telling(sample: Sample) -> float:
    forest = 0.0 if sample.forest is None else float(np.nanmean(sample.forest > 0))
    return (_other_side(sample.conditions) is not None) - abs(forest - 0.5)


def _other_side(conditions: Conditions) -> int | None:
    """Give the last previous image of the other orbit direction."""
    heading = conditions.heading
    if not np.isfinite(heading).all():
        return None
    ways = is_descending(heading)
    others = np.flatnonzero(ways[:-1] != ways[-1])
    return int(others[-1]) if others.size else None


def expectations_of(sample: Sample, expect: Expect, band: int = 0) -> list[Expectation]:
    """Expect a scene under its own conditions, from the other side, without rain and in heavy rain.

    Parameters
    ----------
    sample : Sample
        The scene.
    expect : callable
        The network.
    band : int
        Which band to show.

    Returns
    -------
    list of Expectation
        Its own conditions first.
    """
    told = sample.conditions
    fallen = float(np.nansum(told.precipitation[-1]))
    cases = {f"expected ({fallen:.0f} mm in four days)": told}
    other = _other_side(told)
    if other is not None:
        way = "descending" if is_descending(told.heading)[other] else "ascending"
        cases[f"expected, {way}"] = with_geometry(
            told, heading=float(told.heading[other]), incidence=float(told.incidence[other])
        )
    cases["expected, no rain"] = with_rain(told, days=0.0)
    cases[f"expected, {_RAIN:.0f} mm of rain on the day"] = with_rain(told, today=_RAIN)
    return [
        Expectation(title, expect(replace(sample, conditions=conditions))[0][band])
        for title, conditions in cases.items()
    ]
