"""From entries of the catalogue to passes: frames of one flight belong together, processings count once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from terradelta.errors import UnavailableError
from terradelta.sources.families import NameInfo, known_family
from terradelta.sources.layers import Flight
from terradelta.sources.times import Time, parse_time

__all__ = ["Frame", "Pass", "frame_of", "kept_apart", "passes_of"]

NEIGHBOURS = {"sar": np.timedelta64(60, "s"), "optical": np.timedelta64(10, "m")}
"""Frames of one flight follow each other at most this much later."""

MARGIN = np.timedelta64(5, "s")
"""The catalogue tells whole seconds; the time of a request reaches so much beyond its frames."""


@dataclass(frozen=True)
class Frame:
    """One product of the catalogue.

    Attributes
    ----------
    name : str
        Name of the product.
    time : numpy.datetime64
        Time by which the service finds it, UTC.
    start : numpy.datetime64
        Start of the acquisition, by its name where that tells it.
    group : {"sar", "optical"}
        Kind of sensor.
    flight : Flight
        The pass.
    polarisation : str
        Code such as DV; empty for optical images.
    footprint : shapely geometry
        Longitude and latitude.
    cloud : float
        Percent of the tile, 0 if unknown.
    baseline : int
        Processing baseline of Sentinel-2, 400 for N0400; 0 if unknown.
    place : str
        Tile; empty for radar.
    """

    name: str
    time: Time
    start: Time
    group: str
    flight: Flight
    polarisation: str
    footprint: Any
    cloud: float
    baseline: int
    place: str

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells flights at nearly the same time apart."""
        return (*self.flight.identity, self.polarisation)

    @property
    def scene(self) -> tuple[Any, ...]:
        """What two processings of the same measurement share."""
        return (*self.identity, self.place, self.start if self.group == "sar" else self.time)


@dataclass(frozen=True)
class Pass:
    """Frames of one flight over a place, in the order of time; each scene once.

    Attributes
    ----------
    frames : tuple of Frame
        At least one.
    replaced : tuple of str
        Names of older processings of the same scenes.
    """

    frames: tuple[Frame, ...]
    replaced: tuple[str, ...] = ()

    @property
    def start(self) -> Time:
        """Start of the earliest frame."""
        return min(frame.start for frame in self.frames)

    @property
    def span(self) -> tuple[Time, Time]:
        """Times of a request that finds all frames and nothing else."""
        times = [frame.time for frame in self.frames]
        return min(times) - MARGIN, max(times) + MARGIN

    @property
    def footprint(self) -> Any:
        """Ground that any frame shows."""
        return shapely.unary_union([frame.footprint for frame in self.frames])

    @property
    def cloud(self) -> float:
        """Clouds over the clearest frame, in percent."""
        return min(frame.cloud for frame in self.frames)

    @property
    def source_id(self) -> str:
        """Name of the first frame, with the number of the others."""
        more = len(self.frames) - 1
        return self.frames[0].name + (f"+{more}" if more else "")


def frame_of(item: dict[str, Any], group: str) -> Frame:
    """Understand an entry of the catalogue.

    Raises
    ------
    UnavailableError
        It lacks what every entry has.
    """
    try:
        properties, name = item["properties"], str(item["id"]).removesuffix(".SAFE")
        time = parse_time(str(properties["datetime"]))
        footprint = shapely.make_valid(shapely.geometry.shape(item["geometry"]))
    except (KeyError, TypeError, AttributeError, ValueError, shapely.errors.ShapelyError) as error:
        raise UnavailableError(f"an entry of the catalogue lacks {error}; try again later") from None
    if time is None:
        raise UnavailableError(f"{name}: {properties['datetime']!r} is no time; try again later")
    info = known_family(name) or NameInfo()
    flight = Flight(
        platform=info.platform or _platform(str(properties.get("platform", ""))),
        orbit_direction=str(properties.get("sat:orbit_state", "")).lower() if group == "sar" else "",
        relative_orbit=info.relative_orbit,
    )
    return Frame(
        name, time, info.time if info.time is not None else time, group, flight,
        str(properties.get("s1:polarization", "")).upper(), footprint,
        float(properties.get("eo:cloud_cover") or 0), info.baseline, info.place,
    )  # fmt: skip


def _platform(text: str) -> str:
    """S1A from "sentinel-1a"."""
    return f"S{text[-2:].upper()}" if text.startswith("sentinel-") else text


def passes_of(frames: Iterable[Frame]) -> list[Pass]:
    """Join frames of the same flight, in the order of time."""
    flights: dict[tuple[Any, ...], list[list[Frame]]] = {}
    for frame in sorted(frames, key=lambda one: (one.time, one.name)):
        runs = flights.setdefault(frame.identity, [])
        if runs and frame.time - runs[-1][-1].time <= NEIGHBOURS[frame.group]:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    found = [_without_older(run) for runs in flights.values() for run in runs]
    return sorted(found, key=lambda one: (one.start, one.source_id))


def _without_older(run: Sequence[Frame]) -> Pass:
    """Of several processings of one scene the newest counts: by baseline, then by the time in the name."""
    newest: dict[tuple[Any, ...], Frame] = {}
    for frame in run:
        rival = newest.get(frame.scene)
        if rival is None or (rival.baseline, rival.name) < (frame.baseline, frame.name):
            newest[frame.scene] = frame
    kept = set(newest.values())
    return Pass(
        tuple(frame for frame in run if frame in kept), tuple(one.name for one in run if one not in kept)
    )


def kept_apart(passes: Sequence[Pass]) -> tuple[list[Pass], list[str]]:
    """Leave out passes that a request by time cannot tell from the one before: two satellites in tandem.

    Returns
    -------
    list of Pass, list of str
        Those that are left, and a line for each that is not.
    """
    kept: list[Pass] = []
    notes = []
    for one in passes:
        near = next((other for other in kept if _mixed(one, other)), None)
        if near is None:
            kept.append(one)
        else:
            notes.append(
                f"{one.source_id} is left out: it follows {near.source_id} so closely that one request "
                "would mix them"
            )
    return kept, notes


def _mixed(one: Pass, other: Pass) -> bool:
    first, second = one.frames[0], other.frames[0]
    same = (first.flight.orbit_direction, first.polarisation) == (
        second.flight.orbit_direction, second.polarisation,
    )  # fmt: skip
    return same and bool(one.span[0] <= other.span[1] and other.span[0] <= one.span[1])
