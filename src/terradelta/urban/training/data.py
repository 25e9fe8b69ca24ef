"""Samples of both trainings: one labelled window of a tile, or many windows of a tile with one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Dataset

from terradelta.errors import InputError
from terradelta.learning.loading import stream
from terradelta.urban.defaults import MEMORY
from terradelta.urban.era import Branches, Era
from terradelta.urban.training.augmentation import CODES, frozen_pixels, orient
from terradelta.urban.training.batch import WindowSample
from terradelta.urban.training.frames import (
    GroupCache,
    GroupedOrder,
    TileFrames,
    TileGroups,
    frame_bytes,
    read_frames,
    tiles_that_fit,
)
from terradelta.urban.training.labelled import LabelledCube, LabelledWindows, labelled_windows
from terradelta.urban.training.visits import Visits, visit_starts, whole_windows
from terradelta.windows import Tile, TileGrid, checkerboard

__all__ = ["Augment", "LabelledCube", "Part", "PretrainTiles", "TransferTiles"]

Part: TypeAlias = Literal["train", "validation"]
"""Which tiles of the checkerboard."""

Augment: TypeAlias = Literal["random", "all", "none"]
"""One code drawn per visit, each code once per epoch, or tiles as they are."""

_TILE, _SHARE, _AT_ONCE = 32, 0.1, 32


class PretrainTiles(Dataset[WindowSample]):
    """Windows of tiles with their synthetic labels: what a network is pre-trained on.

    Each sample is one window of one tile. Frames and labels are read when asked for, in groups of tiles, and
    what was read last stays in memory: take samples in the order that `order` gives.

    Parameters
    ----------
    sources : LabelledCube, or sequence of LabelledCube
        Where they come from; several are mixed.
    part : {"train", "validation"}
        Which tiles, as `terradelta.windows.checkerboard` divides them.
    era : Era or str, optional
        Era of the network; that of the labels if not given.
    branches : {"both", "sar", "optical"}
        What the network reads.
    tile : int
        Rows and columns of a tile.
    share : float
        Part of the labelled windows to use, drawn for each tile anew; 1: all, for labels with a stride.
    seed : int
        Which windows.
    memory : int
        Bytes to keep, in each process that reads.

    Raises
    ------
    CubeError
        If labels do not belong to their cube as it is.
    InputError
        If a setting makes no sense, there is no tile, or the memory does not hold one.
    """

    def __init__(
        self,
        sources: LabelledCube | Sequence[LabelledCube],
        part: Part = "train",
        *,
        era: Era | str | None = None,
        branches: Branches = "both",
        tile: int = _TILE,
        share: float = _SHARE,
        seed: int = 0,
        memory: int = MEMORY,
    ) -> None:
        _choose("part", part, get_args(Part))
        if not 0 < share <= 1:
            raise InputError(f"share is {share}; give a part of the windows, above 0 and up to 1")
        listed = [sources] if isinstance(sources, LabelledCube) else list(sources)
        found = [labelled_windows(source, era=era, branches=branches) for source in listed]
        self._sources = [
            _source(number, windows, part, tile, share, seed, memory) for number, windows in enumerate(found)
        ]
        self._starts = np.cumsum([0, *(source.chosen.size for source in self._sources)])
        if not self._starts[-1]:
            raise InputError(f"no tile of {tile} pixels is for {part}; give smaller tiles or a larger place")
        self._memory, self._cache = memory, GroupCache(memory)

    def __len__(self) -> int:
        """Count the samples."""
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> WindowSample:
        """Give one sample."""
        index = range(len(self))[index]
        which = int(np.searchsorted(self._starts, index, "right")) - 1
        source = self._sources[which]
        number, window = divmod(index - int(self._starts[which]), source.chosen.shape[1])
        tile = source.groups.tiles[number]
        group, place = source.groups.place(tile)
        size = source.group_bytes(group)
        frames, labels = self._cache.get((which, group), size, lambda: source.read(group))
        chosen = source.chosen[number, window]
        first, stop = source.windows.spans[chosen].tolist()
        start = np.datetime_as_string(source.windows.stack.times[first], "D")
        return WindowSample(
            torch.from_numpy(frames[place, first - source.first : stop - source.first].copy()),
            torch.tensor([[0, stop - first]]),
            torch.from_numpy(labels[place, window].copy()),
            torch.zeros(labels.shape[-2:], dtype=torch.bool),
            f"{source.windows.name} tile {tile} from {start}",
        )

    def order(self, seed: int) -> GroupedOrder:
        """Give random orders in which every group of tiles is read once per epoch.

        Parameters
        ----------
        seed : int
            Of all orders.

        Returns
        -------
        GroupedOrder
            As `terradelta.learning.loading.make_loader` takes it.
        """
        samples, sizes = [], []
        for start, source in zip(self._starts[:-1].tolist(), self._sources, strict=True):
            for group, tiles in enumerate(source.groups.groups):
                count = len(tiles) * source.chosen.shape[1]
                samples.append(np.arange(start, start + count))
                sizes.append(source.group_bytes(group))
                start += count
        return GroupedOrder(samples, sizes, self._memory, seed)


@dataclass(frozen=True, eq=False)
class _Source:
    """The samples of one cube: of each tile, in the order of the groups, some windows."""

    windows: LabelledWindows
    groups: TileGroups
    chosen: NDArray[np.intp]
    first: int
    last: int
    tile_bytes: int

    def group_bytes(self, group: int) -> int:
        return len(self.groups.groups[group]) * self.tile_bytes

    def read(self, group: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read frames (tile, time, channel, y, x) and labels (tile, chosen window, y, x) of a group."""
        frames = read_frames(self.windows.stack, self.groups, group, first=self.first, last=self.last)
        begin = sum(len(tiles) for tiles in self.groups.groups[:group])
        chosen = self.windows.numbers[self.chosen[begin : begin + len(frames)]]
        return frames, _read_labels(self.windows.labels, self.groups, group, chosen)


