"""What the networks of one seed say of the tiles that none of them was taught with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.evaluate.urban.networks import Watch
from terradelta.evaluate.urban.site.labels import SiteLabels, labels_from_weak
from terradelta.evaluate.urban.site.networks import Judged, judge_group, load_group
from terradelta.simulate import KINDS
from terradelta.simulate.urban import TOWN
from terradelta.urban.labels.weak import WeakLabels

__all__ = ["Dates", "Figures", "judge"]

_WORKS = {KINDS["building"].code: TOWN.works_days, KINDS["demolition"].code: 0}
"""Days from the start of the works to their end, by code of the kind."""


@dataclass(frozen=True)
class Dates:
    """How far the peaks are from the changes in time.

    Attributes
    ----------
    changes : int
        Built or torn down in the tiles, and found: most of their pixels there lie above the threshold.
    days : tuple of float
        Of each: median over its found pixels, days from the works to the middle of the window of the largest
        value; 0 within the works, below 0 before them.
    """

    changes: int
    days: tuple[float, ...]

    def share_within(self, days: float) -> float:
        """Give the share of the found changes that are at most so many days off; NaN without any."""
        return float(np.mean(np.abs(self.days) <= days)) if self.days else float("nan")


@dataclass(frozen=True)
class Figures:
    """Figures of one network, or of the mean of several.

    Attributes
    ----------
    kind, name : str
        Which one.
    auc, average_precision : float
        Over all pixels of the tiles.
    f1, threshold : float
        At the threshold that is best on the tiles of training and validation.
    f1_half : float
        At 0.5.
    dates : Dates
        Of the changes found above the threshold.
    """

    kind: str
    name: str
    auc: float
    average_precision: float
    f1: float
    threshold: float
    f1_half: float
    dates: Dates


def judge(
    cube: xr.DataTree, weak: WeakLabels, kinds: Mapping[str, Sequence[Path]], how: Watch, maps: Path
) -> list[Figures]:
    """Judge the networks of each kind, and their means.

    Parameters
    ----------
    cube : xarray.DataTree
        The place of the transfer, with its truth.
    weak : WeakLabels
        Labels and lists of tiles.
    kinds : mapping of str to sequence of path
        Networks.
    how : Watch
        How they are run.
    maps : Path
        Folder for their window maps.

    Returns
    -------
    list of Figures
        In the order of the networks, the mean behind those of its kind.
    """
    judged_by = labels_from_weak(weak, cube)
    taught = sorted({tile for lists in weak.versions for tile in (*lists.train, *lists.validation)})
    known = SiteLabels(weak.truth, weak.grid, tuple(taught), judged_by.start, judged_by.end)
    found = []
    for kind, paths in kinds.items():
        group, folder = load_group(kind, paths), maps / kind.replace(" ", "-")
        each = (judge_group(cube, group, labels, how, folder) for labels in (judged_by, known))
        for tested, seen in zip(*each, strict=True):
            found.append(_figures(tested, seen, cube, judged_by))
    return found


def _figures(tested: Judged, seen: Judged, cube: xr.DataTree, labels: SiteLabels) -> Figures:
    _, threshold = seen.stitched.best("f1")
    scores = tested.stitched
    return Figures(
        tested.group,
        tested.name,
        scores.auc,
        scores.average_precision,
        scores.at(threshold).f1,
        threshold,
        scores.at(0.5).f1,
        _dates(tested, threshold, cube, labels),
    )


def _dates(judged: Judged, threshold: float, cube: xr.DataTree, labels: SiteLabels) -> Dates:
    """Compare the peaks with the works, change by change."""
    truth = cube["truth"].to_dataset()
    label, kind, begin = (labels.cut(truth[name].values) for name in ("label", "kind", "date"))
    above, days = judged.score > threshold, []
    for number in np.unique(label[label > 0]):
        own = label == number
        what = kind[own][0]
        if what in _WORKS and above[own].mean() > 0.5:
            days.append(_off(judged.day[own & above], int(begin[own][0]), _WORKS[what]))
    return Dates(len(days), tuple(days))


def _off(peaks: NDArray[Any], begin: int, works: int) -> float:
    """Give the days from the works to the middle one of the peaks."""
    peak = float(np.median(peaks))
    return peak - begin if peak < begin else max(peak - begin - works, 0.0)
