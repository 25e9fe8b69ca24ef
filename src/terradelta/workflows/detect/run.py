"""The verb: from a cube to products, through an unfinished store that survives a kill."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from terradelta.cube import geobox_of, open_cube
from terradelta.errors import ConflictError, InputError
from terradelta.expected.scene import SceneState, fit_scene_states
from terradelta.sar import equivalent_looks
from terradelta.types import FloatArray, PathType
from terradelta.windows import Block, blocks
from terradelta.windows.nodes import Nodes
from terradelta.workflows.config import DetectSettings, load_settings
from terradelta.workflows.detect.combine import combine
from terradelta.workflows.detect.crew import Context, Crew
from terradelta.workflows.detect.methods import Layers, bytes_per_pixel, halo, layer_types, process_block
from terradelta.workflows.detect.series import OrbitSeries
from terradelta.workflows.detect.states import SceneStates, pack, pool, sample_cell, unpack
from terradelta.workflows.detect.store import Store
from terradelta.workflows.progress import Progress, no_progress

__all__ = ["detect", "run_detect"]

_PROCESS_BYTES = 320 * 2**20
_LEAST_BLOCK, _LARGEST_BLOCK = 64, 1024
_ROOMY_BLOCK = 256
_UNITS = {"robust": "standard deviations", "logratio": "dB", "omnibus": "-log10 of the p-value"}
_STATES = "states.npz"


def detect(cube: PathType | xr.DataTree, **settings: Any) -> dict[str, xr.Dataset]:
    """Find what changed in a cube, and when, without writing anything.

    Parameters
    ----------
    cube : path or DataTree
        A cube on disk, or one in memory.
    **settings
        Keys of `DetectSettings`, nested ones as ``{"robust": {"history": 8}}``; `workers` is 1 unless told.

    Returns
    -------
    dict of Dataset
        ``combined`` and one per relative orbit: ``change`` (0/1, 255 no data), ``score``, ``date`` (days since
        1970-01-01), ``count``, ``difference`` (dB). ``terradelta.products.write`` takes it as it is.

    Raises
    ------
    CubeError
        If the cube holds too few radar images.
    ConfigError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> import terradelta as td
    >>> place = td.simulate.place(seed=1, size=64, years=1, optical_days=0, orbits=td.simulate.ORBITS[1:2])
    >>> found = td.detect(place)
    >>> sorted(found)
    ['combined', 'orbit-037-descending']
    """
    tree = cube if isinstance(cube, xr.DataTree) else open_cube(cube)
    where = cube if not isinstance(cube, xr.DataTree) else tree.encoding.get("source", "")
    given = {"cube": where, "out": "", "workers": 1, **settings}
    job = _Job.of(tree, load_settings(DetectSettings, given=given), None)
    return job.run(no_progress)


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
    CubeError, StorageError
        If the cube cannot be used or the folder not be written.
    """
    from terradelta.products import write

    tree = open_cube(settings.cube)
    job = _Job.of(tree, settings, settings.out)
    if not settings.overwrite and _is_complete(settings.out, job.plan):
        return settings.out
    results = job.run(progress)
    with progress("writing products", 1) as advance:
        write(
            results,
            settings.out,
            provenance=job.provenance(),
            title=f"Change in {settings.cube.stem}",
            minimum_area_m2=settings.minimum_area,
        )
        advance(1)
    job.store.remove()
    return settings.out


def _is_complete(out: Path, plan: dict[str, Any]) -> bool:
    """Tell whether these very results are there; refuse if others are."""
    file = out / "summary.json"
    if not file.exists():
        return False
    before = json.loads(file.read_text(encoding="utf-8")).get("configuration", {}).get("plan")
    if before is None:
        raise ConflictError(f"{out} holds other results; choose another folder, or --overwrite")
    changed = [key for key in plan if key != "block" and before.get(key) != plan[key]]
    if changed:
        raise ConflictError(
            f"{out} holds results that differ in {', '.join(changed)}; choose another folder, or --overwrite"
        )
    return True


