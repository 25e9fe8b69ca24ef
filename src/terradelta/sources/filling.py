"""From a plan into a cube: what is there is skipped, what is bad is named, nothing is written by halves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from dask.base import compute
from numpy.typing import NDArray

from terradelta.cube import (
    Acquisition,
    append,
    append_all,
    create_cube,
    geobox_of,
    open_cube,
    write_weather,
)
from terradelta.errors import SourceError
from terradelta.sources.folder import Plan, scan
from terradelta.sources.planned import BLOCK, PlannedAcquisition
from terradelta.sources.problems import OnError, Problems
from terradelta.sources.report import FillReport
from terradelta.sources.statics import by_name, write_layer_of
from terradelta.sources.tfrecord import holds_records, import_record
from terradelta.sources.weather import read_weather
from terradelta.types import PathType

__all__ = ["build_cube", "fill", "import_into"]

Progress = Callable[[int, int, str], None]
IN_MEMORY = 64 * 2**20
"""Acquisitions up to this size (bytes) are read once as a whole; larger ones block by block."""


def build_cube(
    source: PathType,
    out: PathType,
    *,
    progress: Progress | None = None,
    on_error: OnError = "stop",
    record: int | None = None,
    **options: Any,
) -> FillReport:
    """Make a cube from a folder; the same call again completes it.

    Parameters
    ----------
    source : path
        Folder of rasters and tables, or a TFRecord file of raw samples (:func:`import_record`).
    out : path
        The cube.
    progress : callable, optional
        Called with (done, total, what) before each step and at the end.
    on_error : {"stop", "skip"}
        Stop at the first bad file, or note it and go on.
    record : int, optional
        Which record of a TFRecord file, from 1.
    **options
        `pattern`, `sidecar`, `geobox`, `bounds`, `crs`, `resolution` of :func:`scan`.

    Raises
    ------
    SourceError
        See :func:`scan` and :func:`fill`.
    ConflictError
        A cube on another grid, or other data under the same identity, is there.
    """
    if holds_records(source):
        return _from_records(out, source, record, on_error, progress, options)
    _no_record(source, record)
    return fill(out, scan(source, on_error=on_error, **options), progress=progress, on_error=on_error)


def import_into(
    cube: PathType,
    source: PathType,
    *,
    progress: Progress | None = None,
    on_error: OnError = "stop",
    record: int | None = None,
    **options: Any,
) -> FillReport:
    """Bring more data into a cube that exists, on its grid; for a TFRecord file it is made if need be.

    Parameters
    ----------
    cube : path
        The cube.
    source : path
        Folder, or one file.
    progress, on_error, record
        As in :func:`build_cube`.
    **options
        `pattern` and `sidecar` of :func:`scan`.

    Raises
    ------
    CubeError
        There is no cube.
    SourceError
        See :func:`scan` and :func:`fill`.
    """
    if holds_records(source):
        return _from_records(cube, source, record, on_error, progress, options)
    _no_record(source, record)
    plan = scan(source, geobox=geobox_of(open_cube(cube)), on_error=on_error, **options)
    return fill(cube, plan, progress=progress, on_error=on_error)


def _from_records(
    cube: PathType,
    source: PathType,
    record: int | None,
    on_error: OnError,
    progress: Progress | None,
    options: dict[str, Any],
) -> FillReport:
    """Import a record, which tells its own grid, bands and times."""
    crs = options.pop("crs", None)
    idle = [name for name, value in options.items() if value not in (None, "*")]
    if idle:
        raise SourceError(f"{source}: a TFRecord file takes no {', '.join(idle)}; leave it out")
    return import_record(cube, source, record=record, crs=crs, on_error=on_error, progress=progress)


def _no_record(source: PathType, record: int | None) -> None:
    if record is not None:
        raise SourceError(f"{source} is no TFRecord file, so it has no record {record}; leave --record out")


def fill(
    path: PathType, plan: Plan, *, progress: Progress | None = None, on_error: OnError = "stop"
) -> FillReport:
    """Write everything a plan holds into a cube, acquisition by acquisition.

    Parameters
    ----------
    path : path
        The cube; made on the plan's grid if it is not there.
    plan : Plan
        From :func:`scan`.
    progress : callable, optional
        Called with (done, total, what) before each step and at the end.
    on_error : {"stop", "skip"}
        What to do when a file cannot be read: raise, with everything before it safely in the cube, or note
        it in `failures` and go on.

    Returns
    -------
    FillReport
        What was added, skipped and left out.

    Raises
    ------
    SourceError
        A bad file, or nothing at all that shows valid pixels.
    ConflictError
        The cube lies on another grid, or holds other data under the same identity.
    """
    path = Path(path)
    create_cube(path, plan.geobox)
    work = _Work(path, plan, Problems(on_error), progress or (lambda done, total, what: None))
    for group in (plan.sar, plan.optical):
        work.append(group)
    work.require_something()
    work.write_static()
    work.write_weather()
    return work.report()


@dataclass
class _Work:
    """One run of :func:`fill`: what is done, what went wrong."""

    path: Path
    plan: Plan
    problems: Problems
    tell: Progress
    done: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    static: list[str] = field(default_factory=list)
    days: int = 0

    def step(self, what: str) -> None:
        """Tell the progress before the next step."""
        total = len(self.plan.planned) + len(by_name(self.plan.static)) + bool(self.plan.weather)
        self.tell(self.done, total, what)
        self.done += 1

    def append(self, group: Sequence[PlannedAcquisition]) -> None:
        """Append the acquisitions of one group: small ones together, large ones each by itself."""
        small = [one for one in group if one.nbytes(self.plan.geobox) <= IN_MEMORY]
        self.outcomes.update(append_all(self.path, self.loaded(small)))
        for one in group:
            if one.nbytes(self.plan.geobox) > IN_MEMORY:
                with self.problems.collect():
                    self.outcomes.update(append(self.path, image) for image in self.loaded([one]))

    def loaded(self, group: Sequence[PlannedAcquisition]) -> Iterator[Acquisition]:
        """Load one acquisition after the other; leave out what is bad or shows nothing."""
        for one in group:
            self.step(f"{one.group} {str(one.time)[:19]}")
            shown = False
            with self.problems.collect():
                image = _in_memory(one.load(self.plan.geobox))
                shown = _shows_something(image)
                if not shown:
                    what = "clear" if one.group == "optical" else "valid"
                    self.empty.append(f"{one.files[0]}: {str(one.time)[:19]} has no {what} pixel here")
            if shown:
                yield image

    def require_something(self) -> None:
        """Refuse a plan of images none of which shows anything."""
        if self.plan.planned and not (self.outcomes or self.problems.failures):
            raise SourceError(
                f"{self.plan.source}: none of {len(self.plan.planned)} acquisitions has a valid pixel in the "
                "cube; check 'nodata' in terradelta.yaml and the place"
            )

    def write_static(self) -> None:
        """Write the layers without time."""
        for name, pieces in by_name(self.plan.static).items():
            self.step(f"layer {name}")
            with self.problems.collect():
                write_layer_of(self.path, pieces, self.plan.geobox)
                self.static.append(name)

    def write_weather(self) -> None:
        """Write the weather of all files together; where several tell the same day the first one counts."""
        if self.plan.weather:
            self.step("weather")
            with self.problems.collect():
                near, sidecar = self.plan.geobox, self.plan.sidecar
                whole = read_weather(self.plan.weather, near=near, sidecar=sidecar)
                write_weather(self.path, whole)
                self.days = int(whole.sizes["day"])

    def report(self) -> FillReport:
        """Sum up."""
        self.step("done")
        return FillReport(
            self.path,
            added=self.outcomes["added"],
            skipped=self.outcomes["skipped"],
            empty=tuple(self.empty),
            failures=self.plan.failures + tuple(self.problems.failures),
            warnings=self.plan.warnings,
            static=tuple(self.static),
            weather_days=self.days,
        )


def _in_memory(acquisition: Acquisition) -> Acquisition:
    """Read a small acquisition once; leave a large one to be read block by block."""
    images = acquisition.images()
    if sum(image.nbytes for image in images.values()) > IN_MEMORY:
        return acquisition
    small = all(max(image.shape[-2:]) <= BLOCK for image in images.values())
    values = compute(*images.values(), scheduler="synchronous" if small else None)  # type: ignore[no-untyped-call]
    return replace(acquisition, **dict(zip(images, values, strict=True)))


def _shows_something(acquisition: Acquisition) -> bool:
    """Whether a pixel is valid in all bands (and clear); looks no further than the first block with one."""
    images = list(acquisition.images().values())
    rows, columns = images[0].shape[-2:]
    for top in range(0, rows, BLOCK):
        for left in range(0, columns, BLOCK):
            window = (..., slice(top, top + BLOCK), slice(left, left + BLOCK))
            valid = [_valid(np.asarray(image[window])) for image in images]
            if np.logical_and.reduce(valid).any():
                return True
    return False


def _valid(block: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels (y, x) with data in all bands, or those of a mask."""
    return block if block.dtype == np.bool_ else np.isfinite(block).all(axis=0)
