"""Models with random weights, for what does not depend on training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from terradelta.expected.model import ExpectedImage
from terradelta.expected.networks.conditioned import ConditionedUNet, ConditionedUNetConfig
from terradelta.expected.networks.unet import UNet
from terradelta.expected.networks.unet_config import UNetConfig
from terradelta.expected.preparation import Preparation
from terradelta.expected.statistics import Statistics

STATISTICS = Statistics(-14.0, 20.25, 300.0, 10.0, 50.0)


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Move all weights, so that nothing is neutral."""
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=stream))
    return network.eval()


def conditioned(preparation: Preparation | None = None, **more: Any) -> ExpectedImage:
    """A small fully convolutional model."""
    torch.manual_seed(0)
    config = ConditionedUNetConfig(width=4, scales=2, weather=more.pop("weather", True))
    network = shaken(ConditionedUNet(config, static=more.pop("static", 1)))
    return ExpectedImage(network, STATISTICS, preparation, **more)


def published(size: int = 32, **more: Any) -> ExpectedImage:
    """A narrow network of the published kind."""
    torch.manual_seed(0)
    return ExpectedImage(shaken(UNet(UNetConfig.tiny(size))), STATISTICS, **more)
