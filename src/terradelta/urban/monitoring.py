"""Monitoring: windows of observations through the networks, block by block, to maps over time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube import geobox_of, open_cube
from terradelta.cube.acquisitions import as_time
from terradelta.cube.grid import grid_coords, grid_document
from terradelta.cube.location import path_of
from terradelta.errors import ConflictError, InputError
from terradelta.learning.devices import device_of
from terradelta.tasks import mapped
from terradelta.types import FloatArray, PathType
from terradelta.urban.block_maps import BlockMaps, Lacking
from terradelta.urban.choices import (
    check_choice,
    identity,
    limits_of,
    networks_of,
    stack_of,
    tile_of,
    whole,
    windows_of,
)
from terradelta.urban.defaults import MEMORY, PRECISIONS, STRIDE, TILINGS, Precision, Tiling
from terradelta.urban.network import ERCNN
from terradelta.urban.plan import Budget, Cut, Piece
from terradelta.urban.stack import Stack
from terradelta.urban.store import STATISTICS, MapStore, MemoryMaps, Sink, WindowTable, open_maps
from terradelta.windows.times import TimeWindow

__all__ = ["Progress", "monitor"]

Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Takes a label and a number of steps, gives a context manager that gives a function to advance by some."""

_LOG = logging.getLogger(__name__)


def _silent(label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _: None)


def monitor(
    cube: xr.DataTree | PathType,
    nets: ERCNN | Sequence[ERCNN],
    *,
    stride: int = STRIDE,
    tile: int | None = None,
    dead_zone: int | None = None,
    device: str | None = None,
    precision: Precision = "float32",
    memory: int = MEMORY,
    start: Any = None,
    end: Any = None,
    incomplete: bool = False,
    tiling: Tiling = "seamless",
    statistic: str = "mean",
    fewest: int | None = None,
    most: int | None = None,
    store: PathType | None = None,
    overwrite: bool = False,
    progress: Progress = _silent,
    executor: Executor | None = None,
) -> xr.DataArray:
    """Map where the built environment changed, for every window of observations.

    Parameters
    ----------
    cube : DataTree or path
        A cube with the radar (linear power) and optical (reflectance) bands of the networks' era.
    nets : ERCNN or sequence of ERCNN
        Networks of one era and the same branches; several give an ensemble.
    stride : int
        Kept observations from the start of one window to the start of the next.
    tile : int, optional
        Side in pixels of what the networks see at once, dead zone included; by default what fits into the
        memory, and 32 in the original tiling.
    dead_zone : int, optional
        Pixels that are computed but dropped on each side of a tile, because they do not see what is beyond;
        8 by default, 0 in the original tiling. At 8 the published networks are within a few thousandths of a
        map without tiles. In the seamless tiling a mirror image fills it beyond the edge of the place.
    device : str, optional
        ``"cpu"``, ``"cuda"`` ...; by default the GPU if there is one.
    precision : {"float32", "bfloat16"}
        Of the arithmetic.
    memory : int
        Bytes to stay within, whatever the size of the place and the number of windows (maps that are not
        written to a store come on top).
    start, end : datetime64 or str, optional
        Observations with start <= time < end make windows; earlier ones still count as what was last seen.
    incomplete : bool
        Keep the last windows, too, that the end of the data cuts short.
    tiling : {"seamless", "original"}
        Blocks that overlap and leave no seam, or exactly the tiles of the published programs, which drop what
        does not fill a tile (NaN there).
    statistic : {"mean", "minimum", "maximum", "spread"}
        What to return of several networks; a store holds them all.
    fewest, most : int, optional
        Observations that a window has at least and at most; by default those of the era.
    store : path, optional
        Zarr to write to, block by block. Killed at any moment, the same call again completes it. When the
        cube has grown, only new windows are computed.
    overwrite : bool
        Throw a store of other settings, networks or observations away instead of refusing.
    progress : callable
        Takes a label and the number of steps; gives a context manager that gives a function to advance.
    executor : Executor, optional
        Who computes the blocks; by default this process, one after the other. Other processes and machines
        open the cube by its path; the memory is that of each, and the maps of a block come on top, there
        and here. This process alone writes.

    Returns
    -------
    DataArray
        ``change_probability`` (window, y, x) float32 in 0..1, NaN where nothing was computed. Along
        ``window``: ``start``, ``end`` (first and last observation), ``time`` (their middle), ``count``
        (observations); ``y``, ``x``, ``spatial_ref`` of the cube. Lazy if there is a store.

    Raises
    ------
    ConflictError
        If the store holds maps of other settings, networks or observations, or earlier observations of the
        cube changed while it was read.
    CubeError
        If the cube lacks what the networks read.
    InputError
        If a setting is out of range, no window has enough observations, or the memory does not suffice.
    LockedError
        If another process writes to the store.
    """
    together = networks_of(nets)
    check_choice("precision", precision, PRECISIONS)
    check_choice("statistic", statistic, tuple(STATISTICS))
    check_choice("tiling", tiling, TILINGS)
    stride = whole("stride", stride, 1)
    zone, wanted = tile_of(tile, dead_zone, tiling)
    here = device_of(device) if executor is None else "cpu"  # machines of an executor choose for themselves
    if executor is not None or not isinstance(cube, xr.DataTree):
        cube = open_cube(path_of(cube))
    stack = stack_of(cube, together[0].era, together[0].branches, start, end)
    limits = limits_of(stack.era, fewest, most)
    windows = windows_of(stack.times, stack.era, stride, *limits, incomplete)
    work = BlockMaps(stack, together, windows, here if executor is None else device, precision)
    need = work.bytes_per_pixel(stride, limits[1], here)
    cut = Cut(stack.size, wanted, zone, tiling, Budget(memory, need))
    verify = _verifier(cube, stack, windows[-1].stop - 1, start, end)
    job = _Job(work, cut, cut.core(), geobox_of(cube), progress, executor, verify)
    if store is None:
        return job.held(statistic)
    if statistic != "mean" and len(together) == 1:
        raise InputError(
            f"statistic is {statistic!r}, but there is one network; give several, or take the mean"
        )
    settings = {
        "stride": stride, "dead_zone": zone, "tiling": tiling, "precision": precision, "tile": wanted,
        "fewest": limits[0], "most": limits[1], "start": None if start is None else str(as_time(start)),
    }  # fmt: skip
    notes = {"networks": [net.origin for net in together]}
    with MapStore(store, job.settings() | settings, notes, overwrite=overwrite) as kept:
        job.keep(kept)
    return open_maps(store)[statistic].rename("change_probability")


