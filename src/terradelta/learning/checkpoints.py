"""Checkpoints: written in one step, read without running anything that they may hold."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor, nn

from terradelta.cube.files import storage_errors
from terradelta.errors import InputError

__all__ = ["AtomicCheckpoints", "fill_task", "read_checkpoint"]

_FEW = 3


class AtomicCheckpoints(TorchCheckpointIO):
    """Replaces a checkpoint as a whole: a killed run leaves the one before."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint beside its place, then put it there.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        file = Path(path)
        draft = file.with_name(f".{file.name}.{os.getpid()}.partial")
        with storage_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("wb") as stream:
                    torch.save(checkpoint, stream)
                    stream.flush()
                    os.fsync(stream.fileno())
                draft.replace(file)
            finally:
                draft.unlink(missing_ok=True)


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values only, whatever else is in it is refused.

    Parameters
    ----------
    file : Path
        Of a training with this program.

    Returns
    -------
    dict
        With ``state_dict``, ``optimizer_states`` and so on.

    Raises
    ------
    InputError
        It is missing, damaged, or holds something else.
    """
    if not file.is_file():
        raise InputError(f"no checkpoint at {file}; give a run folder, or a file of its folder checkpoints")
    try:
        document = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{file} is damaged or no checkpoint ({reason}); remove it, or train again with --overwrite"
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("state_dict"), dict):
        raise InputError(f"{file} is no checkpoint of a training; give another file")
    return document


def fill_task(task: nn.Module, state: Mapping[str, Tensor], file: Path) -> None:
    """Put the weights of a checkpoint into a task, or name what does not fit.

    Parameters
    ----------
    task : nn.Module
        Its weights are replaced.
    state : mapping
        ``state_dict`` of the checkpoint.
    file : Path
        Where it comes from, for messages.

    Raises
    ------
    InputError
        It is of another architecture.
    """
    own = task.state_dict()
    wrong = [
        f"{name} {_shape(state.get(name))} instead of {_shape(own.get(name))}"
        for name in sorted(own.keys() | state.keys())
        if _shape(state.get(name)) != _shape(own.get(name))
    ]
    if wrong:
        rest = f" and {len(wrong) - _FEW} more" if len(wrong) > _FEW else ""
        raise InputError(
            f"{file} is of another architecture: {'; '.join(wrong[:_FEW])}{rest}; "
            "give the settings it was trained with"
        )
    task.load_state_dict(dict(state))


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else "x".join(map(str, tensor.shape)) or "scalar"
