"""Simulated towns, where it is known what was built and torn down, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any

import numpy as np
import xarray as xr

from terradelta.errors import InputError
from terradelta.evaluate.scores import date_errors, share_above
from terradelta.evaluate.urban.baselines import BASELINES, baselines
from terradelta.evaluate.urban.curves import Curve, curve
from terradelta.evaluate.urban.networks import Peaks, Progress, Watch, load_networks, no_progress, watch
from terradelta.evaluate.urban.writing import as_json, table, write_files
from terradelta.simulate import KINDS, urban_place
from terradelta.types import BoolArray, FloatArray, PathType

__all__ = ["Town", "built_or_torn", "first_and_last", "judge", "run"]

_URBAN = ("building", "demolition")
_HALF_WINDOW = 91
_HALF_YEAR = np.timedelta64(182, "D")


@dataclass(frozen=True)
class Town:
    """What came out for one town.

    Attributes
    ----------
    name : str
        Which town.
    share : float
        Of the pixels where something was built or torn down.
    network : Curve
        Of the largest value over all windows: built or torn down against all other pixels.
    plain : dict of str to Curve
        Of each of `BASELINES`, between the clear means of the first and of the last half-year.
    built, torn : float
        Areas under the curve of each kind alone, against pixels without any change.
    found, false, other : float
        Share of values above 0.5 where it was built or torn down, where nothing changed, and where fields
        were harvested or trees felled.
    days, near : float
        Middle of the window of the largest value minus true date of the change: median in days, and share at
        most 91 days off, over pixels with a value above 0.5; NaN where there are none.
    """

    name: str
    share: float
    network: Curve
    plain: dict[str, Curve]
    built: float
    torn: float
    found: float
    false: float
    other: float
    days: float
    near: float

    def row(self) -> list[str]:
        """Give the cells of its row."""
        curves = [str(self.network), *map(str, self.plain.values())]
        shares = [f"{value:.1%}" for value in (self.found, self.false, self.other)]
        ends = [f"{self.days:+.0f}", f"{self.near:.0%}"]
        return [
            self.name,
            f"{self.share:.1%}",
            *curves,
            f"{self.built:.3f}",
            f"{self.torn:.3f}",
            *shares,
            *ends,
        ]


def run(
    out: PathType,
    weights: Sequence[PathType],
    *,
    seed: int = 0,
    places: int = 3,
    how: Watch | None = None,
    progress: Progress = no_progress,
    **settings: Any,
) -> str:
    """Score networks on simulated towns, and write table, figures and picture.

    Parameters
    ----------
    out : path
        Folder for ``urban-simulated.md``, ``.json`` and ``.png``.
    weights : sequence of path
        Networks that read both sensors.
    seed : int
        Of the first town; each further one has the next.
    places : int
        How many towns.
    how : Watch, optional
        Stride (20 by default) and device.
    progress : callable, optional
        Takes a label and a number of steps, gives a context manager that gives a function to advance.
    **settings
        Of the towns, see `terradelta.simulate.urban_place`.

    Returns
    -------
    str
        The Markdown table.

    Raises
    ------
    InputError
        If there are no networks or no towns.
    StorageError
        If the output cannot be written.
    """
    from terradelta.evaluate.urban.pictures import draw_towns

    if places < 1:
        raise InputError(f"places is {places}; give at least one")
    nets, how = load_networks(weights), how or Watch(stride=20)
    towns, shown = [], []
    with progress("evaluate", places) as advance:
        for number in range(seed, seed + places):
            cube = urban_place(number, **settings)
            first, last = first_and_last(cube["optical"].to_dataset())
            peaks = watch(cube, nets, how)
            truth = cube["truth"].to_dataset()
            towns.append(judge(f"seed {number}", truth, peaks, baselines(first, last)))
            shown.append((number, first, last, truth, peaks))
            advance(1)
    towns.append(_mean(towns))
    text = _markdown(towns)
    figures = {"how": asdict(how), "settings": repr(settings), "towns": [asdict(town) for town in towns]}
    files = {"urban-simulated.json": as_json(figures), "urban-simulated.png": draw_towns(shown)}
    write_files(out, files | {"urban-simulated.md": f"{text}\n".encode()})
    return text


def first_and_last(optical: xr.Dataset) -> tuple[FloatArray, FloatArray]:
    """Give the means of the clear pixels of the first and of the last half-year.

    Parameters
    ----------
    optical : xarray.Dataset
        ``reflectance`` and ``clear`` of a place.

    Returns
    -------
    tuple of ndarray
        (band, y, x) each; NaN where it was never clear.
    """
    time = optical["time"].values
    images = optical["reflectance"].where(optical["clear"])
    early, late = time < time[0] + _HALF_YEAR, time > time[-1] - _HALF_YEAR
    first, last = (images.isel(time=np.flatnonzero(part)).mean("time").values for part in (early, late))
    return np.asarray(first), np.asarray(last)


def built_or_torn(truth: xr.Dataset) -> BoolArray:
    """Tell where something was built or torn down.

    Parameters
    ----------
    truth : xarray.Dataset
        The group ``truth`` of a simulated place.

    Returns
    -------
    ndarray of bool
        (y, x); harvests, clear cuts and the like are none of it.
    """
    return np.isin(truth["kind"].values, [KINDS[name].code for name in _URBAN])


def judge(name: str, truth: xr.Dataset, peaks: Peaks, plain: dict[str, FloatArray]) -> Town:
    """Give the figures of one town.

    Parameters
    ----------
    name : str
        Which town.
    truth : xarray.Dataset
        Its layers ``kind``, ``date``, ``changed``.
    peaks : Peaks
        What the networks said.
    plain : dict of str to ndarray
        The baselines.

    Returns
    -------
    Town

    Raises
    ------
    InputError
        If nothing was built or torn down.
    """
    kind, score = truth["kind"].values, peaks.score
    by_kind = {name: kind == each.code for name, each in KINDS.items()}
    urban = built_or_torn(truth)
    quiet = truth["changed"].values == 0
    sure = urban & (score > 0.5)
    dates = date_errors(peaks.day, truth["date"].values, sure, days=_HALF_WINDOW) if sure.any() else None
    return Town(
        name,
        float(urban.mean()),
        curve(urban, score),
        {key: curve(urban, plain[key]) for key in BASELINES},
        built=_area(by_kind["building"], quiet, score),
        torn=_area(by_kind["demolition"], quiet, score),
        found=_above(score, urban),
        false=_above(score, quiet),
        other=_above(score, ~urban & ~quiet),
        days=float("nan") if dates is None else dates.median,
        near=float("nan") if dates is None else dates.share_within,
    )


def _area(changed: BoolArray, quiet: BoolArray, score: FloatArray) -> float:
    return curve(changed, score, changed | quiet).auc if changed.any() else float("nan")


def _above(score: FloatArray, where: BoolArray) -> float:
    return share_above(score, 0.5, where) if (where & np.isfinite(score)).any() else float("nan")


def _mean(towns: Sequence[Town]) -> Town:
    """Give the mean of every figure over the towns that have it."""

    def of(values: Sequence[float]) -> float:
        known = [value for value in values if np.isfinite(value)]
        return fmean(known) if known else float("nan")

    def curves(found: Sequence[Curve]) -> Curve:
        return Curve(of([each.auc for each in found]), of([each.precision for each in found]))

    plain = {key: curves([town.plain[key] for town in towns]) for key in BASELINES}
    network = curves([town.network for town in towns])
    names = [field.name for field in fields(Town) if field.type == "float"]
    numbers: dict[str, Any] = {name: of([getattr(town, name) for town in towns]) for name in names}
    return Town(name="mean", network=network, plain=plain, **numbers)


def _markdown(towns: Sequence[Town]) -> str:
    head = ["town", "changed", "network", *BASELINES.values(), "AUC built", "AUC torn down"]
    head += ["changed > 0.5", "unchanged > 0.5", "harvested, felled > 0.5", "days off", "within 91 days"]
    return table(head, [town.row() for town in towns])
