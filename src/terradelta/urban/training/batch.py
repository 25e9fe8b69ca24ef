"""Samples of the training: the frames of a tile, the windows over them, and what should come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from terradelta.errors import InputError

__all__ = ["WindowBatch", "WindowSample", "collate", "cut"]


class WindowSample(NamedTuple):
    """One tile at one visit.

    Attributes
    ----------
    frames : Tensor
        (N, channels, Y, X) float32, the observations that the windows hold, each once, in the order of time.
    windows : Tensor
        (K, 2) int64, first frame of each window, and the one behind its last.
    label : Tensor
        (Y, X) float32, 0..1.
    frozen : Tensor
        (Y, X) bool, pixels that show the first observation of each window at every step.
    name : str
        For messages.
    """

    frames: Tensor
    windows: Tensor
    label: Tensor
    frozen: Tensor
    name: str


class WindowBatch(NamedTuple):
    """Samples put together; frames are padded with zeros along the time.

    Attributes
    ----------
    frames : Tensor
        (B, N, channels, Y, X).
    windows : Tensor
        (B, K, 2).
    label : Tensor
        (B, Y, X).
    frozen : Tensor
        (B, Y, X).
    names : tuple of str
        One per sample.
    """

    frames: Tensor
    windows: Tensor
    label: Tensor
    frozen: Tensor
    names: tuple[str, ...]


def collate(samples: Sequence[WindowSample]) -> WindowBatch:
    """Put samples together.

    Parameters
    ----------
    samples : sequence of WindowSample
        Of one size, with the same number of windows.

    Returns
    -------
    WindowBatch
        Frames are padded to the longest.

    Raises
    ------
    InputError
        If sizes or numbers of windows differ.

    Examples
    --------
    >>> def sample(steps):
    ...     size = torch.zeros(4, 4)
    ...     return WindowSample(torch.ones(steps, 2, 4, 4), torch.tensor([[0, 2]]), size, size.bool(), "a")
    >>> collate([sample(3), sample(5)]).frames.shape
    torch.Size([2, 5, 2, 4, 4])
    """
    kinds = {(one.frames.shape[1:], one.windows.shape) for one in samples}
    if len(kinds) != 1:
        told = "; ".join(
            f"{one.name}: {tuple(one.frames.shape[1:])}, {len(one.windows)} windows" for one in samples
        )
        raise InputError(f"tiles of different sizes or windows are in one batch ({told}); cut them alike")
    longest = max(len(one.frames) for one in samples)
    frames = samples[0].frames.new_zeros(len(samples), longest, *samples[0].frames.shape[1:])
    for place, one in zip(frames, samples, strict=True):
        place[: len(one.frames)] = one.frames
    return WindowBatch(
        frames,
        torch.stack([one.windows for one in samples]),
        torch.stack([one.label for one in samples]),
        torch.stack([one.frozen for one in samples]),
        tuple(one.name for one in samples),
    )


def cut(batch: WindowBatch, number: int) -> tuple[Tensor, Tensor]:
    """Cut one window of each sample out of its frames.

    Parameters
    ----------
    batch : WindowBatch
        The samples.
    number : int
        Which window.

    Returns
    -------
    tuple of Tensor
        Observations (B, T, channels, Y, X), T of the longest window, zeros behind the end of shorter ones,
        and the lengths (B,), as a network takes them.

    Examples
    --------
    >>> frames = torch.arange(6.0).reshape(1, 6, 1, 1, 1).expand(1, 6, 1, 1, 2)
    >>> frozen = torch.tensor([[[False, True]]])
    >>> batch = WindowBatch(frames, torch.tensor([[[2, 5]]]), torch.zeros(1, 1, 2), frozen, ("a",))
    >>> x, length = cut(batch, 0)
    >>> x.squeeze().tolist(), length.tolist()
    ([[2.0, 2.0], [3.0, 2.0], [4.0, 2.0]], [3])
    """
    first, stop = batch.windows[:, number].unbind(1)
    length = stop - first
    x = batch.frames.new_zeros(len(length), int(length.max()), *batch.frames.shape[2:])
    for place, frames, begin, end in zip(x, batch.frames, first.tolist(), stop.tolist(), strict=True):
        place[: end - begin] = frames[begin:end]
    if bool(batch.frozen.any()):
        real = torch.arange(x.shape[1], device=length.device) < length[:, None]
        held = batch.frozen[:, None, None] & real[:, :, None, None, None]
        x = torch.where(held, x[:, :1], x)
    return x, length
