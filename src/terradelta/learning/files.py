"""Models in files: safetensors for the numbers, JSON for what they mean; both methods use them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from terradelta import __version__
from terradelta.cube.files import storage_errors
from terradelta.errors import InputError
from terradelta.types import PathType

__all__ = ["AGAIN", "CONFIG", "WEIGHTS", "fill", "load_model", "replace_file", "save_model"]

CONFIG = "config.json"
"""File that says what a model is."""
WEIGHTS = "model.safetensors"
"""File with its numbers."""
AGAIN = "save the network again"
"""What to do about a damaged folder."""

_FEW = 3


def save_model(folder: PathType, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write ``model.safetensors`` and ``config.json``; a reader sees the old files or the new ones.

    The description is also kept within the weights, so that files of two models are not mixed up.

    Parameters
    ----------
    folder : path-like
        Made when missing; other files in it stay.
    tensors : mapping
        Of any shape, by name.
    description : mapping
        Plain JSON with ``format`` and ``format_version``; the version of this program is added.

    Raises
    ------
    StorageError
        It cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> folder = tempfile.mkdtemp()
    >>> save_model(folder, {"a": torch.arange(3)}, {"format": "mine", "format_version": 1})
    >>> load_model(folder, format="mine")[0]["a"]
    tensor([0, 1, 2])
    """
    folder = Path(folder)
    document = {**description, "terradelta_version": __version__}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    weights = safetensors.torch.save(plain, metadata={"config": text})
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / WEIGHTS, weights)
        replace_file(folder / CONFIG, text.encode())


def replace_file(file: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old one or the new one, whole.

    Parameters
    ----------
    file : Path
        The file.
    content : bytes
        What to write.

    Raises
    ------
    OSError
        It cannot be written; the old file stays.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def load_model(
    folder: PathType, *, format: str, version: int = 1, kind: str = "a model"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_model` wrote.

    Parameters
    ----------
    folder : path-like
        With ``model.safetensors`` and ``config.json``.
    format : str
        Which the description must name.
    version : int
        Of the format, the only one that is read.
    kind : str
        What it should be, for messages.

    Returns
    -------
    tuple
        Tensors by name, and the description.

    Raises
    ------
    InputError
        A file is missing, damaged, of another format or version, or the two do not belong together.

    Examples
    --------
    >>> load_model("nothing-here", format="mine")
    Traceback (most recent call last):
    terradelta.errors.InputError: no config.json in nothing-here; give a folder that ...
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"no {name} in {folder}; give a folder that save_pretrained wrote, or {AGAIN}")
    document = _read_config(folder / CONFIG, format, version, kind)
    tensors, inner = _read_weights(folder / WEIGHTS)
    if inner is not None and inner != document:
        raise InputError(f"{folder}: {CONFIG} and {WEIGHTS} are of different networks; {AGAIN}")
    return tensors, document


def _read_config(file: Path, format: str, version: int, kind: str) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is no readable JSON ({' '.join(str(error).split())}); {AGAIN}") from error
    if not isinstance(document, dict) or document.get("format") != format:
        raise InputError(f"{file} does not describe {kind} ('format' is not {format!r}); give another folder")
    found = document.get("format_version")
    if found != version:
        raise InputError(f"{file} has format version {found}; this terradelta reads {version}: upgrade it")
    return document


def _read_weights(file: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get("config")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return tensors, None if text is None else json.loads(text)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise InputError(f"{file} is damaged ({' '.join(str(error).split())}); {AGAIN}") from error


def fill(network: nn.Module, tensors: Mapping[str, Tensor], file: Path, named: str) -> None:
    """Put tensors into a network, after a look at every name, shape and value.

    Parameters
    ----------
    network : nn.Module
        Its state is replaced.
    tensors : mapping
        By the names of its state.
    file : Path
        Where they come from, for messages.
    named : str
        What the network is, for messages.

    Raises
    ------
    InputError
        A tensor is missing, too many, of another shape, or not finite; the first three are named.
    """
    own = network.state_dict()
    wrong = [
        f"{name} {_shape(tensors.get(name))} instead of {_shape(own.get(name))}"
        for name in sorted(own.keys() | tensors.keys())
        if _shape(tensors.get(name)) != _shape(own.get(name))
    ]
    if wrong:
        rest = f" and {len(wrong) - _FEW} more" if len(wrong) > _FEW else ""
        raise InputError(f"{file} does not fit {CONFIG} ({named}): {'; '.join(wrong[:_FEW])}{rest}; {AGAIN}")
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if bad:
        raise InputError(f"{file}: {bad[0]} holds values that are not finite; train again or {AGAIN}")
    network.load_state_dict(dict(tensors))


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else "x".join(map(str, tensor.shape)) or "scalar"
