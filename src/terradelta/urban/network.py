"""The network of method B: one recurrent branch per sensor, joined into one value per pixel."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from terradelta.errors import InputError
from terradelta.types import PathType
from terradelta.urban.convlstm import ConvBlock, ConvLSTM, real_steps
from terradelta.urban.era import Branches, Era, era_of

__all__ = ["ERCNN", "VALUE_SPACE", "Branch"]

VALUE_SPACE = "SAR linear power, optical top-of-atmosphere reflectance 0..1"
"""What the numbers in the input of every network are."""

_HEAD_FILTERS = 8


class Branch(nn.Module):
    """What one kind of sensor goes through: convolutions at each step, then a memory over the steps.

    Parameters
    ----------
    channels, filters : int
        Channels in and out.
    convolutions : int
        Blocks before the memory.
    dropout : float
        Recurrent dropout of the memory in training.
    """

    def __init__(self, channels: int, filters: int, convolutions: int, dropout: float = 0.4) -> None:
        super().__init__()
        inputs = [channels] + [filters] * (convolutions - 1)
        self.blocks = nn.ModuleList(ConvBlock(count, filters) for count in inputs)
        self.memory = ConvLSTM(filters, filters, dropout)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """Turn (B, T, channels, Y, X) into the last state (B, filters, Y, X).

        Padded steps reach neither the result nor, in training, the statistics of the normalisation.
        """
        real = real_steps(length, x.shape[1])
        packed = x.transpose(0, 1)[real.T]
        if not len(packed):
            return x.new_zeros(len(x), self.memory.filters, *x.shape[3:])
        packed = packed.contiguous(memory_format=torch.channels_last)  # convolutions are twice as quick so
        for block in self.blocks:
            packed = block(packed)
        last: Tensor = self.memory.remember(packed, real)[0]
        return last


class ERCNN(nn.Module):
    """Ensemble of recurrent convolutional networks: urban change in a window of observations.

    Parameters
    ----------
    era : Era or str
        Which missions: bands and widths of the branches.
    branches : {"both", "sar", "optical"}
        Which sensors are read.
    recurrent_dropout : float
        Share of the recurrent state that a gate does not see in training.

    Attributes
    ----------
    sar, optical : Branch or None
        The branches; None where the sensor is not read.
    head : nn.Sequential
        Two blocks over the joined last states, radar first.
    out : nn.Conv2d
        1 × 1, one value per pixel before the sigmoid.
    origin : str
        Where the weights come from; empty if unknown.
    value_space : str
        What the numbers in the input are.

    Raises
    ------
    InputError
        The era or the choice of branches is unknown, or the dropout is not in [0, 1).

    References
    ----------
    G. Zitzlsberger et al., Neural Network-Based Urban Change Monitoring with Deep-Temporal Multispectral
    and SAR Remote Sensing Data, Remote Sensing 13(15) 3000, 2021.

    Examples
    --------
    >>> net = ERCNN("ers12ls5").eval()
    >>> net.channels, net.bands[:3]
    (9, ('ascending VV', 'descending VV', 'B1'))
    >>> net(torch.zeros(2, 5, 9, 16, 20), torch.tensor([5, 3])).shape
    torch.Size([2, 16, 20])
    """

    def __init__(
        self, era: Era | str, branches: Branches = "both", *, recurrent_dropout: float = 0.4
    ) -> None:
        super().__init__()
        if branches not in get_args(Branches):
            raise InputError(
                f"no branches are called {branches!r}; choose from {', '.join(get_args(Branches))}"
            )
        self.era = era = era_of(era)
        self.branches: Branches = branches
        self.origin = ""
        self.value_space = VALUE_SPACE
        self.sar: Branch | None = None
        self.optical: Branch | None = None
        joined = 0
        if branches != "optical":
            self.sar = Branch(era.sar_channels, era.sar_filters, 1, recurrent_dropout)
            joined += era.sar_filters
        if branches != "sar":
            self.optical = Branch(era.optical_channels, era.optical_filters, 2, recurrent_dropout)
            joined += era.optical_filters
        self.head = nn.Sequential(ConvBlock(joined, _HEAD_FILTERS), ConvBlock(_HEAD_FILTERS, _HEAD_FILTERS))
        self.out = nn.Conv2d(_HEAD_FILTERS, 1, 1)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    @property
    def bands(self) -> tuple[str, ...]:
        """Channels of the input by name, in order."""
        directions = ("ascending", "descending")
        radar = [f"{direction} {band}" for direction in directions for band in self.era.sar_bands]
        return (*radar, *self.era.optical_bands)[self.era.channels_of(self.branches)]

    @property
    def channels(self) -> int:
        """Number of channels of the input."""
        return len(self.bands)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """Give the probability of urban change in each window.

        Parameters
        ----------
        x : Tensor
            (B, T, channels, Y, X) observations in time order, `bands` in `value_space`; any Y and X. What
            lies at and beyond ``length`` is padding of any value, NaN too, and is never read.
        length : Tensor
            (B,) integers, number of real observations, 0 to T.

        Returns
        -------
        Tensor
            (B, Y, X) in [0, 1].

        Raises
        ------
        InputError
            The shapes do not fit, or a length is not in 0..T.
        """
        length = self._checked(x, length)
        split = self.era.sar_channels if self.sar is not None else 0
        states = []
        if self.sar is not None:
            states.append(self.sar(x[:, :, :split], length))
        if self.optical is not None:
            states.append(self.optical(x[:, :, split:], length))
        joined: Tensor = self.out(self.head(torch.cat(states, dim=1)))
        return joined.squeeze(1).sigmoid()

    def _checked(self, x: Tensor, length: Tensor) -> Tensor:
        if x.ndim != 5 or x.shape[2] != self.channels:
            raise InputError(
                f"the input has shape {tuple(x.shape)}; a network of {self.era.name} ({self.branches}) reads "
                f"(batch, time, {self.channels}, y, x): {', '.join(self.bands)}"
            )
        if length.shape != x.shape[:1] or length.is_floating_point():
            raise InputError(
                f"lengths are {length.dtype} of shape {tuple(length.shape)}; "
                f"give {x.shape[0]} integers, one per window"
            )
        if len(length) and (int(length.min()) < 0 or int(length.max()) > x.shape[1]):
            raise InputError(
                f"lengths {length.tolist()} are not within 0..{x.shape[1]}, the steps of the input"
            )
        return length.to(x.device)

    def save_pretrained(self, folder: PathType) -> None:
        """Write ``model.safetensors`` and ``config.json``; a reader sees the old files or the new ones.

        Parameters
        ----------
        folder : path-like
            Made when missing; other files in it stay.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        from terradelta.urban.model_files import save_pretrained

        save_pretrained(self, folder)

    @classmethod
    def from_pretrained(cls, folder: PathType) -> ERCNN:
        """Read what `save_pretrained` wrote; ready for inference (``eval``).

        Parameters
        ----------
        folder : path-like
            With ``model.safetensors`` and ``config.json``.

        Raises
        ------
        InputError
            A file is missing, damaged, of a newer format, or the two do not belong together.
        """
        from terradelta.urban.model_files import read_pretrained

        return read_pretrained(folder)
