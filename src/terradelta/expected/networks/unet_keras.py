"""Weights of the published code's networks: arrays by name in Keras's layout, to and from ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from terradelta.errors import InputError
from terradelta.expected.networks.unet import UNet

__all__ = ["keras_arrays", "keras_names", "load_keras_arrays"]

_LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
}
_AXES = (3, 2, 0, 1)
_BACK = (2, 3, 1, 0)
_FEW = 3


def keras_names(net: UNet) -> dict[str, str]:
    """Give the name in the published network of each of our tensors.

    Parts are ``frontend.I``, ``down.I``, ``up.I``, ``backend.I`` and ``last``; in them ``conv``, ``convt``,
    ``bn``, and in residual blocks ``resJ.conv1`` to ``conv4`` and ``resJ.bn``; leaves are ``kernel``,
    ``bias``, ``gamma``, ``beta``, ``moving_mean`` and ``moving_var``.

    Parameters
    ----------
    net : UNet
        The network.

    Returns
    -------
    dict
        Our name by theirs, in the order in which the network is built.

    Examples
    --------
    >>> from terradelta.expected.networks.unet_config import UNetConfig
    >>> list(keras_names(UNet(UNetConfig.tiny(4))).items())[1:3]
    [('down.0.conv.bias', 'down.0.conv.bias'), ('down.0.bn.gamma', 'down.0.bn.weight')]
    """
    names = {}
    for path, module in net.named_modules():
        part = re.sub(r"^(front|back)\.", r"\1end.", path)
        leaves = ["kernel", "bias"]
        if isinstance(module, nn.BatchNorm2d):
            leaves = ["gamma", "beta", "moving_mean", "moving_var"]
        elif not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            continue
        names.update({f"{part}.{leaf}": f"{path}.{_LEAVES[leaf]}" for leaf in leaves})
    return names


def keras_arrays(net: UNet) -> dict[str, NDArray[np.float32]]:
    """Give all weights and statistics by the published names, kernels in Keras's layout.

    Parameters
    ----------
    net : UNet
        The network.

    Returns
    -------
    dict
        float32; kernels [ky, kx, in, out], of transposed convolutions [ky, kx, out, in].
    """
    own = net.state_dict()
    arrays = {}
    for name, ours in keras_names(net).items():
        value = own[ours].detach().float().cpu()
        arrays[name] = (value.permute(_BACK) if value.ndim == 4 else value).contiguous().numpy()
    return arrays


def load_keras_arrays(net: UNet, arrays: Mapping[str, ArrayLike]) -> UNet:
    """Fill a network with weights of the published code.

    Parameters
    ----------
    net : UNet
        A network of the same architecture; unchanged if anything does not fit.
    arrays : mapping
        Of all names of `keras_names`, kernels in Keras's layout (see `keras_arrays`).

    Returns
    -------
    UNet
        The same network.

    Raises
    ------
    InputError
        A name is missing or unknown, a shape does not fit, or a value is not finite.

    Examples
    --------
    >>> from terradelta.expected.networks.unet_config import UNetConfig
    >>> old, new = UNet(UNetConfig.tiny(4)), UNet(UNetConfig.tiny(4))
    >>> bool((load_keras_arrays(new, keras_arrays(old)).last.weight == old.last.weight).all())
    True
    """
    names, own = keras_names(net), net.state_dict()
    for what, some in (
        ("lack", names.keys() - arrays.keys()),
        ("hold unknown", arrays.keys() - names.keys()),
    ):
        if some:
            listed = ", ".join(sorted(some)[:_FEW]) + (" ..." if len(some) > _FEW else "")
            raise InputError(f"the arrays {what} {listed}; give those of the same architecture")
    filled: dict[str, Tensor] = {}
    for name, ours in names.items():
        value = np.asarray(arrays[name])
        if value.dtype.kind not in "fiu":
            raise InputError(f"{name} holds no numbers; give undamaged weights")
        value = value.transpose(_AXES) if value.ndim == 4 else value
        if value.shape != tuple(own[ours].shape):
            raise InputError(
                f"{name} has shape {np.shape(arrays[name])}, which does not fit {tuple(own[ours].shape)} "
                "(ours); give the weights of the same architecture and conditions"
            )
        if not np.isfinite(value).all():
            raise InputError(f"{name} holds values that are not finite; give undamaged weights")
        filled[ours] = torch.from_numpy(np.array(value, dtype=np.float32))
    net.load_state_dict(filled, strict=False)
    return net
