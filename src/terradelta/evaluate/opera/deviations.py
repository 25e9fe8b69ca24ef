"""Whether the standard deviations of the methods are those of images without change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from terradelta.evaluate.calibration import beyond
from terradelta.evaluate.opera.patches import Patch
from terradelta.evaluate.opera.protocol import Protocol, protocol_of
from terradelta.evaluate.teaching import Taught
from terradelta.expected import RobustParameters
from terradelta.expected.preparation import Preparation, prepare
from terradelta.expected.robust import compare_with_history
from terradelta.types import FloatArray

__all__ = ["deviations"]


def deviations(
    patches: Sequence[Patch],
    protocol: Protocol,
    parameters: RobustParameters,
    trained: Mapping[str, Taught],
) -> dict[str, dict[float, float]]:
    """Count how often pixels of dry targets without discs lie beyond so many standard deviations.

    Parameters
    ----------
    patches : sequence of Patch
        Stable ones.
    protocol : Protocol
        Targets and history.
    parameters : RobustParameters
        Of the robust method.
    trained : mapping
        Networks; the first training of each that tells a standard deviation counts.

    Returns
    -------
    dict
        Label to level to share, see `terradelta.evaluate.calibration.beyond`.
    """
    curves = {"robust": beyond(_robust(patches, protocol, parameters))}
    for key, one in trained.items():
        if key.endswith("-0") and one.lesson.network == "conditioned":
            curves[one.lesson.label] = beyond(
                one.standardised(target, history) for target, history in _pairs(patches, protocol)
            )
    return curves


def _pairs(patches: Sequence[Patch], protocol: Protocol) -> Iterator[tuple[FloatArray, FloatArray]]:
    for patch in patches:
        wet = protocol_of(patch, protocol).wet
        for target in protocol.targets:
            if patch.days[target] not in wet:
                yield patch.smooth[target], patch.smooth[target - protocol.history : target]


def _robust(
    patches: Sequence[Patch], protocol: Protocol, parameters: RobustParameters
) -> Iterator[FloatArray]:
    steps = Preparation(state="scene", robust=parameters)
    for target, history in _pairs(patches, protocol):
        ready = prepare(history, target, steps)
        found = compare_with_history(ready.target, ready.images, ready.offset, ready.inflation, parameters)
        yield np.asarray(found.standardised)
