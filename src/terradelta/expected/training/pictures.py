"""Pictures of training: what was seen, what was expected, and the difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from terradelta.expected.inputs import Batch, Expected

__all__ = ["picture"]

_SPREAD = 6.0
"""dB of difference that are pure red or blue."""
_GAP = 2


def picture(batch: Batch, expected: Expected, half_width: float) -> dict[str, NDArray[np.uint8]]:
    """Draw samples, one row per band: seen, expected, difference, and standard deviation if there is one.

    Parameters
    ----------
    batch : Batch
        The samples, normalised.
    expected : Expected
        What a network expects of them, normalised.
    half_width : float
        dB that the normalisation maps to 1.

    Returns
    -------
    dict
        By name of the sample, (y, x, 3): seen and expected in grey; difference from blue (fainter than
        expected) over white to red; standard deviation from black (0 dB) to white; no data is black.
    """
    return {name: _one(batch, expected, number, half_width) for number, name in enumerate(batch.names)}


def _one(batch: Batch, expected: Expected, number: int, half_width: float) -> NDArray[np.uint8]:
    seen, mean = _array(batch.target[number]), _array(expected.mean[number])
    valid = _array(batch.valid[number]) > 0
    sigma = None if expected.sigma is None else _array(expected.sigma[number])
    rows = []
    for band in range(len(seen)):
        low, high = np.percentile(seen[band][valid], [2, 98]) if valid.any() else (-1.0, 1.0)
        panels = [_grey(image[band], low, high) for image in (seen, mean)]
        panels.append(_signed((seen[band] - mean[band]) * half_width / _SPREAD))
        if sigma is not None:
            panels.append(_grey(sigma[band] * half_width, 0, _SPREAD / 2))
        for panel in panels[:1] + panels[2:3]:
            panel[~valid] = 0
        rows.append(np.concatenate([np.pad(panel, ((0, _GAP), (0, _GAP), (0, 0))) for panel in panels], 1))
    return np.concatenate(rows)


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().float().cpu().numpy()


def _grey(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    share = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat((255 * share).astype(np.uint8)[..., None], 3, axis=-1)


def _signed(values: NDArray[Any]) -> NDArray[np.uint8]:
    share = np.clip(values, -1, 1)
    less = 1 - np.abs(share)
    red, blue = np.where(share >= 0, 1, less), np.where(share <= 0, 1, less)
    return (255 * np.stack([red, less, blue], axis=-1)).astype(np.uint8)
