"""What a file's name says: Sentinel-1 (OPERA RTC-S1, SNAP), Sentinel-2, and plain names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from terradelta.sources.families import (
    DECIBEL,
    OPTICAL_BANDS,
    OPTICAL_MASKS,
    POLARISATIONS,
    Group,
    NameInfo,
    band_in,
    known_family,
)
from terradelta.sources.older import LANDSAT_BANDS, QUALITY, landsat_band, older_family, platform_name
from terradelta.sources.times import times_in

__all__ = ["Group", "NameInfo", "band_in", "group_of_band", "read_name", "static_name"]


STATIC_NAMES = {
    "dem": "dem",
    "dsm": "dem",
    "dtm": "dem",
    "elevation": "dem",
    "srtm": "dem",
    "forest": "forest",
    "landcover": "land_cover",
    "land_cover": "land_cover",
    "worldcover": "land_cover",
    "lulc": "land_cover",
}

_PLATFORM = re.compile(
    r"(?<![A-Z0-9])(S[12][A-D]|ERS-?[12]|(?:LANDSAT-?|LT0?|LS)[45]|L5)(?![A-Z0-9])", re.IGNORECASE
)
_DIRECTION = re.compile(r"(?<![A-Za-z])(asc|ascending|de?sc|descending)(?![A-Za-z])", re.IGNORECASE)


def group_of_band(band: str) -> Group:
    """Group that a band belongs to, or "" for an unknown one."""
    if band in POLARISATIONS:
        return "sar"
    optical = (*OPTICAL_BANDS, *OPTICAL_MASKS, *LANDSAT_BANDS, *QUALITY)
    return "optical" if band in optical else ""


def static_name(text: str) -> str:
    """Name of the static layer (dem, forest, land_cover) that a text speaks of, or ""."""
    lowered = text.lower()
    if re.search(r"(?<![a-z])(land_cover|lc)(?![a-z])", lowered):
        return "land_cover"
    tokens = re.split(r"[^a-z]+", lowered)
    return next((STATIC_NAMES[token] for token in tokens if token in STATIC_NAMES), "")


def read_name(name: str, parents: Iterable[str] = ()) -> NameInfo:
    """Everything that a file's name, and the names of the folders around it, say about its content.

    Parameters
    ----------
    name : str
        Name of the file, with or without its ending.
    parents : iterable of str
        Names of the folders around it, the nearest first (a SAFE product keeps its facts there).

    Examples
    --------
    >>> name = "OPERA_L2_RTC-S1_T137-292321-IW2_20211201T015903Z_20250830T065219Z_S1A_30_v1.0_VH.tif"
    >>> seen = read_name(name)
    >>> seen.relative_orbit, seen.platform, seen.band, str(seen.time)[:19], seen.unit
    (137, 'S1A', 'VH', '2021-12-01T01:59:03', 'linear')
    >>> read_name("S2A_MSIL2A_20220126T105331_N0400_R051_T31UDS_20220126T140000.SAFE").baseline
    400
    """
    stem = re.sub(r"\.(tiff?|jp2|img|nc4?|vrt|dim|SAFE|data)$", "", name, flags=re.IGNORECASE)
    info = known_family(stem) or older_family(stem) or _plain(stem)
    info = replace(info, band=info.band or band_in(stem))
    if not info.group:
        info = replace(info, group=group_of_band(info.band) or ("static" if static_name(stem) else ""))
    for parent in parents:
        around = known_family(re.sub(r"\.(SAFE|data)$", "", parent))
        if around:
            info = _merge(around, info)
    return info


def _merge(around: NameInfo, own: NameInfo) -> NameInfo:
    """Facts of the product around a file, filled up with the file's own."""
    empty = NameInfo()
    changes: dict[str, Any] = {
        field.name: getattr(own, field.name)
        for field in fields(NameInfo)
        if getattr(around, field.name) == getattr(empty, field.name)
    }
    changes |= {"several_times": False, "unit": "dB" if own.unit == "dB" else around.unit}
    return replace(around, **changes)


def _plain(stem: str) -> NameInfo:
    """Tokens that mean the same in anybody's names."""
    times = sorted(set(times_in(stem)))
    platform, direction = _PLATFORM.search(stem), _DIRECTION.search(stem)
    name = platform_name(platform[1]) if platform else ""
    family = "landsat" if name.startswith("L") else ""
    band = band_in(stem)
    product = re.sub(rf"[_.-]?(?<![A-Za-z0-9]){band}(?![A-Za-z0-9])", "", stem) if band else stem
    return NameInfo(
        time=times[0] if len(times) == 1 else None,
        several_times=len(times) > 1,
        product=product,
        platform=name,
        family=family,
        band=landsat_band(band) if family else band,
        orbit_direction="" if not direction else "ascending" if direction[1][0] in "aA" else "descending",
        unit="dB" if DECIBEL.search(stem) else "",
    )
