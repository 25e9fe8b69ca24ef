"""Synthetic labels of a whole cube, block by block: first β of every window, then the labels."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from threading import Event, Lock
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.cube import geobox_of, open_cube
from terradelta.cube.acquisitions import as_time
from terradelta.cube.grid import grid_document
from terradelta.cube.layout import CHUNK
from terradelta.errors import CubeError, InputError, StorageError
from terradelta.optical import beta_sums, defined, endisi, suggest_shift, unshifted
from terradelta.types import FloatArray, PathType, Size
from terradelta.urban.defaults import MEMORY
from terradelta.urban.era import Era, era_of
from terradelta.urban.labels.betas import FOUR, TILE, betas_of, block_sums, sides_of
from terradelta.urban.labels.rules import LabelRule, rule_of
from terradelta.urban.labels.store import Betas, LabelStore, open_labels
from terradelta.urban.labels.streams import RadarSeries, span_means
from terradelta.urban.labels.synthetic import synthetic_label, window_activity
from terradelta.urban.plan import PROCESS_BYTES
from terradelta.urban.stack import Stack
from terradelta.urban.store import WindowTable
from terradelta.windows.blocks import Slices, blocks
from terradelta.windows.times import TimeWindow, time_windows

__all__ = ["STRIDE", "label_windows", "recent_image", "synthetic_labels"]

STRIDE = 10
"""Kept observations from the start of one labelled window to the start of the next."""

Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
Item = TypeVar("Item")
Result = TypeVar("Result")

_LEAST, _STRIP, _SAMPLE = TILE, 16_384, 1000
_DAY, _YEAR = np.timedelta64(1, "D"), np.timedelta64(365, "D")


def _silent(label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _: None)


def synthetic_labels(
    cube: xr.DataTree | PathType,
    era: Era | str,
    store: PathType,
    *,
    rule: LabelRule | None = None,
    shift: Literal["rule", "suggest"] = "rule",
    stride: int = STRIDE,
    start: Any = None,
    end: Any = None,
    step: np.timedelta64 | None = None,
    memory: int = MEMORY,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress = _silent,
) -> xr.Dataset:
    """Label every window of a cube from its own data, to pre-train networks without any ground truth.

    The area is walked twice, block by block: once for the β of ENDISI before and behind every window, which
    count all pixels, and once for the labels.

    Parameters
    ----------
    cube : DataTree or path
        A cube with the radar (linear power) and optical (reflectance) bands of the era.
    era : Era or str
        Bands, kept times and windows.
    store : path
        Zarr to write to. Killed at any moment, the same call again completes it. When the cube has grown,
        only new windows are labelled.
    rule : LabelRule, optional
        How a label is made; that of the era if not given.
    shift : {"rule", "suggest"}
        Take α from the rule, or from the data: what `suggest_shift` says of the mean of the last year.
    stride : int
        Kept observations from the start of one window to the start of the next.
    start, end : datetime64 or str, optional
        Observations with start <= time < end make windows; earlier ones still count as what was last seen.
    step : numpy.timedelta64, optional
        Of the observations within one step the last counts; the era's if not given.
    memory : int
        Bytes to stay within, all workers together.
    workers : int
        Blocks worked on at once.
    overwrite : bool
        Throw labels of other settings away instead of refusing.
    progress : callable
        Takes a label and the number of steps; gives a context manager that gives a function to advance.

    Returns
    -------
    Dataset
        What `open_labels` gives.

    Raises
    ------
    ConflictError
        If the store holds labels of other settings.
    CubeError
        If the cube lacks what labels are made of.
    InputError
        If a setting is out of range, no window has enough observations before, within and behind it, or the
        memory does not suffice.
    LockedError
        If another process writes to the store.
    """
    era = era_of(era)
    rule = rule_of(era) if rule is None else rule
    tree = open_cube(cube) if isinstance(cube, str | os.PathLike) else cube
    workers = _whole("workers", workers)
    stack = _stack(tree, era, start, end, step)
    windows = label_windows(stack, era, _whole("stride", stride))
    geobox = geobox_of(tree)
    settings = {
        "era": era.name, "stride": stride, "start": None if start is None else str(as_time(start)),
        "step": float((era.step if step is None else step) / _DAY), "window": str(era.window),
        "fewest": era.fewest, "most": era.most, "grid": grid_document(geobox),
        "first_observations": stack.digests[0],
        **asdict(rule), "bands": list(rule.bands), "shift": rule.shift if shift == "rule" else shift,
    }  # fmt: skip
    notes = {"end": None if end is None else str(as_time(end))}
    with LabelStore(store, settings, notes, overwrite=overwrite) as kept:
        budget = _Budget(memory, workers, _bytes_per_pixel(stack, windows, rule))
        core = kept.core or budget.core(stack.size)
        pieces = [block.core for block in blocks(stack.size, core)]
        budget.require(max(math.prod(_extent(piece)) for piece in pieces))
        kept.begin(_table(stack, windows), geobox, core=core, pieces=len(pieces))
        if not kept.complete:
            job = _Job(stack, windows, pieces, rule, workers, memory, progress)
            job.settle(kept, suggest=shift == "suggest")
            job.label(kept)
        kept.finish()
    return open_labels(store)


def label_windows(stack: Stack, era: Era, stride: int = STRIDE) -> list[TimeWindow]:
    """Give the windows that can be labelled: those with enough frames in them, before and behind.

    Parameters
    ----------
    stack : Stack
        Frames of the cube.
    era : Era
        Length, and fewest and most frames.
    stride : int
        Frames from the start of one window to the start of the next.

    Returns
    -------
    list of TimeWindow
        Triples, at least one.

    Raises
    ------
    InputError
        If there is none; says how long the period is, and how long it has to be.
    """
    times, fewest = stack.times, max(era.fewest, 1)

    def found(stride: int, fewest: int) -> list[TimeWindow]:
        return time_windows(
            times, length=era.window, stride=stride, fewest=fewest, most=era.most, triples=True
        )

    windows = found(stride, fewest)
    if windows:
        return windows
    if found(1, fewest):
        raise InputError(f"no window starts at every {stride}th observation; give a smaller stride")
    best = max((min(len(w), *map(_length, sides_of([w]))) for w in found(1, 1)), default=0)
    days, third = (times[-1] - times[0]) / _DAY, era.window / _DAY
    raise InputError(
        f"no window can be labelled: there are {len(times)} observations in {days:.0f} days, and a window of "
        f"{third:g} days needs {fewest} in it, and as many in the {third:g} days before and those behind it "
        f"(at best, the emptiest of the three has {best}); choose a longer period, or add images"
    )


def recent_image(
    stack: Stack, bands: Sequence[int], *, side: int = _SAMPLE, workers: int = 1, memory: int = MEMORY
) -> NDArray[np.float32]:
    """Average the optical images of the last year, all seasons alike, thinned out to a sample of the area.

    Parameters
    ----------
    stack : Stack
        Frames of the cube.
    bands : sequence of int
        Optical bands to give.
    side : int
        Pixels that a side has at most; every n-th pixel is taken.
    workers, memory : int
        Blocks at once, and bytes to stay within.

    Returns
    -------
    ndarray of float32
        (band, y, x), 0 where nothing was observed.
    """
    every = -(-max(stack.size) // side)
    year = int(np.searchsorted(stack.times, stack.times[-1] - _YEAR, "right"))
    spans = [slice(year, len(stack.times))]
    image = np.zeros((len(bands), *(-(-length // every) for length in stack.size)), np.float32)
    budget = _Budget(memory, workers, 4 * len(stack.sensors[-1].bands) + 40 * (len(bands) + 1) + 64)
    pieces = [block.core for block in blocks(stack.size, budget.core(stack.size))]

    def work(piece: Slices) -> None:
        ((_, mean),) = span_means(stack, piece, spans, bands)
        inner = tuple(slice(-axis.start % every, None, every) for axis in piece)
        there = tuple(slice(-(-axis.start // every), -(-axis.stop // every)) for axis in piece)
        image[(slice(None), *there)] = mean[(slice(None), *inner)]

    for _ in _each(work, pieces, workers, Event()):
        pass
    return image


@dataclass(frozen=True)
class _Job:
    """Everything that stays the same from block to block."""

    stack: Stack
    windows: Sequence[TimeWindow]
    pieces: Sequence[Slices]
    rule: LabelRule
    workers: int
    memory: int
    progress: Progress
    stop: Event = field(default_factory=Event)

    def settle(self, store: LabelStore, *, suggest: bool) -> None:
        """Bring β up to date, and choose α where the data shall say it."""
        known = store.betas
        if len(known) == len(self.windows):
            return
        lacking = self.windows[len(known) :]
        betas = np.concatenate([known, betas_of(self._sums(store, lacking))])
        suggested = self._suggested() if store.shift is None or not suggest else store.shift
        if suggest and suggested is None:
            raise InputError(
                "the data suggest no shift, for want of land with different values of the index; give one, "
                "for example 0.25"
            )
        store.settle(betas, suggested if suggest and suggested is not None else self.rule.shift, suggested)

    def _sums(self, store: LabelStore, windows: Sequence[TimeWindow]) -> Iterator[NDArray[np.float64]]:
        """Sum over each block, or take what an earlier run summed."""
        there = {
            number
            for number in range(len(self.pieces))
            if (found := store.sums(number)) is not None and len(found) == len(windows)
        }
        lacking = [number for number in range(len(self.pieces)) if number not in there]
        with self._advancing("beta of windows", len(lacking) * len(windows)) as advance:

            def work(number: int) -> None:
                part = self.pieces[number]
                store.put_sums(number, block_sums(self.stack, part, windows, self.rule, advance))

            for _ in _each(work, lacking, self.workers, self.stop):
                pass
        for number in range(len(self.pieces)):
            sums = store.sums(number)
            if sums is None:
                raise StorageError(f"{store.path} lost a part of the sums for β; run the same command again")
            yield sums

    def _suggested(self) -> float | None:
        """Ask the data for α."""
        image = recent_image(self.stack, self.rule.bands, workers=self.workers, memory=self.memory)
        try:
            return suggest_shift(unshifted(image, beta_sums(image, FOUR).beta, FOUR))
        except InputError:
            return None

    def label(self, store: LabelStore) -> None:
        """Label what the store lacks."""
        betas = store.betas
        rule = self.rule if store.shift is None else replace(self.rule, shift=store.shift)
        firsts = [store.first(number) for number in range(len(self.pieces))]
        steps = sum(len(self.windows) - first for first in firsts)
        with self._advancing("synthetic labels", steps) as advance:

            def work(number: int) -> None:
                part, first = self.pieces[number], firsts[number]
                some, around = self.windows[first:], betas[first:]
                for index, label in _block_labels(self.stack, part, some, around, rule):
                    store.put(first + index, part, label[None])
                    advance(1)
                store.done(number)

            lacking = [number for number, first in enumerate(firsts) if first < len(self.windows)]
            for _ in _each(work, lacking, self.workers, self.stop):
                pass

    @contextmanager
    def _advancing(self, label: str, steps: int) -> Iterator[Callable[[int], None]]:
        """Show progress that several threads tell of; it is also where they learn that all shall end."""
        lock = Lock()
        with self.progress(label, steps) if steps else nullcontext(lambda _: None) as advance:

            def told(number: int) -> None:
                if self.stop.is_set():
                    raise CancelledError
                with lock:
                    advance(number)

            yield told


def _block_labels(
    stack: Stack, part: Slices, windows: Sequence[TimeWindow], betas: Betas, rule: LabelRule
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Give the labels of one block, window after window."""
    radar = [RadarSeries(stack, sensor, part, carried=rule.as_published) for sensor in stack.sensors[:2]]
    before: dict[int, FloatArray] = {}
    means = span_means(stack, part, sides_of(windows), rule.bands, as_published=rule.as_published)
    for number, mean in means:
        index, behind = divmod(number, 2)
        ground = endisi(mean, betas[index, behind], rule.shift, FOUR, as_published=rule.as_published)
        if not rule.as_published:
            ground[~defined(mean, FOUR)] = np.nan
        if not behind:
            before[index] = ground
            continue
        window = windows[index]
        images = [series.between(window.start, window.stop) for series in radar]
        yield index, _label(before.pop(index), ground, images, rule)


