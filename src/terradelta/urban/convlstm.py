"""A convolution with batch normalisation, and a long short-term memory whose products are convolutions."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from terradelta.errors import InputError
from terradelta.urban.unrolling import unrolled

__all__ = ["ConvBlock", "ConvLSTM", "hard_sigmoid", "real_steps"]


def hard_sigmoid(x: Tensor) -> Tensor:
    """Give a sigmoid of three straight pieces: clip(0.2 x + 0.5, 0, 1).

    Keras's, not that of PyTorch, whose slope is 1/6.

    Examples
    --------
    >>> hard_sigmoid(torch.tensor([-3.0, 0.0, 1.0, 3.0]))
    tensor([0.0000, 0.5000, 0.7000, 1.0000])
    """
    return (0.2 * x + 0.5).clamp(0.0, 1.0)


def real_steps(length: Tensor, steps: int) -> Tensor:
    """Tell real steps from padded ones.

    Parameters
    ----------
    length : Tensor
        (B,) number of real steps; they come first.
    steps : int
        Steps with the padding.

    Returns
    -------
    Tensor
        (B, T) bool.

    Examples
    --------
    >>> real_steps(torch.tensor([1, 3]), 3).int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    return torch.arange(steps, device=length.device) < length[:, None]


class ConvBlock(nn.Module):
    """3 × 3 convolution, batch normalisation, ReLU; the size stays.

    Parameters
    ----------
    channels, filters : int
        Channels in and out.

    Examples
    --------
    >>> ConvBlock(4, 10)(torch.zeros(2, 4, 6, 7)).shape
    torch.Size([2, 10, 6, 7])
    """

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, 3, padding=1)
        self.norm = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)
        nn.init.xavier_uniform_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, channels, Y, X) into (N, filters, Y, X)."""
        done: Tensor = functional.relu(self.norm(self.conv(x)))
        return done


class ConvLSTM(nn.Module):
    """Long short-term memory of images, as Keras's ``ConvLSTM2D`` with a hard sigmoid.

    3 × 3 convolutions with zero padding, no peepholes. The channels of both convolutions hold the gates
    input, forget, candidate, output, one after another. In training each gate sees the previous state
    through a dropout mask of its own, the same at every step.

    Parameters
    ----------
    channels, filters : int
        Channels in and out.
    dropout : float
        Share of the recurrent state that a gate does not see in training.

    Raises
    ------
    InputError
        The share is not in [0, 1).

    References
    ----------
    X. Shi et al., Convolutional LSTM network, NeurIPS 2015; Y. Gal and Z. Ghahramani, A theoretically
    grounded application of dropout in recurrent neural networks, NeurIPS 2016.

    Examples
    --------
    >>> memory = ConvLSTM(4, 10).eval()
    >>> hidden, cell = memory(torch.zeros(2, 5, 4, 6, 7), torch.tensor([5, 3]))
    >>> hidden.shape, cell.shape
    (torch.Size([2, 10, 6, 7]), torch.Size([2, 10, 6, 7]))
    """

    def __init__(self, channels: int, filters: int, dropout: float = 0.4) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise InputError(f"a recurrent dropout of {dropout} is not in [0, 1); use 0.4 as published")
        self.filters = filters
        self.dropout = dropout
        self.input = nn.Conv2d(channels, 4 * filters, 3, padding=1)
        self.state = nn.Conv2d(filters, 4 * filters, 3, padding=1, bias=False)
        nn.init.xavier_uniform_(self.input.weight)
        nn.init.orthogonal_(self.state.weight)
        with torch.no_grad():
            self.input.bias.zero_()  # type: ignore[union-attr]
            self.input.bias[filters : 2 * filters] = 1.0  # type: ignore[index]

    def forward(self, x: Tensor, length: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run through every sequence to its own end.

        Parameters
        ----------
        x : Tensor
            (B, T, channels, Y, X); what lies at and beyond ``length`` is never read.
        length : Tensor
            (B,) number of real steps, 0 to T; a sequence without steps ends in zeros.
        masks : Tensor, optional
            (4, B, filters, Y, X): what the previous state is multiplied with before each gate's
            convolution. Drawn in training when not given, none otherwise.

        Returns
        -------
        tuple of Tensor
            Last hidden state and last cell state, (B, filters, Y, X) each.
        """
        real = real_steps(length, x.shape[1])
        return self.remember(x.transpose(0, 1)[real.T], real, masks)

    def remember(self, packed: Tensor, real: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Do what `forward` does, with real steps only.

        Parameters
        ----------
        packed : Tensor
            (P, channels, Y, X), first step first, and within a step in the order of the sequences.
        real : Tensor
            (B, T) bool, P of them true; in every sequence they come first.
        masks : Tensor, optional
            As in `forward`.

        Returns
        -------
        tuple of Tensor
            As of `forward`.
        """
        if masks is None and self.training and self.dropout > 0:
            masks = self._draw_masks(self.state.weight.new_empty(len(real), self.filters, *packed.shape[2:]))
        return unrolled(self.input(packed), self.state.weight, real, masks)

    def states(
        self, x: Tensor, length: Tensor, masks: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield hidden and cell state after each step, up to the end of the longest sequence.

        A sequence that has ended keeps its states. Parameters as in `forward`.
        """
        batch, steps = x.shape[:2]
        real = real_steps(length, steps)[:, : int(length.max()) if batch else 0]
        x = x[:, : real.shape[1]]
        gates = x.new_zeros(*real.shape, 4 * self.filters, *x.shape[3:])
        gates[real] = self.input(x[real]).to(gates.dtype)
        gates_of = gates.unbind(1)  # one by one would give each a gradient of the size of all
        hidden = cell = x.new_zeros(batch, self.filters, *x.shape[3:])
        if masks is None and self.training and self.dropout > 0:
            masks = self._draw_masks(hidden)
        for step in range(real.shape[1]):
            now = real[:, step, None, None, None]
            seen = gates_of[step] + self._recurrent(hidden, masks)
            new_hidden, new_cell = _remember(seen, cell)
            hidden, cell = torch.where(now, new_hidden, hidden), torch.where(now, new_cell, cell)
            yield hidden, cell

    def _draw_masks(self, hidden: Tensor) -> Tensor:
        keep = 1 - self.dropout
        return hidden.new_empty(4, *hidden.shape).bernoulli_(keep) / keep

    def _recurrent(self, hidden: Tensor, masks: Tensor | None) -> Tensor:
        if masks is None:
            done: Tensor = self.state(hidden)
            return done
        each = torch.cat(list(masks * hidden), dim=1)
        return functional.conv2d(each, self.state.weight, padding=1, groups=4)


def _remember(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Give the next hidden and cell state."""
    enter, forget, candidate, leave = gates.chunk(4, dim=1)
    cell = hard_sigmoid(forget) * cell + hard_sigmoid(enter) * candidate.tanh()
    return hard_sigmoid(leave) * cell.tanh(), cell
