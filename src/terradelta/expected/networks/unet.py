"""The published network of the expected image: conditions join at the bottleneck of a U-Net."""

from __future__ import annotations

import re
from collections import OrderedDict

import torch
from torch import Tensor, nn

from terradelta.errors import ConfigError, InputError
from terradelta.expected.conditions import FEATURES, GROUPS, kept_entries, vector_names
from terradelta.expected.inputs import Expected, Inputs
from terradelta.expected.networks.unet_config import Convolution, Stage, UNetConfig
from terradelta.expected.networks.unet_layers import Normalisation, ResidualStage, SameConv, SameTransposed

__all__ = ["UNet"]

_FLAG = "S1A"  # the published vector knows two satellites


class UNet(nn.Module):
    """The published network, with all its options.

    Parameters
    ----------
    config : UNetConfig
        Architecture, and the conditions it is told.
    images : int
        Previous images.
    bands : int
        Bands of each image.
    static : int
        Layers that never change (elevation).

    Attributes
    ----------
    config : UNetConfig
        As given.
    front, down, up, back, last : nn.Module
        The parts, in the order in which they are run.
    entries : tuple of str
        Names of the entries of the condition vector, in order.
    requires : frozenset of str
        Groups of conditions that it uses.

    Raises
    ------
    ConfigError
        A number of images, bands or layers is too small.

    References
    ----------
    J. Alatalo, T. Sipola, M. Rantonen, Improved Difference Images for Change Detection Classifiers in SAR
    Imagery Using Deep Learning, IEEE TGRS 61, 5218714, 2023, Table I.

    Examples
    --------
    >>> net = UNet(UNetConfig.tiny(32)).eval()
    >>> net.published(torch.zeros(2, 9, 32, 32), torch.zeros(2, 45)).shape
    torch.Size([2, 2, 32, 32])
    """

    columns: Tensor

    def __init__(self, config: UNetConfig, *, images: int = 4, bands: int = 2, static: int = 1) -> None:
        super().__init__()
        for name, value, least in (("images", images, 1), ("bands", bands, 1), ("static", static, 0)):
            if value < least:
                raise ConfigError(f"{name} is {value}; give {least} or more")
        self.config = config
        self.images, self.bands, self.static = images, bands, static
        self.entries = _entries(config, images)
        places = torch.tensor([_place(name) for name in self.entries], dtype=torch.long)
        self.register_buffer("columns", places, persistent=False)
        self._build(images * bands + static)

    @property
    def requires(self) -> frozenset[str]:
        """Groups of conditions that the network uses."""
        return frozenset(self.config.groups)

    def _build(self, channels: int) -> None:
        config = self.config
        self.front, channels = _convolutions(channels, config.front)
        survivals = _survivals(config)
        self.down, sizes = nn.ModuleList(), []
        for number, stage in enumerate(config.encoder):
            self.down.append(_down(channels, stage, survivals[number], config, first=number == 0))
            channels = stage.filters
            sizes.append(channels)
        channels += len(self.entries)
        self.up = nn.ModuleList()
        for number, stage in enumerate(config.decoder):
            if number and self._joins(number):
                channels += sizes[-1 - number]
            self.up.append(_up(channels, stage, survivals[len(sizes) + number], config, number))
            channels = stage.filters
        self.back, channels = _convolutions(channels, config.back)
        self.last = SameTransposed(channels, self.bands, config.last_kernel)
        # the faster layout of convolutions, measured in docs/networks.md; outputs follow the weights
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _joins(self, number: int) -> bool:
        """Tell whether an encoder's output joins the input of a decoder stage, other than the first."""
        return bool(self.config.skips and self.config.skips[-number])

    def published(self, stack: Tensor, vector: Tensor) -> Tensor:
        """Run on the published form of a sample.

        Parameters
        ----------
        stack : Tensor
            (B, images * bands + static, size, size) normalised; image by image, oldest first, then static.
        vector : Tensor
            (B, entries) normalised conditions, as `entries` says.

        Returns
        -------
        Tensor
            (B, bands, size, size) in [-1, 1], normalised.

        Raises
        ------
        InputError
            A shape does not fit.
        """
        self._check(stack, vector)
        x = self.front(stack)
        outputs: list[Tensor] = []
        for stage in self.down:
            x = stage(x)
            outputs.append(x)
        x = torch.cat([x, vector.to(x.dtype)[:, :, None, None]], dim=1)
        for number, stage in enumerate(self.up):
            if number and self._joins(number):
                x = torch.cat([x, outputs[-1 - number]], dim=1)
            x = stage(x)
        y: Tensor = self.last(self.back(x))
        return torch.tanh(y.float() if y.dtype in (torch.bfloat16, torch.float16) else y)

    def forward(self, inputs: Inputs) -> Expected:
        """Give the expected image of each sample.

        What `inputs.valid` and `inputs.known` say is missing is read as 0. The state of the target's scene is
        not used.

        Parameters
        ----------
        inputs : Inputs
            A batch; exactly the number of images, bands and layers, and the size, of this network.

        Returns
        -------
        Expected
            Mean (B, bands, size, size) in [-1, 1], normalised; no standard deviation.

        Raises
        ------
        InputError
            A shape does not fit.
        """
        images, conditions = inputs.images, inputs.conditions
        if images.ndim != 5 or images.shape[1:3] != (self.images, self.bands):
            raise InputError(
                f"images have shape {tuple(images.shape)}; this network reads "
                f"(batch, {self.images} previous images, {self.bands} bands, y, x)"
            )
        if conditions.shape[1:] != (self.images + 1, len(FEATURES)):
            raise InputError(
                f"conditions have shape {tuple(conditions.shape)}; this network reads "
                f"(batch, {self.images + 1}, {len(FEATURES)})"
            )
        images = torch.where(inputs.valid[:, :, None], images, images.new_zeros(()))
        conditions = torch.where(inputs.known, conditions, conditions.new_zeros(()))
        stack = torch.cat([images.flatten(1, 2), inputs.static], dim=1)
        return Expected(self.published(stack, conditions.flatten(1)[:, self.columns]))

    def _check(self, stack: Tensor, vector: Tensor) -> None:
        channels, size = self.images * self.bands + self.static, self.config.size
        if stack.ndim != 4 or stack.shape[1:] != (channels, size, size):
            raise InputError(
                f"the image stack has shape {tuple(stack.shape)}; this network reads "
                f"(batch, {channels}, {size}, {size}): cut images to that size, or configure another one"
            )
        if vector.shape != (len(stack), len(self.entries)):
            raise InputError(
                f"the conditions have shape {tuple(vector.shape)}; "
                f"this network reads ({len(stack)}, {len(self.entries)})"
            )


