"""Monitoring: windows of observations through the networks, block by block, to maps over time."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube import geobox_of, open_cube
from terradelta.cube.acquisitions import as_time
from terradelta.cube.grid import grid_coords, grid_document
from terradelta.errors import ConflictError, CubeError, InputError
from terradelta.types import PathType, Size
from terradelta.urban.defaults import MEMORY, PRECISIONS, STRIDE, TILINGS, Precision, Tiling
from terradelta.urban.era import ERAS, Branches, Era
from terradelta.urban.inference import WindowRunner
from terradelta.urban.network import ERCNN
from terradelta.urban.plan import Budget, Piece, choose_core, pieces_of
from terradelta.urban.stack import Stack
from terradelta.urban.store import STATISTICS, MapStore, MemoryMaps, Sink, WindowTable, open_maps
from terradelta.windows.times import TimeWindow, complete, time_windows

__all__ = ["Progress", "monitor"]

Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Takes a label and a number of steps, gives a context manager that gives a function to advance by some."""

_LOG = logging.getLogger(__name__)
_DEAD_ZONE, _ORIGINAL_TILE = 8, 32


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
    together = _networks(nets)
    era, branches = together[0].era, together[0].branches
    _check_choice("precision", precision, PRECISIONS)
    _check_choice("statistic", statistic, tuple(STATISTICS))
    _check_choice("tiling", tiling, TILINGS)
    stride = _whole("stride", stride, 1)
    zone, wanted = _tile(tile, dead_zone, tiling)
    runner = WindowRunner(together, device=_device(device), precision=precision)
    tree = open_cube(cube) if isinstance(cube, str | PathLike) else cube
    stack = _stack(tree, era, branches, start, end)
    limits = _limits(era, fewest, most)
    windows = _windows(stack.times, era, stride, *limits, incomplete)
    budget = Budget(memory, _bytes_per_pixel(runner, stack, era, stride, limits[1], len(together)))
    geobox = geobox_of(tree)
    settings = {
        "era": era.name, "branches": branches, "networks": [_identity(net) for net in together],
        "stride": stride, "dead_zone": zone, "tiling": tiling, "precision": precision,
        "fewest": limits[0], "most": limits[1], "step": str(era.step), "window": str(era.window),
        "start": None if start is None else str(as_time(start)),
        "grid": grid_document(geobox), "first_observations": stack.digests[0],
    }  # fmt: skip
    job = _Job(stack, runner, windows, progress)
    verify = _verifier(tree, stack, windows[-1].stop - 1, start, end)
    table = _table(stack, windows)
    core = choose_core(stack.size, wanted, zone, tiling, budget)
    cut = partial(_pieces, stack.size, tile=wanted, zone=zone, tiling=tiling, budget=budget)
    if store is None:
        pieces = cut(core)
        held = MemoryMaps(stack.size, len(windows), statistic)
        job.run(pieces, held)
        verify()
        return _array(held.values, table, geobox)
    if statistic != "mean" and len(together) == 1:
        raise InputError(
            f"statistic is {statistic!r}, but there is one network; give several, or take the mean"
        )
    notes = {"networks": [net.origin for net in together]}
    with MapStore(store, {**settings, "tile": wanted}, notes, overwrite=overwrite) as kept:
        core = kept.core or core
        pieces = cut(core)
        kept.begin(table, geobox, core=core, pieces=len(pieces), networks=len(together))
        job.run(pieces, kept)
        verify()
        kept.finish()
    return open_maps(store)[statistic].rename("change_probability")


@dataclass(frozen=True)
class _Job:
    """Everything that stays the same from piece to piece."""

    stack: Stack
    runner: WindowRunner
    windows: Sequence[TimeWindow]
    progress: Progress

    def run(self, pieces: Sequence[Piece], sink: Sink) -> None:
        """Compute what the sink lacks."""
        lacking = [sink.first(number) for number in range(len(pieces))]
        steps = sum(self._steps(first) for first in lacking)
        if not steps:
            return
        with self.progress("window maps", steps) as advance:
            for number, (piece, first) in enumerate(zip(pieces, lacking, strict=True)):
                if first >= len(self.windows):
                    continue
                span = [window.slice for window in self.windows[first:]]
                frames = self._frames(piece, span, advance)
                for index, maps in self.runner.run(frames, span, first=span[0].start):
                    sink.put(first + index, piece.core, piece.join(maps))
                sink.done(number)

    def _steps(self, first: int) -> int:
        """Count the frames that the windows from one on read."""
        return 0 if first >= len(self.windows) else self.windows[-1].stop - self.windows[first].start

    def _frames(
        self, piece: Piece, span: Sequence[slice], advance: Callable[[int], None]
    ) -> Iterator[NDArray[np.float32]]:
        for frame in self.stack.frames(*piece.read, first=span[0].start, last=span[-1].stop):
            advance(1)
            yield piece.cut(frame)


def _networks(nets: ERCNN | Sequence[ERCNN]) -> list[ERCNN]:
    together = [nets] if isinstance(nets, torch.nn.Module) else list(nets)
    if not together:
        raise InputError(
            "nets is empty; give at least one network, such as td.urban.load_keras_weights(path)"
        )
    for net in together:
        if not isinstance(net, ERCNN):
            raise InputError(f"nets holds {type(net).__name__}; give networks (td.urban.ERCNN)")
        if net.era != together[0].era or net.branches != together[0].branches:
            first = together[0]
            raise InputError(
                f"the networks differ: {first.era.name} ({first.branches}) and "
                f"{net.era.name} ({net.branches}); give networks of one era and the same branches"
            )
    return together


