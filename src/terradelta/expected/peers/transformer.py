"""The transformer of distmetrics as a way to the expected image: mean and spread of the next image.

distmetrics is the work of C. Marshak, T. Oliver-Cabrera, R. West, J. Jung and the OPERA project science team
(Jet Propulsion Laboratory, Apache-2.0). Weights are read from its wheel; the code here is our own.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from terradelta.errors import InputError
from terradelta.expected.peers.chips import Edges, check_stride, slide, whole_size
from terradelta.expected.peers.network import PeerNetwork, TransformerConfig
from terradelta.expected.peers.wheel import read_weights
from terradelta.types import BoolArray, FloatArray, PathType, Size

__all__ = ["NextImage", "Transformer", "logit"]

_LEAST, _MOST = 1e-7, 0.99
_MEMORY = 64 * 2**20


class NextImage(NamedTuple):
    """What the next image should look like, each (band, y, x) float32, of the logit of linear gamma0.

    Attributes
    ----------
    mean : ndarray
        Expected value; NaN where unknown.
    sigma : ndarray
        Standard deviation.
    """

    mean: FloatArray
    sigma: FloatArray


def logit(linear: FloatArray) -> FloatArray:
    """Give the logit of linear gamma0, clipped to [1e-7, 0.99].

    Parameters
    ----------
    linear : ndarray
        Linear power; NaN is no data.

    Returns
    -------
    ndarray
        float32, same shape; NaN stays.

    Examples
    --------
    >>> logit(np.array([0.5, 7.0])).astype(int).tolist()
    [0, 4]
    """
    share = np.clip(np.asarray(linear, np.float64), _LEAST, _MOST)
    return np.log(share / (1 - share)).astype(np.float32)


class Transformer:
    """A pre-trained transformer that expects the next image from previous ones, without conditions.

    Parameters
    ----------
    network : PeerNetwork
        With its weights.
    name : str
        Of the weight set.
    device : str
        Where it runs.

    References
    ----------
    Hardiman-Mostow, H., et al. (2025). Deep self-supervised disturbance mapping with Sentinel-1 OPERA RTC
    synthetic aperture radar. arXiv:2501.09129.

    Examples
    --------
    >>> small = TransformerConfig(patch=2, chip=4, numbers=8, width=8, heads=2, layers=1, hidden=8, dates=5)
    >>> history = np.full((3, 2, 9, 9), 0.1)
    >>> found = Transformer(PeerNetwork(small)).expect(history, stride=4)
    >>> found.mean.shape, int(np.isnan(found.mean[0]).sum())
    ((2, 9, 9), 17)
    >>> bool(np.isnan(Transformer(PeerNetwork(small)).expect(history, stride=4, edges="reflect").mean).any())
    False
    """

    def __init__(self, network: PeerNetwork, name: str = "", *, device: str = "cpu") -> None:
        self.network = network.to(device).eval()
        self.name = name
        self.device = device

    @classmethod
    def from_wheel(cls, path: PathType, name: str, *, device: str = "cpu") -> Transformer:
        """Read a weight set.

        Parameters
        ----------
        path : path
            Wheel of distmetrics, unpacked wheel, or folder of the installed package.
        name : str
            Of the weight set, for example ``"transformer_optimized"``; see `weight_sets`.
        device : str
            Where it runs.

        Returns
        -------
        Transformer
            Ready.

        Raises
        ------
        InputError
            If package or weight set are missing or damaged.
        """
        config, weights = read_weights(path, name)
        network = PeerNetwork(TransformerConfig.from_published(config))
        network.load_published(weights)
        return cls(network, name, device=device)

    @property
    def dates(self) -> int:
        """Most previous images that it uses."""
        return self.network.config.dates

    @torch.inference_mode()
    def expect(
        self, history: FloatArray, *, stride: int = 4, edges: Edges = "published", memory: int = _MEMORY
    ) -> NextImage:
        """Expect the next image.

        Parameters
        ----------
        history : ndarray
            (time, band, y, x), linear gamma0, VV first, oldest first; NaN is no data. The last `dates` are
            used. The network was trained on images despeckled by total variation.
        stride : int
            Pixels from one chip to the next; 4 as published, 7 and 16 are faster.
        edges : {"published", "reflect"}
            What is done with rows and columns that no whole chip covers: they are lost, as published, or the
            image is mirrored at its lower and right rim until chips cover it.
        memory : int
            Bytes that the chips of one batch may take, about.

        Returns
        -------
        NextImage
            NaN where any previous image has no data.

        Raises
        ------
        InputError
            If the history has another shape or the stride is out of range.
        """
        self._check(history, stride, edges)
        values = logit(history[-self.dates :])
        missing = np.asarray(np.isnan(values).any(axis=(0, 1)))
        # the published code puts 0 in place of missing values, which then do not count
        values = np.nan_to_num(values, nan=0.0)
        size, config = Size(*values.shape[-2:]), self.network.config
        if edges == "reflect":
            values = _mirrored(values, whole_size(size, config.chip, stride))
        images = torch.from_numpy(values).to(self.device)
        together = max(1, memory // config.chip_bytes(len(values)))
        both = slide(images, self.network, config.chip, stride, together)
        return _next_image(both, size, missing)

    def distance(
        self,
        target: FloatArray,
        history: FloatArray,
        *,
        stride: int = 4,
        edges: Edges = "published",
        memory: int = _MEMORY,
    ) -> FloatArray:
        """Say how far an image lies from what was expected: as published, the larger one of its bands.

        Parameters
        ----------
        target : ndarray
            (band, y, x), linear gamma0.
        history, stride, edges, memory
            As for `expect`.

        Returns
        -------
        ndarray
            (y, x) float32, standard deviations; NaN where unknown.

        Raises
        ------
        InputError
            As for `expect`, or if the target has another shape.
        """
        if target.shape != history.shape[1:]:
            raise InputError(
                f"target {target.shape} and history {history.shape} do not fit; "
                "expected (band, y, x) and (time, band, y, x)"
            )
        mean, sigma = self.expect(history, stride=stride, edges=edges, memory=memory)
        return np.asarray((np.abs(logit(target) - mean) / sigma).max(axis=0))

    def _check(self, history: FloatArray, stride: int, edges: str) -> None:
        config = self.network.config
        if history.ndim != 4 or len(history) == 0 or history.shape[1] != config.bands:
            raise InputError(
                f"history has shape {history.shape}; expected (time, {config.bands}, y, x) with VV first"
            )
        if edges not in get_args(Edges):
            raise InputError(f"edges is {edges!r}; give one of {', '.join(get_args(Edges))}")
        check_stride(stride, config.chip)


def _mirrored(values: FloatArray, size: Size) -> FloatArray:
    rows, columns = (wanted - length for wanted, length in zip(size, values.shape[-2:], strict=True))
    return np.pad(values, ((0, 0), (0, 0), (0, rows), (0, columns)), mode="reflect")


def _next_image(both: Tensor, size: Size, missing: BoolArray) -> NextImage:
    found = both.cpu().numpy()[:, : size.y, : size.x]
    found = np.where(missing, np.float32(np.nan), found)
    mean, log_variance = np.split(found, 2)
    return NextImage(mean, np.sqrt(np.exp(log_variance)))
