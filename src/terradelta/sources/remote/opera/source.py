"""OPERA RTC-S1 as a source: terrain-corrected Sentinel-1 bursts of 30 m, pass by pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from terradelta.errors import SourceError
from terradelta.sources.area import search_boxes
from terradelta.sources.gathering import PASS_GAP
from terradelta.sources.remote.offers import Findings, Offer, Period, Query
from terradelta.sources.remote.opera.bursts import Burst, newest, passes
from terradelta.sources.remote.opera.credentials import Login
from terradelta.sources.remote.opera.listing import list_bursts
from terradelta.sources.remote.opera.reading import PassReader, meets
from terradelta.sources.remote.opera.searching import CATALOGUE, search_bursts
from terradelta.sources.remote.retrying import PATIENCE, Patience
from terradelta.types import PathType

__all__ = ["PRODUCT", "OperaSource"]

PRODUCT = "RTC-S1"
"""The one product of this source."""


@dataclass(frozen=True)
class OperaSource:
    """Bursts of OPERA RTC-S1 at the Alaska Satellite Facility (gamma0, linear power, 30 m).

    Parameters
    ----------
    catalogue : path, optional
        List of bursts (GeoParquet) to take instead of asking NASA's catalogue.
    address : str
        NASA's catalogue (CMR).
    login : Login
        Where to log in for the pixels; credentials come from the environment or `.netrc` (see docs/opera.md).
    patience : Patience
        How often and how long to try.

    Examples
    --------
    >>> OperaSource().name
    'opera'
    """

    catalogue: PathType | None = None
    address: str = CATALOGUE
    login: Login = field(default_factory=Login)
    patience: Patience = PATIENCE

    @property
    def name(self) -> str:
        """Name for messages and keys."""
        return "opera"

    @property
    def products(self) -> tuple[str, ...]:
        """Names of its products."""
        return (PRODUCT,)

    def search(self, query: Query) -> Findings:
        """Look for passes over the area; one with a burst that lacks a band is left out and noted.

        Raises
        ------
        UnavailableError
            The catalogue does not answer.
        SourceError
            It refuses, the list cannot be read, or there is no such product.
        """
        unknown = [product for product in query.products if product != PRODUCT]
        if unknown:
            raise SourceError(f"opera has no product {unknown[0]!r}; it has {PRODUCT}")
        over = [burst for burst in self._bursts(query) if meets(burst.footprint, query.grid)]
        asked = [one for one in passes(over) if _asked_for(one, query)]
        complete = [one for one in asked if not _lacking(one, query)]
        return Findings(
            offers=tuple(self._offer(one, query) for one in complete), notes=tuple(_notes(asked, query))
        )

    def _bursts(self, query: Query) -> list[Burst]:
        """Bursts around the area, once each; the period is widened so that no pass is cut in two."""
        period = Period(query.period.start - PASS_GAP, query.period.end + PASS_GAP)
        outlines = _outlines(query)
        if self.catalogue is not None:
            return list_bursts(self.catalogue, outlines, period)
        found = [
            burst
            for outline in outlines
            for burst in search_bursts(
                outline, period, polarisation=query.polarisations[0], orbits=query.orbits,
                direction=query.direction, catalogue=self.address, patience=self.patience,
            )
        ]  # fmt: skip
        return list({burst.identity.name: burst for burst in found}.values())

    def _offer(self, everything: Sequence[Burst], query: Query) -> Offer:
        """Describe one pass."""
        bursts = newest(everything)
        first, flight = bursts[0].identity, bursts[0].flight
        more = f" +{len(bursts) - 1}" if len(bursts) > 1 else ""
        start = str(first.time.astype("datetime64[s]")).replace("-", "").replace(":", "")
        return Offer(
            key=f"{self.name}/{PRODUCT}/{flight.platform}/{flight.relative_orbit}/{start}",
            source=self.name, product=PRODUCT, group="sar", time=first.time, bands=query.polarisations,
            read=PassReader(bursts, query.polarisations, self.login, self.patience),
            flight=flight, source_id=f"{first.name}{more}", radiometry="gamma0-rtc",
            nbytes=_transfer(bursts, query), facts=_facts(bursts, len(everything)),
        )  # fmt: skip


def _outlines(query: Query) -> list[Any]:
    """Rectangles in degrees that hold the area and the corners of its grid."""
    from shapely.geometry import box

    boxes = [box(*bounds) for bounds in search_boxes(query.area)]
    if len(boxes) > 1:
        return boxes
    return [boxes[0].union(box(*query.grid.geographic_extent.boundingbox.bbox)).envelope]


def _asked_for(bursts: Sequence[Burst], query: Query) -> bool:
    return query.wants(bursts[0].flight) and bursts[0].identity.time in query.period


def _lacking(bursts: Sequence[Burst], query: Query) -> tuple[str, ...]:
    """Bands that some burst of a pass lacks."""
    return tuple(
        band for band in query.polarisations if any(band not in burst.files for burst in newest(bursts))
    )


def _notes(asked: Sequence[Sequence[Burst]], query: Query) -> list[str]:
    """Say how many passes are left out, by what they lack."""
    lacking = [(_lacking(one, query), one[0].identity) for one in asked]
    counts = Counter(bands for bands, _ in lacking if bands)
    examples = dict(reversed(lacking))
    return [
        f"opera: {count} of {len(asked)} passes left out, {' and '.join(bands)} is missing in a burst "
        f"(first: track {examples[bands].relative_orbit}, {str(examples[bands].time)[:19]})"
        for bands, count in counts.items()
    ]


def _transfer(bursts: Sequence[Burst], query: Query) -> int:
    """Bytes to transfer: of every file the share that lies in the grid."""
    extent = query.grid.geographic_extent.geom
    total = 0.0
    for burst in bursts:
        share = burst.footprint.intersection(extent).area / burst.footprint.area
        total += share * sum(burst.sizes.get(band, 0) for band in query.polarisations)
    return round(total)


def _facts(bursts: Sequence[Burst], count: int) -> dict[str, str]:
    """Say what the mosaic is made of."""
    facts = {
        "bursts": " ".join(burst.identity.place for burst in bursts),
        "processed": str(np.max([burst.identity.processed for burst in bursts]))[:19],
        "values": "gamma0, linear power, terrain-corrected, 30 m",
        "mosaic": "first burst with data wins",
    }
    if count > len(bursts):
        facts["older processing"] = f"{count - len(bursts)} left out"
    return facts
