"""The whole way on a simulated place whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from terradelta.cube import open_cube, write_cube
from terradelta.evaluate import map_scores
from terradelta.simulate import ORBITS, Effects, place
from terradelta.workflows.config import DemoSettings, DetectSettings
from terradelta.workflows.detect import run_detect
from terradelta.workflows.progress import Progress, no_progress

__all__ = ["run_demo"]

_ORBITS = (ORBITS[1], ORBITS[3])
_YEARS = 1.5


def run_demo(settings: DemoSettings, progress: Progress = no_progress) -> list[str]:
    """Simulate a place, find its changes, and compare them with the truth.

    Parameters
    ----------
    settings : DemoSettings
        Folder, seed and size.
    progress : callable
        See `show_progress`.

    Returns
    -------
    list of str
        Lines for the user: scores and where to look.
    """
    cube, out = settings.out / "place.zarr", settings.out / "result"
    settings.out.mkdir(parents=True, exist_ok=True)
    with progress("simulating a place", 2) as advance:
        # growing crops are real change to the radar, but not part of the truth: the fields lie fallow
        effects = Effects().without("crops")
        tree = place(
            settings.seed, size=settings.size, years=_YEARS, orbits=_ORBITS, effects=effects, optical_days=0
        )
        advance(1)
        write_cube(tree, cube)
        advance(1)
    run_detect(DetectSettings(cube=cube, out=out), progress)
    return [
        *_compare_with_truth(open_cube(cube), out),
        f"Report:  {out / 'report.html'}  (open it in a browser)",
        f"Maps:    {out / 'change.tif'} and the other .tif files  (open them in QGIS; styles lie beside)",
        f"Places:  {out / 'polygons.gpkg'}",
        f"Cube:    {cube}  (terradelta cube info {cube})",
    ]


def _compare_with_truth(tree: xr.DataTree, out: Path) -> list[str]:
    import rasterio

    truth = tree["truth"]["changed"].to_numpy() == 1
    with rasterio.open(out / "change.tif") as file:
        change = file.read(1)
    with rasterio.open(out / "date.tif") as file:
        date = file.read(1)
    valid = change != 255
    found = (change == 1) & truth
    delay = (date - tree["truth"]["date"].to_numpy())[found]
    late = f"{np.median(delay):.0f} days after the change (median)" if found.any() else "no date"
    return [
        f"Against the known truth: {map_scores(change == 1, truth, valid)}",
        f"Dated {late}; one pass comes every 12 days.",
    ]
