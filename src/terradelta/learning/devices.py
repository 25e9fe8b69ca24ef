"""Where networks run."""

from __future__ import annotations

import torch

from terradelta.errors import InputError

__all__ = ["device_of"]


def device_of(name: str | None) -> str:
    """Choose where a network runs: as told, or a GPU if there is one.

    Parameters
    ----------
    name : str or None
        As PyTorch names it.

    Returns
    -------
    str
        As PyTorch names it.

    Raises
    ------
    InputError
        If it is not here.

    Examples
    --------
    >>> device_of("cpu")
    'cpu'
    """
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):
        raise InputError(f"device is {name!r}, which is not here; choose cpu, or cuda with a GPU") from None
    return str(name)