def _label(
    before: FloatArray, after: FloatArray, radar: Sequence[Sequence[FloatArray]], rule: LabelRule
) -> NDArray[np.float32]:
    """Label one window of a block; radar is tested only where the ground differs, as all else is 0."""
    label = np.zeros(before.shape, np.float32)
    flat, (first, second) = label.reshape(-1), (before.reshape(-1), after.reshape(-1))
    differing = np.flatnonzero(np.abs(second - first) > 0)
    for start in range(0, len(differing), _STRIP):
        pixels = differing[start : start + _STRIP]
        ascending, descending = (_columns(images, pixels) for images in radar)
        activity = window_activity(ascending, descending, rule)
        flat[pixels] = synthetic_label(first[pixels], second[pixels], activity[0], rule.gain)
    return label


def _columns(images: Sequence[FloatArray], pixels: NDArray[np.intp]) -> FloatArray:
    """Give some pixels of several images, (time, band, 1, pixel)."""
    columns = [image.reshape(len(image), -1).take(pixels, axis=1) for image in images]
    return np.stack(columns)[:, :, None] if columns else np.full((1, 1, 1, len(pixels)), np.nan, np.float32)


@dataclass(frozen=True)
class _Budget:
    """What the memory setting allows the blocks of all workers to hold."""

    memory: int
    workers: int
    per_pixel: int

    def _pixels(self) -> int:
        return max(self.memory - PROCESS_BYTES, 0) // (self.workers * self.per_pixel)

    def core(self, size: Size) -> int:
        """Choose the side of blocks: the cube's chunks, or parts of them where memory or work ask for it."""
        side = CHUNK
        while side > _LEAST and (
            min(side, size.y) * min(side, size.x) > self._pixels()
            or (side > CHUNK // 4 and len(blocks(size, side)) < self.workers)
        ):
            side //= 2
        return side

    def require(self, pixels: int) -> None:
        """Refuse blocks that do not fit."""
        if pixels > self._pixels():
            least = math.ceil((PROCESS_BYTES + pixels * self.workers * self.per_pixel) / 2**20)
            raise InputError(
                f"memory is {self.memory / 2**20:.0f} MiB, but {self.workers} blocks of {pixels} pixels need "
                f"{least} MiB; give more memory or fewer workers"
            )


def _bytes_per_pixel(stack: Stack, windows: Sequence[TimeWindow], rule: LabelRule) -> int:
    """Estimate what a pixel of a block needs at most."""
    spans = sides_of(windows)
    pairs = zip(spans[::2], spans[1::2], strict=True)
    opened = _most_at_once([(span.start, span.stop) for span in spans])
    waiting = _most_at_once([(before.stop, after.stop) for before, after in pairs])
    radar = 0
    for sensor in stack.sensors[:2]:
        stops = np.searchsorted(sensor.times, stack.times, "right")
        radar += len(sensor.bands) * max(int(stops[w.stop - 1] - stops[w.start - 1]) + 1 for w in windows)
    return 8 * 5 * (opened + 4) + 8 * waiting + 4 * radar + 8 * len(stack.sensors[-1].bands) + 200


def _most_at_once(lives: Iterable[tuple[int, int]]) -> int:
    """Count how many of some spans of time overlap at most."""
    changes = sorted(change for first, last in lives for change in ((first, 1), (last, -1)))
    return int(np.cumsum([change for _, change in changes]).max())


def _each(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, stop: Event
) -> Iterator[Result]:
    """Do the work on all items, several at once; results come as they are ready."""
    if workers == 1 or len(items) < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        pending = [pool.submit(work, item) for item in items]
        try:
            for done in as_completed(pending):
                yield done.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _stack(tree: xr.DataTree, era: Era, start: Any, end: Any, step: np.timedelta64 | None) -> Stack:
    for group, what in (("optical", "optical images"), ("sar", "radar images")):
        if group not in tree.children or not tree[group].sizes.get("time", 0):
            raise CubeError(
                f"the cube holds no {what}; synthetic labels are made of radar and optical images together: "
                "add some with terradelta cube import"
            )
    return Stack.of(tree, era, start=start, end=end, step=step)


def _whole(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r}; give a whole number") from None
    if number < 1:
        raise InputError(f"{name} is {number}; give 1 or more")
    return number


def _table(stack: Stack, windows: Sequence[TimeWindow]) -> WindowTable:
    first = np.array([window.start for window in windows])
    last = np.array([window.stop for window in windows]) - 1
    known = [side.stop - 1 for side in sides_of(windows)[1::2]]
    times = stack.times.astype("datetime64[ns]")
    return WindowTable(
        times[first], times[last], (last - first + 1).astype(np.int32), tuple(stack.digests[k] for k in known)
    )


def _extent(part: Slices) -> tuple[int, int]:
    return part[0].stop - part[0].start, part[1].stop - part[1].start


def _length(span: slice) -> int:
    return int(span.stop - span.start)
