"""Pictures of training: the first and the last observation, the label, and what the network says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from terradelta.urban.training.batch import WindowBatch

__all__ = ["picture"]

_COLOURS = (("B04", "B03", "B02"), ("B3", "B2", "B1"))
_GAP = 2


def picture(batch: WindowBatch, found: Tensor, bands: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Draw each sample as a row: first and last observation, label, and what a network says.

    Parameters
    ----------
    batch : WindowBatch
        The samples.
    found : Tensor
        (B, Y, X) in 0..1.
    bands : sequence of str
        Names of the channels; red, green and blue are shown where they are known, else the first one, in dB.

    Returns
    -------
    dict
        By name of the sample, (y, x, 3).
    """
    return {name: _row(batch, found, bands, number) for number, name in enumerate(batch.names)}


def _row(batch: WindowBatch, found: Tensor, bands: Sequence[str], number: int) -> NDArray[np.uint8]:
    first, last = int(batch.windows[number, :, 0].min()), int(batch.windows[number, :, 1].max()) - 1
    chosen = _array(batch.frames[number, [first, last]])
    panels = [*_views(chosen, bands), _array(batch.label[number]), _array(found[number])]
    drawn = [panel if panel.ndim == 3 else np.repeat(panel[..., None], 3, axis=2) for panel in panels]
    joined = np.concatenate([np.pad(panel, ((0, _GAP), (0, _GAP), (0, 0))) for panel in drawn], axis=1)
    return np.asarray(255 * joined.clip(0, 1), np.uint8)


def _views(frames: NDArray[Any], bands: Sequence[str]) -> list[NDArray[Any]]:
    """Give two frames (channel, y, x) as colours or as grey, stretched alike."""
    names = list(bands)
    colours = next((three for three in _COLOURS if set(three) <= set(names)), None)
    if colours is None:
        views = 10 * np.log10(np.maximum(frames[:, 0], 1e-6))
    else:
        views = frames[:, [names.index(name) for name in colours]].transpose(0, 2, 3, 1)
    low, high = np.percentile(views, [2, 98])
    return list((views - low) / max(high - low, 1e-6))


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().float().cpu().numpy()
