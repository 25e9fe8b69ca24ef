"""A small fully convolutional network for the expected image, with conditions at every scale and a sigma."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from terradelta.errors import ConfigError, InputError
from terradelta.expected.conditions import FEATURES, GROUPS, WEATHER
from terradelta.expected.inputs import Expected, Inputs
from terradelta.expected.networks.summary import Looking, available, describe

__all__ = ["ConditionedUNet", "ConditionedUNetConfig"]

_LEAST_VARIANCE = 1e-6
_STEEPEST = 3.0
_STRIP = 16384
_UNIT = 0.05  # about one decibel in normalised images: differences inside the network are of order one


@dataclass(frozen=True)
class ConditionedUNetConfig:
    """Size of a `ConditionedUNet`, and what it is told.

    Attributes
    ----------
    width : int
        Channels at full resolution; doubled at each scale.
    scales : int
        Resolutions, each half the one before.
    blocks : int
        Residual blocks per scale and side.
    embedding : int
        Length of the vector that the conditions are turned into.
    floor : float
        Least standard deviation, in units of normalised images, added in quadrature.
    dropout : float
        Share of channels dropped at the coarsest scale in training.
    without : tuple of str
        Groups of conditions that the network is not told.
    weather : bool
        Whether it is told temperature, snow and precipitation.

    Raises
    ------
    ConfigError
        If a number is out of range or a group of conditions is unknown.

    Examples
    --------
    >>> ConditionedUNetConfig(width=8).scales
    3
    """

    width: int = 24
    scales: int = 3
    blocks: int = 1
    embedding: int = 32
    floor: float = 0.015
    dropout: float = 0.0
    without: tuple[str, ...] = ()
    weather: bool = True

    def __post_init__(self) -> None:
        for name in ("width", "scales", "blocks", "embedding"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 1 or more")
        if not self.floor > 0:
            raise ConfigError(f"floor is {self.floor}; give a small positive number such as 0.015")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; give a share from 0 to below 1")
        object.__setattr__(self, "without", tuple(self.without))
        for group in self.without:
            if group not in GROUPS:
                raise ConfigError(f"without names {group!r}; conditions are {', '.join(GROUPS)}")

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, fit for JSON."""
        return {**asdict(self), "without": list(self.without)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ConditionedUNetConfig:
        """Undo `to_dict`.

        Raises
        ------
        ConfigError
            If a key is unknown.
        """
        known = [one.name for one in fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(f"a conditioned network has no {name!r}; its keys are {', '.join(known)}")
        return cls(**values)

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of conditions that the network is told."""
        return tuple(
            group for group in GROUPS if group not in self.without and (self.weather or group not in WEATHER)
        )


class _Summary(NamedTuple):
    """Weighted moments of the previous images, (batch, band or 1, y, x)."""

    mean: Tensor
    variance: Tensor
    seen: Tensor


Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def _silent(layer: Layer) -> Layer:
    """Let a layer give zero until it is trained."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class _Film(nn.Module):
    """Scale and shift of channels by an embedding; neutral at the start."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.linear = _silent(nn.Linear(embedding, 2 * channels))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.linear(embedding)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(x + shift, x, scale)

    def within(self, layer: nn.Conv2d, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Give weight and bias of a convolution that does both at once, for an embedding (..., number)."""
        scale, shift = self.linear(embedding).to(layer.weight.dtype).chunk(2, dim=-1)
        scale = 1 + scale
        bias = shift if layer.bias is None else shift + layer.bias * scale
        return layer.weight * scale[..., None, None, None], bias


class _Block(nn.Module):
    """Residual block whose inner channels the conditions scale and shift; the identity at the start."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = _Film(embedding, channels)
        self.second = _silent(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        inner: Tensor = functional.gelu(self._filmed(functional.gelu(x), embedding))
        outer: Tensor = self.second(inner)
        return outer.add_(x)  # in place: nothing else needs what the convolution gave

    def _filmed(self, x: Tensor, embedding: Tensor) -> Tensor:
        if torch.is_grad_enabled() or len(x) > 1:
            filmed: Tensor = self.film(self.first(x), embedding)
            return filmed
        weight, bias = self.film.within(self.first, embedding[0])
        return functional.conv2d(x, weight, bias, padding=1)


class _Stage(nn.ModuleList):
    """Blocks of one scale."""

    def __init__(self, channels: int, config: ConditionedUNetConfig) -> None:
        super().__init__(_Block(channels, config.embedding) for _ in range(config.blocks))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for block in self:
            x = block(x, embedding)
        return x


class ConditionedUNet(nn.Module):
    """Expected mean and standard deviation from any number of previous images under the target's conditions.

    The previous images are weighted, by how their conditions and their look compare with the target's, into
    a mean and a variance per pixel; a U-Net, told the conditions at every scale by feature-wise scaling
    (FiLM), corrects both. Before training it gives the plain mean and spread of the previous images, so it
    starts from the best method without a network and learns only what that misses. There is no
    normalisation layer: what a pixel gets does not depend on the size of the block around it, beyond the
    reach of the convolutions.

    Parameters
    ----------
    config : ConditionedUNetConfig, optional
        Its size.
    images : int
        Previous images that it is meant for; it takes any number.
    bands : int
        Bands of an image.
    static : int
        Layers that never change, such as elevation.

    References
    ----------
    Perez, E., et al. (2018). FiLM: Visual Reasoning with a General Conditioning Layer. AAAI.

    Examples
    --------
    >>> net = ConditionedUNet(ConditionedUNetConfig(width=8), bands=2, static=0).eval()
    >>> images = torch.rand(1, 4, 2, 20, 30)
    >>> inputs = Inputs(images, torch.ones(1, 4, 20, 30, dtype=torch.bool), torch.zeros(1, 0, 20, 30),
    ...     torch.zeros(1, 4, 20, 30), torch.zeros(1, 5, len(FEATURES)), torch.zeros(1, 5, len(FEATURES)) > 0)
    >>> expected = net(inputs)
    >>> torch.allclose(expected.mean, images.mean(1), atol=1e-6), tuple(expected.sigma.shape)
    (True, (1, 2, 20, 30))
    """

    def __init__(
        self,
        config: ConditionedUNetConfig | None = None,
        *,
        images: int = 4,
        bands: int = 2,
        static: int = 1,
    ) -> None:
        super().__init__()
        self.config = config = config or ConditionedUNetConfig()
        self.images, self.bands, self.static = images, bands, static
        told = [name for group in config.groups for name in GROUPS[group]]
        used = [FEATURES.index(name) for name in [*told, "age"]]
        self._used = used
        length = 2 * len(used)
        self.embed = nn.Sequential(
            nn.Linear(length, config.embedding), nn.GELU(), nn.Linear(config.embedding, config.embedding)
        )
        self.compare = nn.Sequential(
            nn.Linear(2 * length, config.embedding), nn.GELU(), nn.Linear(config.embedding, config.embedding)
        )
        self.look = nn.Conv2d(2 * bands + 1, config.width, 3, padding=1)
        self.look_film = _Film(config.embedding, config.width)
        self.weigh = _silent(nn.Conv2d(config.width, 1, 1))
        self.weigh_conditions = _silent(nn.Linear(config.embedding, 1))
        widths = [config.width * 2**scale for scale in range(config.scales)]
        self.enter = nn.Conv2d(config.width + 7 * bands + 1 + static, config.width, 3, padding=1)
        self.down = nn.ModuleList(_Stage(width, config) for width in widths)
        self.narrow = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(widths))
        self.widen = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairwise(widths)
        )
        self.up = nn.ModuleList(_Stage(width, config) for width in widths[:-1])
        self.leave = _silent(nn.Conv2d(config.width, 2 * bands, 3, padding=1))

    @property
    def requires(self) -> frozenset[str]:
        """Groups of conditions that it is told."""
        return frozenset(self.config.groups)

    @property
    def multiple(self) -> int:
        """Pixels that the origin of a block has to be a multiple of, else results depend on the blocks."""
        return int(2 ** (self.config.scales - 1))

    @property
    def reach(self) -> int:
        """Pixels around a pixel that can have an influence on it."""
        scales, convolutions = self.config.scales, 2 * self.config.blocks
        around = sum(2 * convolutions * 2**scale for scale in range(scales - 1))
        return int(3 + around + (convolutions + 1) * 2 ** (scales - 1))

    def forward(self, inputs: Inputs) -> Expected:
        """Expect the target.

        Parameters
        ----------
        inputs : Inputs
            Of any size and number of previous images.

        Returns
        -------
        Expected
            Mean and standard deviation, normalised; the mean is 0 and the deviation large where no previous
            image has data and nothing is around to tell.

        Raises
        ------
        InputError
            If the number of bands or of static layers is not that of the network.
        """
        self._check(inputs)
        inputs = inputs._replace(conditions=torch.where(inputs.known, inputs.conditions, 0.0))
        conditions, known = inputs.conditions[..., self._used], inputs.known[..., self._used]
        told = torch.cat([conditions, known.to(conditions.dtype)], dim=-1)
        embedding = self.embed(told[:, -1])
        summary, features = self._described(inputs, told)
        corrections = self._unet(features, embedding).to(features.dtype)
        shift, log_ratio = corrections.chunk(2, dim=1)
        number = inputs.valid.sum(1, keepdim=True).clamp(min=1).to(shift.dtype)
        wider = torch.exp(2 * inputs.state[:, self.bands :])
        variance = summary.variance * (1 + 1 / number) * wider + self.config.floor**2
        sigma = variance.sqrt() * torch.exp(log_ratio.clamp(-_STEEPEST, _STEEPEST))
        return Expected(summary.mean + _UNIT * shift, sigma)

    def _described(self, inputs: Inputs, told: Tensor) -> tuple[_Summary, Tensor]:
        """Give the summary and what the U-Net sees; without gradients in strips that stay in the cache."""
        if available(inputs.images):
            with torch.autocast("cpu", enabled=False):
                return self._described_compiled(inputs, told)
        rows, columns = inputs.images.shape[-2:]
        step = rows if torch.is_grad_enabled() else max(_STRIP // max(columns, 1), 1)
        strips = []
        for first in range(0, rows, step):
            last = min(first + step, rows)
            # one row more on each side: the look is a convolution of three
            top, bottom = max(first - 1, 0), min(last + 1, rows)
            parts = self._described_whole(_rows_of(inputs, top, bottom), told)
            strips.append([part[..., first - top : last - top, :] for part in parts])
        *summary, features = (torch.cat(parts, dim=-2) for parts in zip(*strips, strict=True))
        return _Summary(*summary), features

    def _described_compiled(self, inputs: Inputs, told: Tensor) -> tuple[_Summary, Tensor]:
        likeness = self._likeness(told)
        weights, biases = self.look_film.within(self.look, likeness)
        logits = self.weigh_conditions(likeness).squeeze(-1) + self.weigh.bias
        looking = Looking(weights, biases, self.weigh.weight.flatten(), logits)
        parts = describe(inputs.images, inputs.valid, looking, _UNIT)
        summary = _Summary(parts.mean, parts.variance, parts.seen)
        plain = _Summary(parts.plain_mean, parts.plain_variance, parts.seen)
        return summary, self._features(inputs, summary, plain, parts.looks)

    def _described_whole(self, inputs: Inputs, told: Tensor) -> tuple[Tensor, ...]:
        # chosen, not multiplied: what stands where there is no data may be NaN
        inputs = inputs._replace(images=torch.where(inputs.valid.unsqueeze(2), inputs.images, 0.0))
        plain = _moments(inputs.images, inputs.valid.unsqueeze(2).to(inputs.images.dtype))
        summary, looks = self._summary(inputs, told, plain)
        return (*summary, self._features(inputs, summary, plain, looks))

    def _features(self, inputs: Inputs, summary: _Summary, plain: _Summary, looks: Tensor) -> Tensor:
        """Put together what the U-Net sees, each of order one."""
        last = torch.where(inputs.valid[:, -1:], inputs.images[:, -1] - summary.mean, 0.0)
        offset, inflation = inputs.state.chunk(2, dim=1)
        parts = [
            looks,
            summary.mean,
            self._log_width(summary.variance),
            (plain.mean - summary.mean) / _UNIT,
            self._log_width(plain.variance),
            last / _UNIT,
            summary.seen,
            inputs.static,
            offset / _UNIT,
            inflation,
        ]
        return torch.cat(parts, dim=1)

    def _log_width(self, variance: Tensor) -> Tensor:
        return 0.5 * torch.log((variance + self.config.floor**2) / _UNIT**2)

    def _check(self, inputs: Inputs) -> None:
        bands, static = inputs.images.shape[2], inputs.static.shape[1]
        if bands != self.bands:
            raise InputError(f"the images have {bands} bands, the network was made for {self.bands}")
        if static != self.static:
            raise InputError(
                f"there are {static} static layers (elevation ...), the network was made for {self.static}"
            )
        if inputs.images.shape[1] < 1:
            raise InputError("there is no previous image; give one or more")

    def _likeness(self, told: Tensor) -> Tensor:
        """Compare the conditions of each previous image with the target's."""
        target = told[:, -1:].expand(-1, told.shape[1] - 1, -1)
        likeness: Tensor = self.compare(torch.cat([told[:, :-1], target], dim=-1))
        return likeness

    def _summary(self, inputs: Inputs, told: Tensor, plain: _Summary) -> tuple[_Summary, Tensor]:
        """Weigh the previous images against each other, by their conditions and by what is seen in them."""
        batch, time, bands, rows, columns = inputs.images.shape
        likeness = self._likeness(told)
        valid = inputs.valid.unsqueeze(2).to(inputs.images.dtype)
        seen = torch.cat(
            [(inputs.images - plain.mean[:, None]) * valid / _UNIT, inputs.images * valid, valid], dim=2
        )
        looks = self.look(seen.reshape(batch * time, 2 * bands + 1, rows, columns))
        looks = functional.gelu(self.look_film(looks, likeness.flatten(0, 1)))
        logits = self.weigh(looks).reshape(batch, time, 1, rows, columns)
        logits = logits + self.weigh_conditions(likeness)[..., None, None]
        weights = torch.exp(logits.clamp(-_STEEPEST, _STEEPEST)) * valid
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
        pooled = (looks.reshape(batch, time, -1, rows, columns) * weights).sum(1)
        return _moments(inputs.images, weights), pooled

    def _unet(self, features: Tensor, embedding: Tensor) -> Tensor:
        rows, columns = features.shape[-2:]
        if not torch.is_grad_enabled() and features.device.type == "cpu":
            features = features.contiguous(memory_format=torch.channels_last)
        x = self.enter(_padded(features, self.multiple))
        skips = []
        for scale, stage in enumerate(self.down):
            x = stage(x, embedding)
            if scale < len(self.narrow):
                skips.append(x)
                x = self.narrow[scale](x)
        x = functional.dropout2d(x, self.config.dropout, self.training)
        for widen, stage, skip in zip(reversed(self.widen), reversed(self.up), reversed(skips), strict=True):
            x = stage(widen(x) + skip, embedding)
        corrections: Tensor = self.leave(functional.gelu(x))
        return corrections[..., :rows, :columns]


def _moments(images: Tensor, weights: Tensor) -> _Summary:
    """Mean, variance and whether anything was seen; (batch, time, band, y, x) by (batch, time, 1, y, x)."""
    total = weights.sum(1)
    safe = total.clamp(min=1e-6)
    mean = (images * weights).sum(1) / safe
    squares = (weights * (images - mean[:, None]) ** 2).sum(1) / safe
    effective = total**2 / (weights**2).sum(1).clamp(min=1e-12)
    # of a single image there is no variance: the network has to tell
    freedom = (effective / (effective - 1).clamp(min=0.1)).clamp(max=2.0)
    return _Summary(mean, squares * freedom + _LEAST_VARIANCE, (total > 0).to(images.dtype))


def _rows_of(inputs: Inputs, first: int, last: int) -> Inputs:
    """Cut rows out of everything that is an image."""
    cut = (..., slice(first, last), slice(None))
    images = {name: getattr(inputs, name)[cut] for name in ("images", "valid", "static", "state")}
    return inputs._replace(**images)


def _padded(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both lengths are multiples."""
    rows, columns = (-length % multiple for length in x.shape[-2:])
    return functional.pad(x, (0, columns, 0, rows), mode="replicate") if rows or columns else x
