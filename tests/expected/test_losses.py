"""Losses against the published code, against loops over pixels, and where there is no data."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from terradelta.errors import ConfigError, InputError
from terradelta.expected.inputs import Batch, Expected, Inputs
from terradelta.expected.networks.losses import (
    LossConfig,
    forest_weighted,
    gaussian,
    loss_of,
    mse,
    similarity,
)


def _batch(images: Tensor, target: Tensor, forest: Tensor) -> Batch:
    count, times, bands, *size = images.shape
    inputs = Inputs(
        images=images,
        valid=torch.ones(count, times, *size, dtype=torch.bool),
        static=torch.zeros(count, 1, *size),
        state=torch.zeros(count, bands, *size),
        conditions=torch.zeros(count, times + 1, 13),
        known=torch.ones(count, times + 1, 13, dtype=torch.bool),
    )
    names = tuple(map(str, range(count)))
    return Batch(inputs, target, torch.ones(count, *size, dtype=torch.bool), forest, names)


@pytest.fixture
def published(shared: Path) -> tuple[dict[str, Any], Expected, Batch]:
    with np.load(shared / "reference" / "sar" / "layers.npz") as file:
        read = {name: file[name] for name in file.files if name.startswith("loss_")}
    stack, target, mean = (
        torch.from_numpy(read[f"loss_{name}"].transpose(0, 3, 1, 2).copy())
        for name in ("input_stack", "target", "pred")
    )
    images = stack[:, :8].reshape(len(stack), 4, 2, *stack.shape[2:])
    batch = _batch(images, target, torch.from_numpy(read["loss_forestmask"]))
    return read, Expected(mean), batch


@pytest.fixture
def drawn() -> tuple[Expected, Batch]:
    torch.manual_seed(3)
    forest = torch.tensor([0.0, 0.5, 0.999999, 1.0, 2.0, torch.nan])[torch.randint(6, (3, 6, 5))]
    batch = _batch(torch.randn(3, 4, 2, 6, 5), torch.randn(3, 2, 6, 5), forest)
    return Expected(torch.randn(3, 2, 6, 5), torch.rand(3, 2, 6, 5) + 0.1), batch


def _with_holes(batch: Batch, fill: float) -> Batch:
    """Take pixels away and put something else there."""
    torch.manual_seed(4)
    valid, seen = torch.rand(batch.valid.shape) > 0.3, torch.rand(batch.inputs.valid.shape) > 0.3
    inputs = batch.inputs._replace(
        images=batch.inputs.images.masked_fill(~seen[:, :, None], fill), valid=seen
    )
    return batch._replace(inputs=inputs, target=batch.target.masked_fill(~valid[:, None], fill), valid=valid)


# the published code


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0, 3.0])
def test_forest_counts_only_where_it_is_exactly_one(published: Any, weight: float) -> None:
    read, expected, batch = published
    value = forest_weighted(expected, batch, weight).item()
    assert value == pytest.approx(float(read[f"loss_forestmask_{weight}"]), abs=1e-6)


def test_similarity_is_that_of_the_published_code(published: Any) -> None:
    read, expected, batch = published
    value = similarity(expected, batch).item()
    assert value == pytest.approx(float(read["loss_similarity_1.0"]), abs=1e-6)
    assert 2.5 * value == pytest.approx(float(read["loss_similarity_2.5"]), abs=2e-6)
    exact = similarity(Expected(batch.target), batch).item()
    assert exact == pytest.approx(float(read["loss_similarity_pred_is_target"]), abs=1e-6)


# loops over pixels


def test_losses_are_sums_over_valid_pixels(drawn: tuple[Expected, Batch]) -> None:
    expected, batch = drawn
    batch = _with_holes(batch, math.nan)
    assert expected.sigma is not None
    squares, weighted, surprises = [], [], []
    for place in batch.valid.nonzero().tolist():
        sample, y, x = place
        for band in range(2):
            seen, mean = batch.target[sample, band, y, x].item(), expected.mean[sample, band, y, x].item()
            sigma = max(expected.sigma[sample, band, y, x].item(), 0.3)
            squares.append((seen - mean) ** 2)
            weighted.append(squares[-1] * (1 if batch.forest[sample, y, x].item() == 1 else 0.2))
            surprises.append(0.5 * ((seen - mean) / sigma) ** 2 + math.log(sigma))
    assert mse(expected, batch).item() == pytest.approx(np.mean(squares), rel=1e-5)
    assert forest_weighted(expected, batch, 0.2).item() == pytest.approx(np.mean(weighted), rel=1e-5)
    assert gaussian(expected, batch, 0.3).item() == pytest.approx(np.mean(surprises), rel=1e-5)


def test_similarity_compares_where_both_images_are_valid(drawn: tuple[Expected, Batch]) -> None:
    expected, batch = drawn
    batch = _with_holes(batch, math.nan)
    batch.inputs.valid[0, 2] = False
    values = []
    for sample in range(3):
        errors = []
        for image in [*range(4), None]:
            seen = batch.target[sample] if image is None else batch.inputs.images[sample, image]
            both = batch.valid[sample] & (True if image is None else batch.inputs.valid[sample, image])
            if both.any():
                errors.append(((seen - expected.mean[sample])[:, both] ** 2).mean().item())
        shares = np.exp(-np.array(errors))
        values.append(-np.log(shares[-1] / shares.sum()))
        assert len(errors) == (4 if sample == 0 else 5)
    assert similarity(expected, batch).item() == pytest.approx(np.mean(values), rel=1e-5)


def test_gaussian_is_a_likelihood(drawn: tuple[Expected, Batch]) -> None:
    expected, batch = drawn
    density = torch.distributions.Normal(expected.mean, expected.sigma).log_prob(batch.target)
    constant = 0.5 * math.log(2 * math.pi)
    assert gaussian(expected, batch).item() == pytest.approx(-density.mean().item() - constant, rel=1e-5)


# where there is no data


@pytest.mark.parametrize(
    "loss",
    [
        mse,
        lambda expected, batch: forest_weighted(expected, batch, 0.1),
        similarity,
        gaussian,
        loss_of(LossConfig(outside_forest=0.3, similarity=0.5)),
        loss_of(LossConfig("gaussian", similarity=0.5)),
    ],
)
def test_what_is_not_valid_reaches_neither_loss_nor_gradient(
    drawn: tuple[Expected, Batch], loss: Callable[[Expected, Batch], Tensor]
) -> None:
    expected, batch = drawn
    found = []
    for fill in (0.0, 1e9, math.nan, math.inf):
        mean = expected.mean.clone().requires_grad_()
        value = loss(Expected(mean, expected.sigma), _with_holes(batch, fill))
        value.backward()
        assert mean.grad is not None
        found.append((value.item(), mean.grad))
    assert all(value == found[0][0] and torch.equal(grad, found[0][1]) for value, grad in found)
    assert math.isfinite(found[0][0])
    assert found[0][1].isfinite().all()
    empty = batch._replace(valid=torch.zeros_like(batch.valid))
    assert loss(expected, empty).item() == 0


def test_half_precision_is_summed_in_single(drawn: tuple[Expected, Batch]) -> None:
    expected, batch = drawn
    half = Expected(expected.mean.bfloat16(), expected.sigma.bfloat16())  # type: ignore[union-attr]
    same = Expected(half.mean.float(), half.sigma.float())  # type: ignore[union-attr]
    for loss in (mse, gaussian, similarity):
        assert loss(half, batch).dtype == torch.float32
        assert torch.equal(loss(half, batch), loss(same, batch))


# configuration


def test_configured_losses_are_their_parts(drawn: tuple[Expected, Batch]) -> None:
    expected, batch = drawn
    assert torch.equal(loss_of(LossConfig())(expected, batch), mse(expected, batch))
    both = loss_of(LossConfig(outside_forest=0.1, similarity=2.0))(expected, batch)
    parts = forest_weighted(expected, batch, 0.1) + 2 * similarity(expected, batch)
    torch.testing.assert_close(both, parts)
    assert torch.equal(
        loss_of(LossConfig("gaussian", sigma_floor=0.5))(expected, batch), gaussian(expected, batch, 0.5)
    )
    config = LossConfig("mse", 0.1, 2.0)
    assert LossConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "l1"}, "no loss is called 'l1'"),
        ({"forest": 1}, "a loss has no 'forest'"),
        ({"outside_forest": -1}, "outside_forest is -1"),
        ({"similarity": math.nan}, "similarity is nan"),
        ({"sigma_floor": 0}, "sigma_floor is 0"),
        ({"kind": "gaussian", "outside_forest": 0.1}, "outside_forest belongs to the squared error"),
    ],
)
def test_bad_configurations_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LossConfig.from_dict(values)


def test_networks_without_sigma_have_no_likelihood(drawn: tuple[Expected, Batch]) -> None:
    expected, batch = drawn
    with pytest.raises(InputError, match="no standard deviation"):
        gaussian(Expected(expected.mean), batch)
