"""Networks judged on a place with labels: before and after transfer, tile by tile and as a whole."""

from __future__ import annotations

from terradelta.evaluate.urban.site.experiment import run
from terradelta.evaluate.urban.site.labels import SiteLabels, labels_from_truth, labels_from_weak
from terradelta.evaluate.urban.site.scoring import UrbanScores, urban_scores
from terradelta.evaluate.urban.site.thinning import thin

__all__ = [
    "SiteLabels",
    "UrbanScores",
    "labels_from_truth",
    "labels_from_weak",
    "run",
    "thin",
    "urban_scores",
]
