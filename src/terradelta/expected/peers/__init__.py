"""Networks of others that expect an image, read from their own packages, to compare with."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terradelta.expected.peers.network import PeerNetwork, TransformerConfig
    from terradelta.expected.peers.transformer import NextImage, Transformer
    from terradelta.expected.peers.wheel import weight_sets

_HOME = {
    "NextImage": "transformer",
    "PeerNetwork": "network",
    "Transformer": "transformer",
    "TransformerConfig": "network",
    "weight_sets": "wheel",
}

__all__ = ["NextImage", "PeerNetwork", "Transformer", "TransformerConfig", "weight_sets"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
