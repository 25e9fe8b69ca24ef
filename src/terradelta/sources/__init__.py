"""Foreign data into a cube: one file per kind of source; nothing else reads foreign formats."""

from __future__ import annotations

from terradelta.sources.filling import build_cube, fill, import_into
from terradelta.sources.folder import Plan, scan
from terradelta.sources.planned import PlannedAcquisition
from terradelta.sources.report import FillReport
from terradelta.sources.sidecar import SIDECAR_NAME, FileSettings, Sidecar, load_sidecar
from terradelta.sources.statics import import_static
from terradelta.sources.weather import read_weather

__all__ = [
    "SIDECAR_NAME",
    "FileSettings",
    "FillReport",
    "Plan",
    "PlannedAcquisition",
    "Sidecar",
    "build_cube",
    "fill",
    "import_into",
    "import_static",
    "load_sidecar",
    "read_weather",
    "scan",
]
