"""What each verb can be told: one model per verb, the only source of keys, defaults, units and meanings."""

from __future__ import annotations

from terradelta.workflows.config.base import Settings, Written, fields_of, load_settings, to_yaml
from terradelta.workflows.config.building import BuildSettings, ImportSettings, UpdateSettings
from terradelta.workflows.config.database import (
    DatabaseCheckSettings,
    DatabaseCreateSettings,
    DatabaseExportSettings,
    DatabaseLandSettings,
    DatabaseLoadSettings,
)
from terradelta.workflows.config.detect import DetectSettings, OmnibusSettings, RobustSettings
from terradelta.workflows.config.label import LabelSettings
from terradelta.workflows.config.monitor import MonitorSettings
from terradelta.workflows.config.predict import PredictSettings
from terradelta.workflows.config.pretrain import PretrainSettings
from terradelta.workflows.config.simulate import SimulateChangeSettings, SimulatePlaceSettings
from terradelta.workflows.config.train import TrainSettings
from terradelta.workflows.config.transfer import TransferSettings
from terradelta.workflows.config.verbs import (
    CompareSettings,
    DemoSettings,
    EvaluateSettings,
    ExportSettings,
    InfoSettings,
)

__all__ = [
    "SETTINGS",
    "BuildSettings",
    "CompareSettings",
    "DatabaseCheckSettings",
    "DatabaseCreateSettings",
    "DatabaseExportSettings",
    "DatabaseLandSettings",
    "DatabaseLoadSettings",
    "DemoSettings",
    "DetectSettings",
    "EvaluateSettings",
    "ExportSettings",
    "ImportSettings",
    "InfoSettings",
    "LabelSettings",
    "MonitorSettings",
    "OmnibusSettings",
    "PredictSettings",
    "PretrainSettings",
    "RobustSettings",
    "Settings",
    "SimulateChangeSettings",
    "SimulatePlaceSettings",
    "TrainSettings",
    "TransferSettings",
    "UpdateSettings",
    "Written",
    "fields_of",
    "load_settings",
    "to_yaml",
]

SETTINGS: dict[str, type[Settings]] = {
    "demo": DemoSettings,
    "detect": DetectSettings,
    "label": LabelSettings,
    "monitor": MonitorSettings,
    "predict": PredictSettings,
    "train": TrainSettings,
    "pretrain": PretrainSettings,
    "transfer": TransferSettings,
    "evaluate": EvaluateSettings,
    "export": ExportSettings,
    "compare": CompareSettings,
    "cube-build": BuildSettings,
    "cube-update": UpdateSettings,
    "cube-import": ImportSettings,
    "cube-info": InfoSettings,
    "simulate-place": SimulatePlaceSettings,
    "simulate-change": SimulateChangeSettings,
    "database-create": DatabaseCreateSettings,
    "database-load": DatabaseLoadSettings,
    "database-land": DatabaseLandSettings,
    "database-export": DatabaseExportSettings,
    "database-check": DatabaseCheckSettings,
}
"""Verbs that `terradelta config` knows."""
