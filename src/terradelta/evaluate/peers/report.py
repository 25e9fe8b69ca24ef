"""The figures of the experiment against peers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from terradelta.evaluate.opera.protocol import Protocol
from terradelta.evaluate.opera.report import MethodFigures
from terradelta.evaluate.peers.cost import Cost
from terradelta.evaluate.peers.plan import Plan

__all__ = ["PeersReport", "SeriesFigures"]


@dataclass(frozen=True)
class SeriesFigures:
    """Figures of all methods on one set of series.

    Attributes
    ----------
    name : str
        ``real`` or ``simulated``.
    protocol : Protocol
        What was fixed.
    methods : dict of str to MethodFigures
        In the order of the table.
    """

    name: str
    protocol: Protocol
    methods: dict[str, MethodFigures]


@dataclass(frozen=True)
class PeersReport:
    """What the experiment found.

    Attributes
    ----------
    seed : int
        Of discs and places.
    plan : Plan
        What was run.
    series : tuple of SeriesFigures
        Real if there were data, and simulated.
    costs : mapping of str to Cost
        Method to time and memory; empty if they were not measured.
    """

    seed: int
    plan: Plan
    series: tuple[SeriesFigures, ...]
    costs: Mapping[str, Cost]

    def as_dict(self) -> dict[str, Any]:
        """Give every figure, ready for JSON."""
        from terradelta import __version__

        return {
            "experiment": "peers",
            "terradelta": __version__,
            "seed": self.seed,
            "plan": asdict(self.plan),
            "series": {
                one.name: {
                    "protocol": asdict(one.protocol),
                    "methods": {key: figures.as_dict() for key, figures in one.methods.items()},
                }
                for one in self.series
            },
            "costs": {key: {**asdict(cost), "newest": cost.newest} for key, cost in self.costs.items()},
        }
