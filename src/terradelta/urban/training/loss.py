"""What is made small: the Tanimoto loss with complement."""

from __future__ import annotations

import torch
from torch import Tensor

from terradelta.errors import InputError

__all__ = ["EPSILON", "tanimoto_loss", "tanimoto_losses"]

EPSILON = 1e-4
"""Added to both denominators."""


def tanimoto_losses(prediction: Tensor, label: Tensor, *, border: int = 1) -> Tensor:
    """Give the loss of each sample.

    A perfect match costs 0, but for samples that are 0 (or 1) everywhere in both: there one of the two
    quotients is 0 / ε, and the loss 0.5.

    Parameters
    ----------
    prediction, label : Tensor
        (B, Y, X) in [0, 1].
    border : int
        Pixels at each side that do not count.

    Returns
    -------
    Tensor
        (B,) in [0, 1]; float32, or float64 if the prediction is.

    Raises
    ------
    InputError
        The shapes differ, or the border leaves nothing.

    References
    ----------
    F. I. Diakogiannis et al., ResUNet-a, ISPRS J. Photogrammetry and Remote Sensing 162, 2020, eq. 4-5;
    G. Zitzlsberger et al., Remote Sensing 13(15) 3000, 2021.

    Examples
    --------
    >>> label = torch.zeros(2, 8, 8)
    >>> label[0, 2:5, 2:5] = 1
    >>> [round(float(loss), 3) for loss in tanimoto_losses(label, label)]
    [0.0, 0.5]
    """
    y, p = _inner(label, prediction, border), _inner(prediction, prediction, border)
    return _loss(y.flatten(1), p.flatten(1))


def tanimoto_loss(prediction: Tensor, label: Tensor, *, per_sample: bool = True, border: int = 1) -> Tensor:
    """Give the loss of a batch.

    Parameters
    ----------
    prediction, label : Tensor
        (B, Y, X) in [0, 1].
    per_sample : bool
        Mean of the samples' losses; otherwise the loss of the whole batch as one vector.
    border : int
        Pixels at each side that do not count.

    Returns
    -------
    Tensor
        Scalar in [0, 1]; float32, or float64 if the prediction is.

    Raises
    ------
    InputError
        The shapes differ, or the border leaves nothing.

    Examples
    --------
    >>> label = torch.zeros(2, 8, 8)
    >>> label[0, 2:5, 2:5] = 1
    >>> [round(float(tanimoto_loss(label, label, per_sample=each)), 3) for each in (True, False)]
    [0.25, 0.0]
    """
    if per_sample:
        return tanimoto_losses(prediction, label, border=border).mean()
    y, p = _inner(label, prediction, border), _inner(prediction, prediction, border)
    return _loss(y.flatten(), p.flatten())


def _inner(values: Tensor, prediction: Tensor, border: int) -> Tensor:
    """Leave the border out; compute in float32 at least, whatever precision the network runs in."""
    if values.ndim != 3 or values.shape != prediction.shape:
        raise InputError(
            f"the label has shape {tuple(values.shape)}, the prediction {tuple(prediction.shape)}; "
            "give (batch, y, x) for both"
        )
    if border < 0 or min(values.shape[1:]) <= 2 * border:
        raise InputError(
            f"a border of {border} leaves nothing of {values.shape[1]} x {values.shape[2]} pixels; "
            "give larger tiles"
        )
    rows, columns = (slice(border, size - border) for size in values.shape[1:])
    return values[:, rows, columns].to(torch.promote_types(prediction.dtype, torch.float32))


def _loss(y: Tensor, p: Tensor) -> Tensor:
    return 1 - (_tanimoto(y, p) + _tanimoto(1 - y, 1 - p)) / 2


def _tanimoto(y: Tensor, p: Tensor) -> Tensor:
    both = (y * p).sum(-1)
    return both / ((y**2 + p**2).sum(-1) - both + EPSILON)
