"""Sentinel-1 products in ESA's SAFE format: what they say about a pass, and their calibrated pixels."""

from __future__ import annotations

from terradelta.sources.safe.calibration import calibrate
from terradelta.sources.safe.geocoding import read_grd
from terradelta.sources.safe.geometry import incidence_on, mean_incidence
from terradelta.sources.safe.product import SafeProduct, read_safe

__all__ = ["SafeProduct", "calibrate", "incidence_on", "mean_incidence", "read_grd", "read_safe"]
