"""What radar values measure, by the names and tags that OPERA, SNAP and pyroSAR give their files."""

from __future__ import annotations

import re
from typing import Literal

from terradelta.sources.layers import RawLayer
from terradelta.sources.names import NameInfo
from terradelta.sources.sidecar import FileSettings

__all__ = ["radiometry_of"]

_MEASURE = re.compile(
    r"(?<![a-z])(?P<name>sigma|gamma|beta)_?(?:0|nought)(?:-(?P<surface>rtc|elp))?", re.IGNORECASE
)
_FLATTENED = re.compile(r"(?<![a-z])(tf|rtc)(?![a-z])", re.IGNORECASE)
_SURFACES: dict[str, Literal["rtc", "ellipsoid"]] = {"rtc": "rtc", "elp": "ellipsoid"}


def radiometry_of(raw: RawLayer, info: NameInfo, settings: FileSettings) -> str:
    """Tell what a radar image measures: settings win over the band's name, that over the file's name.

    Parameters
    ----------
    raw : RawLayer
        The image, as its header describes it.
    info : NameInfo
        What its name says.
    settings : FileSettings
        What `terradelta.yaml` says.

    Returns
    -------
    str
        "gamma0-rtc" (terrain corrected for), "sigma0-ellipsoid", "gamma0-ellipsoid", "beta0"; empty if
        nothing tells it.
    """
    if settings.radiometry is not None:
        return settings.radiometry
    if info.family in ("opera", "burst"):
        return "gamma0-rtc"
    stem = raw.path.stem
    found = _MEASURE.search(raw.label) or _MEASURE.search(stem)
    if found is None:
        return "gamma0-rtc" if info.family and _FLATTENED.search(stem) else ""
    measure = f"{found['name'].lower()}0"
    if measure == "beta0":
        return measure
    told = _SURFACES.get((found["surface"] or "").lower())
    return f"{measure}-{told or ('rtc' if _FLATTENED.search(stem) else 'ellipsoid')}"