def _entries(config: UNetConfig, images: int) -> tuple[str, ...]:
    names = vector_names(images)
    kept = kept_entries(without=config.without, weather=config.weather, previous=images)
    return tuple(names[place] for place in kept)


def _place(name: str) -> int:
    """Find an entry such as ``precipitation[3][1]`` in conditions (image, feature) laid out in one row."""
    group, image, *day = re.findall(r"\w+", name)
    feature = _FLAG if group == "satellite" else GROUPS[group][int(day[0]) if day else 0]
    return int(image) * len(FEATURES) + FEATURES.index(feature)


def _convolutions(channels: int, wanted: tuple[Convolution, ...]) -> tuple[nn.Sequential, int]:
    layers = nn.Sequential()
    for each in wanted:
        layers.append(SameConv(channels, each.filters, each.kernel))
        channels = each.filters
    return layers, channels


def _survivals(config: UNetConfig) -> list[float]:
    """Give how often a branch is kept, falling linearly over all stages of encoder and decoder."""
    count = len(config.encoder) + len(config.decoder)
    return [1 - config.stochastic_depth * number / (count - 1) for number in range(count)]


def _down(channels: int, stage: Stage, survival: float, config: UNetConfig, *, first: bool) -> nn.Sequential:
    if stage.kind == "residual":
        swapped = config.stochastic_depth_as_published
        return ResidualStage(
            channels, stage, up=False, project=first, survival=survival, as_published=swapped
        )
    layers: list[tuple[str, nn.Module]] = [
        ("conv", SameConv(channels, stage.filters, stage.kernel, 2)),
        ("bn", Normalisation(stage.filters)),
        ("relu", nn.ReLU()),
    ]
    return nn.Sequential(OrderedDict(layers))


def _up(channels: int, stage: Stage, survival: float, config: UNetConfig, number: int) -> nn.Sequential:
    layers: list[tuple[str, nn.Module]] = [
        ("convt", SameTransposed(channels, stage.filters, stage.kernel)),
        ("bn", Normalisation(stage.filters)),
        ("relu", nn.ReLU()),
    ]
    part = nn.Sequential(OrderedDict(layers))
    if stage.kind == "residual":
        swapped = config.stochastic_depth_as_published
        part = ResidualStage(channels, stage, up=True, project=True, survival=survival, as_published=swapped)
    if number < config.dropout_stages:
        part.add_module("dropout", nn.Dropout(config.dropout))
    return part
