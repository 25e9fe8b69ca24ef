"""The verbs: build a cube of a place from its sources, and bring one up to date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from terradelta.cube import create_cube, geobox_of, open_cube, write_weather
from terradelta.cube.locking import exclusive
from terradelta.cube.manifest import Entry, Manifest
from terradelta.errors import InputError
from terradelta.sources.remote.collecting import Collected, Limits, collect
from terradelta.sources.remote.registry import open_source
from terradelta.sources.room import require_room
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


def run_update(settings: UpdateSettings, progress: Progress = no_progress) -> Built:
    """Ask the sources of a cube again and add what is new since.

    Raises
    ------
    InputError
        The cube was not built from sources.
    AccessError, SourceError, UnavailableError, LockedError, StorageError
        As :func:`run_build`.
    """
    asked = Manifest(settings.cube).last_request
    if asked is None:
        raise InputError(
            f"{settings.cube} was not built from sources, so nothing tells where to look; "
            "use `terradelta cube import` for files"
        )
    return _Job(settings.cube, Request.from_document(asked).until(settings.until), settings, progress).run()


@dataclass(frozen=True)
class _Job:
    """One build."""

    cube: Path
    request: Request
    settings: BuildSettings | UpdateSettings
    progress: Progress

    def run(self) -> Built:
        """Plan, and unless it is a dry run, fetch."""
        plan = self.plan()
        if self.settings.dry_run:
            return Built(plan)
        require_room(self.cube, plan.cube_bytes)
        create_cube(self.cube, self.request.grid, name=self.request.area.name)
        with exclusive(self.cube.with_name(f"{self.cube.name}.build"), timeout=1):
            manifest = Manifest(self.cube)
            manifest.ask(self.request.document(), plan.asked)
            manifest.save()
            return self.fetch(plan, manifest)

    def plan(self) -> BuildPlan:
        """Ask the sources."""
        names = self.request.asked["source"]
        with self.progress("asking the sources", len(names)) as advance:
            sources = [open_source(name) for name in names]
            return plan_build(self.cube, self.request, sources, lambda name: advance(1))

    def fetch(self, plan: BuildPlan, manifest: Manifest) -> Built:
        """Bring what is new into the cube."""
        told = self.settings
        limits = Limits(parallel=told.parallel, memory=told.memory)
        reads = [name for name in self.request.asked["source"] if Path(name).exists()]
        with (
            executing(told.scheduler, reads=reads) as executor,
            self.progress("fetching", 1 + len(plan.new)) as advance,
        ):
            collected = collect(
                self.cube, plan.offers, plan.layers, manifest, limits=limits, executor=executor,
                tell=_follower(advance),
            )  # fmt: skip
        days = self.weather(plan, manifest)
        return Built(plan, collected, days)

    def weather(self, plan: BuildPlan, manifest: Manifest) -> int:
        """Write the weather of all files together."""
        if not plan.weather:
            return 0
        told = self.request.period
        period = Period(told.start - _DAYS_BEFORE, told.end)
        near, grid = geobox_of(open_cube(self.cube)), self.request.asked["weather_grid"]
        dataset = read_weather(list(plan.weather), near=near, period=period, grid=grid)
        write_weather(self.cube, dataset)
        manifest.record(Entry("weather", "added", "weather", facts={"files": ", ".join(plan.weather)}))
        manifest.save()
        return int(dataset.sizes["day"])


def _follower(advance: Any) -> Any:
    told = 0

    def tell(done: int, total: int, what: str) -> None:
        nonlocal told
        advance(done - told)
        told = done

    return tell
