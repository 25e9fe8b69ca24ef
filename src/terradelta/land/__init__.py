"""Land cover: where forest and open land are, and what the radar saw there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terradelta.land.classes import CLASSES, OPEN
    from terradelta.land.interface import Acquisition, Areas, LandSource
    from terradelta.land.layers import LayerLand
    from terradelta.land.postgis import PostgisLand
    from terradelta.land.truth import TruthLand
    from terradelta.land.vectors import VectorLand

_HOMES = {
    "CLASSES": "classes",
    "OPEN": "classes",
    "Acquisition": "interface",
    "Areas": "interface",
    "LandSource": "interface",
    "LayerLand": "layers",
    "PostgisLand": "postgis",
    "TruthLand": "truth",
    "VectorLand": "vectors",
}

__all__ = [
    "CLASSES",
    "OPEN",
    "Acquisition",
    "Areas",
    "LandSource",
    "LayerLand",
    "PostgisLand",
    "TruthLand",
    "VectorLand",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
