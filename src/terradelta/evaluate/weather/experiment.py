"""Runs the experiment: trains the networks, scores every method on later images and on the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from terradelta.errors import InputError
from terradelta.evaluate.calibration import beyond, draw_calibration
from terradelta.evaluate.opera.methods import METHODS, Case, images_of, score_all
from terradelta.evaluate.scores import auc, share_above, threshold_for
from terradelta.evaluate.teaching import Taught, teach
from terradelta.evaluate.urban.writing import as_json, table, write_files
from terradelta.evaluate.weather.lessons import LESSONS, chosen, parted, samples_of
from terradelta.evaluate.weather.protocol import Track, WeatherProtocol, load_tracks
from terradelta.expected import RobustParameters
from terradelta.sar import equivalent_looks, to_linear
from terradelta.simulate import discs, offset_change
from terradelta.types import FloatArray, PathType, Size

__all__ = ["run"]

_CHECKED = 6


@dataclass
class _Figures:
    """Figures of one method or one training of a network."""

    label: str
    auc: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    alarms: dict[str, list[float]] = field(default_factory=dict)


def run(
    data: PathType,
    out: PathType,
    *,
    networks: Sequence[str] = tuple(LESSONS),
    seeds: int = 3,
    seed: int = 0,
    protocol: WeatherProtocol | None = None,
    progress: Any = None,
) -> str:
    """Score plain methods, the robust one and networks on a series with weather, and write table and plot.

    Parameters
    ----------
    data : path
        Folder ``worldcereal_s1_s2_agera5``, or that of the site.
    out : path
        Folder for ``weather.md``, ``weather.json`` and ``calibration.png``; trained networks stay in
        ``networks`` there and are not trained again.
    networks : sequence of str
        Keys of `LESSONS`.
    seeds : int
        Trainings of each.
    seed : int
        Which discs.
    protocol : WeatherProtocol, optional
        What the experiment fixes.
    progress : callable, optional
        Takes a label and a number of steps.

    Returns
    -------
    str
        The Markdown table.

    Raises
    ------
    SourceError
        If the data are not there.
    StorageError
        If the output cannot be written.
    """
    protocol = protocol or WeatherProtocol()
    _require_known(networks)
    tracks = load_tracks(Path(data), protocol)
    trained = {
        f"{name}-{number}": _taught(tracks, protocol, name, number, Path(out), progress)
        for name in networks
        for number in range(seeds)
    }
    figures = {key: _Figures(method.label) for key, method in METHODS.items()}
    figures |= {key: _Figures(one.lesson.label) for key, one in trained.items()}
    for track in tracks:
        _judge(track, protocol, trained, figures, seed)
    rows = _merged(figures)
    text = _markdown(rows, protocol, tracks)
    curves = _calibration(tracks, protocol, trained)
    document = {"experiment": "weather", "protocol": vars(protocol), "seed": seed, "methods": _plain(figures),
                "calibration": curves}  # fmt: skip
    picture = draw_calibration(curves, "Later images without event, despeckled")
    files = {"weather.md": f"{text}\n".encode(), "weather.json": as_json(document)}
    write_files(out, files | {"calibration.png": picture})
    return text


def _require_known(networks: Sequence[str]) -> None:
    for name in networks:
        if name not in LESSONS:
            raise InputError(f"no network is called {name!r} here; there are {', '.join(LESSONS)}")


def _taught(
    tracks: Sequence[Track], protocol: WeatherProtocol, name: str, seed: int, out: Path, progress: Any
) -> Taught:
    samples = list(samples_of(tracks, protocol, LESSONS[name]))
    check = samples[::_CHECKED]
    train = [sample for number, sample in enumerate(samples) if number % _CHECKED]
    return teach(train, check, LESSONS[name], seed, out / "networks" / f"{name}-{seed}", progress)


def _case(track: Track, place: int, protocol: WeatherProtocol, looks: float, target: FloatArray) -> Case:
    before = list(range(place - protocol.history, place))
    images = images_of(to_linear(track.decibel[before]), _parameters(protocol))
    conditions = chosen(track.conditions, [*before, place])
    return Case(images_of(target, _parameters(protocol)), images, looks, conditions)


def _parameters(protocol: WeatherProtocol) -> RobustParameters:
    usual = RobustParameters()
    return replace(usual, history=protocol.history, fewest=min(usual.fewest, protocol.history))


def _judge(
    track: Track,
    protocol: WeatherProtocol,
    trained: Mapping[str, Taught],
    figures: Mapping[str, _Figures],
    seed: int,
) -> None:
    """Add the figures of one track: its threshold is what later images without event give."""
    events, parameters = protocol.event_days, _parameters(protocol)
    linear = to_linear(track.decibel)
    looks = max(1.0, max(equivalent_looks(linear[:, band]) for band in range(linear.shape[1])))
    quiet: dict[str, list[FloatArray]] = {key: [] for key in figures}
    wild: dict[str, list[tuple[str, FloatArray]]] = {key: [] for key in figures}
    hit: dict[str, list[tuple[Any, FloatArray]]] = {key: [] for key in figures}
    for place in parted(track, protocol)[1]:
        day = track.days[place]
        scores = score_all(_case(track, place, protocol, looks, linear[place]), parameters, trained)
        for key, score in scores.items():
            if day in events:
                wild[key].append((events[day], score))
            else:
                quiet[key].append(score)
        if day not in events:
            stream = np.random.default_rng([seed, track.orbit, place])
            mask = discs(Size(*linear.shape[-2:]), protocol.discs, protocol.radius, stream)
            changed = offset_change(linear[place], mask, protocol.decibel)
            for key, score in score_all(
                _case(track, place, protocol, looks, changed), parameters, trained
            ).items():
                hit[key].append((mask, score))
    for key, one in figures.items():
        threshold = threshold_for(np.stack(quiet[key]), protocol.false_alarms)
        one.auc += [auc(mask, score) for mask, score in hit[key]]
        one.found += [share_above(score, threshold, mask) for mask, score in hit[key]]
        for name, score in wild[key]:
            one.alarms.setdefault(name, []).append(share_above(score, threshold))


def _calibration(
    tracks: Sequence[Track], protocol: WeatherProtocol, trained: Mapping[str, Taught]
) -> dict[str, dict[float, float]]:
    """Count how often unchanged pixels lie beyond the deviations of the first training of each network."""
    curves = {}
    for key, one in trained.items():
        if not key.endswith("-0") or one.lesson.network != "conditioned":
            continue
        found = []
        for track in tracks:
            for place in parted(track, protocol)[1]:
                if track.days[place] not in protocol.event_days:
                    before = list(range(place - protocol.history, place))
                    conditions = chosen(track.conditions, [*before, place])
                    found.append(one.standardised(track.smooth[place], track.smooth[before], conditions))
        curves[one.lesson.label] = beyond(found)
    return curves


def _merged(figures: Mapping[str, _Figures]) -> dict[str, list[_Figures]]:
    rows: dict[str, list[_Figures]] = {}
    for one in figures.values():
        rows.setdefault(one.label, []).append(one)
    return rows


def _markdown(
    rows: Mapping[str, Sequence[_Figures]], protocol: WeatherProtocol, tracks: Sequence[Track]
) -> str:
    rate = f"{100 * protocol.false_alarms:g} %"
    head = ["method", "AUC of discs", f"found at {rate}", *(f"alarms, {name}" for name in protocol.events)]
    lines = []
    for label, ones in rows.items():
        columns = [[fmean(one.auc) for one in ones]]
        columns += [[100 * fmean(one.found) for one in ones]]
        columns += [[100 * fmean(one.alarms.get(name, [np.nan])) for one in ones] for name in protocol.events]
        forms = (".3f", *[".1f"] * (len(columns) - 1))
        lines.append([label, *(_cell(values, form) for values, form in zip(columns, forms, strict=True))])
    images = sum(len(parted(track, protocol)[1]) for track in tracks)
    note = (
        f"{images} judged images of {len(tracks)} tracks, {protocol.history} previous images each; shares in "
        f"%. The threshold of each track is what {rate} of the pixels of its later images (from "
        f"{protocol.split} on) exceed. ± is the standard deviation over trainings."
    )
    return f"{table(head, lines)}\n\n{note}"


def _cell(values: Sequence[float], form: str) -> str:
    spread = f" ± {format(stdev(values), form)}" if len(values) > 1 else ""
    return f"{format(fmean(values), form)}{spread}"


def _plain(figures: Mapping[str, _Figures]) -> dict[str, Any]:
    return {key: vars(one) for key, one in figures.items()}
