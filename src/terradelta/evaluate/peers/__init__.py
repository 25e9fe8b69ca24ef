"""The experiment against pre-trained networks of others: scores, time and memory in one table."""

from __future__ import annotations

from terradelta.evaluate.peers.cost import Cost, Task, measure
from terradelta.evaluate.peers.experiment import run
from terradelta.evaluate.peers.methods import TransformerPeer
from terradelta.evaluate.peers.places import simulated_series
from terradelta.evaluate.peers.plan import Plan

__all__ = ["Cost", "Plan", "Task", "TransformerPeer", "measure", "run", "simulated_series"]
