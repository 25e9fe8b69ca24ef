"""Blocks of the coming acquisitions, read ahead by an executor, no more at a time than fit into memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube import Acquisition
from terradelta.errors import SourceError
from terradelta.sources.planned import BLOCK
from terradelta.sources.remote.offers import Images, Offer

__all__ = ["ReadAhead", "blocks_in_flight"]

Window: TypeAlias = tuple[slice, slice]


def blocks_in_flight(grid: GeoBox, bands: int, *, parallel: int, memory: int) -> int:
    """Tell how many blocks may be read or wait at a time.

    Parameters
    ----------
    grid : GeoBox
        Grid of the cube.
    bands : int
        Most bands of an acquisition, masks included.
    parallel : int
        Reads at a time; as many again may wait to be written.
    memory : int
        Bytes for the blocks. A block is counted three times: as read, as resampled, as written.

    Examples
    --------
    >>> from affine import Affine
    >>> grid = GeoBox((4000, 4000), Affine.scale(10, -10), "EPSG:32631")
    >>> [blocks_in_flight(grid, bands, parallel=8, memory=2**30) for bands in (2, 14)]
    [16, 6]
    """
    rows, columns = (min(BLOCK, size) for size in grid.shape)
    return max(1, min(2 * parallel, memory // (3 * 4 * bands * rows * columns)))


class ReadAhead:
    """Acquisitions whose blocks are read ahead, in the order in which a cube takes them.

    Parameters
    ----------
    offers : sequence of Offer
        In the order in which :meth:`acquisition` will be asked for.
    grid : GeoBox
        Grid of the cube.
    executor : concurrent.futures.Executor
        Reads the blocks: threads here, or workers elsewhere.
    ahead : int
        Blocks that may be read or wait at a time.
    """

    def __init__(self, offers: Sequence[Offer], grid: GeoBox, executor: Executor, ahead: int) -> None:
        self._grid, self._executor, self._ahead = grid, executor, ahead
        self._dropped = set[str]()
        self._to_come: Iterator[tuple[Offer, Window]] = (
            (offer, window) for offer in offers for window in _windows(grid)
        )
        self._flying: deque[tuple[Offer, Window, Future[Images]]] = deque()

    def acquisition(self, offer: Offer) -> Acquisition:
        """Give an acquisition whose pixels come from here; each block can be taken once, in order.

        Parameters
        ----------
        offer : Offer
            One of the offers; those before it are given up.
        """
        blocks = _Blocks(lambda window: self._take(offer, window))
        shape = (len(offer.bands), *self._grid.shape)
        values = _Plane(blocks, shape, np.dtype(np.float32), lambda images: _checked(offer, images.values))
        clear = _Plane(blocks, shape[1:], np.dtype(bool), _clear)
        return offer.acquisition(values, clear)

    def drop(self, offer: Offer) -> None:
        """Read no more of an offer."""
        self._dropped.add(offer.key)

    def close(self) -> None:
        """Give up what is still to come."""
        self._to_come = iter(())
        for _, _, future in self._flying:
            future.cancel()
        self._flying.clear()

    def _take(self, wanted: Offer, window: Window) -> Images:
        while True:
            self._fill_up()
            offer, place, future = self._flying.popleft()
            if offer is wanted and place == window:
                return future.result()
            future.cancel()

    def _fill_up(self) -> None:
        while len(self._flying) < self._ahead:
            offer, window = next(self._to_come, (None, None))
            if offer is None or window is None:
                return
            if offer.key not in self._dropped:
                future = self._executor.submit(offer.read, self._grid[window])
                self._flying.append((offer, window, future))


@dataclass
class _Blocks:
    """Keeps the block that was taken last, since image and mask are asked for one after the other."""

    take: Callable[[Window], Images]
    window: Window | None = None
    images: Images | None = None

    def at(self, window: Window) -> Images:
        if self.images is None or self.window != window:
            self.images = None
            self.window, self.images = window, self.take(window)
        return self.images


@dataclass
class _Plane:
    """Stands for an image (band, y, x) or (y, x) whose blocks come from elsewhere."""

    blocks: _Blocks
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    of: Callable[[Images], NDArray[Any]]

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        rows, columns = key[-2:]
        return self.of(self.blocks.at((rows, columns)))


def _checked(offer: Offer, values: NDArray[np.float32]) -> NDArray[np.float32]:
    if values.ndim != 3 or len(values) != len(offer.bands):
        raise SourceError(
            f"{offer.key}: gave pixels of shape {values.shape} for the bands {', '.join(offer.bands)}; "
            "leave the source out"
        )
    return values


def _clear(images: Images) -> NDArray[np.bool_]:
    if images.clear is None:
        return np.asarray(np.isfinite(images.values).all(axis=0))
    return images.clear


def _windows(grid: GeoBox) -> Iterator[Window]:
    """Blocks in the order in which a cube writes them."""
    for top in range(0, grid.shape[0], BLOCK):
        for left in range(0, grid.shape[1], BLOCK):
            yield (
                slice(top, min(top + BLOCK, grid.shape[0])),
                slice(left, min(left + BLOCK, grid.shape[1])),
            )
