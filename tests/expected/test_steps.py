"""Training steps against the published code: losses, gradients and weights."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from terradelta.expected.inputs import Batch, Expected
from terradelta.expected.networks.losses import LossConfig, forest_weighted, loss_of, mse, similarity
from terradelta.expected.networks.optimiser import PublishedAdamW
from terradelta.expected.networks.unet import UNet
from terradelta.expected.networks.unet_keras import keras_arrays, keras_names

_FILE = Path(__file__).with_name("published_networks.py")
_SPEC = importlib.util.spec_from_file_location("published_networks", _FILE)
published: Any = sys.modules.setdefault("published_networks", importlib.util.module_from_spec(_SPEC))  # type: ignore[arg-type]
_SPEC.loader.exec_module(published)  # type: ignore[union-attr]

WHOLE = ["narrow_t_mse", "narrow_t_forest01_sim1", "variant_r_mse"]
FLIPPED = ("down.4.bn.beta", "down.4.conv.kernel", "down.3.")
"""Where the oracle itself is off: a ReLU input within rounding of zero."""


class Run:
    """One of the oracle's runs."""

    def __init__(self, shared: Path, name: str) -> None:
        self.doc = published.document(shared, "train_steps")[name]
        model = published.document(
            shared, "model_" + ("variant_r" if name.startswith("variant") else "narrow_t")
        )
        changes = {"dropout": 0.0, "stochastic_depth": 0.0}
        self.net: UNet = published.network({**model, **_recipe(self.doc)}, **changes).train()
        self.stack, self.vector, self.batch = published.published_batch(shared)
        if self.doc["batch"] == 1:
            self.stack, self.vector, self.batch = self.stack[:1], self.vector[:1], _first(self.batch)
        config = LossConfig(
            outside_forest=self.doc["forestmask_scaler"], similarity=self.doc["similarity_scaler"]
        )
        self.loss = loss_of(config)
        self.optimiser: torch.optim.Optimizer = PublishedAdamW(
            self.net.parameters(),
            lr=self.doc["learning_rate"],
            eps=self.doc["epsilon"],
            weight_decay=self.doc["weight_decay"],
        )

    def expected(self) -> Expected:
        return Expected(self.net.published(self.stack, self.vector))

    def step(self) -> float:
        self.optimiser.zero_grad()
        loss = self.loss(self.expected(), self.batch)
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def after(self) -> dict[str, float]:
        self.net.eval()
        with torch.inference_mode():
            expected = self.expected()
            return {
                "loss": self.loss(expected, self.batch).item(),
                "mse": mse(expected, self.batch).item(),
                "forestmask_mse": forest_weighted(expected, self.batch, 0.0).item(),
                "similarity_loss": similarity(expected, self.batch).item(),
            }


def _recipe(doc: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in doc.items() if name.startswith("weight_recipe")}


def _first(batch: Batch) -> Batch:
    inputs = batch.inputs._make(part[:1] for part in batch.inputs)
    return Batch(inputs, batch.target[:1], batch.valid[:1], batch.forest[:1], batch.names[:1])


def _gradients(net: UNet) -> dict[str, Tensor]:
    parameters = dict(net.named_parameters())
    found = {}
    for name, ours in keras_names(net).items():
        if ours in parameters:
            grad = parameters[ours].grad
            assert grad is not None
            found[name] = grad.permute(2, 3, 1, 0) if grad.ndim == 4 else grad.clone()
    return found


@pytest.mark.parametrize("name", WHOLE)
def test_three_steps_are_those_of_the_published_code(shared: Path, name: str) -> None:
    run, read = Run(shared, name), published.arrays(shared, "train_steps")
    losses = [run.step()]
    gradients = _gradients(run.net)
    losses += [run.step(), run.step()]
    assert losses == pytest.approx([step["loss"] for step in run.doc["steps"]], abs=5e-6)
    after = run.after()
    for key, value in run.doc["inference_after"].items():
        if key in after:
            assert after[key] == pytest.approx(value, abs=2e-4)
    similar = bool(run.doc["similarity_scaler"])
    largest = max(np.abs(read[f"{name}/grad0/{each}"]).max() for each in gradients)
    for each, grad in gradients.items():
        expected = read[f"{name}/grad0/{each}"]
        share = (5e-4 if similar else 1e-4) * largest
        if similar and each.startswith(FLIPPED):
            share = 0.06 * largest
        np.testing.assert_allclose(grad, expected, atol=share, rtol=0, err_msg=each)
    for each, value in keras_arrays(run.net).items():
        expected = read[f"{name}/after3/{each}"]
        np.testing.assert_allclose(value, expected, atol=3e-4 if similar else 5e-5, rtol=0, err_msg=each)


@pytest.mark.parametrize(
    ("name", "close"),
    [("narrow_t_mse_batch1", 5e-6), ("narrow_t_mse_wd1e-2", 5e-6), ("narrow_t_mse_20steps_lr1e-3", 5e-5)],
)
def test_losses_before_each_step_are_those_of_the_published_code(
    shared: Path, name: str, close: float
) -> None:
    run = Run(shared, name)
    losses = [run.step() for _ in run.doc["steps"]]
    assert losses == pytest.approx([step["loss"] for step in run.doc["steps"]], abs=close)
    errors = {
        key: abs(value - run.doc["inference_after"].get(key, value)) for key, value in run.after().items()
    }
    assert max(errors.values()) < (5e-3 if len(losses) > 3 else 1e-3), errors


@pytest.mark.parametrize(
    ("name", "close"), [("narrow_t_mse", (0, 1.5e-5)), ("narrow_t_mse_wd1e-2", (1e-3, 1e-2))]
)
def test_the_plain_optimiser_is_near_without_decay_only(
    shared: Path, name: str, close: tuple[float, float]
) -> None:
    run = Run(shared, name)
    run.optimiser = torch.optim.AdamW(
        run.net.parameters(), lr=1e-4, eps=1e-7, weight_decay=run.doc["weight_decay"]
    )
    losses = [run.step() for _ in range(3)]
    assert close[0] <= abs(losses[2] - run.doc["steps"][2]["loss"]) < close[1]
    assert losses[0] == pytest.approx(run.doc["steps"][0]["loss"], abs=5e-6)


def test_the_published_optimiser_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(5), torch.randn(6, 5)

    def take(weight: torch.nn.Parameter, optimiser: PublishedAdamW, some: Tensor) -> None:
        for grad in some:
            weight.grad = grad.clone()
            optimiser.step()

    whole = torch.nn.Parameter(start.clone())
    take(whole, PublishedAdamW([whole], 0.1, weight_decay=0.01), gradients)
    part = torch.nn.Parameter(start.clone())
    before = PublishedAdamW([part], 0.1, weight_decay=0.01)
    take(part, before, gradients[:3])
    after = PublishedAdamW([part], 0.7)
    after.load_state_dict(before.state_dict())
    take(part, after, gradients[3:])
    assert torch.equal(whole, part)
    m, v, w = torch.zeros(5), torch.zeros(5), start.clone()
    for step, grad in enumerate(gradients, start=1):
        m, v, w = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2, w - 0.01 * w
        w = w - 0.1 * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step) * m / (v.sqrt() + 1e-7)
    torch.testing.assert_close(whole.detach(), w)
