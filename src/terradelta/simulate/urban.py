"""A town as urban monitoring needs it: 10 m, both orbit directions, an optical pass every 5 days."""

from __future__ import annotations

from typing import Any

import xarray as xr

from terradelta.simulate.orbits import Orbit
from terradelta.simulate.places import place
from terradelta.simulate.scenario import Scenario

__all__ = ["TOWN", "urban_place"]

TOWN = Scenario(
    size=128,
    resolution=10.0,
    years=2.5,
    start="2018-01-01",
    orbits=(Orbit(88, "ascending", 38.6, 6), Orbit(37, "descending", 43.2, 6)),
    changes=8,
    looks=4.4,
    speckle_resolution=20.0,
    relief=60.0,
    optical_days=5,
    shadows=True,
    haze=1.0,
    urban=0.45,
    kinds=("building", "demolition", "building", "demolition", "harvest", "building", "clear_cut"),
    works_days=60,
)
"""Settings of `urban_place`."""


def urban_place(seed: int = 0, **settings: Any) -> xr.DataTree:
    """Simulate a town where buildings appear and disappear.

    Half of it is built up. Radar from an ascending and a descending orbit every 6 days each, 13 optical bands
    at the top of the atmosphere every 5 days, with haze, clouds and shadows. Building leaves bare soil for
    60 days before the building stands. A harvest and a clear cut are among the changes, which are
    none of the built environment.

    Parameters
    ----------
    seed : int
        The same seed and settings give the same bytes.
    **settings
        Single settings that replace those of `TOWN`, by their names in `Scenario`.

    Returns
    -------
    xarray.DataTree
        As from `place`.

    Raises
    ------
    InputError
        If a setting is unknown or out of range, or the changes find no room.

    Examples
    --------
    >>> tree = urban_place(seed=0, size=64, years=0.3, changes=2)
    >>> tree["truth/changes"]["kind"].values.tolist()
    ['building', 'demolition']
    """
    return place(seed, TOWN, **settings)
