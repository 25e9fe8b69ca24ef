"""The same pass and layer once: among the sources, and between the sources and what a cube has already."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from terradelta.cube.manifest import Manifest
from terradelta.cube.series import open_series
from terradelta.cube.store import read_header
from terradelta.sources.remote.offers import Findings, LayerOffer, Offer

__all__ = ["joined", "without_held", "without_known"]

SAME_PASS = np.timedelta64(20, "m")
"""Two images of one satellite closer in time than this show the same pass: it comes back after 98 minutes."""


def joined(found: Sequence[Findings]) -> tuple[list[Offer], list[str]]:
    """Give every pass once: where several sources have it, the first one counts.

    Parameters
    ----------
    found : sequence of Findings
        Of each source, in order of preference.

    Returns
    -------
    list of Offer, list of str
        Sorted by time, and lines about what was left out.
    """
    kept: list[Offer] = []
    doubled: Counter[tuple[str, str]] = Counter()
    for findings in found:
        before = list(kept)
        for offer in findings.offers:
            twin = next((other for other in before if _same_pass(offer, other)), None)
            if twin is None:
                kept.append(offer)
            else:
                doubled[offer.source, twin.source] += 1
    notes = [f"{count} images of {source} come from {first}, which has them too"
             for (source, first), count in doubled.items()]  # fmt: skip
    return sorted(kept, key=lambda one: (one.time, one.key)), notes


def _same_pass(one: Offer, other: Offer) -> bool:
    return (
        one.group == other.group
        and one.flight.platform == other.flight.platform
        and bool(abs(one.time - other.time) < SAME_PASS)
    )


def without_held(layers: Sequence[LayerOffer], manifest: Manifest) -> tuple[list[LayerOffer], list[str]]:
    """Leave out layers whose name a cube has from elsewhere, such as land cover of a newer year.

    Parameters
    ----------
    layers : sequence of LayerOffer
        Each name once.
    manifest : Manifest
        Of the cube.

    Returns
    -------
    list of LayerOffer, list of str
        The others, and lines about what was left out.
    """
    held = [
        one
        for one in layers
        if not manifest.settled(one.key) and (manifest.path / "static" / one.name / "zarr.json").exists()
    ]
    notes = [f"the cube keeps its layer {one.name}; {one.key} is another one" for one in held]
    return [one for one in layers if one not in held], notes


def without_known(offers: Sequence[Offer], manifest: Manifest) -> tuple[list[Offer], list[str]]:
    """Leave out new offers of passes that a cube has under another name, and tell which have changed.

    A source that lists an earlier slice later on, or processes a pass anew, may give it another start and
    thereby another name; so does another source.

    Parameters
    ----------
    offers : sequence of Offer
        All that the sources have.
    manifest : Manifest
        Of the cube.

    Returns
    -------
    list of Offer, list of str
        What is left, in the same order, and lines about what was left out or has changed.
    """
    others = _unclaimed(offers, manifest)
    kept, named, changed = [], defaultdict(list), defaultdict(list)
    for offer in offers:
        entry = manifest.entries.get(offer.key)
        known = others.has(offer.group, offer.flight.platform, offer.time)
        if known and not manifest.settled(offer.key, offer.source_id):
            named[offer.source].append(offer.key)
            continue
        kept.append(offer)
        if entry is not None and entry.outcome == "added" and entry.source_id != offer.source_id:
            changed[offer.source].append(offer.key)
    notes = [
        f"{len(keys)} images of {source} are left out, for the cube has these passes already ({keys[0]}, ...)"
        for source, keys in named.items()
    ]
    notes += [
        f"{len(keys)} images have changed at {source} since they were fetched, by more tiles of the pass or "
        f"a newer processing ({keys[0]}, ...); the cube keeps what it has, a new one takes what is there now"
        for source, keys in changed.items()
    ]
    return kept, notes


class _Passes:
    """Passes by satellite and time."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], list[np.datetime64]] = defaultdict(list)

    def add(self, group: str, platform: str, time: np.datetime64) -> None:
        """Take one more."""
        insort(self._times[group, platform], time)

    def has(self, group: str, platform: str, time: np.datetime64) -> bool:
        """Whether a moment belongs to one of the passes."""
        times = self._times[group, platform]
        place = bisect_left(times, time - SAME_PASS)
        return place < len(times) and bool(times[place] < time + SAME_PASS)


def _unclaimed(offers: Sequence[Offer], manifest: Manifest) -> _Passes:
    """Find passes of a cube that no offer stands for, by name or, where nothing was noted, by moment."""
    settled, moments, found = _Passes(), set(), _Passes()
    noted = {(one.group, one.time) for one in manifest.entries.values() if one.outcome == "added"}
    for offer in offers:
        moments.add((offer.group, offer.flight.platform, offer.time))
        if manifest.settled(offer.key):
            settled.add(offer.group, offer.flight.platform, offer.time)
    for group, platform, time in _stored(manifest.path):
        meant = (group, platform, time) in moments and (group, str(time)[:19]) not in noted
        if not meant and not settled.has(group, platform, time):
            found.add(group, platform, time)
    return found


def _stored(cube: Path) -> list[tuple[str, str, np.datetime64]]:
    """Group, satellite and time of all images of a cube."""
    header = read_header(cube)
    return [
        (group, str(platform), time)
        for group in ("sar", "optical")
        if (series := open_series(header, group)) is not None
        for platform, time in zip(series.column("platform"), series.column("time"), strict=True)
    ]
