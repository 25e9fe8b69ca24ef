"""What the experiment against peers runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OURS", "Plan"]

OURS = (
    "robust",
    "last-raw",
    "last-smooth",
    "mean10-median",
    "z-smooth",
    "z-median",
    "omnibus",
)
"""Methods of `terradelta.evaluate.opera.methods` in the table: without training, or plain."""


@dataclass(frozen=True)
class Plan:
    """How much is run.

    Attributes
    ----------
    methods : tuple of str
        Keys of `terradelta.evaluate.opera.methods.METHODS`.
    sets : tuple of str
        Weight sets of the transformer; empty: all that the wheel holds.
    strides : tuple of int
        Of the transformer; all weight sets run at the first one, the best `best` also at the others.
    best : int
        How many weight sets, best by mean AUC of the discs, run at every stride; the very best also with
        mirrored rims at the middle one.
    trainings : int
        Of each network.
    places : int
        Simulated places without a large change.
    size : int
        Rows and columns of a simulated place.
    cost_size : int
        Rows and columns of the image that time and memory are measured on; 0: not measured.

    Examples
    --------
    >>> Plan.quick().strides
    (16,)
    """

    methods: tuple[str, ...] = OURS
    sets: tuple[str, ...] = ()
    strides: tuple[int, ...] = (16, 7, 4)
    best: int = 2
    trainings: int = 1
    places: int = 3
    size: int = 150
    cost_size: int = 256

    @classmethod
    def quick(cls) -> Plan:
        """Give the least that shows something."""
        return cls(strides=(16,), best=0, places=1, size=96, cost_size=64)
