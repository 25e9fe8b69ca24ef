"""Networks of the expected image by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from torch import nn

from terradelta.errors import ConfigError

__all__ = ["NETWORKS", "build_network"]

_HOMES = {
    "unet": ("unet", "UNet", "unet_config", "UNetConfig"),
    "conditioned": ("conditioned", "ConditionedUNet", "conditioned", "ConditionedUNetConfig"),
}


class _Networks(Mapping[str, tuple[Any, Any]]):
    """Class and configuration of each network, imported when asked for."""

    def __getitem__(self, name: str) -> tuple[Any, Any]:
        home, network, config_home, config = _HOMES[name]
        parts = [import_module(f"terradelta.expected.networks.{each}") for each in (home, config_home)]
        return getattr(parts[0], network), getattr(parts[1], config)

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)


NETWORKS: Mapping[str, tuple[Any, Any]] = _Networks()
"""Class and class of the configuration by name: ``"unet"`` (as published) and ``"conditioned"`` (default)."""


def build_network(name: str, config: Mapping[str, Any], **shape: int) -> nn.Module:
    """Build a network with new weights.

    Parameters
    ----------
    name : str
        One of `NETWORKS`.
    config : mapping
        Plain values, as the configuration's ``to_dict`` gives.
    **shape : int
        What the network's class takes besides, such as ``images``, ``bands`` and ``static``.

    Returns
    -------
    Module
        Takes `Inputs`, gives `Expected`.

    Raises
    ------
    ConfigError
        The name, a key or a value is not known.

    Examples
    --------
    >>> build_network("unet", {"preset": "tiny", "size": 16}).config.size
    16
    """
    if name not in NETWORKS:
        raise ConfigError(f"no network is called {name!r}; choose from {', '.join(NETWORKS)}")
    network, kind = NETWORKS[name]
    built: nn.Module = network(kind.from_dict(config), **shape)
    return built
