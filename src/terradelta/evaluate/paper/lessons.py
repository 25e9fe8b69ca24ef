"""The networks of the experiment and how they are trained."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from terradelta.evaluate.paper.protocol import PaperProtocol
from terradelta.evaluate.teaching import Lesson
from terradelta.expected.conditions import GROUPS
from terradelta.expected.preparation import Preparation
from terradelta.learning.options import TrainingOptions

__all__ = ["MAIN", "lessons"]

MAIN = ("unet", "unet-dry", "conditioned", "conditioned-dry")
"""Networks that are always trained; the others leave out one condition each."""

_OPTIONS = TrainingOptions(
    batch=4, learning_rate=2e-3, schedule="cosine", warmup=50, clip=1.0, pictures_every=0
)


def lessons(protocol: PaperProtocol) -> dict[str, Lesson]:
    """Give all networks by key.

    Parameters
    ----------
    protocol : PaperProtocol
        Sizes.

    Returns
    -------
    dict
        ``unet`` is the published architecture, ``conditioned`` ours; ``...-dry`` are not told the weather;
        ``conditioned-without-...`` are not told one of the six conditions.

    Examples
    --------
    >>> from terradelta.evaluate.paper.protocol import QUICK
    >>> list(lessons(QUICK))[-1]
    'conditioned-without-precipitation'
    """
    options = replace(_OPTIONS, precision=protocol.precision)
    unet = Lesson(
        "published architecture",
        "unet",
        _narrow(protocol),
        preparation=Preparation(),
        crop=0,
        augment=False,
        options=replace(options, epochs=protocol.epochs),
    )
    conditioned = replace(
        unet,
        label="conditioned network",
        network="conditioned",
        numbers={"width": protocol.width},
        crop=protocol.conditioned_crop,
        options=replace(options, epochs=protocol.conditioned_epochs, learning_rate=5e-3),
    )
    found = {
        "unet": unet,
        "unet-dry": replace(unet, label="published architecture, no weather", weather=False),
        "conditioned": conditioned,
        "conditioned-dry": replace(conditioned, label="conditioned network, no weather", weather=False),
    }
    for name in GROUPS if protocol.ablations else ():
        label = f"conditioned network, no {name.replace('_', ' ')}"
        found[f"conditioned-without-{name}"] = replace(conditioned, label=label, without=(name,))
    return found


def _narrow(protocol: PaperProtocol) -> dict[str, Any]:
    """Give the published structure for smaller samples with fewer filters."""
    stages = int(math.log2(protocol.size))
    wide = {"filters": protocol.filters, "kernel": 4}
    return {
        "encoder": [wide] * (stages - 1) + [{"filters": protocol.filters, "kernel": 2}],
        "decoder": [wide] * (stages - 1),
    }
