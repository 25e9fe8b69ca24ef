"""The acquisitions of one sensor from one orbit, summed up: dates, gaps, valid pixels, a timeline in text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.cube.schema import SERIES

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["Gap", "TrackSummary", "timeline", "track_lines", "tracks_of"]

_LEVELS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Gap:
    """An interval without acquisitions.

    Attributes
    ----------
    start, end : numpy.datetime64
        The acquisitions before and after it.
    days : float
        Its length in days.
    """

    start: np.datetime64
    end: np.datetime64
    days: float


@dataclass(frozen=True)
class TrackSummary:
    """The acquisitions of one sensor, seen from one orbit.

    Attributes
    ----------
    group : str
        ``sar`` or ``optical``.
    orbit : int
        Relative orbit, 0 if unknown or optical.
    direction : str
        ``ascending``, ``descending`` or empty.
    platforms, bands : tuple of str
        Satellites and bands.
    times : array of datetime64
        All dates, sorted, UTC.
    valid_share : float
        Mean share of valid pixels, 0..1; NaN if there are no dates.
    gaps : tuple of Gap
        The longest intervals between two dates, longest first; only those over twice the usual one.
    radiometries : tuple of str
        What the radar values measure, such as ``gamma0-rtc``; empty where no date tells.
    estimates : tuple of (str, int)
        Names of values that are estimates, with the number of dates.
    """

    group: str
    orbit: int
    direction: str
    platforms: tuple[str, ...]
    bands: tuple[str, ...]
    times: NDArray[np.datetime64]
    valid_share: float
    gaps: tuple[Gap, ...]
    radiometries: tuple[str, ...] = ()
    estimates: tuple[tuple[str, int], ...] = ()

    @property
    def label(self) -> str:
        """Short name such as ``sar orbit 137 ascending``."""
        orbit = f"orbit {self.orbit}" if self.orbit else ""
        return " ".join(word for word in (self.group, orbit, self.direction) if word)


def timeline(times: NDArray[np.datetime64], start: np.datetime64, end: np.datetime64, width: int = 48) -> str:
    """Draw how many dates fall into each piece of a period.

    Parameters
    ----------
    times : array of datetime64
        The dates.
    start, end : numpy.datetime64
        The period.
    width : int
        Number of pieces.

    Returns
    -------
    str
        One character per piece, ``·`` where there is nothing.

    Examples
    --------
    >>> days = np.array(["2020-01-01", "2020-01-02", "2020-01-09"], "datetime64[ns]")
    >>> timeline(days, days[0], days[-1], width=4)
    '█··▄'
    """
    low, high = np.array([start, end], "datetime64[ns]").astype("int64")
    places = (times.astype("datetime64[ns]").astype("int64") - low) / max(high - low, 1) * width
    counts = np.bincount(np.clip(places.astype(int), 0, width - 1), minlength=width)
    levels = np.ceil(counts / max(counts.max(), 1) * len(_LEVELS)).astype(int)
    return "".join(_LEVELS[level - 1] if level else "·" for level in levels)


def tracks_of(dataset: xr.Dataset, group: str) -> list[TrackSummary]:
    """Sum up the acquisitions of a group, orbit by orbit.

    Parameters
    ----------
    dataset : xarray.Dataset
        The group ``sar`` or ``optical``.
    group : str
        Its name.

    Returns
    -------
    list of TrackSummary
        One per relative orbit and direction.
    """
    times = dataset["time"].values
    orbits = _column(dataset, "relative_orbit", 0)
    directions = _column(dataset, "orbit_direction", "")
    shares = _valid_shares(dataset, group)
    radiometries, estimated = (_column(dataset, name, "") for name in ("radiometry", "estimated"))
    tracks = []
    for orbit, direction in sorted(set(zip(orbits.tolist(), directions.tolist(), strict=True))):
        mine = (orbits == orbit) & (directions == direction)
        platforms = sorted({str(name) for name in _column(dataset, "platform", "")[mine] if name})
        estimates = Counter(name for names in estimated[mine] for name in str(names).split(",") if name)
        dates = np.sort(times[mine])
        tracks.append(
            TrackSummary(
                group=group,
                orbit=int(orbit),
                direction=str(direction),
                platforms=tuple(platforms),
                bands=tuple(str(band) for band in dataset["band"].values),
                times=dates,
                valid_share=float(shares[mine].mean()),
                gaps=_gaps(dates),
                radiometries=tuple(sorted({str(name) for name in radiometries[mine] if name})),
                estimates=tuple(sorted(estimates.items())),
            )
        )
    return tracks


def _column(dataset: xr.Dataset, name: str, default: Any) -> NDArray[Any]:
    if name in dataset.coords:
        return np.atleast_1d(dataset[name].values)
    return np.full(dataset.sizes["time"], default)


def _valid_shares(dataset: xr.Dataset, group: str) -> NDArray[np.floating[Any]]:
    if "valid_share" in dataset.coords:
        return np.asarray(dataset["valid_share"].values)
    valid = dataset[SERIES[group].pixels[0].name].notnull().all("band")
    if "clear" in dataset:
        valid = valid & dataset["clear"]
    return np.asarray(valid.mean(("y", "x")).values)


def _gaps(times: NDArray[np.datetime64], most: int = 3) -> tuple[Gap, ...]:
    steps = np.diff(times) / np.timedelta64(1, "D")
    if not len(steps):
        return ()
    longest = np.argsort(-steps, kind="stable")[:most]
    return tuple(
        Gap(times[i], times[i + 1], float(steps[i])) for i in longest if steps[i] > 2 * np.median(steps)
    )


def track_lines(track: TrackSummary, span: tuple[np.datetime64, np.datetime64], width: int) -> list[str]:
    """Show one track as text.

    Parameters
    ----------
    track : TrackSummary
        The track.
    span : tuple of datetime64
        First and last date of the timeline.
    width : int
        Its length in characters.

    Returns
    -------
    list of str
        Lines.
    """
    first, last = (np.datetime_as_string(time, "D") for time in (track.times[0], track.times[-1]))
    lines = [
        f"{track.label}: {len(track.times)} dates, {', '.join(track.bands)}; {', '.join(track.platforms)}",
        f"  {first} {timeline(track.times, span[0], span[1], width)} {last}",
        f"  valid       {track.valid_share:.1%} of the pixels",
    ]
    if track.radiometries:
        lines.append(f"  radiometry  {', '.join(track.radiometries)}")
    if track.estimates:
        counts = ", ".join(f"{name} of {count} dates" for name, count in track.estimates)
        lines.append(f"  estimated   {counts}")
    gaps = [f"{gap.days:.0f} days from {np.datetime_as_string(gap.start, 'D')}" for gap in track.gaps]
    return [*lines, f"  gaps        {'; '.join(gaps)}"] if gaps else lines
