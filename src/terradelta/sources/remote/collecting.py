"""From offers into a cube: read ahead in parallel, written in order by one writer, every outcome noted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import rasterio

from terradelta.cube import geobox_of, open_cube, write_static
from terradelta.cube.append import Appender, appending
from terradelta.cube.manifest import Entry, Manifest
from terradelta.errors import (
    AccessError,
    EmptyError,
    InputError,
    SourceError,
    StorageError,
    UnavailableError,
)
from terradelta.sources.planned import lazy_blocks
from terradelta.sources.remote.ahead import ReadAhead, blocks_in_flight
from terradelta.sources.remote.offers import LayerOffer, Offer
from terradelta.sources.remote.threads import ReadingThreads
from terradelta.types import PathType

__all__ = ["Collected", "Limits", "collect"]

Tell = Callable[[int, int, str], None]
_GDAL_SHARE, _GDAL_LEAST = 8, 32 * 2**20
"""GDAL keeps tiles that it read in a memory of its own, by default a twentieth of the machine's."""

_UNITS = {"dem": "m", "forest": "1"}


@dataclass(frozen=True)
class Limits:
    """How much is done at a time.

    Attributes
    ----------
    parallel : int
        Blocks read at a time.
    memory : int
        Bytes for blocks that are read or wait.
    patience : int
        Acquisitions in a row that a server may fail to give before the run stops.
    """

    parallel: int = 8
    memory: int = 2**30
    patience: int = 3


