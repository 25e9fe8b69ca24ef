"""A simulated place as a cube."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.cube import write_cube
from terradelta.simulate import Effects, place
from terradelta.simulate.changes import ORDER
from terradelta.workflows.progress import Progress, no_progress
from terradelta.workflows.simulate.telling import summary_line
from terradelta.workflows.simulate.truth import write_table

if TYPE_CHECKING:
    import xarray as xr

    from terradelta.workflows.config.simulate import SimulatePlaceSettings

__all__ = ["run_place"]


def run_place(settings: SimulatePlaceSettings, progress: Progress = no_progress) -> list[str]:
    """Simulate a place and write it; the same settings again complete a run that was cut off.

    Parameters
    ----------
    settings : SimulatePlaceSettings
        What to simulate.
    progress : callable
        See `show_progress`.

    Returns
    -------
    list of str
        Lines for the user.

    Raises
    ------
    InputError
        A setting that is out of range, or an effect that is unknown.
    ConflictError
        Another cube is there.
    """
    with progress("simulating a place", 2) as advance:
        tree = place(settings.seed, **_scenario(settings))
        advance(1)
        write_cube(tree, settings.out)
        table = tree.children["truth"].children["changes"].to_dataset(inherit=False)
        write_table(settings.out, table)
        advance(1)
    return [_told(tree, table), f"Cube: {settings.out}  (terradelta cube info {settings.out})"]


def _scenario(settings: SimulatePlaceSettings) -> dict[str, Any]:
    names = ("size", "resolution", "years", "start", "changes", "looks", "speckle_resolution", "smoothing")
    effects = Effects.only(*settings.only) if settings.only else Effects().without(*settings.without)
    return {
        **{name: getattr(settings, name) for name in names},
        "optical_days": settings.optical_days,
        "kinds": tuple(settings.kinds) or ORDER,
        "effects": effects,
    }


def _told(tree: xr.DataTree, table: xr.Dataset) -> str:
    label = tree["truth"].to_dataset()["label"].values
    pixels = np.bincount(label.ravel(), minlength=table.sizes["change"] + 1)[1:]
    strength = table["strength"].values
    mean = np.average(strength, axis=0, weights=pixels).tolist() if pixels.sum() else ()
    return summary_line(len(pixels), int(pixels.sum()), [str(band) for band in table["band"].values], mean)
