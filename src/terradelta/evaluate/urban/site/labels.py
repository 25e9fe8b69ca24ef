"""Labels of a place, and the tiles of it that are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.cube import geobox_of
from terradelta.cube.grid import describe_grid
from terradelta.errors import InputError
from terradelta.evaluate.urban.simulated import built_or_torn
from terradelta.types import Size
from terradelta.urban.labels.weak import NOT_LABELLED, WeakLabels
from terradelta.windows import Tile, TileGrid

__all__ = ["SIDE", "SiteLabels", "labels_from_truth", "labels_from_weak"]

SIDE: Final = 32
"""Side of the tiles of a simulated place, in pixels."""


@dataclass(frozen=True, eq=False)
class SiteLabels:
    """What a place is judged by.

    Attributes
    ----------
    truth : ndarray of uint8
        (y, x) 1 changed, 0 not, 255 not labelled.
    grid : TileGrid
        Its tiles.
    tiles : tuple of Tile
        Those that count.
    start, end : numpy.datetime64 or None
        The labelled period, start <= time < end; None: all of the cube.

    Raises
    ------
    InputError
        If there is no tile, one is not on the grid or twice, or nothing changed in them.

    Examples
    --------
    >>> truth = np.zeros((4, 6), np.uint8)
    >>> truth[0, 5] = 1
    >>> labels = SiteLabels(truth, TileGrid(Size(4, 6), 2), (Tile(0, 2), Tile(1, 0)))
    >>> labels.cut(truth).tolist()
    [[[0, 1], [0, 0]], [[0, 0], [0, 0]]]
    """

    truth: NDArray[np.uint8]
    grid: TileGrid
    tiles: tuple[Tile, ...]
    start: np.datetime64 | None = None
    end: np.datetime64 | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be scored."""
        if not self.tiles:
            raise InputError("there is no tile to score; choose a list of tiles that is not empty")
        if len(set(self.tiles)) < len(self.tiles):
            raise InputError("a tile is twice in the lists to score; keep each once")
        self.grid.require(self.tiles)
        labelled = self.cut(self.truth)
        changed = int(np.isin(labelled, (0, NOT_LABELLED), invert=True).sum())
        if not changed or not (labelled == 0).any():
            raise InputError(
                f"{changed} of {int((labelled != NOT_LABELLED).sum())} labelled pixels of the tiles to score "
                "are changed; choose tiles with both changed and unchanged pixels"
            )

    def cut(self, image: NDArray[Any]) -> NDArray[Any]:
        """Cut an image (..., y, x) of the place into its tiles (tile, ..., y, x)."""
        return np.stack([image[(..., *self.grid.part(tile))] for tile in self.tiles])


def labels_from_weak(weak: WeakLabels, cube: xr.DataTree, lists: Sequence[str] = ("test",)) -> SiteLabels:
    """Take weak labels.

    Parameters
    ----------
    weak : WeakLabels
        Labels on the grid of the cube, their period, and lists of tiles.
    cube : xarray.DataTree
        The place.
    lists : sequence of str
        Lists of tiles to score: ``test``, ``validation`` (of all versions), ``V1``, ``V2`` ... (those that
        validate in one version).

    Returns
    -------
    SiteLabels

    Raises
    ------
    InputError
        If the labels are on another grid, there is no such list, or its tiles cannot be scored.
    """
    here = geobox_of(cube)
    if weak.geobox not in (None, here) or weak.truth.shape != here.shape:
        there = describe_grid(weak.geobox) if weak.geobox else "{} x {} pixels".format(*weak.truth.shape)
        raise InputError(
            f"the labels are on another grid ({there}) than the cube ({describe_grid(here)}); "
            "make them anew for this cube with terradelta label"
        )
    for version in weak.versions:
        version.check(weak.grid)
    known = _lists(weak)
    unknown = [name for name in lists if name not in known]
    if unknown:
        raise InputError(f"no list of tiles is called {unknown[0]!r}; choose from {', '.join(known)}")
    tiles = sorted({tile for name in lists for tile in known[name]})
    return SiteLabels(weak.truth, weak.grid, tuple(tiles), weak.start, weak.end + np.timedelta64(1, "D"))


def _lists(weak: WeakLabels) -> dict[str, Sequence[Tile]]:
    each = {f"V{number}": lists.validation for number, lists in enumerate(weak.versions, 1)}
    every = [tile for tiles in each.values() for tile in tiles]
    return {"test": weak.versions[0].test if weak.versions else (), "validation": every, **each}


def labels_from_truth(cube: xr.DataTree, side: int = SIDE) -> SiteLabels:
    """Take the truth of a simulated place: what was built or torn down; all its tiles count.

    Parameters
    ----------
    cube : xarray.DataTree
        The place.
    side : int
        Side of the tiles, in pixels.

    Returns
    -------
    SiteLabels

    Raises
    ------
    InputError
        If the cube tells no truth, is smaller than a tile, or nothing was built or torn down.
    """
    if "truth" not in cube.children or "kind" not in cube["truth"].data_vars:
        raise InputError("the cube is no simulated place that tells what changed; name labels for it")
    truth = built_or_torn(cube["truth"].to_dataset()).astype(np.uint8)
    grid = TileGrid(Size(*truth.shape), side)
    return SiteLabels(truth, grid, grid.tiles)