@dataclass(frozen=True)
class _Job:
    """Everything that stays the same from piece to piece."""

    work: BlockMaps
    cut: Cut
    core: int
    geobox: GeoBox
    progress: Progress
    executor: Executor | None
    verify: Callable[[], None]

    @property
    def table(self) -> WindowTable:
        """Tell where the windows lie in time."""
        return _table(self.work.stack, self.work.windows)

    def settings(self) -> dict[str, Any]:
        """Tell what the maps depend on besides what was asked for."""
        stack, era = self.work.stack, self.work.stack.era
        return {
            "era": era.name, "branches": stack.branches, "step": str(era.step), "window": str(era.window),
            "networks": [identity(net) for net in self.work.nets],
            "grid": grid_document(self.geobox), "first_observations": stack.digests[0],
        }  # fmt: skip

    def held(self, statistic: str) -> xr.DataArray:
        """Make the maps in memory."""
        maps = MemoryMaps(self.work.stack.size, len(self.work.windows), statistic)
        self._run(self.cut.pieces(self.core), maps)
        self.verify()
        return _array(maps.values, self.table, self.geobox)

    def keep(self, store: MapStore) -> None:
        """Make what a store lacks."""
        core = store.core or self.core
        pieces = self.cut.pieces(core)
        networks = len(self.work.nets)
        store.begin(self.table, self.geobox, core=core, pieces=len(pieces), networks=networks)
        self._run(pieces, store)
        self.verify()
        store.finish()

    def _run(self, pieces: Sequence[Piece], sink: Sink) -> None:
        """Compute what the sink lacks."""
        every = (Lacking(number, piece, sink.first(number)) for number, piece in enumerate(pieces))
        todo = [lacking for lacking in every if lacking.first < len(self.work.windows)]
        if not todo:
            return
        with self.progress("window maps", sum(self.work.steps(one.first) for one in todo)) as advance:
            for lacking, maps in self._maps(todo, advance):
                for window, values in maps:
                    sink.put(window, lacking.piece.core, values)
                sink.done(lacking.number)

    def _maps(
        self, todo: Sequence[Lacking], advance: Callable[[int], None]
    ) -> Iterator[tuple[Lacking, Iterable[tuple[int, FloatArray]]]]:
        """Give the maps of the pieces: window by window here, all at once from elsewhere."""
        if self.executor is None:
            yield from mapped(None, partial(self.work.stream, advance=advance), todo)
            return
        for lacking, maps in mapped(self.executor, self.work, todo):
            yield lacking, maps
            advance(self.work.steps(lacking.first))


def _table(stack: Stack, windows: Sequence[TimeWindow]) -> WindowTable:
    first = np.array([window.start for window in windows])
    last = np.array([window.stop for window in windows]) - 1
    times = stack.times.astype("datetime64[ns]")
    return WindowTable(
        times[first], times[last], (last - first + 1).astype(np.int32), tuple(stack.digests[k] for k in last)
    )


def _array(values: NDArray[np.floating[Any]], table: WindowTable, geobox: GeoBox) -> xr.DataArray:
    along: Mapping[str, Any] = {
        name: ("window", getattr(table, name)) for name in ("start", "end", "time", "count")
    }
    array = xr.DataArray(
        values, dims=("window", "y", "x"), coords={**grid_coords(geobox), **along}, name="change_probability"
    )
    array.attrs.update(long_name="change probability", units="1")
    array.encoding["grid_mapping"] = "spatial_ref"
    return array


def _verifier(tree: xr.DataTree, stack: Stack, last: int, start: Any, end: Any) -> Callable[[], None]:
    """Give a function that makes sure that the cube on disk did not change below the run.

    A tree that was changed in memory has no cube on disk to compare with.
    """
    source = tree.encoding.get("source")

    def again() -> Stack:
        return Stack.of(open_cube(str(source)), stack.era, branches=stack.branches, start=start, end=end)

    def verify() -> None:
        now = again()
        if now.digests[last : last + 1] != stack.digests[last : last + 1]:
            raise ConflictError(
                f"{source} changed while it was read, and not only at its end; run the same command again"
            )
        if now.identities != stack.identities:
            _LOG.warning("%s has grown meanwhile; run the same command again for the new windows", source)

    same = bool(source) and again().digests[last : last + 1] == stack.digests[last : last + 1]
    return verify if same else lambda: None