def _source(
    number: int, windows: LabelledWindows, part: Part, tile: int, share: float, seed: int, memory: int
) -> _Source:
    grid = TileGrid(windows.stack.size, tile)
    tiles = getattr(checkerboard(grid), part)
    count = max(round(share * len(windows.numbers)), 1)
    first, last = int(windows.spans[:, 0].min()), int(windows.spans[:, 1].max())
    each = frame_bytes(windows.stack, tile, last - first) + 4 * count * tile**2
    groups = TileGroups.of(grid, tiles, most=tiles_that_fit(memory, each))
    chosen = np.empty((len(tiles), count), np.intp)
    for row, one in zip(chosen, groups.tiles, strict=True):
        random = np.random.default_rng(stream(seed, number, *one))
        row[:] = np.sort(random.choice(len(windows.numbers), count, replace=False))
    return _Source(windows, groups, chosen, first, last, each)


def _read_labels(
    labels: xr.DataArray, groups: TileGroups, group: int, chosen: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Read labels (tile, window, y, x), given which windows (tile, window); a few whole windows at a time."""
    parts, side = groups.within(group), groups.grid.tile
    values = np.empty((*chosen.shape, side, side), np.float32)
    rows, columns = groups.box(group)
    wanted = np.unique(chosen)
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        # without dask's threads, which a forked process does not have
        images = labels[some, rows, columns].load(scheduler="synchronous").values
        for tile, own, part in zip(values, chosen, parts, strict=True):
            here = np.isin(own, some)
            tile[here] = images[(np.searchsorted(some, own[here]), *part)]
    return values


class TransferTiles(Dataset[WindowSample]):
    """Visits to tiles that were labelled once for a whole period: what a network is transferred with.

    Each sample is one visit: some windows spread over the period, drawn anew each time. Take samples in the
    order that `order` gives, if not all tiles fit into the memory of `frames`.

    Parameters
    ----------
    frames : TileFrames
        Reads the tiles; it may know more of them.
    truth : array_like of int
        (y, x) of the whole place: above 0 something changed within the period, 0 nothing, 255 not known,
        which counts as nothing.
    tiles : sequence of Tile
        Those to visit.
    visits : Visits
        How windows are drawn.
    augment : {"random", "all", "none"}
        Whether tiles are mirrored, turned and partly frozen.
    repeats : int
        Visits to each tile per epoch.
    fixed : int, optional
        Seed of visits that are the same in each epoch, for validation. If not given they depend on PyTorch's
        random state, which `terradelta.learning.loading.Seeded` sets for each epoch and sample.

    Raises
    ------
    InputError
        If a tile has fewer windows than a visit needs or is not among those of `frames`, the truth is of
        another raster, or a setting makes no sense.
    """

    def __init__(
        self,
        frames: TileFrames,
        truth: ArrayLike,
        tiles: Sequence[Tile],
        visits: Visits | None = None,
        *,
        augment: Augment = "random",
        repeats: int = 1,
        fixed: int | None = None,
    ) -> None:
        _choose("augment", augment, get_args(Augment))
        if repeats < 1:
            raise InputError(f"repeats is {repeats}; give 1 or more visits to each tile")
        if not len(tiles):
            raise InputError("there is no tile to visit; name some")
        stack, self._visits = frames.stack, visits or Visits()
        self._frames, self._tiles = frames, sorted(tiles, key=frames.groups.place)
        windows = whole_windows(stack.times, stack.era)
        self._visits.require(len(windows), f"tile {self._tiles[0]} ({len(stack.times)} kept times)")
        self._windows = np.array([(window.start, window.stop) for window in windows])
        self._label = _changed(truth, tuple(stack.size))
        self._augment, self._fixed = augment, fixed
        self._codes = CODES if augment == "all" else 1
        self._each = repeats * self._codes

    def __len__(self) -> int:
        """Count the samples."""
        return len(self._tiles) * self._each

    def __getitem__(self, index: int) -> WindowSample:
        """Make one visit."""
        number, visit = divmod(range(len(self))[index], self._each)
        tile = self._tiles[number]
        random = None
        if self._fixed is not None:
            random = torch.Generator().manual_seed(stream(self._fixed, *tile, visit))
        code = visit % self._codes
        if self._augment == "random":
            code = int(torch.randint(CODES, (), generator=random))
        starts = visit_starts(self._visits, random, len(self._windows))
        windows = self._windows[list(starts)]
        first, stop = int(windows.min()), int(windows.max())
        label = self._label[self._frames.groups.grid.part(tile)]
        frozen = frozen_pixels(label.shape, code)
        return WindowSample(
            _tensor(orient(self._frames(tile)[first:stop], code)),
            torch.from_numpy(windows - first),
            _tensor(np.where(frozen, np.float32(0), orient(label, code))),
            _tensor(frozen),
            f"tile {tile} as {code}, windows {' '.join(map(str, starts))}",
        )

    def order(self, seed: int) -> GroupedOrder:
        """Give random orders in which every group of tiles is read once per epoch.

        Parameters
        ----------
        seed : int
            Of all orders.

        Returns
        -------
        GroupedOrder
            As `terradelta.learning.loading.make_loader` takes it.
        """
        groups = np.repeat([self._frames.groups.place(tile)[0] for tile in self._tiles], self._each)
        known, starts = np.unique(groups, return_index=True)
        samples = np.split(np.arange(len(groups)), starts[1:])
        sizes = [len(self._frames.groups.groups[group]) * self._frames.tile_bytes for group in known]
        return GroupedOrder(samples, sizes, self._frames.memory, seed)


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    """Copy into a tensor: what is kept in memory stays as it is."""
    return torch.from_numpy(np.array(values, order="C"))


def _changed(truth: ArrayLike, size: tuple[int, ...]) -> NDArray[np.float32]:
    array = np.asarray(truth)
    if array.shape != size:
        raise InputError(
            f"the truth has the shape {array.shape}, the cube has {size} pixels; bring it onto its grid"
        )
    return np.asarray((array > 0) & (array != 255), np.float32)


def _choose(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"{name} is {value!r}; choose from {', '.join(choices)}")
