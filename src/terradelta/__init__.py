"""Satellite time series of a place into maps of what really changed, when, and how sure that is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terradelta import cube, errors, evaluate, expected, products, sar, simulate, sources, urban, windows
    from terradelta.cube import open_cube
    from terradelta.expected.classifiers import LinearSVC, Threshold
    from terradelta.expected.differences.difference import difference
    from terradelta.expected.model import ExpectedImage
    from terradelta.workflows.detect import detect

__version__ = "0.1.0"

_FUNCTIONS = {
    "ExpectedImage": "terradelta.expected.model",
    "LinearSVC": "terradelta.expected.classifiers",
    "Threshold": "terradelta.expected.classifiers",
    "detect": "terradelta.workflows.detect",
    "difference": "terradelta.expected.differences.difference",
    "open_cube": "terradelta.cube",
}
_MODULES = (
    "cube", "errors", "evaluate", "expected", "products", "sar", "simulate", "sources", "urban", "windows",
)  # fmt: skip

__all__ = [
    "ExpectedImage",
    "LinearSVC",
    "Threshold",
    "__version__",
    "cube",
    "detect",
    "difference",
    "errors",
    "evaluate",
    "expected",
    "open_cube",
    "products",
    "sar",
    "simulate",
    "sources",
    "urban",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
