"""Synthetic labels of a cube: the store, its picture, and what is told of both."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.cube import open_cube
from terradelta.cube.files import read_json, storage_errors, write_json
from terradelta.errors import ConflictError
from terradelta.workflows.config.label import LabelSettings
from terradelta.workflows.monitor.plan import day_after
from terradelta.workflows.progress import Progress, no_progress

if TYPE_CHECKING:
    import xarray as xr

    from terradelta.urban.labels import LabelRule

__all__ = ["run_synthetic"]

_PICTURE, _MARK, _WEAK = "labels.png", "synthetic.json", "truth.tif"
_NANOSECONDS = 86_400 * 10**9


def run_synthetic(settings: LabelSettings, progress: Progress = no_progress) -> str:
    """Label a cube from its own data, and draw what came out.

    The same command again goes on where it was stopped, or finds that all is done.

    Parameters
    ----------
    settings : LabelSettings
        What to do; its method is synthetic.
    progress : callable
        See `show_progress`.

    Returns
    -------
    str
        How many windows have labels, how much changed, and the shift used and suggested.

    Raises
    ------
    ConflictError
        If labels of other settings are there and `overwrite` is not set.
    CubeError, InputError
        If labels cannot be made of the cube.
    LockedError, StorageError
        If another process writes to the folder, or it cannot be written.
    """
    from terradelta.urban.labels.series import synthetic_labels
    from terradelta.urban.labels.store import LABELS

    if (settings.out / _WEAK).exists():
        raise ConflictError(f"{settings.out} holds labels from polygons; choose another folder")
    tree = open_cube(settings.cube)
    labels = synthetic_labels(
        tree,
        settings.era,
        settings.out / LABELS,
        rule=_rule(settings),
        shift="suggest" if settings.shift == "suggest" else "rule",
        stride=settings.stride,
        start=settings.start,
        end=None if settings.end is None else day_after(settings.end),
        step=_step(settings),
        memory=settings.memory,
        workers=settings.workers or os.cpu_count() or 1,
        overwrite=settings.overwrite,
        progress=progress,
    )
    return _told(settings, labels, _drawn(settings, tree, labels, progress))


def _rule(settings: LabelSettings) -> LabelRule:
    from terradelta.urban.labels import rule_of

    names = ("looks", "significance", "gain", "shift")
    given: dict[str, Any] = {
        name: value for name in names if isinstance(value := getattr(settings, name), float)
    }
    return replace(rule_of(settings.era, as_published=settings.as_published), **given)


def _step(settings: LabelSettings) -> np.timedelta64 | None:
    return None if settings.step is None else np.timedelta64(round(settings.step * _NANOSECONDS), "ns")


def _drawn(settings: LabelSettings, tree: xr.DataTree, labels: xr.Dataset, progress: Progress) -> float:
    """Draw the picture unless that of these labels is there; give the share of pixels that changed."""
    from terradelta.products.files import whole_file
    from terradelta.workflows.label.drawing import LEVEL, draw_synthetic

    mark = _fingerprint(labels)
    found = read_json(settings.out / _MARK)
    if found is not None and found.get("labels") == mark and (settings.out / _PICTURE).is_file():
        return float(found["share"])
    with progress("drawing labels", labels.sizes["window"]) as advance, storage_errors(settings.out):
        picture, share = draw_synthetic(settings, tree, labels, advance)
        with whole_file(settings.out / _PICTURE) as draft:
            draft.write_bytes(picture)
        write_json(settings.out / _MARK, {"labels": mark, "share": share, "level": LEVEL})
    return share


def _fingerprint(labels: xr.Dataset) -> str:
    """Tell labels from others: by their settings and windows."""
    told = [str(labels.attrs["settings"]), labels["start"].values.tolist(), labels["end"].values.tolist()]
    return hashlib.sha256(str(told).encode()).hexdigest()[:32]


def _told(settings: LabelSettings, labels: xr.Dataset, share: float) -> str:
    from terradelta.workflows.label.drawing import LEVEL

    made = labels.attrs["settings"]
    count, used, suggested = labels.sizes["window"], made["rule"]["shift"], made["suggested_shift"]
    start, end = (str(labels[name].values[place])[:10] for name, place in (("start", 0), ("end", -1)))
    hint = "the data suggest none" if suggested is None else f"the data suggest {suggested:.2f}"
    return (
        f"{settings.out}: {count} window{'s' if count > 1 else ''}, {start} to {end}; {share:.2%} of the "
        f"pixels have a label above {LEVEL:g} in some window; alpha {used:.2f} ({hint}); "
        f"look at {settings.out / _PICTURE}"
    )
