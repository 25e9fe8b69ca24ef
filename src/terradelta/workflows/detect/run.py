"""The verb: from a cube to products, through an unfinished store that survives a kill."""

from __future__ import annotations

import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from terradelta.cube import geobox_of, open_cube
from terradelta.cube.location import path_of
from terradelta.expected.scene import SceneState
from terradelta.expected.scene_nodes import SceneStates, pack, pool, unpack
from terradelta.types import FloatArray, PathType
from terradelta.windows import blocks
from terradelta.windows.nodes import Nodes
from terradelta.workflows.config import DetectSettings, load_settings
from terradelta.workflows.detect.combine import combine
from terradelta.workflows.detect.crew import Context, Crew
from terradelta.workflows.detect.memory import choose, most_workers
from terradelta.workflows.detect.methods import halo, layer_types, units_of
from terradelta.workflows.detect.plan import is_complete, plan_of, provenance
from terradelta.workflows.detect.seen import Seen, expect_all, load_model
from terradelta.workflows.detect.series import OrbitSeries
from terradelta.workflows.detect.store import Store
from terradelta.workflows.detect.tasks import (
    BlockTask,
    FitTask,
    SampleTask,
    do_block,
    estimate_looks,
    fit_node,
    sample_node,
)
from terradelta.workflows.executing import executing
from terradelta.workflows.progress import Progress, no_progress

__all__ = ["detect", "run_detect"]

_LOG = logging.getLogger(__name__)
_STATES, _EXPECTED = "states.npz", "expected"
_GDAL_SHARE, _GDAL_LEAST = 8, 32 * 2**20


def detect(cube: PathType | xr.DataTree, **settings: Any) -> dict[str, xr.Dataset]:
    """Find what changed in a cube, and when, without writing anything.

    Parameters
    ----------
    cube : path or DataTree
        A cube on disk, or one in memory.
    **settings
        Keys of `DetectSettings`, nested ones as ``robust={"history": 8}``; `workers` is 1 unless told.

    Returns
    -------
    dict of Dataset
        ``combined`` and one per relative orbit: ``change`` (0/1, 255 no data), ``score``, ``date`` (days
        since 1970-01-01), ``count``, ``difference`` (dB). ``terradelta.products.write`` takes it as it is.

    Raises
    ------
    CubeError
        If the cube holds too few radar images.
    ConfigError
        If a setting is unknown or out of range.
    InputError
        If the memory does not suffice.

    Examples
    --------
    >>> import terradelta as td
    >>> place = td.simulate.place(seed=1, size=64, years=1, optical_days=0, orbits=td.simulate.ORBITS[1:2])
    >>> found = td.detect(place)
    >>> sorted(found)
    ['combined', 'orbit-037-descending']
    """
    tree = cube if isinstance(cube, xr.DataTree) else open_cube(cube)
    where = tree.encoding.get("source", "") if isinstance(cube, xr.DataTree) else cube
    chosen = load_settings(DetectSettings, given={"cube": where, "out": "", "workers": 1, **settings})
    context = _context(tree, chosen)
    with (
        Store(None, plan_of(chosen, context.series)) as store,
        executing(chosen.scheduler, reads=[chosen.cube]) as executor,
    ):
        return _Job.of(tree, context, store, executor).run(no_progress)


def run_detect(settings: DetectSettings, progress: Progress = no_progress) -> Path:
    """Find what changed and write the products.

    The same command again goes on where it was stopped, or finds that all is done.

    Parameters
    ----------
    settings : DetectSettings
        What to do.
    progress : callable
        See `show_progress`.

    Returns
    -------
    Path
        The output folder.

    Raises
    ------
    ConflictError
        If results of other settings or inputs are there and `overwrite` is not set.
    LockedError
        If another process works in the output folder.
    UnavailableError
        If a scheduler was told and does not answer.
    CubeError, InputError, StorageError
        If the cube cannot be used, the memory does not suffice, or the folder cannot be written.
    """
    tree = open_cube(settings.cube)
    context = _context(tree, settings)
    plan = plan_of(settings, context.series)
    if not settings.overwrite and is_complete(settings.out, plan):
        return settings.out
    with Store(settings.out, plan, overwrite=settings.overwrite) as store:
        with executing(settings.scheduler, reads=[settings.cube, settings.out]) as executor:
            results = _Job.of(tree, context, store, executor).run(progress)
        _write(results, settings, plan, progress)
        store.remove()
    return settings.out


