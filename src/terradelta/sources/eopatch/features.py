"""What the features of an EOPatch hold: by settings, else by their names and those of the folders around."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from terradelta.errors import SourceError
from terradelta.sources.eopatch.arrays import ENDINGS, Header, read_header
from terradelta.sources.families import DECIBEL, POLARISATIONS, Group, NameInfo, band_in
from terradelta.sources.names import static_name
from terradelta.sources.older import LANDSAT_BANDS
from terradelta.sources.sidecar import SIDECAR_NAME, FeatureRule

__all__ = ["FOLDERS", "Feature", "bands_of", "features_of", "info_of", "layer_name", "mask_of", "valid_of"]

FOLDERS = ("data", "mask", "data_timeless", "mask_timeless")
"""Folders of an EOPatch that hold images; those with other things are left alone."""

_DIMENSIONS = {"data": 4, "mask": 4, "data_timeless": 3, "mask_timeless": 3}
_SENTINEL2 = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip
_SENSORS: dict[Group, str] = {
    "sar": r"S1[A-D]?|SENTINEL1[A-D]?|SAR|IW|GRD|ERS[12]?|SIGMA0|GAMMA0|VV|VH|HH|HV",
    "optical": r"(S2|SENTINEL2)[A-D]?(L[12][AC])?|L1C|L2A|LANDSAT[45]?|LS?[45]|LT0?[45]|TM",
}
_DIRECTIONS = {"ascending": r"ASC(ENDING)?", "descending": r"DE?SC(ENDING)?|DES"}
_PLATFORMS = {r"(?:S|SENTINEL)([12][A-D])": "S", r"ERS([12])": "ERS", r"(?:LANDSAT|LS?|LT0?)([45])": "L"}
_CLEAR = (
    (r"CLM|CLOUD_?MASKS?", (0,)),
    (r"(IS_)?VALID(_DATA|_MASK)?", (1,)),
    (r"SCL", (4, 5, 6, 7)),
    (r"CLP", tuple(range(102))),
)
"""Masks by name, and their clear classes; of cloud probabilities 0 to 255 those below 0.4 (s2cloudless)."""

_VALID = r"DATA_?MASK|IS_?DATA"


@dataclass(frozen=True)
class Feature:
    """An array of an EOPatch."""

    path: Path
    header: Header

    @property
    def stem(self) -> str:
        """Name of the file without its endings."""
        return self.path.name.split(".")[0]

    @property
    def name(self) -> str:
        """Folder and name, such as "data/BANDS"."""
        return f"{self.path.parent.name}/{self.stem}"

    @property
    def times(self) -> int:
        """Number of times; 0 for an image without time."""
        return self.header.shape[0] if len(self.header.shape) == 4 else 0


def features_of(patch: Path) -> dict[str, Feature]:
    """Read the headers of all arrays of an EOPatch, by name such as "data/BANDS".

    Raises
    ------
    SourceError
        One cannot be read, or has another number of dimensions than its folder asks for.
    """
    found = {}
    for folder in FOLDERS:
        for path in sorted((patch / folder).glob("*")):
            if not path.name.endswith(ENDINGS):
                continue
            feature = Feature(path, read_header(path))
            if len(feature.header.shape) != _DIMENSIONS[folder] or 0 in feature.header.shape[-3:]:
                wanted = (
                    "time, rows, columns, channels" if "timeless" not in folder else "rows, columns, channels"
                )
                raise SourceError(
                    f"{patch.name}/{feature.name}: has the shape {feature.header.shape}; expected {wanted}"
                )
            found[feature.name] = feature
    return found


def _words(text: str) -> list[str]:
    return re.split(r"[^A-Z0-9]+", text.upper())


def info_of(feature: Feature, rule: FeatureRule, around: Sequence[str]) -> NameInfo:
    """Tell the sensor, platform and direction of a feature.

    Parameters
    ----------
    feature : Feature
        In the folder `data`.
    rule : FeatureRule
        What settings say; it wins.
    around : sequence of str
        Names of the folders around, the nearest first.
    """
    group: Group = rule.sensor or ""
    direction, platform = "", ""
    for text in (feature.stem, *around):
        for word in _words(text):
            group = group or next((g for g, pattern in _SENSORS.items() if re.fullmatch(pattern, word)), "")
            direction = direction or next((d for d, p in _DIRECTIONS.items() if re.fullmatch(p, word)), "")
            platform = platform or _platform(word)
    whole = "BANDS" in _words(feature.stem) and feature.header.channels in (12, 13)
    if not group and (whole or _one_band(feature)):
        group = "optical"
    return NameInfo(
        group=group,
        platform=platform,
        orbit_direction=direction if group == "sar" else "",
        family="landsat" if platform.startswith("L") or "TM" in _words(feature.stem) else "",
        unit="dB" if DECIBEL.search(feature.stem) else "",
    )


def _platform(word: str) -> str:
    for pattern, name in _PLATFORMS.items():
        found = re.fullmatch(pattern, word)
        if found:
            return name + found[1]
    return ""


def bands_of(feature: Feature, rule: FeatureRule, info: NameInfo) -> tuple[str, ...]:
    """Name the channels of a feature in their order; empty where nothing tells them.

    Raises
    ------
    SourceError
        Settings name another number of them.
    """
    channels = feature.header.channels
    if rule.bands is not None:
        if not isinstance(rule.bands, list) or len(rule.bands) != channels:
            number = len(rule.bands)
            raise SourceError(
                f"{feature.name}: {channels} channels, but 'bands' in {SIDECAR_NAME} names {number}; "
                "list one per channel, in their order"
            )
        return tuple(rule.bands)
    words = _words(feature.stem)
    if info.group == "sar":
        named = tuple(word for word in words if word in POLARISATIONS)
        usual = {2: ("VV", "VH"), 1: ("VV",) if info.platform.startswith("ERS") else ()}
        return named if len(named) == channels else usual.get(channels, ())
    if info.family == "landsat":
        return {7: LANDSAT_BANDS, 6: tuple(band for band in LANDSAT_BANDS if band != "B6")}.get(channels, ())
    without_cirrus = tuple(band for band in _SENTINEL2 if band != "B10")
    return {13: _SENTINEL2, 12: without_cirrus, 1: _one_band(feature)}.get(channels, ())


def _one_band(feature: Feature) -> tuple[str, ...]:
    """Give the optical band that the name of a feature with one channel tells."""
    band = band_in(feature.stem)
    return (band,) if band in _SENTINEL2 and feature.header.channels == 1 else ()


def mask_of(
    features: Mapping[str, Feature], feature: Feature, rule: FeatureRule
) -> tuple[Feature, tuple[int, ...]] | None:
    """Find the mask of an optical feature, and its clear classes.

    Raises
    ------
    SourceError
        Settings name one that is not there, or whose classes nothing tells.
    """
    told = tuple(rule.clear_values) if "clear_values" in rule.model_fields_set else ()
    if rule.mask is not None:
        mask = _named(features, feature, rule.mask)
        clear = told or next((values for name, values in _CLEAR if _is(mask, name)), ())
        if not clear:
            raise SourceError(f"{mask.name}: say its 'clear_values' for {feature.name} in {SIDECAR_NAME}")
        return mask, clear
    for name, clear in _CLEAR:
        for mask in features.values():
            if _is(mask, name) and mask.times and mask.header.dtype.kind in "bui":
                return mask, told or clear
    return None


def valid_of(features: Mapping[str, Feature], feature: Feature, rule: FeatureRule) -> Feature | None:
    """Find the array that is 0 where a feature has no data; it must have the same rows and columns.

    Raises
    ------
    SourceError
        Settings name one that is not there or of another size.
    """
    found = None if rule.valid is None else _named(features, feature, rule.valid)
    if found is None:
        found = next((one for one in features.values() if _is(one, _VALID)), None)
    if found is not None and found.header.shape[:-1] != feature.header.shape[:-1]:
        if rule.valid is None:
            return None
        raise SourceError(
            f"{found.name}: has the shape {found.header.shape}, {feature.name} {feature.header.shape}; "
            "name one of the same size in 'valid'"
        )
    return found


def _is(feature: Feature, pattern: str) -> bool:
    return re.fullmatch(pattern, feature.stem.upper()) is not None


def _named(features: Mapping[str, Feature], feature: Feature, name: str) -> Feature:
    if name not in features:
        raise SourceError(
            f"{feature.name}: {SIDECAR_NAME} names {name!r}, which is not there; choose from "
            f"{', '.join(features)}"
        )
    return features[name]


def layer_name(feature: Feature, rule: FeatureRule) -> str:
    """Name of the layer without time that a feature holds; empty where nothing tells it."""
    return rule.layer or (static_name(feature.stem) if rule.sensor in (None, "static") else "")
