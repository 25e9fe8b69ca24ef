"""Figures of the experiment on images with change, as numbers and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from terradelta.evaluate.curves import Roc
from terradelta.evaluate.images.differences import LABELS, Change
from terradelta.evaluate.images.svc import SvcResult
from terradelta.evaluate.images.threshold import Curves
from terradelta.evaluate.urban.writing import table

__all__ = ["TITLES", "ImagesReport", "markdown"]

TITLES: dict[Change, str] = {"stored": "stored change", "shift": "change of −2.5 dB"}
"""What tables and pictures call the changes."""

_GRID = np.linspace(0, 1, 201)
_KINDS = {"subtraction": "−", "scaled-ratio": "/", "scaled-log-ratio": "log"}


@dataclass(frozen=True, eq=False)
class ImagesReport:
    """What came out.

    Attributes
    ----------
    seed : int
        Of all draws.
    samples : int
        In the data.
    left_out : dict
        Name of a sample to why no threshold was judged on it.
    curves : dict
        Change to way of expecting to its curves.
    rocs : dict
        The same to the curve over all pixels.
    svc : tuple of SvcResult
        Trained classifiers.
    test : tuple of int
        Numbers of the samples that they were tested on.
    """

    seed: int
    samples: int
    left_out: dict[str, str]
    curves: dict[Change, dict[str, Curves]]
    rocs: dict[Change, dict[str, Roc]]
    svc: tuple[SvcResult, ...]
    test: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give all figures as JSON can keep them."""
        return {
            "seed": self.seed,
            "samples": self.samples,
            "left_out": self.left_out,
            "false_positive_rates": [float(rate) for rate in _GRID],
            "threshold": {
                change: {name: self._threshold(change, name) for name in ways}
                for change, ways in self.curves.items()
            },
            "svc": {"test_samples": list(self.test), "classifiers": [_svc(one) for one in self.svc]},
        }

    def _threshold(self, change: Change, name: str) -> dict[str, Any]:
        curves, roc = self.curves[change][name], self.rocs[change][name]
        balanced = curves.balanced.area()
        return {
            "label": LABELS[name],
            "samples": curves.samples,
            "pixels": roc.changed + roc.unchanged,
            "changed_pixels": roc.changed,
            "auc": roc.area.auc,
            "auc_error_bound": roc.area.bound,
            "auc_balanced": balanced.auc,
            "auc_balanced_error_bound": balanced.bound,
            "true_positive_rates": [float(rate) for rate in roc.true_at(_GRID)],
        }


def _svc(one: SvcResult) -> dict[str, Any]:
    made = one.classifier
    return {
        "kind": one.kind,
        "change": one.change,
        "way": one.way,
        "accuracy": one.accuracy,
        "trained_on": one.trained,
        "tested_on": one.tested,
        "scaler_mean": list(made.mean),
        "scaler_scale": list(made.scale),
        "coefficients": list(made.coefficients),
        "intercept": made.intercept,
        "report": dict(made.report),
    }


def markdown(report: ImagesReport) -> str:
    """Write the tables.

    Parameters
    ----------
    report : ImagesReport
        From `run`.

    Returns
    -------
    str
        Markdown.
    """
    kept = report.samples - len(report.left_out)
    lines = ["# Differences on images with simulated change", "", "## Threshold", ""]
    lines += [f"AUC over all pixels and over balanced ones; {kept} of {report.samples} samples.", ""]
    lines += [_thresholds(report), "", "## Linear support vector classifier", ""]
    if report.svc:
        held = f"{len(report.test)} of {report.samples} images"
        lines += [f"Balanced pixels; accuracy on {held} that were held out.", "", _classifiers(report)]
    else:
        lines += ["Too few images with change to train on some and test on others."]
    if report.left_out:
        lines += ["", "## Samples without a threshold", ""]
        lines += [f"- {name}: {why}" for name, why in report.left_out.items()]
    return "\n".join(lines) + "\n"


def _thresholds(report: ImagesReport) -> str:
    changes = list(report.curves)
    head = [
        "difference to",
        *(f"{TITLES[change]}{what}" for change in changes for what in ("", ", balanced")),
    ]
    rows = []
    for name, label in LABELS.items():
        found = [report.curves[change].get(name) for change in changes]
        if any(found):
            areas = [(one.everywhere.area(), one.balanced.area()) for one in found if one is not None]
            rows.append([label, *(f"{area.auc:.4f}" for pair in areas for area in pair)])
    return table(head, rows)


def _classifiers(report: ImagesReport) -> str:
    head = ["features", "change", "difference to", "accuracy", "precision", "recall", "F1"]
    names = {"prediction": LABELS["prediction"], "previous": LABELS["nearest-geometry"]}
    rows = []
    for one in report.svc:
        found = one.classifier.report["1"]
        figures = (one.accuracy, found["precision"], found["recall"], found["f1-score"])
        words = [_KINDS[one.kind], TITLES[one.change], names[one.way]]
        rows.append([*words, *(f"{figure:.3f}" for figure in figures)])
    return table(head, rows)
