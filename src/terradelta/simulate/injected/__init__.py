"""Simulated changes put into real or simulated images, with the truth beside them; plain arrays in dB."""

from __future__ import annotations

from terradelta.simulate.injected.mappings import KernelMapping, QuantileMapping
from terradelta.simulate.injected.placing import place_shapes
from terradelta.simulate.injected.polygons import random_polygon, random_shape, rasterise
from terradelta.simulate.injected.recipe import Recipe
from terradelta.simulate.injected.results import Injected, InjectedChange, InjectedSeries
from terradelta.simulate.injected.series import change_share, inject_series
from terradelta.simulate.injected.single import inject
from terradelta.simulate.injected.superpixels import (
    superpixel_sets,
    superpixel_sets_json,
    superpixels,
    whole_superpixels,
)

__all__ = [
    "Injected",
    "InjectedChange",
    "InjectedSeries",
    "KernelMapping",
    "QuantileMapping",
    "Recipe",
    "change_share",
    "inject",
    "inject_series",
    "place_shapes",
    "random_polygon",
    "random_shape",
    "rasterise",
    "superpixel_sets",
    "superpixel_sets_json",
    "superpixels",
    "whole_superpixels",
]
