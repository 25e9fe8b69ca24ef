"""What training makes small: losses of an expected image against what was seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from terradelta.errors import ConfigError, InputError
from terradelta.expected.inputs import Batch, Expected

__all__ = ["Loss", "LossConfig", "LossKind", "forest_weighted", "gaussian", "loss_of", "mse", "similarity"]

LossKind: TypeAlias = Literal["mse", "gaussian"]
"""Squared error, or the likelihood of what was seen under mean and standard deviation."""

Loss: TypeAlias = Callable[[Expected, Batch], Tensor]
"""Expected images and a batch to one number."""

_LEAST_SIGMA = 1e-3


@dataclass(frozen=True)
class LossConfig:
    """Which loss.

    Attributes
    ----------
    kind : {"mse", "gaussian"}
        Squared error (as published), or the negative log likelihood, for networks with a standard deviation.
    outside_forest : float
        Weight of pixels outside forest; 1 inside. Squared error only.
    similarity : float
        Weight of the similarity loss, which is added; 0 leaves it out.
    sigma_floor : float
        Least standard deviation that the likelihood believes, in units of normalised images.

    Raises
    ------
    ConfigError
        The kind is unknown, or a number is out of range.

    Examples
    --------
    >>> LossConfig.from_dict({"kind": "mse", "outside_forest": 0.1}).outside_forest
    0.1
    """

    kind: LossKind = "mse"
    outside_forest: float = 1.0
    similarity: float = 0.0
    sigma_floor: float = _LEAST_SIGMA

    def __post_init__(self) -> None:
        if self.kind not in get_args(LossKind):
            raise ConfigError(f"no loss is called {self.kind!r}; choose from {', '.join(get_args(LossKind))}")
        for name in ("outside_forest", "similarity"):
            if not (getattr(self, name) >= 0 and math.isfinite(getattr(self, name))):
                raise ConfigError(f"{name} is {getattr(self, name)}; give 0 or more")
        if not (self.sigma_floor > 0 and math.isfinite(self.sigma_floor)):
            raise ConfigError(
                f"sigma_floor is {self.sigma_floor}; give a small positive number such as 0.001"
            )
        if self.kind == "gaussian" and self.outside_forest != 1:
            raise ConfigError(
                "outside_forest belongs to the squared error; give kind 'mse', or leave it at 1"
            )

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LossConfig:
        """Undo `to_dict`.

        Raises
        ------
        ConfigError
            A key is unknown.
        """
        known = [one.name for one in fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(f"a loss has no {name!r}; its keys are {', '.join(known)}")
        return cls(**values)


def mse(expected: Expected, batch: Batch) -> Tensor:
    """Give the mean squared error over all valid pixels and bands.

    Parameters
    ----------
    expected : Expected
        Mean (batch, band, y, x), normalised.
    batch : Batch
        What was seen, and where.

    Returns
    -------
    Tensor
        One number; 0 where no pixel is valid.
    """
    return _mean(_squares(expected.mean, batch.target, batch.valid[:, None]), batch)


def forest_weighted(expected: Expected, batch: Batch, weight: float) -> Tensor:
    """Give the mean squared error with a weight outside forest.

    The mean is over the pixels, not over their weights, as published.

    Parameters
    ----------
    expected : Expected
        Mean (batch, band, y, x), normalised.
    batch : Batch
        Its ``forest`` is forest where it is exactly 1; NaN and shares are outside.
    weight : float
        Of a pixel outside.

    Returns
    -------
    Tensor
        One number; 0 where no pixel is valid.
    """
    squares = _squares(expected.mean, batch.target, batch.valid[:, None])
    weights = torch.where(batch.forest == 1, 1.0, weight).to(squares)
    return _mean(squares * weights[:, None], batch)


def similarity(expected: Expected, batch: Batch) -> Tensor:
    """Tell how little the target is the image of the sample that the expected one is nearest to.

    Softmax over the negative mean squared errors to the previous images and the target, and its cross
    entropy to the target; ln 5 where four previous images tell nothing.

    Parameters
    ----------
    expected : Expected
        Mean (batch, band, y, x), normalised.
    batch : Batch
        Each image is compared where it and the target are valid; an image without such a pixel is left out.

    Returns
    -------
    Tensor
        One number, the mean over the samples with a valid pixel.
    """
    images = torch.cat([batch.inputs.images, batch.target[:, None]], dim=1)
    valid = torch.cat([batch.inputs.valid & batch.valid[:, None], batch.valid[:, None]], dim=1)
    squares = _squares(expected.mean[:, None], images, valid[:, :, None])
    count = valid.sum(dim=(2, 3)) * images.shape[2]
    errors = squares.sum(dim=(2, 3, 4)) / count.clamp(min=1)
    seen = count[:, -1] > 0
    errors = errors.masked_fill((count == 0) & seen[:, None], math.inf)
    surprise = -(-errors).log_softmax(dim=1)[:, -1]
    return (surprise * seen).sum() / seen.sum().clamp(min=1)


def gaussian(expected: Expected, batch: Batch, sigma_floor: float = _LEAST_SIGMA) -> Tensor:
    """Give the negative log likelihood of what was seen, per pixel and band, without the constant.

    Parameters
    ----------
    expected : Expected
        Mean and standard deviation (batch, band, y, x), normalised.
    batch : Batch
        What was seen, and where.
    sigma_floor : float
        Least standard deviation.

    Returns
    -------
    Tensor
        One number; 0 where no pixel is valid.

    Raises
    ------
    InputError
        The network gives no standard deviation.
    """
    if expected.sigma is None:
        raise InputError("this network gives no standard deviation; use the loss 'mse' or another network")
    sigma = expected.sigma.to(_precise(expected.sigma)).clamp(min=sigma_floor)
    squares = _squares(expected.mean, batch.target, batch.valid[:, None])
    return _mean((squares / (2 * sigma.square()) + sigma.log()) * batch.valid[:, None], batch)


def loss_of(config: LossConfig) -> Loss:
    """Make the loss of a configuration.

    Parameters
    ----------
    config : LossConfig
        Which loss.

    Returns
    -------
    callable
        Expected images and batch to one number.
    """

    def loss(expected: Expected, batch: Batch) -> Tensor:
        if config.kind == "gaussian":
            value = gaussian(expected, batch, config.sigma_floor)
        elif config.outside_forest != 1:
            value = forest_weighted(expected, batch, config.outside_forest)
        else:
            value = mse(expected, batch)
        return value + config.similarity * similarity(expected, batch) if config.similarity else value

    return loss


def _precise(x: Tensor) -> torch.dtype:
    return torch.float32 if x.dtype in (torch.bfloat16, torch.float16) else x.dtype


def _squares(mean: Tensor, seen: Tensor, valid: Tensor) -> Tensor:
    """Give squared differences, 0 where not valid, so that no value there reaches result or gradient."""
    dtype = _precise(mean)
    mean, seen = mean.to(dtype), seen.to(dtype)
    return (mean - torch.where(valid, seen, mean.detach())).square() * valid


def _mean(values: Tensor, batch: Batch) -> Tensor:
    """Average (batch, band, y, x), which is 0 elsewhere, over the valid pixels."""
    return values.sum() / (batch.valid.sum() * values.shape[1]).clamp(min=1)
