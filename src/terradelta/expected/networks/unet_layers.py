"""Layers with the padding, normalisation and initial weights of Keras."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from terradelta.expected.networks.unet_config import Stage

__all__ = ["Normalisation", "ResidualBlock", "ResidualStage", "SameConv", "SameTransposed"]

_EPSILON = 1e-3
_MOMENTUM = 0.01
_STRIDED = 2


class SameConv(nn.Conv2d):
    """Convolution with Keras's 'same' padding: odd rests are padded at the end.

    Parameters
    ----------
    channels, filters : int
        Channels in and out.
    kernel : int
        Pixels on a side.
    stride : {1, 2}
        Step; even sizes only at 2.

    Examples
    --------
    >>> SameConv(3, 8, 3, stride=2)(torch.zeros(1, 3, 8, 6)).shape
    torch.Size([1, 8, 4, 3])
    """

    def __init__(self, channels: int, filters: int, kernel: int, stride: int = 1) -> None:
        total = max(kernel - stride, 0)
        before = total // 2
        self.uneven = (before, total - before) if total % 2 else None
        super().__init__(channels, filters, kernel, stride, padding=0 if self.uneven else before)

    def reset_parameters(self) -> None:
        """Draw new weights: Glorot's uniform distribution, no bias."""
        _glorot(self)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, channels, Y, X)."""
        return super().forward(x if self.uneven is None else functional.pad(x, self.uneven * 2))


class SameTransposed(nn.ConvTranspose2d):
    """Transposed convolution of stride 2 with Keras's 'same' cropping: exactly twice the size.

    Parameters
    ----------
    channels, filters : int
        Channels in and out.
    kernel : int
        Pixels on a side, 2 or more.

    Examples
    --------
    >>> SameTransposed(3, 8, 5)(torch.zeros(1, 3, 4, 3)).shape
    torch.Size([1, 8, 8, 6])
    """

    def __init__(self, channels: int, filters: int, kernel: int = _STRIDED) -> None:
        super().__init__(channels, filters, kernel, _STRIDED, padding=(kernel - _STRIDED) // 2)
        self.uneven = bool(kernel % 2)

    def reset_parameters(self) -> None:
        """Draw new weights: Glorot's uniform distribution, no bias."""
        _glorot(self)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve (B, channels, Y, X) to (B, filters, 2 Y, 2 X)."""
        y = super().forward(x, output_size)
        return y[..., :-1, :-1] if self.uneven else y


def _glorot(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Normalisation(nn.BatchNorm2d):
    """Batch normalisation with Keras's constants, which also takes a single value per channel in training.

    Parameters
    ----------
    channels : int
        Channels.

    Examples
    --------
    >>> Normalisation(3).train()(torch.ones(1, 3, 1, 1)).flatten().tolist()
    [0.0, 0.0, 0.0]
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPSILON, momentum=_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, channels, Y, X)."""
        if not self.training or x.numel() != x.shape[1]:
            return super().forward(x)
        self._single(x)
        return x * 0 * self.weight.to(x.dtype).view(-1, 1, 1) + self.bias.to(x.dtype).view(-1, 1, 1)

    @torch.no_grad()
    def _single(self, x: Tensor) -> None:
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.lerp_(x.flatten().to(self.running_mean), _MOMENTUM)
            self.running_var.mul_(1 - _MOMENTUM)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


class ResidualBlock(nn.Module):
    """Wide convolution, normalisation, and two 1 × 1 convolutions with a GELU between, beside a shortcut.

    Parameters
    ----------
    channels, filters : int
        Channels in and out.
    stage : Stage
        Its kernel and multiplier.
    project : bool
        Whether the shortcut is a 1 × 1 convolution; it always is where channels and filters differ.
    survival : float
        How often the branch is kept in training, and how much it counts afterwards.
    as_published : bool
        Drop or scale the shortcut instead.
    """

    def __init__(
        self,
        channels: int,
        stage: Stage,
        *,
        project: bool = False,
        survival: float = 1.0,
        as_published: bool = False,
    ) -> None:
        super().__init__()
        filters, inner = stage.filters, stage.filters * stage.multiplier
        self.conv1 = SameConv(channels, filters, stage.kernel)
        self.bn = Normalisation(filters)
        self.conv2 = SameConv(filters, inner, 1)
        self.conv3 = SameConv(inner, filters, 1)
        self.conv4 = SameConv(channels, filters, 1) if project or channels != filters else None
        self.survival = survival
        self.as_published = as_published

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, channels, Y, X) into (B, filters, Y, X)."""
        branch = self.conv3(functional.gelu(self.conv2(self.bn(self.conv1(x)))))
        shortcut = x if self.conv4 is None else self.conv4(x)
        if self.survival < 1:
            if self.as_published:
                shortcut = shortcut * self._kept(x[:1])
            else:
                branch = branch * self._kept(x)
        return branch + shortcut  # type: ignore[no-any-return]

    def _kept(self, x: Tensor) -> Tensor | float:
        """Give 0 or 1 per sample in training, else the expected value."""
        if not self.training:
            return self.survival
        return x.new_empty(len(x), 1, 1, 1).bernoulli_(self.survival)


class ResidualStage(nn.Sequential):
    """Residual blocks, normalisation, and a 2 × 2 convolution that halves or doubles the size.

    Parameters
    ----------
    channels : int
        Channels in.
    stage : Stage
        What it is built of.
    up : bool
        Double the size instead of halving it.
    project : bool
        Whether the first shortcut is a convolution in any case.
    survival : float
        Of each block.
    as_published : bool
        Of each block.
    """

    def __init__(
        self, channels: int, stage: Stage, *, up: bool, project: bool, survival: float, as_published: bool
    ) -> None:
        super().__init__()
        for number in range(stage.blocks):
            block = ResidualBlock(
                channels if number == 0 else stage.filters,
                stage,
                project=project and number == 0,
                survival=survival,
                as_published=as_published,
            )
            self.add_module(f"res{number}", block)
        self.bn = Normalisation(stage.filters)
        if up:
            self.convt = SameTransposed(stage.filters, stage.filters)
        else:
            self.conv = SameConv(stage.filters, stage.filters, _STRIDED, _STRIDED)
