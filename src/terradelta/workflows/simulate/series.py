"""Changes in the images of a cube, with one image in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from terradelta.cube import SarAcquisition
from terradelta.cube.transfer import acquisitions_of
from terradelta.sar.decibel import to_db, to_linear
from terradelta.simulate.injected.drawing import Drawn, draw
from terradelta.simulate.injected.kinds import Scene, changed
from terradelta.simulate.injected.series import change_share
from terradelta.simulate.injected.single import list_changes, prepare

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from terradelta.simulate.injected import InjectedChange, Recipe
    from terradelta.types import BoolArray, FloatArray

__all__ = ["ChangedImages", "Shown", "When"]

_MIX = np.uint64(0x9E3779B97F4A7C15)
Targets = Callable[[int], "FloatArray"]


class When(NamedTuple):
    """When changes are seen.

    Attributes
    ----------
    date : numpy.datetime64
        First moment.
    until : numpy.datetime64 or None
        First moment that no longer shows them; None = they stay.
    gradual_days : float
        Days until they are whole; 0 = at once.
    """

    date: np.datetime64
    until: np.datetime64 | None = None
    gradual_days: float = 0.0


class Shown(NamedTuple):
    """One image for a picture: its time, and dB before and after (band, y, x)."""

    time: np.datetime64
    before: NDArray[np.float32]
    after: NDArray[np.float32]


class ChangedImages:
    """The radar images of a cube with changes in them; equal to `inject_series` on all images at once.

    Parameters
    ----------
    sar : xarray.Dataset
        Group ``sar`` of a cube, lazy or in memory.
    allowed : array of bool, (y, x)
        Where changes may be drawn.
    recipe : Recipe
        What changes.
    seed : int
        Of the draws.
    when : When
        Date, end, slowness.
    targets : callable, optional
        From the place of an image to the pixels (band, n), dB, that forest shall look like in it.

    Attributes
    ----------
    share : array (time,)
        How much of the change each image shows, 0 to 1.
    drawn : Drawn
        Places of the changes.
    shown : Shown or None
        The first image with the largest share, once it has been made.
    """

    def __init__(
        self,
        sar: xr.Dataset,
        allowed: BoolArray,
        recipe: Recipe,
        *,
        seed: int,
        when: When,
        targets: Targets | None = None,
    ) -> None:
        self._sar, self._recipe, self._seed, self._targets = sar, recipe, seed, targets
        self._images = sar["backscatter"].transpose("time", "band", "y", "x").data
        self.share = change_share(
            sar["time"].values, when.date, until=when.until, gradual_days=when.gradual_days
        )
        self._allowed = np.asarray(allowed, bool)
        values, valid = self._common()
        drawn = draw(values, self._allowed, valid, recipe, seed)
        ground = self._allowed & valid
        scene = Scene(np.empty((1, *valid.shape), np.float32), ground, drawn.touched)
        self.drawn: Drawn
        self.drawn, self._scene = prepare(scene, drawn, valid, recipe, seed)
        self._sums = np.zeros(self._images.shape[1:], np.float64)
        self._seen = np.zeros(valid.shape, np.int64)
        self.shown: Shown | None = None

    @property
    def mask(self) -> NDArray[np.int32]:
        """0, or the number of the change."""
        return self.drawn.touched if self._recipe.mask_says else self.drawn.outlines

    def changes(self) -> tuple[InjectedChange, ...]:
        """Describe the changes: all images must have been made."""
        seen = np.maximum(self._seen, 1)
        return list_changes(self.drawn, self._recipe, self._sums / seen)

    def acquisitions(self, advance: Callable[[int], None]) -> Iterator[SarAcquisition]:
        """Give the images one after the other; those without change stay as they are, not computed.

        Parameters
        ----------
        advance : callable
            Told 1 after each image.

        Yields
        ------
        SarAcquisition
        """
        for index, acquisition in enumerate(acquisitions_of(self._sar, "sar")):
            if isinstance(acquisition, SarAcquisition):
                if self.share[index] > 0 and self.drawn.centres:
                    acquisition = replace(acquisition, backscatter=self._changed(index))
                yield acquisition
            advance(1)

    def _common(self) -> tuple[NDArray[Any], BoolArray]:
        """Sum up which pixels are equal in all images, and which have data in any.

        Two pixels get one number where they are equal in each image; missing ones count as 0, as in
        `inject_series`.
        """
        shape = self._images.shape[2:]
        valid, sums = np.zeros(shape, bool), np.zeros(shape, np.uint64)
        for index in range(len(self._images)):
            decibel = self._decibel(index)
            valid |= np.isfinite(decibel).all(axis=0)
            if self._recipe.superpixels != "none":
                for band in decibel:
                    bits = (np.where(np.isnan(band), np.float32(0), band) + np.float32(0)).view(np.uint32)
                    sums = (sums ^ bits) * _MIX
                    sums ^= sums >> np.uint64(29)
        odd = np.flatnonzero(~valid)
        sums.flat[odd] = np.arange(1, odd.size + 1, dtype=np.uint64)
        return sums[None], valid

    def _image(self, index: int) -> NDArray[np.float32]:
        block = self._images[index]
        block = block.compute(scheduler="synchronous") if hasattr(block, "compute") else block
        return np.array(block, np.float32)

    def _decibel(self, index: int) -> NDArray[np.float32]:
        return to_db(self._image(index)).astype(np.float32, copy=False)

    def _changed(self, index: int) -> NDArray[np.float32]:
        linear = self._image(index)
        before = to_db(linear).astype(np.float32, copy=False)
        finite = np.isfinite(before).all(axis=0)
        target = None if self._targets is None else self._targets(index)
        scene = self._scene._replace(image=before, ground=self._allowed & finite, target=target, time=index)
        step = changed(scene, self._recipe, self._seed) - before
        self._sums += np.where(finite, step, 0)
        self._seen += finite
        places = (self.drawn.touched > 0) & finite
        after = before.copy()
        after[:, places] += np.float32(self.share[index]) * step[:, places]
        linear[:, places] = to_linear(after[:, places])
        if self.shown is None and self.share[index] == self.share.max():
            self.shown = Shown(self._sar["time"].values[index], before, after)
        return linear
