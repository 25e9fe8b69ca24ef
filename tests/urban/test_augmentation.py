"""The sixteen ways to show a tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from terradelta.errors import InputError
from terradelta.urban.training.augmentation import CODES, frozen_pixels, orient
from terradelta.urban.training.batch import WindowSample, collate, cut


def test_published_augmentation_at_real_steps(shared: Path) -> None:
    """Compared at real steps alone: the published one freezes padded steps too, which then look real."""
    known = np.load(shared / "reference" / "ercnn" / "augment.npz")
    real = 3
    assert (known["x_q"][:, real:] == -256).all()
    samples = []
    for code, stored, label in zip(known["codes"].tolist(), known["x_q"], known["y"], strict=True):
        frames = (stored[:real].astype(np.float32) / 256).transpose(0, 3, 1, 2)
        frozen = frozen_pixels(label.shape, code)
        samples.append(
            WindowSample(
                torch.tensor(orient(frames, code).copy()),
                torch.tensor([[0, real]]),
                torch.tensor(np.where(frozen, 0, orient(label, code))),
                torch.tensor(frozen.copy()),
                str(code),
            )
        )
    x, length = cut(collate(samples), 0)
    assert length.tolist() == [real] * CODES
    np.testing.assert_array_equal(x.permute(0, 1, 3, 4, 2).numpy(), known["x_aug"][:, :real])
    np.testing.assert_array_equal(torch.stack([one.label for one in samples]).numpy(), known["y_aug"])


def test_sixteen_different_ways() -> None:
    image = np.arange(36).reshape(6, 6)
    ways = {(orient(image, c).tobytes(), frozen_pixels((6, 6), c).tobytes()) for c in range(CODES)}
    assert len(ways) == CODES
    assert len({orient(image, code).tobytes() for code in range(CODES)}) == 8


def test_frozen_pixels_follow_the_image() -> None:
    column = np.broadcast_to(np.arange(6), (6, 6))
    for code in range(CODES):
        expected = orient(column, code) % 2 == 1 if code & 1 else np.zeros((6, 6), bool)
        np.testing.assert_array_equal(frozen_pixels((6, 6), code), expected)


@pytest.mark.parametrize("code", [-1, 16])
def test_unknown_code(code: int) -> None:
    with pytest.raises(InputError, match=f"no augmentation has the code {code}; give 0 to 15"):
        orient(np.zeros((2, 2)), code)
