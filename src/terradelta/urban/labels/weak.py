"""Weak labels: where anything urban changed within years, drawn by a person, without telling when."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.types import Size
from terradelta.windows import Tile, TileGrid, TileLists

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

__all__ = ["CHANGED", "NOT_LABELLED", "WeakLabels"]

_LOG = logging.getLogger(__name__)

CHANGED = 1
"""Value of a pixel that changed."""
NOT_LABELLED = 255
"""Value of a pixel where nobody looked."""

_NAMED, _UNSEEN = 5, np.timedelta64(31, "D")


@dataclass(frozen=True, eq=False)
class WeakLabels:
    """One label per pixel for a whole period, and the tiles to train, validate and test with.

    Attributes
    ----------
    truth : ndarray of uint8, (y, x)
        1 changed within the period, 0 not, 255 not labelled.
    start, end : numpy.datetime64
        First and last day of the period, datetime64[D].
    tile : int
        Side of a tile, pixels.
    versions : tuple of TileLists
        V1, V2 ... of a partial cross-validation.
    geobox : GeoBox, optional
        Grid of the pixels.

    Raises
    ------
    InputError
        If the truth is of another kind, holds other values or no whole tile, or the period is empty.

    References
    ----------
    Zitzlsberger et al., Int. J. Remote Sensing 44(17) 5172-5206, 2023.

    Examples
    --------
    >>> truth = np.zeros((32, 64), np.uint8)
    >>> truth[:16, :16] = 1
    >>> labels = WeakLabels(truth, np.datetime64("2017-01-01"), np.datetime64("2020-12-31"))
    >>> labels.check()
    >>> {str(tile): share for tile, share in labels.shares.items()}
    {'0:0': 0.25, '0:1': 0.0}
    """

    truth: NDArray[np.uint8]
    start: np.datetime64
    end: np.datetime64
    tile: int = 32
    versions: tuple[TileLists, ...] = ()
    geobox: GeoBox | None = None

    def __post_init__(self) -> None:
        """Refuse what are no labels."""
        truth = self.truth
        if truth.dtype != np.uint8 or truth.ndim != 2:
            raise InputError(f"truth is {truth.dtype} of shape {truth.shape}; give uint8 (y, x)")
        strange = np.setdiff1d(truth, [0, CHANGED, NOT_LABELLED])
        if strange.size:
            raise InputError(
                f"truth holds {strange[0]}; give {CHANGED} = changed, 0 = not, {NOT_LABELLED} = not labelled"
            )
        for name in ("start", "end"):
            object.__setattr__(self, name, np.datetime64(getattr(self, name), "D"))
        if not self.start <= self.end:
            raise InputError(f"the period from {self.start} to {self.end} is empty; correct its start or end")
        TileGrid(Size(*truth.shape), self.tile)

    @property
    def grid(self) -> TileGrid:
        """The tiles that there are."""
        return TileGrid(Size(*self.truth.shape), self.tile)

    @property
    def changed_share(self) -> float:
        """Share of changed pixels among those with a label; NaN without any."""
        labelled = np.count_nonzero(self.truth != NOT_LABELLED)
        return np.count_nonzero(self.truth == CHANGED) / labelled if labelled else float("nan")

    @cached_property
    def shares(self) -> dict[Tile, float]:
        """Share of changed pixels of every tile that is wholly labelled, row by row."""
        grid = self.grid
        height, width = grid.rows * self.tile, grid.columns * self.tile
        pieces = self.truth[:height, :width].reshape(grid.rows, self.tile, grid.columns, self.tile)
        whole = (pieces != NOT_LABELLED).all(axis=(1, 3)).ravel()
        share = (pieces == CHANGED).mean(axis=(1, 3)).ravel()
        return {tile: float(share[index]) for index, tile in enumerate(grid.tiles) if whole[index]}

    def check(self) -> None:
        """Refuse labels that nothing can be learnt from.

        Raises
        ------
        InputError
            If no pixel or every labelled pixel has changed, no tile is wholly labelled, or a list names tiles
            that do not exist, are in another list of the same version or are not wholly labelled, or holds no
            change to train with.
        """
        present = set(np.unique(self.truth).tolist())
        if CHANGED not in present:
            raise InputError(
                "no pixel has changed: nothing can be learnt from that; check the labels, their period, and "
                "that they are not smaller than a pixel"
            )
        if 0 not in present:
            raise InputError(
                "every labelled pixel has changed: nothing can be learnt from that; label places without "
                "change too, or check which value means changed"
            )
        if not self.shares:
            raise InputError(
                f"no tile of {self.tile} x {self.tile} pixels is wholly labelled; label larger areas, or "
                "take smaller tiles"
            )
        for number, lists in enumerate(self.versions, 1):
            self._check_version(f"V{number}", lists)

    def _check_version(self, name: str, lists: TileLists) -> None:
        try:
            lists.check(self.grid)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        without = [t for t in (*lists.train, *lists.validation, *lists.test) if t not in self.shares]
        if without:
            more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
            raise InputError(
                f"{name}: tiles {', '.join(map(str, without[:_NAMED]))}{more} are not wholly labelled; take "
                "them out of the lists, or label them"
            )
        if not any(self.shares[tile] > 0 for tile in lists.train):
            raise InputError(f"{name}: no tile to train with has a change; put some into the list")

    def check_period(self, times: ArrayLike) -> None:
        """Refuse a period that the data do not show; what they miss of it is told in the log.

        Parameters
        ----------
        times : array_like of datetime64
            (time,) of the observations, in any order.

        Raises
        ------
        InputError
            If there is none within the period: both spans and the cure.
        """
        days = np.asarray(times).astype("datetime64[D]")
        if not days.size:
            raise InputError("there are no observations; add images to the cube")
        first, last = days.min(), days.max()
        if not ((days >= self.start) & (days <= self.end)).any():
            raise InputError(
                f"the labels are for {self.start} to {self.end}, the images are of {first} to {last}: none "
                "lies in that period; correct start and end, or add images"
            )
        if first - self.start > _UNSEEN or self.end - last > _UNSEEN:
            _LOG.warning(
                "the labels are for %s to %s, but the images are of %s to %s: changes outside cannot be seen",
                self.start, self.end, first, last,
            )  # fmt: skip
