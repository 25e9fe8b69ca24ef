"""The pre-trained transformer as a method of the experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from terradelta.expected.peers import Transformer, weight_sets
from terradelta.expected.peers.chips import Edges
from terradelta.expected.peers.transformer import NextImage, logit
from terradelta.sar import to_linear
from terradelta.types import FloatArray, PathType

if TYPE_CHECKING:
    from terradelta.expected.conditions import Conditions

__all__ = ["TransformerPeer", "transformer_peers"]

_REMEMBERED = 8


class TransformerPeer:
    """A transformer that scores despeckled images: the largest deviation of the bands, as published.

    Parameters
    ----------
    transformer : Transformer
        With its weights.
    stride : int
        Pixels from one chip to the next.
    edges : {"published", "reflect"}
        What happens to pixels that no whole chip covers.
    median : bool
        Whether the median departure of the scene is taken off each band. The transformer knows no rain; this
        is the plainest help.

    Examples
    --------
    >>> from terradelta.expected.peers import PeerNetwork, TransformerConfig
    >>> small = TransformerConfig(patch=2, chip=4, numbers=8, width=8, heads=2, layers=1, hidden=8, dates=5)
    >>> peer = TransformerPeer(Transformer(PeerNetwork(small), "small"), 4)
    >>> peer.label, peer.strength(np.full((2, 8, 8), -10.0), np.full((3, 2, 8, 8), -10.0)).shape
    ('small, stride 4', (8, 8))
    """

    despeckled = True

    def __init__(
        self, transformer: Transformer, stride: int, edges: Edges = "published", median: bool = False
    ) -> None:
        self.transformer = transformer
        self.stride = stride
        self.edges: Edges = edges
        self.median = median
        self._lock = Lock()
        self._known: dict[int, tuple[FloatArray, NextImage]] = {}

    @property
    def label(self) -> str:
        """What the table calls it."""
        rim = ", rim mirrored" if self.edges == "reflect" else ""
        scene = ", median removed" if self.median else ""
        return f"{self.transformer.name}, stride {self.stride}{rim}{scene}"

    @property
    def key(self) -> str:
        """Name among the methods."""
        rim = "-reflect" if self.edges == "reflect" else ""
        return f"{self.transformer.name}-{self.stride}{rim}{'-median' if self.median else ''}"

    def without_median(self) -> TransformerPeer:
        """Give the same with the median taken off; both share what they expect."""
        other = TransformerPeer(self.transformer, self.stride, self.edges, median=True)
        other._lock, other._known = self._lock, self._known
        return other

    def strength(
        self, target: FloatArray, history: FloatArray, conditions: Conditions | None = None
    ) -> FloatArray:
        """Score one target.

        Parameters
        ----------
        target : ndarray
            (band, y, x), dB, despeckled, VV first.
        history : ndarray
            (time, band, y, x), dB, likewise. What is expected after it is remembered for some histories.
        conditions : Conditions, optional
            Not looked at: the transformer knows none.

        Returns
        -------
        ndarray
            (y, x), standard deviations of the logit.
        """
        mean, sigma = self._expected(history)
        departure = logit(to_linear(target)) - mean
        if self.median:
            departure = departure - np.nanmedian(departure, axis=(-2, -1), keepdims=True)
        return np.asarray((np.abs(departure) / sigma).max(axis=0))

    def _expected(self, history: FloatArray) -> NextImage:
        with self._lock:
            seen, found = self._known.get(id(history), (None, None))
        if seen is history and found is not None:
            return found
        found = self.transformer.expect(to_linear(history), stride=self.stride, edges=self.edges)
        with self._lock:
            self._known[id(history)] = (history, found)
            while len(self._known) > _REMEMBERED:
                self._known.pop(next(iter(self._known)))
        return found


def transformer_peers(
    wheel: PathType, sets: Sequence[str], stride: int, edges: Edges = "published"
) -> Mapping[str, TransformerPeer]:
    """Read weight sets as methods, each as published and with the scene's median taken off.

    Parameters
    ----------
    wheel : path
        As for `weight_sets`.
    sets : sequence of str
        Which ones; all if empty.
    stride : int
        Of all of them.
    edges : str
        Likewise.

    Returns
    -------
    mapping
        Key to method.

    Raises
    ------
    InputError
        If wheel or set are missing.
    """
    plain = [
        TransformerPeer(Transformer.from_wheel(wheel, name), stride, edges)
        for name in (sets or weight_sets(wheel))
    ]
    return {one.key: one for peer in plain for one in (peer, peer.without_median())}
