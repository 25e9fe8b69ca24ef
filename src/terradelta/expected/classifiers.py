"""From difference images to maps of change: a threshold, and a linear support vector classifier."""

from __future__ import annotations

from terradelta.expected.change_maps import NO_DATA
from terradelta.expected.svc import LinearSVC
from terradelta.expected.threshold import Threshold, score_of

__all__ = ["NO_DATA", "LinearSVC", "Threshold", "score_of"]
