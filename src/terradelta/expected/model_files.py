"""Models of the expected image in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from terradelta.errors import InputError
from terradelta.expected.networks.registry import NETWORKS, build_network
from terradelta.expected.preparation import Preparation
from terradelta.expected.statistics import Statistics
from terradelta.learning.files import AGAIN, CONFIG, WEIGHTS, fill, load_model, save_model
from terradelta.types import PathType

if TYPE_CHECKING:
    from terradelta.expected.model import ExpectedImage

__all__ = ["MODEL", "name_of", "read", "write"]

MODEL = "model"
"""Folder of the best model in a run folder."""

_FORMAT = "terradelta expected image"
_VERSION = 1


def name_of(network: nn.Module) -> str:
    """Tell under which name a network is known.

    Raises
    ------
    InputError
        Under none.
    """
    for name, (kind, _) in NETWORKS.items():
        if type(network) is kind:
            return name
    raise InputError(f"{type(network).__name__} is no network of {', '.join(NETWORKS)}; use one of them")


def write(model: ExpectedImage, folder: PathType) -> None:
    """Write a model, each of its two files in one step.

    Parameters
    ----------
    model : ExpectedImage
        The model.
    folder : path-like
        Made when missing.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    save_model(folder, model.network.state_dict(), _description(model))


def _description(model: ExpectedImage) -> dict[str, Any]:
    network: Any = model.network
    return {
        "format": _FORMAT,
        "format_version": _VERSION,
        "network": name_of(network),
        "network_config": network.config.to_dict(),
        "layout": {name: int(getattr(network, name)) for name in ("images", "bands", "static")},
        "bands": list(model.bands),
        "previous": model.previous,
        "spacing": model.spacing,
        "same_orbit": model.same_orbit,
        "statistics": model.statistics.document(),
        "preparation": model.preparation.to_dict(),
        "ranges": {name: list(span) for name, span in model.ranges.items()},
    }


def read(kind: type[ExpectedImage], folder: PathType) -> ExpectedImage:
    """Read what `write` wrote.

    Parameters
    ----------
    kind : type
        `ExpectedImage`.
    folder : path-like
        That folder, or the run folder it lies in.

    Returns
    -------
    ExpectedImage
        Ready for inference, on the CPU.

    Raises
    ------
    InputError
        Files are missing, damaged, of another format or architecture.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file() and (folder / MODEL).is_dir():
        folder = folder / MODEL
    tensors, document = load_model(
        folder, format=_FORMAT, version=_VERSION, kind="a model of the expected image"
    )
    model = _built(kind, document, folder / CONFIG)
    fill(model.network, tensors, folder / WEIGHTS, str(document["network"]))
    return model


def _built(kind: type[ExpectedImage], document: Mapping[str, Any], file: Path) -> ExpectedImage:
    try:
        with torch.random.fork_rng(devices=[]):
            network = build_network(
                str(document["network"]), document["network_config"], **document["layout"]
            )
        return kind(
            network,
            Statistics.from_document(document["statistics"]),
            Preparation.from_dict(document["preparation"]),
            bands=tuple(map(str, document["bands"])),
            previous=int(document["previous"]),
            spacing=document["spacing"],
            same_orbit=bool(document["same_orbit"]),
            ranges={str(name): (float(a), float(b)) for name, (a, b) in document["ranges"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} lacks a part or holds a wrong one ({reason}); {AGAIN}") from error