@dataclass
class _Job:
    """One run: its orbits, the size of its blocks and its store."""

    settings: DetectSettings
    context: Context
    geobox: GeoBox
    store: Store
    workers: int
    block: int
    cube: Path | None

    @classmethod
    def of(cls, tree: xr.DataTree, settings: DetectSettings, out: Path | None) -> _Job:
        context = Context.of(tree, settings)
        source = tree.encoding.get("source", "")
        images = max(len(one.times) for one in context.series.values())
        bands = max(one.bands for one in context.series.values())
        workers, block = _fit_memory(settings, images, bands, can_spread=bool(source))
        plan = {**_plan(settings, context), "block": block}
        if out is not None and not settings.overwrite:
            _is_complete(out, plan)
        store = Store(out, plan, overwrite=settings.overwrite)
        block = int(store.plan["block"])
        cube = Path(source) if source else None
        return cls(settings, context, geobox_of(tree), store, workers, block, cube)

    @property
    def plan(self) -> dict[str, Any]:
        return self.store.plan

    def run(self, progress: Progress) -> dict[str, xr.Dataset]:
        with Crew(self.context, self.cube, self.workers) as crew:
            found = {name: self._orbit(crew, series, progress) for name, series in self.context.series.items()}
        return {"combined": combine(found), **found}

    def _orbit(self, crew: Crew, series: OrbitSeries, progress: Progress) -> xr.Dataset:
        settings = self.settings
        states = self._states(crew, series, progress) if settings.method == "robust" else None
        looks = _looks(series, settings) if settings.method == "omnibus" else 0.0
        cut = blocks(series.size, self.block, halo=halo(settings))
        types = layer_types(settings, series.bands)
        group = self.store.layers(series.name, types, series.size, self.block)
        todo = [number for number in range(len(cut)) if not self.store.is_done(series.name, number)]
        crew.context.kept[series.name] = states
        tasks = [_BlockTask(series.name, n, cut[n], looks, self._states_file(series)) for n in todo]
        with progress(f"{series.name}: blocks", len(cut)) as advance:
            advance(len(cut) - len(todo))
            for task, layers in crew.run(_process, tasks):
                self.store.put(series.name, task.number, task.block, group, layers)
                advance(1)
        bands = [str(band) for band in series.backscatter["band"].values]
        return self.store.dataset(group, bands, self.geobox, _UNITS[settings.method])

    def _states_file(self, series: OrbitSeries) -> str:
        return "" if self.store.folder is None else str(self.store.folder / series.name / _STATES)

    def _states(self, crew: Crew, series: OrbitSeries, progress: Progress) -> SceneStates:
        nodes = Nodes(series.size, self.settings.neighbourhood)
        kept = self.store.load(series.name, _STATES)
        if kept is not None:
            return unpack(nodes, kept)
        samples: dict[int, FloatArray] = {}
        with progress(f"{series.name}: state of the scenes", 2 * len(nodes)) as advance:
            for task, sample in crew.run(_sample, [(series.name, node) for node in range(len(nodes))]):
                samples[task[1]] = sample
                advance(1)
            rows: dict[int, list[SceneState]] = {}
            pooled = ((series.name, node, pool(samples, nodes.around(node))) for node in range(len(nodes)))
            for fitted, states in crew.run(_fit, pooled):
                rows[fitted[1]] = states
                advance(1)
        found = SceneStates(nodes, [list(row) for row in zip(*(rows[n] for n in range(len(nodes))), strict=True)])
        self.store.save(series.name, _STATES, pack(found))
        return found

    def provenance(self) -> Any:
        from terradelta.products import Provenance

        settings = self.settings
        configuration = settings.model_dump(mode="json", exclude={"cube", "out", "overwrite", "workers"})
        fields = {**DetectSettings.model_fields}
        return Provenance(
            method=settings.method,
            configuration={**configuration, "plan": self.plan},
            inputs=[settings.cube.name],
            acquisitions=[a for one in self.context.series.values() for a in one.acquisitions()],
            notes={name: ("", field.description or "") for name, field in fields.items()},
        )


@dataclass(frozen=True)
class _BlockTask:
    orbit: str
    number: int
    block: Block
    looks: float
    states: str


def _process(context: Context, task: _BlockTask) -> Layers:
    series = context.series[task.orbit]
    states = context.kept.get(task.orbit)
    if states is None and context.settings.method == "robust":
        with np.load(task.states, allow_pickle=False) as arrays:
            kept = {key: arrays[key] for key in arrays.files}
        states = unpack(Nodes(series.size, context.settings.neighbourhood), kept)
        context.kept[task.orbit] = states
    return process_block(series, task.block, context.settings, states, task.looks)


def _sample(context: Context, task: tuple[str, int]) -> FloatArray:
    series = context.series[task[0]]
    nodes = Nodes(series.size, context.settings.neighbourhood)
    return sample_cell(series, nodes, task[1], context.settings.robust.parameters())


def _fit(context: Context, task: tuple[str, int, FloatArray]) -> list[SceneState]:
    first = context.series[task[0]].targets[0]
    return fit_scene_states(task[2], first, context.settings.robust.parameters())


def _looks(series: OrbitSeries, settings: DetectSettings) -> float:
    """Number of looks: as told, or the median over a few images of the middle of the scene."""
    if settings.omnibus.looks is not None:
        return settings.omnibus.looks
    middle = tuple(slice(max(n // 2 - 256, 0), n // 2 + 256) for n in series.size)
    images = np.linspace(0, len(series.times) - 1, min(len(series.times), 5)).astype(int)
    found = []
    for image in images:
        try:
            found.append(equivalent_looks(series.read((middle[0], middle[1]), slice(image, image + 1))[0]))
        except InputError:
            continue
    if not found:
        raise InputError(f"{series.name}: the number of looks cannot be estimated; set omnibus.looks")
    return max(float(np.median(found)), 1.0)


def _fit_memory(settings: DetectSettings, images: int, bands: int, *, can_spread: bool) -> tuple[int, int]:
    """Choose the number of processes and the side of a block that keep within the memory setting."""
    each = bytes_per_pixel(settings, images, bands)
    workers = (settings.workers or os.cpu_count() or 1) if can_spread else 1
    while True:
        processes = workers + 1 if workers > 1 else 1
        room = (settings.memory - processes * _PROCESS_BYTES) / workers
        side = int(np.sqrt(max(room, 0) / each)) - 2 * halo(settings)
        if side >= _ROOMY_BLOCK or (workers == 1 and side >= _LEAST_BLOCK):
            return workers, min(side - side % 32, _LARGEST_BLOCK)
        if workers == 1:
            least = (_LEAST_BLOCK + 2 * halo(settings)) ** 2 * each + _PROCESS_BYTES
            raise InputError(
                f"memory is {settings.memory / 2**20:.0f} MiB, but {images} images need at least "
                f"{least / 2**20:.0f} MiB; give more memory or a shorter period"
            )
        workers -= 1


def _plan(settings: DetectSettings, context: Context) -> dict[str, Any]:
    """What the results depend on."""
    told = settings.model_dump(mode="json", exclude={"cube", "out", "overwrite", "workers", "memory"})
    images = {one.name: [a["time"] + " " + a["source"] for a in one.acquisitions()] for one in context.series.values()}
    return {**told, "cube": settings.cube.name, "images": images}
