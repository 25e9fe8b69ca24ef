"""A cube and its synthetic labels side by side: which kept times each labelled window holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.cube import open_cube
from terradelta.errors import CubeError
from terradelta.types import PathType
from terradelta.urban.era import Branches, Era, era_of
from terradelta.urban.stack import Stack

__all__ = ["LabelledCube", "LabelledWindows", "labelled_windows"]

_DAY = 86_400 * 10**9


@dataclass(frozen=True, eq=False)
class LabelledCube:
    """A cube and its synthetic labels.

    Attributes
    ----------
    cube : DataTree or path
        The cube.
    labels : xarray.Dataset
        ``label`` (window, y, x) 0..1 and, along ``window``, ``start`` and ``end`` (first and last kept time)
        and ``count`` (kept times). ``attrs["settings"]`` tells ``era``, ``start``, ``end``, ``step`` (days).
    name : str
        For messages and names of samples; the cube's own if empty.
    """

    cube: xr.DataTree | PathType
    labels: xr.Dataset
    name: str = ""


class LabelledWindows(NamedTuple):
    """What a training reads from one labelled cube.

    Attributes
    ----------
    name : str
        Name of the cube.
    stack : Stack
        Its frames.
    labels : xarray.DataArray
        (window, y, x) 0..1.
    numbers : ndarray of intp
        (n,) windows of the labels that can be used.
    spans : ndarray of intp
        (n, 2) first kept time of each of them, and the one behind its last.
    """

    name: str
    stack: Stack
    labels: xr.DataArray
    numbers: NDArray[np.intp]
    spans: NDArray[np.intp]


def labelled_windows(
    source: LabelledCube, *, era: Era | str | None = None, branches: Branches = "both"
) -> LabelledWindows:
    """Find the labelled windows among the kept times of a cube.

    A network that reads the radar or the optical images alone sees only their kept times, not all those that
    the labels were made from. Its windows hold the ones of the same period; where they are fewer than the era
    asks for, the window is left out.

    Parameters
    ----------
    source : LabelledCube
        The cube and its labels.
    era : Era or str, optional
        Era of the network; that of the labels if not given.
    branches : {"both", "sar", "optical"}
        What the network reads.

    Returns
    -------
    LabelledWindows
        Nothing but a few samples was read.

    Raises
    ------
    CubeError
        If the labels do not belong to the cube as it is, or to the era; or no window is left.
    """
    cube = source.cube if isinstance(source.cube, xr.DataTree) else open_cube(source.cube)
    name = source.name or str(cube.name or "the cube")
    settings = _settings(source.labels, name)
    era = era_of(settings["era"] if era is None else era)
    if era.name != settings["era"]:
        raise CubeError(
            f"the labels of {name} are of the era {settings['era']}, the network is of {era.name}; make "
            f"labels of {era.name}, or train a network of {settings['era']}"
        )
    period = _period(settings)
    stack = Stack.of(cube, era, **period)
    if settings.get("first_observations", stack.digests[0]) != stack.digests[0]:
        raise _changed(name, "the observations up to the first kept time are others")
    spans = _spans(source.labels, stack, name)
    numbers = np.arange(len(spans))
    if branches != "both":
        stack = Stack.of(cube, era, branches=branches, **period)
        spans = _spans_in_time(source.labels["start"].values, stack.times, era)
        enough = spans[:, 1] - spans[:, 0] >= era.fewest
        numbers, spans = numbers[enough], spans[enough]
    if not len(numbers):
        raise CubeError(
            f"no labelled window of {name} has the {era.fewest} observations ({branches}) that a window "
            "needs; add observations to the cube, and make the labels again"
        )
    return LabelledWindows(name, stack, source.labels["label"], numbers, spans)


def _settings(labels: xr.Dataset, name: str) -> Mapping[str, Any]:
    settings = labels.attrs.get("settings")
    if not isinstance(settings, Mapping) or "era" not in settings or "label" not in labels:
        raise CubeError(f"the labels of {name} are none; make them with terradelta label")
    return settings


def _period(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give what chose the kept times of the labels."""
    step = settings.get("step")
    length = None if step is None else np.timedelta64(round(step * _DAY), "ns")
    return {"start": settings.get("start"), "end": settings.get("end"), "step": length}


def _spans(labels: xr.Dataset, stack: Stack, name: str) -> NDArray[np.intp]:
    """Find first and last kept time of every window, and refuse labels of another series."""
    if labels["label"].shape[1:] != tuple(stack.size):
        size = " x ".join(map(str, labels["label"].shape[1:]))
        raise _changed(name, f"they have {size} pixels, the cube {stack.size.y} x {stack.size.x}")
    times, ends = stack.times, {}
    for what in ("start", "end"):
        given = labels[what].values.astype(times.dtype)
        place = np.searchsorted(times, given)
        other = times[np.minimum(place, len(times) - 1)] != given
        if other.any():
            number, moment = np.flatnonzero(other)[0], np.datetime_as_string(given[other][0], "s")
            raise _changed(name, f"the {what} of window {number}, {moment}, is no kept time")
        ends[what] = place
    spans = np.stack([ends["start"], ends["end"] + 1], axis=1)
    other = np.diff(spans)[:, 0] != labels["count"].values
    if other.any():
        number = int(np.flatnonzero(other)[0])
        now, then = int(np.diff(spans[number])[0]), int(labels["count"].values[number])
        raise _changed(name, f"window {number} was made from {then} kept times, and there are {now}")
    return spans


def _changed(name: str, what: str) -> CubeError:
    return CubeError(
        f"the labels do not fit {name}: {what}; the cube changed since the labels were made, make them again"
    )


def _spans_in_time(starts: NDArray[Any], times: NDArray[np.datetime64], era: Era) -> NDArray[np.intp]:
    """Give the kept times of windows that begin at given moments."""
    begin = np.searchsorted(times, starts.astype(times.dtype))
    stop = np.searchsorted(times, starts.astype(times.dtype) + era.window)
    return np.stack([begin, np.minimum(stop, begin + era.most)], axis=1)
