"""The data model: one place as an ``xarray.DataTree`` in one Zarr store, on one ``GeoBox``."""

from __future__ import annotations

from terradelta.cube.acquisitions import Acquisition, OpticalAcquisition, SarAcquisition
from terradelta.cube.append import append, append_all
from terradelta.cube.check import check_cube
from terradelta.cube.layers import write_static
from terradelta.cube.reading import open_cube
from terradelta.cube.store import create_cube, geobox_of
from terradelta.cube.summary import CubeSummary, summary
from terradelta.cube.transfer import write_cube
from terradelta.cube.weather import write_weather

__all__ = [
    "Acquisition",
    "CubeSummary",
    "OpticalAcquisition",
    "SarAcquisition",
    "append",
    "append_all",
    "check_cube",
    "create_cube",
    "geobox_of",
    "open_cube",
    "summary",
    "write_cube",
    "write_static",
    "write_weather",
]
