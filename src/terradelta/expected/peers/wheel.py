"""Reads weight sets from the wheel of distmetrics, packed, unpacked or installed; none comes with us.

distmetrics (Jet Propulsion Laboratory, Apache-2.0) holds each set as ``model_data/<name>/config.json`` and
``weights.pth``. The package itself is never imported.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias

import torch
from torch import Tensor

from terradelta.errors import InputError
from terradelta.types import PathType

__all__ = ["read_weights", "weight_sets"]

_Place: TypeAlias = Path | zipfile.Path
_CURE = (
    "get the wheel with `pip download distmetrics --no-deps --python-version 3.12` and give its path, or the "
    "folder of the installed package"
)


def weight_sets(path: PathType) -> tuple[str, ...]:
    """List the weight sets of a package.

    Parameters
    ----------
    path : path
        Wheel, folder that holds one wheel, unpacked wheel, or folder of the installed package.

    Returns
    -------
    tuple of str
        Names in alphabetical order.

    Raises
    ------
    InputError
        If nothing of the kind is there.

    Examples
    --------
    >>> weight_sets("nowhere.whl")
    Traceback (most recent call last):
    ...
    terradelta.errors.InputError: nowhere.whl does not exist; get the wheel with ...
    """
    return _names(_model_data(Path(path)))


def read_weights(path: PathType, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read configuration and weights of one set.

    Parameters
    ----------
    path : path
        As for `weight_sets`.
    name : str
        Of the set.

    Returns
    -------
    config : dict
        As published.
    weights : dict of str to Tensor
        Under their published names, on the CPU.

    Raises
    ------
    InputError
        If the package or the set is not there, or the set cannot be read; a file that holds more than plain
        weights is refused.
    """
    folder = _model_data(Path(path))
    if name not in (known := _names(folder)):
        raise InputError(f"no weight set is called {name!r} in {path}; there are {', '.join(known)}")
    try:
        config = json.loads((folder / name / "config.json").read_text(encoding="utf-8"))
        content = BytesIO((folder / name / "weights.pth").read_bytes())
        stored = torch.load(content, map_location="cpu", weights_only=True)
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        RuntimeError,
        UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(f"weight set {name!r} of {path} is damaged or no plain weights; {_CURE}") from error
    return config, dict(_weights(stored))


def _weights(stored: Any) -> Mapping[str, Tensor]:
    """Take the weights, which some sets keep beside the state of their training."""
    if isinstance(stored, Mapping) and "model_state_dict" in stored:
        stored = stored["model_state_dict"]
    if not isinstance(stored, Mapping):
        raise InputError(f"the weights are a {type(stored).__name__}; expected names with tensors")
    return stored


def _names(folder: _Place) -> tuple[str, ...]:
    return tuple(sorted(each.name for each in folder.iterdir() if (each / "weights.pth").is_file()))


def _model_data(path: Path) -> _Place:
    """Find the folder with the weight sets."""
    if not path.exists():
        raise InputError(f"{path} does not exist; {_CURE}")
    if path.is_file():
        return _packed(path)
    for folder in (path / "distmetrics" / "model_data", path / "model_data", path):
        if folder.is_dir() and _names(folder):
            return folder
    wheels = sorted(path.glob("distmetrics-*.whl"))
    if wheels:
        return _packed(wheels[-1])
    raise InputError(f"{path} holds no weight set of distmetrics; {_CURE}")


def _packed(path: Path) -> _Place:
    try:
        folder = zipfile.Path(zipfile.ZipFile(path), "distmetrics/model_data/")
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no wheel; {_CURE}") from error
    if not (folder.exists() and _names(folder)):
        raise InputError(f"{path} holds no weight set of distmetrics; {_CURE}")
    return folder
