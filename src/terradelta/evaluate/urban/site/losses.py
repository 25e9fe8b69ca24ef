"""How results hold when observations are lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import xarray as xr

from terradelta.errors import CubeError, InputError
from terradelta.evaluate.urban.networks import Watch
from terradelta.evaluate.urban.site.labels import SiteLabels
from terradelta.evaluate.urban.site.networks import Group, Judged, judge_group
from terradelta.evaluate.urban.site.thinning import Sensors, thin

__all__ = ["Loss", "count_losses", "judge_losses"]


@dataclass(frozen=True, eq=False)
class Loss:
    """What is left of the results when a share of the observations is lost.

    Attributes
    ----------
    what : str
        Of which sensor: ``sar``, ``optical`` or ``all``.
    share : float
        That was left out.
    radar, optical : int
        Observations that stayed.
    judged : Judged or None
        What the networks' mean says; None where it says nothing.
    reason : str
        Why it says nothing.
    """

    what: Sensors
    share: float
    radar: int
    optical: int
    judged: Judged | None
    reason: str = ""

    def document(self) -> dict[str, Any]:
        """Give the figures as JSON can keep them."""
        known: dict[str, Any] = {"what": self.what, "share": self.share, "radar": self.radar,
                                 "optical": self.optical, "reason": self.reason}  # fmt: skip
        if self.judged is not None:
            known |= {"windows": self.judged.windows, "fewest": self.judged.fewest, "most": self.judged.most}
            known |= self.judged.stitched.document()
        return known


def count_losses(shares: Sequence[float]) -> int:
    """Count the times that the networks run for some shares."""
    return len(get_args(Sensors)) * sum(share > 0 for share in set(shares))


def judge_losses(
    cube: xr.DataTree,
    group: Group,
    labels: SiteLabels,
    how: Watch,
    store: Path,
    shares: Sequence[float],
    whole: Judged,
    *,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Loss]:
    """Judge networks with fewer and fewer observations.

    Parameters
    ----------
    cube, group, labels, how
        As in `judge_group`.
    store : Path
        Folder for window maps.
    shares : sequence of float
        To leave out of the radar, of the optical, and of both kinds of observations.
    whole : Judged
        What came out with all of them.
    seed : int
        Which ones are left out.
    advance : callable
        Told of each network that is done.

    Returns
    -------
    list of Loss
        By sensor, shares rising from 0.

    Raises
    ------
    InputError
        If a share is out of range.
    """
    found = []
    for what in get_args(Sensors):
        for share in sorted({0.0, *shares}):
            less = thin(cube, share, what, seed=seed)
            folder = store / f"{what}-{share:g}"
            lost = share > 0
            judged, reason = _judge(less, group, labels, how, folder, advance) if lost else (whole, "")
            radar, optical = (_count(less, name) for name in ("sar", "optical"))
            found.append(Loss(what, share, radar, optical, judged, reason))
    return found


def _count(cube: xr.DataTree, group: str) -> int:
    return int(cube[group].sizes["time"]) if group in cube.children else 0


def _judge(
    cube: xr.DataTree,
    group: Group,
    labels: SiteLabels,
    how: Watch,
    folder: Path,
    advance: Callable[[int], None],
) -> tuple[Judged | None, str]:
    """Judge the mean; or tell why there is nothing, which the loss alone can be to blame for."""
    try:
        return judge_group(cube, group, labels, how, folder, advance)[-1], ""
    except (CubeError, InputError) as error:
        advance(len(group.networks))
        return None, str(error)
