"""Sentinel Hub as a source: months of the catalogue become passes, passes become offers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from terradelta.errors import SourceError
from terradelta.sources.area import search_boxes
from terradelta.sources.remote.offers import Findings, Query
from terradelta.sources.remote.sentinel_hub.deployments import Deployment, Patience, deployment_of
from terradelta.sources.remote.sentinel_hub.passes import (
    NEIGHBOURS,
    Frame,
    frame_of,
    kept_apart,
    passes_of,
)
from terradelta.sources.remote.sentinel_hub.processing import Blocks
from terradelta.sources.remote.sentinel_hub.products import PRODUCTS, USUAL, Shop, moment, wanted
from terradelta.types import Period

__all__ = ["SentinelHubSource"]

_CLOSED_AFTER = np.timedelta64(30, "D")
_CONDITIONS = {"sar": "sar:instrument_mode='IW' AND s1:resolution='HIGH'", "optical": None}


@dataclass(frozen=True)
class SentinelHubSource:
    """Sentinel-1 GRD, Sentinel-2 and the Copernicus DEM, cut by the service to the grid that is asked for.

    Attributes
    ----------
    deployment : Deployment or str
        "sentinel-hub", "sentinel-hub-cdse" (Copernicus Data Space), or another place.
    elevation : str
        Elevation model of the orthorectification of radar: "COPERNICUS_30", "COPERNICUS_90", or
        "COPERNICUS" (10 m in Europe, 30 m elsewhere).
    patience : Patience
        How long the server is waited for.

    Raises
    ------
    SourceError
        An unknown deployment.

    Examples
    --------
    >>> SentinelHubSource("sentinel-hub-cdse").name
    'sentinel-hub-cdse'
    """

    deployment: Deployment | str = "sentinel-hub"
    elevation: str = "COPERNICUS_30"
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        if isinstance(self.deployment, str):
            deployment_of(self.deployment)

    @property
    def place(self) -> Deployment:
        """The deployment."""
        return deployment_of(self.deployment) if isinstance(self.deployment, str) else self.deployment

    @property
    def name(self) -> str:
        """Name for messages and keys."""
        return self.place.name

    @property
    def products(self) -> tuple[str, ...]:
        """Names of its products."""
        return tuple(PRODUCTS)

    def search(self, query: Query) -> Findings:
        """Look through the catalogue, month by month.

        Parameters
        ----------
        query : Query
            Products are "sentinel-1-grd" (gamma nought, terrain flattened),
            "sentinel-1-grd-gamma0-ellipsoid", "sentinel-1-grd-sigma0-ellipsoid", "sentinel-2-l1c",
            "sentinel-2-l2a", "dem" and "dem-90".

        Returns
        -------
        Findings
            Passes, the elevation model, and what was left out.

        Raises
        ------
        AccessError
            Credentials are missing or wrong.
        UnavailableError
            The server does not answer as it should.
        SourceError
            A product or band that is not there.
        """
        names = query.products or USUAL
        unknown = [name for name in names if name not in PRODUCTS]
        if unknown:
            raise SourceError(f"{self.name} has no product {unknown[0]!r}; it has {', '.join(PRODUCTS)}")
        shop = Shop(self.place, self.patience, self.elevation, query, Blocks(query.grid))
        found = [self._images(name, query, shop) for name in names if PRODUCTS[name].group]
        offers = [offer for one in found for offer in one.offers]
        return Findings(
            tuple(sorted(offers, key=lambda one: (one.time, one.key))),
            tuple(shop.layer(name) for name in names if not PRODUCTS[name].group),
            notes=tuple(line for one in found for line in one.notes),
            asked=tuple(key for one in found for key in one.asked),
        )

    def _images(self, name: str, query: Query, shop: Shop) -> Findings:
        """Find the passes of one product."""
        frames, empty = self._frames_of_all(name, query)
        passes, notes = kept_apart(passes_of(frames))
        chosen = [one for one in passes if one.start in query.period and one.cloud <= query.max_cloud]
        if empty:
            months = _listed([str(month.start)[:7] for month in empty])
            notes = [*notes, f"{self.name}: no {name} of this place in {months}"]
        return Findings(
            tuple(shop.offer(name, one) for one in chosen),
            notes=tuple(notes),
            asked=tuple(self._key_of(name, month) for month in empty if _is_closed(month)),
        )

    def _frames_of_all(self, name: str, query: Query) -> tuple[list[Frame], list[Period]]:
        """Find the frames of one product, month by month, and the months that have none."""
        frames: dict[str, Frame] = {}
        empty = []
        for month in _months(query.period):
            found = [] if self._key_of(name, month) in query.asked else self._frames(name, query, month)
            frames |= {frame.name: frame for frame in found}
            if not found:
                empty.append(month)
        return list(frames.values()), empty

    def _key_of(self, name: str, month: Period) -> str:
        return f"{self.name}/{name}/{month}"

    def _frames(self, name: str, query: Query, month: Period) -> list[Frame]:
        """Find the frames of one month, and those of its passes that reach beyond the period."""
        from terradelta.sources.remote.sentinel_hub.connecting import connect

        group, connection = PRODUCTS[name].group, connect(self.place, self.patience)
        gap = NEIGHBOURS[group]
        first = month.start - gap if month.start == query.period.start else month.start
        last = month.end + gap if month.end == query.period.end else month.end
        items = [
            item
            for box in search_boxes(query.area)
            for item in connection.search(
                PRODUCTS[name].collection, box, (moment(first), moment(last)), _CONDITIONS[group]
            )
        ]
        return [
            frame
            for frame in (frame_of(item, group) for item in items)
            if frame.footprint.intersects(query.area.outline) and wanted(frame, query)
        ]


def _is_closed(month: Period) -> bool:
    """Whether a month ended so long ago that nothing more is to be expected of it."""
    return bool(month.end < np.datetime64("now") - _CLOSED_AFTER)


def _months(period: Period) -> Iterator[Period]:
    """Months of the calendar that a period touches, cut to it."""
    first = period.start.astype("datetime64[M]")
    while first < period.end:
        after = first + 1
        yield Period(
            max(period.start, first.astype("datetime64[ns]")), min(period.end, after.astype("datetime64[ns]"))
        )
        first = after


def _listed(months: list[str]) -> str:
    """Months in one line, neighbours as "2016-01 to 2016-04"."""
    runs: list[list[str]] = []
    for month in months:
        if runs and np.datetime64(runs[-1][-1], "M") + 1 == np.datetime64(month, "M"):
            runs[-1].append(month)
        else:
            runs.append([month])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
