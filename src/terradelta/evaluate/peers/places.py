"""Simulated series for the protocol of the real ones: one relative orbit, known weather, a clear cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from terradelta.errors import InputError
from terradelta.evaluate.opera.patches import Patch
from terradelta.evaluate.opera.protocol import Protocol
from terradelta.simulate import Change, Cover, Effects, Orbit, place
from terradelta.types import BoolArray, FloatArray

__all__ = ["SimulatedSeries", "simulated_series"]

_ORBIT = Orbit(88, "ascending", 38.6, 12)
_DATES, _FIRST_TARGET = 30, 20
_SHARE = 0.25
_FELLED = (-2.1, -3.0)
_RAIN_DAYS, _WET = 3, 10.0
_START = "2019-11-01"


@dataclass(frozen=True)
class SimulatedSeries:
    """Patches with what the protocol fixes for them.

    Attributes
    ----------
    patches : tuple of Patch
        Stable ones, and last the one with the clear cut.
    protocol : Protocol
        Targets, history and discs.
    """

    patches: tuple[Patch, ...]
    protocol: Protocol


def simulated_series(seed: int = 0, *, places: int = 3, size: int = 150) -> SimulatedSeries:
    """Simulate series of 30 dates, 12 days apart, of one relative orbit, with all effects on.

    Targets are the last ten, July to October, with rain and without. Wet are those with 10 mm or more on
    their day and the two before; the wettest target is the one that alarms are counted in. Discs lie on
    ground that nobody works on: no field, no water. The clear cut fells the most wooded quarter of a place
    on the day of the first target, by the least that the simulation counts as a clear cut (-3 dB in VH).

    Parameters
    ----------
    seed : int
        Of the first place; the others follow.
    places : int
        Without a clear cut.
    size : int
        Rows and columns, 20 m each.

    Returns
    -------
    SimulatedSeries
        Patches and protocol.

    Raises
    ------
    InputError
        If there is not enough forest to fell. Below 96 pixels there may be no room for the discs.

    Examples
    --------
    >>> found = simulated_series(places=1, size=64)
    >>> found.patches[0].linear.shape, found.protocol.stable, round(float(found.patches[1].changed.mean()), 2)
    ((30, 2, 64, 64), ('simulated-0',), 0.25)
    """
    stable = [_patch(_place(seed + number, size)) for number in range(places)]
    quiet = _place(seed + places, size)
    felled = _felled(np.asarray(_layer(quiet, "static", "land_cover") == Cover.FOREST))
    date = _layer(quiet, "sar", "time")[_FIRST_TARGET].astype("datetime64[D]")
    changed = _place(seed + places, size, Change("clear_cut", felled, date, _FELLED))
    protocol = Protocol(
        stable=tuple(patch.name for patch in stable),
        changed=str(changed.attrs["name"]),
        dates=_DATES,
        targets=tuple(range(_FIRST_TARGET, _DATES)),
        wet=(),
        rain=str(date),
        large_history=tuple(range(_FIRST_TARGET - 10, _FIRST_TARGET)),
        large_targets=tuple(range(_FIRST_TARGET, _FIRST_TARGET + 5)),
        also_taught=(),
    )
    return SimulatedSeries((*stable, _patch(changed, felled)), protocol)


def _place(seed: int, size: int, *changes: Change) -> xr.DataTree:
    return place(
        seed,
        size=size,
        resolution=20.0,
        years=_DATES * 12 / 365.25,
        start=_START,
        orbits=(_ORBIT,),
        effects=Effects.only(*Effects.names()),
        changes=tuple(changes),
        speckle_resolution=20.0,
        optical_days=0,
    )


def _patch(tree: xr.DataTree, changed: BoolArray | None = None) -> Patch:
    days = _layer(tree, "sar", "time").astype("datetime64[D]")
    worked = np.isin(_layer(tree, "static", "land_cover"), [Cover.FIELD, Cover.WATER])
    fallen = _fallen(tree, days)
    wettest = _FIRST_TARGET + int(np.argmax(fallen[_FIRST_TARGET:]))
    wet = (fallen >= _WET) | (np.arange(days.size) == wettest)
    return Patch(
        name=str(tree.attrs["name"]),
        days=tuple(str(day) for day in days),
        bands=tuple(str(band) for band in _layer(tree, "sar", "band")),
        linear=np.asarray(_layer(tree, "sar", "backscatter"), np.float32),
        wet=tuple(str(day) for day in days[wet]),
        rain=str(days[wettest]),
        allowed=~worked,
        changed=changed,
    )


def _layer(tree: xr.DataTree, group: str, name: str) -> NDArray[Any]:
    return np.asarray(tree[group].to_dataset()[name].values)


def _fallen(tree: xr.DataTree, days: NDArray[Any]) -> FloatArray:
    """Sum the rain of the day of each acquisition and the days before, mm."""
    known = _layer(tree, "weather", "day").astype("datetime64[D]")
    rain = _layer(tree, "weather", "precipitation").astype(np.float64)
    places = np.searchsorted(known, days)
    return np.array([rain[place + 1 - _RAIN_DAYS : place + 1].sum() for place in places])


def _felled(forest: BoolArray) -> BoolArray:
    """Choose the forest pixels nearest to where most of it stands, until a quarter of the place is felled."""
    wanted = round(_SHARE * forest.size)
    if forest.sum() < wanted:
        raise InputError(f"forest covers {forest.mean():.0%} of the place; the clear cut needs {_SHARE:.0%}")
    density = ndimage.gaussian_filter(forest.astype(np.float64), max(forest.shape) / 8)
    middle = np.unravel_index(np.argmax(density), forest.shape)
    rows, columns = np.indices(forest.shape)
    away = np.hypot(rows - middle[0], columns - middle[1])
    order = np.argsort(np.where(forest, away, np.inf), axis=None, kind="stable")
    felled = np.zeros(forest.size, bool)
    felled[order[:wanted]] = True
    return felled.reshape(forest.shape)
