"""Places with known truth: terrain, land cover, weather, orbits, speckle, clouds and changes."""

from __future__ import annotations

from terradelta.simulate.changes import KINDS, Change
from terradelta.simulate.covers import COVERS, Cover
from terradelta.simulate.effects import Effects
from terradelta.simulate.orbits import ORBITS, Orbit
from terradelta.simulate.places import place
from terradelta.simulate.scenario import Scenario
from terradelta.simulate.shapes import discs, offset_change
from terradelta.simulate.speckle import speckle
from terradelta.simulate.truth import changed_at
from terradelta.simulate.urban import TOWN, urban_place

__all__ = [
    "COVERS",
    "KINDS",
    "ORBITS",
    "TOWN",
    "Change",
    "Cover",
    "Effects",
    "Orbit",
    "Scenario",
    "changed_at",
    "discs",
    "offset_change",
    "place",
    "speckle",
    "urban_place",
]
