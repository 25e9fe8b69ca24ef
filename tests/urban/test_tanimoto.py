"""The loss: equal to the published one, values and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from terradelta.errors import InputError
from terradelta.urban.training.loss import tanimoto_loss, tanimoto_losses

CASES = ["c0", "c1", "c2", "c3", "c4"]


@pytest.fixture(scope="module")
def oracle(shared: Path) -> Any:
    with np.load(shared / "reference" / "ercnn" / "tanimoto.npz") as file:
        return dict(file)


def _case(oracle: Any, case: str, dtype: Any) -> tuple[Any, Any]:
    label, prediction = (torch.tensor(oracle[f"{case}_{name}"], dtype=dtype) for name in ("y_true", "y_pred"))
    return prediction.requires_grad_(), label


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "suffix", "atol"), [("float32", "", 1e-6), ("float64", "_f64", 1e-12)])
def test_values_are_the_published_ones(oracle: Any, case: str, dtype: str, suffix: str, atol: float) -> None:
    prediction, label = _case(oracle, case, getattr(torch, dtype))
    each = tanimoto_losses(prediction, label)
    assert each.dtype == prediction.dtype
    np.testing.assert_allclose(each.detach(), oracle[f"{case}_per_sample{suffix}"], rtol=0, atol=atol)
    mean, flat = (tanimoto_loss(prediction, label, per_sample=per).item() for per in (True, False))
    assert mean == pytest.approx(oracle[f"{case}_per_sample{suffix}"].mean(), rel=0, abs=atol)
    assert flat == pytest.approx(oracle[f"{case}_flat{suffix}"], rel=0, abs=atol)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("per_sample", [True, False])
def test_gradients_are_the_published_ones(oracle: Any, case: str, dtype: str, per_sample: bool) -> None:
    prediction, label = _case(oracle, case, getattr(torch, dtype))
    tanimoto_loss(prediction, label, per_sample=per_sample).backward()
    expected = oracle[f"{case}_grad_{'per_sample_mean' if per_sample else 'flat'}"]
    np.testing.assert_allclose(prediction.grad, expected, rtol=1e-5, atol=1e-6)
    assert not prediction.grad[:, [0, -1]].any()
    assert not prediction.grad[:, :, [0, -1]].any()


def test_against_the_formula_pixel_by_pixel() -> None:
    random = np.random.default_rng(0)
    label, prediction = random.random((2, 3, 6, 7))
    total = 0.0
    for y, p in zip(label, prediction, strict=True):
        quotients = []
        for sign in (False, True):
            both = squares = 0.0
            for row in range(2, 4):
                for column in range(2, 5):
                    a, b = y[row, column], p[row, column]
                    a, b = (1 - a, 1 - b) if sign else (a, b)
                    both, squares = both + a * b, squares + a * a + b * b
            quotients.append(both / (squares - both + 1e-4))
        total += 1 - sum(quotients) / 2
    found = tanimoto_loss(torch.tensor(prediction), torch.tensor(label), border=2)
    assert float(found) == pytest.approx(total / 3, abs=1e-14)


def test_a_perfect_match_of_nothing_costs_a_half() -> None:
    label = torch.stack([torch.zeros(8, 8), torch.ones(8, 8), torch.eye(8)])
    assert tanimoto_losses(label, label).tolist() == pytest.approx([0.5, 0.5, 0.0], abs=2e-5)


def test_half_precision_is_summed_in_float32() -> None:
    prediction, label = torch.rand(2, 64, 64).bfloat16(), torch.rand(2, 64, 64)
    found = tanimoto_losses(prediction, label)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, tanimoto_losses(prediction.float(), label), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("shape", "border", "words"),
    [((2, 8, 9), 1, "the label has shape"), ((2, 8, 8), 4, "a border of 4 leaves nothing of 8 x 8")],
)
def test_what_does_not_fit_is_refused(shape: tuple[int, ...], border: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        tanimoto_losses(torch.zeros(2, 8, 8), torch.zeros(shape), border=border)
