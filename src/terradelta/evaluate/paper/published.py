"""Figures of the publication, beside which ours are printed."""

from __future__ import annotations

__all__ = ["ABLATION_SVC", "CHOICE_AUC", "NO_WEATHER_AUC", "SVC_ACCURACY", "THRESHOLD_AUC"]

CHOICE_AUC = {"nearest-geometry": 0.79, "same-direction": 0.75, "latest": 0.71}
"""Table II: AUC by the choice of the previous image, offset change."""

THRESHOLD_AUC = {
    "shift": {"prediction": 0.87, "nearest-geometry": 0.79},
    "stored": {"prediction": 0.73, "nearest-geometry": 0.67},
}
"""Table III: AUC by change (shift = offset, stored = statistical) and difference."""

NO_WEATHER_AUC = 0.83
"""Fig. 10: AUC without weather, offset change."""

SVC_ACCURACY = {
    "shift": {"prediction": 0.89, "previous": 0.81},
    "stored": {"prediction": 0.75, "previous": 0.70},
}
"""Table IV: accuracy of the linear classifier."""

ABLATION_SVC = {
    "temperature": {"shift": 0.88, "stored": 0.75},
    "snow_depth": {"shift": 0.89, "stored": 0.75},
    "orbit_direction": {"shift": 0.87, "stored": 0.74},
    "incidence": {"shift": 0.88, "stored": 0.75},
    "satellite": {"shift": 0.89, "stored": 0.76},
    "precipitation": {"shift": 0.87, "stored": 0.74},
}
"""Table V: accuracy of the linear classifier when the network is not told a condition."""
