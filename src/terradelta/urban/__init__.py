"""Method B: where the built environment changed, in every half-year window of radar and optical images.

PyTorch is imported with the first name that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from terradelta.errors import InputError

if TYPE_CHECKING:
    from terradelta.urban.era import ERAS, ERS12LS5, S1S2, Branches, Era, era_of
    from terradelta.urban.inference import WindowRunner, most_active
    from terradelta.urban.keras_weights import load_keras_weights
    from terradelta.urban.model_files import load_network
    from terradelta.urban.monitoring import monitor
    from terradelta.urban.network import ERCNN
    from terradelta.urban.period import whole_period
    from terradelta.urban.stack import Stack
    from terradelta.urban.store import open_maps
    from terradelta.urban.training.config import PretrainConfig, TransferConfig
    from terradelta.urban.training.data import LabelledCube
    from terradelta.urban.training.fit import pretrain, transfer

_HOMES = {
    "era": ("ERAS", "ERS12LS5", "S1S2", "Branches", "Era", "era_of"),
    "inference": ("WindowRunner", "most_active"),
    "keras_weights": ("load_keras_weights",),
    "model_files": ("load_network",),
    "monitoring": ("monitor",),
    "network": ("ERCNN",),
    "period": ("whole_period",),
    "stack": ("Stack",),
    "store": ("open_maps",),
    "training.config": ("PretrainConfig", "TransferConfig"),
    "training.data": ("LabelledCube",),
    "training.fit": ("pretrain", "transfer"),
}
_WHERE = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ERAS",
    "ERCNN",
    "ERS12LS5",
    "S1S2",
    "Branches",
    "Era",
    "LabelledCube",
    "PretrainConfig",
    "Stack",
    "TransferConfig",
    "WindowRunner",
    "era_of",
    "load_keras_weights",
    "load_network",
    "monitor",
    "most_active",
    "open_maps",
    "pretrain",
    "transfer",
    "whole_period",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise InputError(
            "urban monitoring needs PyTorch and safetensors; install them with: "
            "pip install 'terradelta[networks]'"
        ) from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
