"""The experiment on real Sentinel-1 series: discs in stable land, one wet scene, one large real change."""

from __future__ import annotations

from terradelta.evaluate.opera.experiment import run
from terradelta.evaluate.opera.protocol import Protocol
from terradelta.evaluate.opera.report import MethodFigures, OperaReport

__all__ = ["MethodFigures", "OperaReport", "Protocol", "run"]
