"""Scores of change maps and experiments on real and simulated data."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terradelta.evaluate import curves, images, opera, paper, peers, scores, urban
    from terradelta.evaluate.scores import (
        DateErrors,
        MapScores,
        auc,
        date_errors,
        map_scores,
        share_above,
        threshold_for,
    )

_SCORES = ("DateErrors", "MapScores", "auc", "date_errors", "map_scores", "share_above", "threshold_for")
_MODULES = ("curves", "images", "opera", "paper", "peers", "scores", "urban")

__all__ = [
    "DateErrors",
    "MapScores",
    "auc",
    "curves",
    "date_errors",
    "images",
    "map_scores",
    "opera",
    "paper",
    "peers",
    "scores",
    "share_above",
    "threshold_for",
    "urban",
]


def __getattr__(name: str) -> Any:
    if name in _SCORES:
        return getattr(import_module(f"{__name__}.scores"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