def _context(tree: xr.DataTree, settings: DetectSettings) -> Context:
    context = Context.of(tree, settings)
    for reason in context.left_out:
        _LOG.warning("left out: %s", reason)
    return context


def _write(
    results: dict[str, xr.Dataset], settings: DetectSettings, plan: dict[str, Any], progress: Progress
) -> None:
    import rasterio

    from terradelta.products import write

    cache = max(settings.memory // _GDAL_SHARE, _GDAL_LEAST)
    with progress("writing products", 1) as advance, rasterio.Env(GDAL_CACHEMAX=cache):
        write(
            results,
            settings.out,
            provenance=provenance(settings, plan),
            title=f"Change in {settings.cube.stem}",
            minimum_area_m2=settings.minimum_area,
        )
        advance(1)


@dataclass(frozen=True)
class _Job:
    """One run over all orbits of a cube."""

    tree: xr.DataTree
    context: Context
    store: Store
    executor: Executor | None
    workers: int
    block: int

    @classmethod
    def of(cls, tree: xr.DataTree, context: Context, store: Store, executor: Executor | None) -> _Job:
        series = list(context.series.values())
        images, bands = max(len(one) for one in series), max(one.bands for one in series)
        most = most_workers(context.settings, series[0].size) if tree.encoding.get("source") else 1
        workers, block = choose(context.settings, series[0].size, images, bands, most=most, block=store.block)
        if store.block is None:
            store.decide(block)
        return cls(tree, context, store, executor, workers, block)

    def run(self, progress: Progress) -> dict[str, xr.Dataset]:
        here = self.executor is None and not self.tree.encoding.get("source")
        cube = None if here else path_of(self.tree)
        with Crew(self.context, cube, self.workers, self.executor) as crew:
            series = self.context.series.values()
            found = {one.name: self._orbit(crew, one, progress) for one in series}
        return {"combined": combine(found), **found}

    def _orbit(self, crew: Crew, series: OrbitSeries, progress: Progress) -> xr.Dataset:
        settings, store, name = self.context.settings, self.store, series.name
        store.open_layers(name, layer_types(settings, series.bands), series.size)
        cut = blocks(series.size, self.block, halo=halo(settings))
        todo = [number for number in range(len(cut)) if not store.is_done(name, number)]
        if todo:
            states = self._states(crew, series, progress) if settings.method == "robust" else None
            looks = estimate_looks(series, settings) if settings.method == "omnibus" else float("nan")
            seen = self._expected(series, progress) if settings.method == "expected" else None
            tasks = (
                BlockTask(name, n, cut[n], states.near(cut[n].read) if states else None, looks, seen)
                for n in todo
            )
            with progress(f"{name}: blocks", len(cut)) as advance:
                advance(len(cut) - len(todo))
                for task, layers in crew.run(do_block, tasks):
                    store.put(name, task.number, task.block, layers)
                    advance(1)
        bands = [str(band) for band in series.backscatter["band"].values]
        return store.dataset(name, bands, geobox_of(self.tree), units_of(settings))

    def _expected(self, series: OrbitSeries, progress: Progress) -> Seen:
        model = load_model(self.context.settings)
        folder = self.store.folder(series.name)
        place = None if folder is None else folder / _EXPECTED
        return expect_all(model, self.tree, series, self.context.settings, place, progress, self.executor)

    def _states(self, crew: Crew, series: OrbitSeries, progress: Progress) -> SceneStates:
        nodes = Nodes(series.size, self.context.settings.neighbourhood)
        kept = self.store.load(series.name, _STATES)
        if kept is not None:
            return unpack(nodes, kept)
        samples: dict[int, FloatArray] = {}
        states: dict[int, list[SceneState]] = {}
        with progress(f"{series.name}: state of the scenes", 2 * len(nodes)) as advance:
            cells = (SampleTask(series.name, node) for node in range(len(nodes)))
            for cell, sample in crew.run(sample_node, cells):
                samples[cell.node] = sample
                advance(1)
            fits = (FitTask(series.name, node, pool(samples, nodes, node)) for node in range(len(nodes)))
            for fit, fitted in crew.run(fit_node, fits):
                states[fit.node] = fitted
                advance(1)
        found = SceneStates(nodes, states)
        self.store.save(series.name, _STATES, pack(found))
        return found
