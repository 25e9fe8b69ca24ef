"""Simulated changes in a cube or in samples, whichever is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from terradelta.cube.files import read_json
from terradelta.errors import InputError
from terradelta.workflows.progress import Progress, no_progress
from terradelta.workflows.simulate.pictures import draw_changes, write_picture
from terradelta.workflows.simulate.samples import holds_samples
from terradelta.workflows.simulate.telling import summary_line

if TYPE_CHECKING:
    from terradelta.workflows.config.simulate import SimulateChangeSettings

__all__ = ["run_change"]


def run_change(settings: SimulateChangeSettings, progress: Progress = no_progress) -> list[str]:
    """Put changes into a cube or into samples.

    Parameters
    ----------
    settings : SimulateChangeSettings
        What to change.
    progress : callable
        See `show_progress`.

    Returns
    -------
    list of str
        Lines for the user; the first one sums up the changes.

    Raises
    ------
    InputError
        The source is missing or neither cube nor samples; and as of `change_cube` and `change_sample_files`.
    """
    if not settings.source.exists():
        raise InputError(f"{settings.source} does not exist; name a cube, samples (Zarr) or a TFRecord file")
    attributes = (read_json(settings.source / "zarr.json") or {}).get("attributes", {})
    if "terradelta_schema" in attributes:
        return _run_cube(settings, progress)
    if settings.source.is_dir() and not holds_samples(settings.source):
        raise InputError(
            f"{settings.source} is a folder, but neither a cube nor finished samples; name a cube, samples "
            "(Zarr) or a TFRecord file"
        )
    return _run_samples(settings, progress)


def _run_cube(settings: SimulateChangeSettings, progress: Progress) -> list[str]:
    from terradelta.workflows.simulate.cubes import change_cube

    done = change_cube(settings, progress)
    pixels = np.array([change.pixels for change in done.truth.changes])
    means = np.array([change.change for change in done.truth.changes])
    strength = np.average(means, axis=0, weights=pixels).tolist() if pixels.sum() else ()
    seen = int(np.count_nonzero(done.images.share)) if len(pixels) else 0
    when = f"from {done.truth.date}" + (f" until {done.truth.until}" if done.truth.until else "")
    lines = [
        f"{summary_line(len(pixels), int(pixels.sum()), done.bands, strength)} | "
        f"seen {when} in {seen} of {len(done.images.share)} images",
        f"Cube:    {settings.out}  (terradelta cube info {settings.out})",
    ]
    if done.images.shown is None:
        return lines
    shown = done.images.shown
    title = f"{settings.kind} change, image of {str(shown.time)[:16]}"
    picture = draw_changes(shown.before, shown.after, done.images.mask, done.bands, title=title)
    return [*lines, _drawn(settings, picture)]


def _run_samples(settings: SimulateChangeSettings, progress: Progress) -> list[str]:
    from terradelta.workflows.simulate.samples import change_sample_files

    done = change_sample_files(settings, progress)
    bands = ("VV", "VH") if done.shown is None else done.shown.bands
    line = summary_line(done.log.changes, done.log.pixels, bands, done.log.strength)
    lines = [f"{line} | in {done.log.changed} of {done.samples} samples", f"Samples: {settings.out}"]
    if done.shown is None or done.shown.changed is None or done.shown.change_mask is None:
        return lines
    title = f"{settings.kind} change, {done.shown.name}"
    picture = draw_changes(
        done.shown.target, done.shown.changed, done.shown.change_mask, done.shown.bands, title=title
    )
    return [*lines, _drawn(settings, picture)]


def _drawn(settings: SimulateChangeSettings, picture: bytes) -> str:
    file = settings.picture or _beside(settings.out)
    write_picture(file, picture)
    return f"Picture: {file}"


def _beside(out: Path) -> Path:
    return out.with_name(out.name.split(".")[0] + ".png")
