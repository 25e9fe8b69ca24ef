"""Method A: the image that should have been seen if nothing had changed, and the difference to it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terradelta.expected.biweight import BiweightFit, biweight_regression
    from terradelta.expected.parameters import RobustParameters
    from terradelta.expected.persistence import Persistence, PersistenceResult
    from terradelta.expected.robust import RobustDifference, change_strength, robust_difference
    from terradelta.expected.scene import SceneState, fit_scene_states

_HOME = {
    "BiweightFit": "biweight",
    "Persistence": "persistence",
    "PersistenceResult": "persistence",
    "RobustDifference": "robust",
    "RobustParameters": "parameters",
    "SceneState": "scene",
    "biweight_regression": "biweight",
    "change_strength": "robust",
    "fit_scene_states": "scene",
    "robust_difference": "robust",
}

__all__ = [
    "BiweightFit",
    "Persistence",
    "PersistenceResult",
    "RobustDifference",
    "RobustParameters",
    "SceneState",
    "biweight_regression",
    "change_strength",
    "fit_scene_states",
    "robust_difference",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