def _identity(net: ERCNN) -> str:
    """Tell a network from another by its weights."""
    content = sha256()
    for name, values in sorted(net.state_dict().items()):
        content.update(f"{name} {tuple(values.shape)}".encode())
        content.update(np.ascontiguousarray(values.detach().cpu().numpy()).tobytes())
    return content.hexdigest()


def _stack(tree: xr.DataTree, era: Era, branches: Branches, start: Any, end: Any) -> Stack:
    """Prepare the frames; say so where the bands are those of another era."""
    try:
        return Stack.of(tree, era, branches=branches, start=start, end=end)
    except CubeError as error:
        fitting = [
            other.name for other in ERAS.values() if other != era and _has_bands(tree, other, branches)
        ]
        if not fitting or _has_bands(tree, era, branches):
            raise
        raise CubeError(
            f"{error}: these are the bands of {fitting[0]}, the networks are of {era.name}; "
            "give networks of that era"
        ) from None


def _has_bands(tree: xr.DataTree, era: Era, branches: Branches) -> bool:
    wanted = {"sar": era.sar_bands, "optical": era.optical_bands}
    groups = wanted if branches == "both" else (branches,)
    return all(
        name in tree.children
        and set(wanted[name]) <= {str(band) for band in tree[name].coords["band"].values}
        for name in groups
    )


def _check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"{name} is {value!r}; choose from {', '.join(choices)}")


def _whole(name: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r}; give a whole number") from None
    if number < least:
        raise InputError(f"{name} is {number}; give {least} or more")
    return number


def _tile(tile: int | None, dead_zone: int | None, tiling: Tiling) -> tuple[int, int | None]:
    """Give dead zone and tile, None where the tile may be chosen."""
    original = tiling == "original"
    zone = (0 if original else _DEAD_ZONE) if dead_zone is None else _whole("dead_zone", dead_zone, 0)
    wanted = _ORIGINAL_TILE if tile is None and original else tile
    if wanted is not None:
        wanted = _whole("tile", wanted, 1)
        if 2 * zone >= wanted:
            raise InputError(
                f"dead_zone is {zone}, which leaves nothing of a tile of {wanted}; "
                f"give at most {(wanted - 1) // 2}, or a larger tile"
            )
    return zone, wanted


def _pieces(
    size: Size, core: int, tile: int | None, zone: int, tiling: Tiling, budget: Budget
) -> tuple[Piece, ...]:
    """Cut the place, and make sure that the pieces of a store that is continued fit, too."""
    pieces = pieces_of(size, core, tile or 0, zone, tiling)
    budget.require(max(piece.pixels for piece in pieces), "a block of the maps that are there")
    if tiling == "seamless" and zone < _DEAD_ZONE and len(pieces) > 1:
        _LOG.warning(
            "dead zone %d: seams may be seen between tiles; from %d on there are none", zone, _DEAD_ZONE
        )
    return pieces


def _device(device: str | None) -> str:
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):
        raise InputError(f"device is {device!r}, which is not here; choose cpu, or cuda with a GPU") from None
    return str(device)


def _limits(era: Era, fewest: int | None, most: int | None) -> tuple[int, int]:
    least = era.fewest if fewest is None else _whole("fewest", fewest, 1)
    return least, (max(era.most, least) if most is None else _whole("most", most, least))


def _windows(
    times: NDArray[np.datetime64], era: Era, stride: int, fewest: int, most: int, incomplete: bool
) -> list[TimeWindow]:
    """Give the windows to compute, at least one."""
    found = time_windows(times, length=era.window, stride=stride, fewest=fewest, most=most)
    if not found:
        every = time_windows(times, length=era.window, stride=1, fewest=1, most=most)
        fullest = max(len(window) for window in every)
        days = era.window / np.timedelta64(1, "D")
        raise InputError(
            f"no window of {days:g} days has enough observations: the fullest has {fullest}, "
            f"needed are {fewest}; add observations to the cube"
        )
    kept = found if incomplete else [window for window in found if complete(window, times, most)]
    if not kept:
        raise InputError(
            f"the end of the data cuts all windows short ({len(found)}); add later observations, "
            "or keep them (incomplete)"
        )
    return kept


def _table(stack: Stack, windows: Sequence[TimeWindow]) -> WindowTable:
    first = np.array([window.start for window in windows])
    last = np.array([window.stop for window in windows]) - 1
    times = stack.times.astype("datetime64[ns]")
    return WindowTable(
        times[first], times[last], (last - first + 1).astype(np.int32), tuple(stack.digests[k] for k in last)
    )


def _bytes_per_pixel(
    runner: WindowRunner, stack: Stack, era: Era, stride: int, most: int, networks: int
) -> int:
    """Estimate the need of a pixel from the settings alone, so that blocks stay as a cube grows."""
    longest = min(most, int(era.window // era.step) + 1)
    active = -(-longest // stride)
    return runner.bytes_per_pixel(active) + 24 * stack.channels + 24 * networks + 64


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