@dataclass
class Collected:
    """What came of a run.

    Attributes
    ----------
    outcomes : Counter
        How many acquisitions were "added", were "there" already, are "empty" or "failed".
    failures : list of str
        One line for each that did not come.
    layers : list of str
        Names of the layers written.
    unavailable : bool
        A server did not answer as it should; the same command may fetch the rest.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    unavailable: bool = False


def collect(
    cube: PathType,
    offers: Sequence[Offer],
    layers: Sequence[LayerOffer],
    manifest: Manifest,
    *,
    limits: Limits | None = None,
    executor: Executor | None = None,
    tell: Tell | None = None,
) -> Collected:
    """Bring what is offered into a cube and note what became of it; what is settled is not asked for again.

    Parameters
    ----------
    cube : path
        The cube.
    offers : sequence of Offer
        Radar and optical acquisitions.
    layers : sequence of LayerOffer
        Layers without time.
    manifest : Manifest
        Of the cube.
    limits : Limits, optional
        How much at a time.
    executor : concurrent.futures.Executor, optional
        Reads the blocks; threads of its own by default.
    tell : callable, optional
        Called with (done, total, what) before each step and at the end.

    Returns
    -------
    Collected
        What came of it.

    Raises
    ------
    AccessError
        Credentials are missing or wrong; what came before is in the cube.
    UnavailableError
        A server does not answer several times in a row; what came before is in the cube.
    LockedError, StorageError
        Another process writes to the cube, or the disk refuses.
    """
    run = _Run(Path(cube), manifest, limits or Limits(), tell or (lambda done, total, what: None))
    ordered = [one for group in ("sar", "optical") for one in _in_order(offers, group)]
    wanted = [one for one in ordered if not manifest.settled(one.key, one.source_id)]
    new_layers = [layer for layer in layers if not manifest.settled(layer.key)]
    run.result.outcomes["there"] += len(ordered) - len(wanted)
    run.total = len(wanted) + len(new_layers)
    cache = max(run.limits.memory // _GDAL_SHARE, _GDAL_LEAST)
    try:
        with rasterio.Env(GDAL_CACHEMAX=cache):
            if wanted:
                run.take_images(wanted, executor)
            for layer in new_layers:
                run.take_layer(layer)
    finally:
        manifest.save()
    run.step("done")
    return run.result


def _in_order(offers: Sequence[Offer], group: str) -> list[Offer]:
    return sorted((one for one in offers if one.group == group), key=lambda one: (one.time, one.key))


@dataclass
class _Run:
    """One run of :func:`collect`."""

    path: Path
    manifest: Manifest
    limits: Limits
    tell: Tell
    result: Collected = field(default_factory=Collected)
    total: int = 0
    done: int = 0
    failed_in_a_row: int = 0
    written: list[Entry] = field(default_factory=list)

    def step(self, what: str) -> None:
        """Tell the progress before the next step."""
        self.tell(self.done, self.total, what)
        self.done += 1

    def take_images(self, offers: Sequence[Offer], executor: Executor | None) -> None:
        """Add acquisitions in the given order, reading ahead."""
        grid = geobox_of(open_cube(self.path))
        bands = max(len(one.bands) + (one.group == "optical") for one in offers)
        ahead = blocks_in_flight(grid, bands, parallel=self.limits.parallel, memory=self.limits.memory)
        with _reading(executor, min(self.limits.parallel, ahead)) as own, appending(self.path) as appender:
            blocks = ReadAhead(offers, grid, own, ahead)
            try:
                for offer in offers:
                    self.step(f"{offer.group} {str(offer.time)[:19]}")
                    self._add(offer, blocks, appender)
            finally:
                blocks.close()
                appender.commit()
                self._note_written(appender)

    def _add(self, offer: Offer, blocks: ReadAhead, appender: Appender) -> None:
        begun = time.monotonic()
        try:
            outcome = appender.add(blocks.acquisition(offer))
        except EmptyError:
            self._settle(offer, "empty", begun)
        except (AccessError, StorageError):
            raise
        except InputError as error:
            blocks.drop(offer)
            self._fail(offer, error)
            if isinstance(error, UnavailableError):
                self._lose_patience(error)
        else:
            self._settle(offer, "added" if outcome == "added" else "there", begun)
        self._note_written(appender)

    def _lose_patience(self, error: UnavailableError) -> None:
        self.failed_in_a_row += 1
        if self.failed_in_a_row >= self.limits.patience:
            raise UnavailableError(
                f"{self.failed_in_a_row} acquisitions in a row did not come ({error}); what came before "
                "is in the cube, and the same command goes on"
            )

    def _settle(self, offer: Offer, outcome: str, begun: float) -> None:
        self.failed_in_a_row = 0
        self.result.outcomes[outcome] += 1
        entry = Entry(
            offer.key, "empty" if outcome == "empty" else "added", offer.group, str(offer.time)[:19],
            source_id=offer.source_id, nbytes=offer.nbytes, seconds=round(time.monotonic() - begun, 3),
            facts=dict(offer.facts),
        )  # fmt: skip
        self.written.append(entry)

    def _note_written(self, appender: Appender) -> None:
        """Note what came, once it counts: never before the cube has it."""
        if not appender.pending:
            self.manifest.record(*self.written)
            self.written.clear()
        self.manifest.save(lazily=True)

    def _fail(self, offer: Offer | LayerOffer, error: Exception) -> None:
        why = " ".join(str(error).split())
        self.result.outcomes["failed"] += 1
        self.result.unavailable |= isinstance(error, UnavailableError)
        self.result.failures.append(f"{offer.key}: {why}")
        group, when = ("static", "") if isinstance(offer, LayerOffer) else (offer.group, str(offer.time)[:19])
        self.manifest.record(Entry(offer.key, "failed", group, when, why=why, facts=dict(offer.facts)))

    def take_layer(self, layer: LayerOffer) -> None:
        """Write one layer without time."""
        self.step(f"layer {layer.name}")
        begun = time.monotonic()
        about = f"{layer.source} {layer.product}"
        try:
            values = self._values_of(layer)
            write_static(self.path, layer.name, values, units=_UNITS.get(layer.name, ""), description=about)
        except (AccessError, StorageError):
            raise
        except InputError as error:
            self._fail(layer, error)
            return
        self.result.layers.append(layer.name)
        seconds = round(time.monotonic() - begun, 3)
        entry = Entry(
            layer.key, "added", "static", nbytes=layer.nbytes, seconds=seconds, facts=dict(layer.facts)
        )
        self.manifest.record(entry)

    def _values_of(self, layer: LayerOffer) -> Any:
        """Read a layer once where it fits into memory, else give it to be read block by block."""
        grid = geobox_of(open_cube(self.path))
        values: Any = lazy_blocks(layer.read, grid, layer.read(grid[:1, :1]).dtype, None)
        if values.nbytes <= self.limits.memory // 2:
            with _reading(None, self.limits.parallel) as own:
                values = values.compute(scheduler=own)
        if values.dtype.kind == "f" and not bool(np.asarray(da.isfinite(values).any())):
            raise SourceError(f"layer {layer.name} has no valid pixel in the cube")
        return values


@contextmanager
def _reading(executor: Executor | None, parallel: int) -> Iterator[Executor]:
    """Give the executor, or threads of our own; when an error comes nothing more of them is waited for."""
    if executor is not None:
        yield executor
        return
    own = ReadingThreads(parallel)
    try:
        yield own
    finally:
        own.shutdown(wait=False, cancel_futures=True)
