"""The tables of Alatalo, Sipola, Rantonen (IEEE TGRS 61, 2023), made anew on any data."""

from __future__ import annotations

from terradelta.evaluate.paper.experiment import run
from terradelta.evaluate.paper.protocol import FULL, QUICK, PaperProtocol

__all__ = ["FULL", "QUICK", "PaperProtocol", "run"]
