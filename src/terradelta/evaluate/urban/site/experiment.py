"""Networks on a place with labels: before and after transfer, and with fewer observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import xarray as xr

from terradelta.errors import InputError
from terradelta.evaluate.training_curves import compare_curves
from terradelta.evaluate.urban.networks import Progress, Watch, no_progress
from terradelta.evaluate.urban.site.labels import SiteLabels
from terradelta.evaluate.urban.site.losses import count_losses, judge_losses
from terradelta.evaluate.urban.site.networks import Group, judge_group, load_group, require_alike
from terradelta.evaluate.urban.site.pictures import draw_curves, draw_losses, draw_tiles
from terradelta.evaluate.urban.site.tables import curves_csv, figures, report
from terradelta.evaluate.urban.writing import as_json, write_files
from terradelta.learning.log import read_log
from terradelta.learning.run import Run
from terradelta.types import PathType

__all__ = ["run"]


def run(
    cube: xr.DataTree,
    labels: SiteLabels,
    out: PathType,
    weights: Mapping[str, Sequence[PathType]],
    *,
    lists: Sequence[str] = ("all",),
    how: Watch | None = None,
    drop: Sequence[float] = (),
    seed: int = 0,
    progress: Progress = no_progress,
) -> str:
    """Score groups of networks on a place, and write tables, figures and pictures.

    The values are the largest over all windows of the period: of each network by itself, and of the mean of
    the networks' maps in each window, as `terradelta.urban.monitor` gives it. The maps are made of the whole
    place, so the side of the tiles does not change any value.

    Parameters
    ----------
    cube : xarray.DataTree
        The place.
    labels : SiteLabels
        Labels, their period, and tiles.
    out : path
        Folder for ``urban.md``, ``.json``, ``.csv`` (figures over thresholds) and ``.png`` (curves),
        ``tiles-01.png`` ..., ``urban-drop.png``, ``urban-losses.*`` and ``maps/`` (window maps; kept, so that
        the same call goes on where it was stopped).
    weights : mapping of str to sequence of path
        Networks by the name of their kind; see `load_group`. The last kind is the one that counts.
    lists : sequence of str
        What the tiles are called, for the table.
    how : Watch, optional
        Stride (5 by default) and device.
    drop : sequence of float
        Shares of the observations to leave out, too.
    seed : int
        Which ones.
    progress : callable
        Takes a label and a number of steps, gives a context manager that gives a function to advance.

    Returns
    -------
    str
        The Markdown tables.

    Raises
    ------
    CubeError
        If the cube does not fit the networks.
    InputError
        If there are no networks, or they do not go together.
    StorageError
        If the output cannot be written.
    """
    folder, how = Path(out), how or Watch(stride=5)
    groups = [load_group(name, paths) for name, paths in weights.items() if paths]
    if not groups:
        raise InputError("no networks are given; name at least one file of weights with --weights")
    require_alike(groups)
    last = groups[-1]
    steps = sum(len(group.networks) for group in groups) + count_losses(drop) * len(last.networks)
    with progress("evaluate", steps) as advance:
        results = {
            group.name: judge_group(cube, group, labels, how, folder / "maps" / _slug(group), advance)
            for group in groups
        }
        whole = results[last.name][-1]
        losses = [] if not drop else judge_losses(
            cube, last, labels, how, folder / "maps" / "drop", drop, whole, seed=seed, advance=advance
        )  # fmt: skip
    text = report(results, labels, losses, lists, _trainings(groups, folder))
    document = {"how": asdict(how), "lists": list(lists), "seed": seed, **figures(results, labels, losses)}
    files = {
        "urban.json": as_json(document),
        "urban.csv": curves_csv(results),
        "urban.png": draw_curves(results),
        **({"urban-drop.png": draw_losses(losses)} if losses else {}),
        **draw_tiles(cube, labels, results),
        "urban.md": f"{text}\n".encode(),
    }
    _remove_sheets(folder, files)
    write_files(folder, files)
    return text


def _slug(group: Group) -> str:
    return group.name.replace(" ", "-")


def _trainings(groups: Sequence[Group], folder: Path) -> str:
    """Draw the losses of the trainings on the place that are known, and give their table."""
    runs = {
        f"{group.name}, {one.name}": read_log(Run(one.run).log)
        for group in groups
        for one in group.networks
        if one.run is not None and group.name != "before transfer"  # their losses are of other labels
    }
    runs = {name: rows for name, rows in runs.items() if rows}
    return compare_curves(runs, folder, name="urban-losses") if runs else ""


def _remove_sheets(folder: Path, files: Mapping[str, bytes]) -> None:
    """Remove sheets of an earlier call that had more tiles."""
    for sheet in folder.glob("tiles-[0-9][0-9].png"):
        if sheet.name not in files:
            sheet.unlink()
