"""The real site with radar of two tracks, optical images and daily weather that experiments read."""

from __future__ import annotations

__all__ = ["SITE", "TRACKS"]

SITE = "00002806639B424A"
"""WorldCereal site with two tracks: Flanders, 640 m."""

TRACKS = {
    "files": [
        {
            "match": "S1_*",
            "unit": "dB",
            "relative_orbit": [
                {"after": "17:31", "before": "17:33:59", "relative_orbit": 161},
                {"after": "17:39", "before": "17:42", "relative_orbit": 59},
            ],
        }
    ]
}
"""What its radar files do not say: the unit, and the relative orbit, by the time of the pass."""
