"""Bursts of OPERA RTC-S1 and the passes that they belong to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from terradelta.errors import SourceError
from terradelta.sources.gathering import PASS_GAP
from terradelta.sources.layers import Flight
from terradelta.sources.times import Time, times_in

__all__ = ["Burst", "Identity", "band_files", "identity_of", "newest", "passes"]

_NAME = re.compile(
    r"OPERA_L2_RTC-S1_(?P<place>T(?P<orbit>\d{3})-\d{6}-IW[1-3])"
    r"_(?P<time>\d{8}T\d{6}Z)_(?P<processed>\d{8}T\d{6}Z)_(?P<platform>S1[A-D])_30_v\d+(?:\.\d+)*"
)


@dataclass(frozen=True)
class Identity:
    """What the name of a burst says.

    Attributes
    ----------
    name : str
        The name without band and ending.
    place : str
        Track, burst and sub-swath: ``T137-292321-IW2``.
    time, processed : numpy.datetime64
        Start of the acquisition, and when the product was made; UTC.
    platform : str
        S1A, S1B, ...
    relative_orbit : int
        The track.
    """

    name: str
    place: str
    time: Time
    processed: Time
    platform: str
    relative_orbit: int


@dataclass(frozen=True)
class Burst:
    """One burst at one time, as a catalogue lists it.

    Attributes
    ----------
    identity : Identity
        From its name.
    direction : str
        "ascending", "descending" or "" if unknown.
    files : mapping of str to str
        Address of each band's GeoTIFF: VV, VH, HH, HV.
    sizes : mapping of str to int
        Bytes of each band's GeoTIFF, where the catalogue tells them.
    footprint : shapely Polygon
        Outline in longitude and latitude.
    """

    identity: Identity
    direction: str
    files: Mapping[str, str]
    footprint: Any
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def flight(self) -> Flight:
        """The pass; incidence angle and heading are not listed anywhere."""
        own = self.identity
        return Flight(own.platform, self.direction, own.relative_orbit)

    @property
    def order(self) -> tuple[Time, str]:
        """Place of the burst in a mosaic: by time, then by name."""
        return self.identity.time, self.identity.name


def identity_of(name: str) -> Identity:
    """Understand the name of a burst product.

    Raises
    ------
    SourceError
        Something else.

    Examples
    --------
    >>> name = "OPERA_L2_RTC-S1_T137-292321-IW2_20211201T015903Z_20250830T065219Z_S1A_30_v1.0"
    >>> own = identity_of(name)
    >>> own.place, str(own.time)[:19], own.platform, own.relative_orbit
    ('T137-292321-IW2', '2021-12-01T01:59:03', 'S1A', 137)
    """
    found = _NAME.match(name)
    if found is None:
        raise SourceError(f"{name!r} is no OPERA RTC-S1 burst; check the catalogue")
    return Identity(
        name=found[0],
        place=found["place"],
        time=times_in(found["time"])[0],
        processed=times_in(found["processed"])[0],
        platform=found["platform"],
        relative_orbit=int(found["orbit"]),
    )


def band_files(addresses: Iterable[str]) -> dict[str, str]:
    """Addresses of a product by their band; files that are no band (masks, metadata) are left out.

    Examples
    --------
    >>> band_files(["https://a.org/x_v1.0_VV.tif", "https://a.org/x_v1.0_mask.tif", "https://a.org/x_v1.0.h5"])
    {'VV': 'https://a.org/x_v1.0_VV.tif'}
    """
    found = ((re.search(r"_(VV|VH|HH|HV)\.tiff?$", address), address) for address in addresses)
    return {match[1]: address for match, address in found if match}


def passes(bursts: Iterable[Burst]) -> list[tuple[Burst, ...]]:
    """Sort bursts into passes: one platform on one track, neighbours within a minute.

    Returns
    -------
    list of tuple of Burst
        Sorted by time; inside a pass as well.
    """
    by_flight: dict[tuple[str, int, str], list[Burst]] = defaultdict(list)
    for burst in bursts:
        by_flight[burst.flight.identity].append(burst)
    found: list[list[Burst]] = []
    for members in by_flight.values():
        members.sort(key=lambda burst: burst.order)
        times = np.array([burst.identity.time for burst in members])
        breaks = np.flatnonzero(np.diff(times) > PASS_GAP) + 1
        edges = [0, *breaks.tolist(), len(members)]
        found += [members[start:end] for start, end in pairwise(edges)]
    return sorted((tuple(one) for one in found), key=lambda one: one[0].order)


def newest(bursts: Iterable[Burst]) -> tuple[Burst, ...]:
    """Keep the newest processing of each burst of one pass, in the order of the mosaic."""
    kept: dict[str, Burst] = {}
    for burst in sorted(bursts, key=lambda burst: (burst.identity.processed, burst.identity.name)):
        kept[burst.identity.place] = burst
    return tuple(sorted(kept.values(), key=lambda burst: burst.order))
