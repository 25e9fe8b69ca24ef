"""From difference images to maps of change: a threshold, and a linear support vector classifier."""

from __future__ import annotations

from terradelta.expected.classifiers.svc import LinearSVC
from terradelta.expected.classifiers.threshold import Threshold, score_of
from terradelta.expected.differences.change_maps import NO_DATA

__all__ = ["NO_DATA", "LinearSVC", "Threshold", "score_of"]
