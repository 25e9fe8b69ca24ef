"""The verbs: build a cube of a place from its sources, and bring one up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from terradelta.cube import create_cube, write_weather
from terradelta.cube.files import remove_tree, storage_errors
from terradelta.cube.locking import exclusive
from terradelta.cube.manifest import Entry, Manifest
from terradelta.errors import CubeError, InputError, SourceError, UnavailableError
from terradelta.sources.remote.collecting import Collected, Limits, collect
from terradelta.sources.remote.registry import open_source
from terradelta.sources.room import expected_bytes, require_room
from terradelta.sources.weather import read_weather
from terradelta.types import Period
from terradelta.workflows.building.plan import BuildPlan, plan_build
from terradelta.workflows.building.request import Request
from terradelta.workflows.config import BuildSettings, UpdateSettings
from terradelta.workflows.executing import executing
from terradelta.workflows.progress import Progress, no_progress

_DAYS_BEFORE = np.timedelta64(4, "D")
"""Networks ask for the rain of the three days before an image, and a day's rain ends with the next day."""

__all__ = ["Built", "run_build", "run_update"]


@dataclass(frozen=True)
class Built:
    """What came of a build.

    Attributes
    ----------
    plan : BuildPlan
        What was to come.
    collected : Collected or None
        What came; None for a dry run.
    weather_days : int
        Days of weather in the cube afterwards, as far as this run wrote some.
    """

    plan: BuildPlan
    collected: Collected | None = None
    weather_days: int = 0


def run_build(settings: BuildSettings, progress: Progress = no_progress) -> Built:
    """Make a cube of a place, or go on with it: what is there is not fetched again.

    Parameters
    ----------
    settings : BuildSettings
        What to do; names at least one source.
    progress : callable
        See `show_progress`.

    Returns
    -------
    Built
        What came of it.

    Raises
    ------
    AccessError, SourceError, UnavailableError
        A source cannot be used or does not answer; what came before is in the cube.
    ConflictError, LockedError, StorageError
        The cube is on another grid, of another kind, in use, or there is no room.
    """
    return _Job(settings.cube, Request.of(settings), settings, progress).run()


def run_update(settings: UpdateSettings, progress: Progress = no_progress) -> list[Built]:
    """Ask the sources of a cube again and add what is new since, for each kind of request it was built by.

    Raises
    ------
    InputError
        The cube was not built from sources.
    AccessError, SourceError, UnavailableError, LockedError, StorageError
        As :func:`run_build`.
    """
    requests = Manifest(settings.cube).standing
    if not requests:
        raise InputError(
            f"{settings.cube} was not built from sources, so nothing tells where to look; "
            "use `terradelta cube import` for files"
        )
    jobs = [Request.from_document(one).until(settings.until) for one in requests]
    return [_Job(settings.cube, one, settings, progress).run() for one in jobs]


@dataclass(frozen=True)
class _Job:
    """One build."""

    cube: Path
    request: Request
    settings: BuildSettings | UpdateSettings
    progress: Progress

    def run(self) -> Built:
        """Plan, and unless it is a dry run, fetch."""
        grid = self.request.grid
        if not self.cube.exists():  # before a continent is searched
            least = expected_bytes(grid, sar=1, sar_bands=1, optical=0, optical_bands=0, layers=0)
            require_room(self.cube, least)
        plan = self.plan()
        if self.settings.dry_run:
            return Built(plan)
        require_room(self.cube, plan.cube_bytes)
        weather = self.weather(plan)
        with storage_errors(self.cube):
            self.cube.parent.mkdir(parents=True, exist_ok=True)
            place = self.cube.resolve()
            with exclusive(place.with_name(f"{place.name}.build"), timeout=1), _unless_empty(self.cube):
                create_cube(self.cube, grid, name=self.request.area.name)
                manifest = Manifest(self.cube)
                manifest.ask(self.request.document(), plan.asked)
                manifest.save()
                return self.fetch(plan, manifest, weather)

    def plan(self) -> BuildPlan:
        """Ask the sources."""
        names = self.request.asked["source"]
        with self.progress("asking the sources", len(names)) as advance:
            sources = [open_source(name) for name in names]
            return plan_build(self.cube, self.request, sources, lambda name: advance(1))

    def weather(self, plan: BuildPlan) -> xr.Dataset | None:
        """Read the weather of all files together, before anything is fetched that takes long."""
        if not plan.weather:
            return None
        told, asked = self.request.period, self.request.asked
        period = Period(told.start - _DAYS_BEFORE, told.end)
        return read_weather(
            list(plan.weather), near=self.request.grid, period=period, grid=asked["weather_grid"]
        )

    def fetch(self, plan: BuildPlan, manifest: Manifest, weather: xr.Dataset | None) -> Built:
        """Bring what is new into the cube."""
        told = self.settings
        limits = Limits(parallel=told.parallel, memory=told.memory)
        reads = [name for name in self.request.asked["source"] if Path(name).exists()]
        with (
            executing(told.scheduler, reads=reads) as executor,
            self.progress("fetching", len(plan.new) + len(plan.new_layers)) as advance,
        ):
            collected = collect(
                self.cube, plan.offers, plan.layers, manifest, limits=limits, executor=executor,
                tell=_follower(advance),
            )  # fmt: skip
        if _is_empty(manifest) and collected.failures:
            kind = UnavailableError if collected.unavailable else SourceError
            raise kind(f"nothing came of {len(collected.failures)} that should; {collected.failures[0]}")
        if weather is None:
            return Built(plan, collected)
        write_weather(self.cube, weather)
        manifest.record(Entry("weather", "added", "weather", facts={"files": ", ".join(plan.weather)}))
        manifest.save()
        return Built(plan, collected, int(weather.sizes["day"]))


@contextmanager
def _unless_empty(cube: Path) -> Iterator[None]:
    """Leave nothing behind where a cube is made of which nothing comes."""
    new = not (cube / "zarr.json").exists()
    try:
        yield
    except BaseException:
        with suppress(OSError, CubeError):
            if new and _is_empty(Manifest(cube)):
                remove_tree(cube)
        raise


def _is_empty(manifest: Manifest) -> bool:
    return not manifest.counts().keys() - {"failed"}


def _follower(advance: Any) -> Any:
    told = 0

    def tell(done: int, total: int, what: str) -> None:
        nonlocal told
        advance(done - told)
        told = done

    return tell
