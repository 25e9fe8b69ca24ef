"""Whether networks learn: synthetic labels, pre-training and transfer on simulated places."""

from __future__ import annotations

from terradelta.evaluate.urban.transfer.experiment import run
from terradelta.evaluate.urban.transfer.protocol import FULL, QUICK, TransferProtocol

__all__ = ["FULL", "QUICK", "TransferProtocol", "run"]
