"""The verb: from a cube and networks to window maps that are kept, and from these to products."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from terradelta.cube import open_cube
from terradelta.errors import InputError
from terradelta.workflows.config import MonitorSettings
from terradelta.workflows.executing import executing
from terradelta.workflows.monitor.extras import Extras, require_points, require_video
from terradelta.workflows.monitor.plan import Plan, day_after, plan_of
from terradelta.workflows.progress import Progress, no_progress

if TYPE_CHECKING:
    from terradelta.urban import ERCNN, Era

__all__ = ["WINDOWS", "run_monitor", "windows_at"]

WINDOWS = "windows.zarr"
"""Name of the window maps in the output folder."""

_GDAL_SHARE, _GDAL_LEAST, _LAYERS_SHARE = 8, 32 * 2**20, 4


def run_monitor(settings: MonitorSettings, progress: Progress = no_progress) -> Path:
    """Compute the window maps of a cube and write the products.

    The same command again goes on where it was stopped, or finds that all is done. When the cube has grown,
    the new windows are computed and the products made anew.

    Parameters
    ----------
    settings : MonitorSettings
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
        If results of other settings, networks or of another cube are there and `overwrite` is not set.
    LockedError
        If another process works in the output folder.
    UnavailableError
        If a scheduler was told and does not answer.
    CubeError, InputError, StorageError
        If the cube or a network cannot be used, a package is missing, the memory does not suffice, or the
        folder cannot be written.
    """
    require_video(settings)
    from terradelta.urban import load_network

    nets = [load_network(path) for path in settings.weights]
    tree = open_cube(settings.cube)
    _require_era(tree, nets[0].era)
    require_points(settings, tree)
    plan = plan_of(settings, nets, tree)
    plan.require_same_settings()
    with executing(settings.scheduler, reads=[settings.cube]) as executor:
        maps = _window_maps(tree, nets, settings, progress, executor)
    mark = _fingerprint(settings.out / WINDOWS)
    if not plan.is_complete(mark):
        _write(Extras(settings, tree, maps["mean"], _title(settings), progress), maps, plan, mark)
    return settings.out


def _require_era(tree: xr.DataTree, era: Era) -> None:
    """Refuse networks of missions that are not those of the cube, where that is plain to see."""
    from terradelta.urban import ERAS

    if "optical" not in tree.children:
        return
    bands = set(np.atleast_1d(tree["optical"].coords["band"].values))
    others = [other.name for other in ERAS.values() if bands.issuperset(other.optical_bands)]
    if others and not bands.intersection(era.optical_bands):
        raise InputError(
            f"the networks are of the era {era.name} ({', '.join(era.optical_bands)}), but the cube holds "
            f"images of {others[0]}; give weights of that era"
        )


def _window_maps(
    tree: xr.DataTree,
    nets: Sequence[ERCNN],
    settings: MonitorSettings,
    progress: Progress,
    executor: Executor | None,
) -> xr.Dataset:
    """Bring the window maps up to date; their mean is the statistic that products are made of."""
    from terradelta.urban import monitor, open_maps

    store = settings.out / WINDOWS
    chosen = monitor(
        tree,
        nets,
        stride=settings.stride,
        tile=settings.tile,
        dead_zone=settings.dead_zone,
        device=settings.device,
        precision=settings.precision,
        memory=settings.memory,
        start=settings.start,
        end=None if settings.end is None else day_after(settings.end),
        incomplete=settings.incomplete,
        tiling=settings.tiling,
        statistic=settings.statistic,
        fewest=settings.fewest,
        most=settings.most,
        store=store,
        overwrite=settings.overwrite,
        progress=progress,
        executor=executor,
    )
    return open_maps(store).assign(mean=chosen)


def _fingerprint(store: Path) -> str:
    """Tell maps from others: the store names what each of its windows was made from."""
    import zarr

    names = np.asarray(zarr.open_array(str(store / "digest"), mode="r")[...])
    return hashlib.sha256("\n".join(str(name) for name in names).encode()).hexdigest()[:32]


def _title(settings: MonitorSettings) -> str:
    return f"Urban change in {settings.cube.stem}"


def _write(extras: Extras, maps: xr.Dataset, plan: Plan, mark: str) -> None:
    import rasterio

    from terradelta.products import write
    from terradelta.urban import whole_period

    settings = extras.settings
    cache = max(settings.memory // _GDAL_SHARE, _GDAL_LEAST)
    with extras.progress("writing products", 1) as advance, rasterio.Env(GDAL_CACHEMAX=cache):
        layers = whole_period(maps, settings.threshold)
        if layers.nbytes < settings.memory // _LAYERS_SHARE:
            layers = layers.compute()  # each layer by itself would read all windows again
        write(
            layers,
            settings.out,
            provenance=plan.provenance(mark),
            title=extras.title,
            minimum_area_m2=settings.minimum_area,
            add=extras,
        )
        advance(1)


def windows_at(out: Path) -> str:
    """Say in a few words which windows an output folder holds.

    Parameters
    ----------
    out : Path
        From `run_monitor`.

    Returns
    -------
    str
        Such as ``41 windows, 2018-01-02 to 2021-12-28``.
    """
    from terradelta.urban import open_maps

    maps = open_maps(out / WINDOWS)
    count = maps.sizes["window"]
    start, end = (str(maps[name].values[place])[:10] for name, place in (("start", 0), ("end", -1)))
    return f"{count} window{'s' if count > 1 else ''}, {start} to {end}"
