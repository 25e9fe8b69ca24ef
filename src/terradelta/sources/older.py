"""Files of the older missions: Landsat 4 and 5 (TM), ERS-1 and ERS-2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from terradelta.sources.families import DECIBEL, POLARISATIONS, NameInfo
from terradelta.sources.times import times_in

__all__ = ["LANDSAT_BANDS", "QUALITY", "landsat_band", "older_family", "platform_name", "scene_tags"]

LANDSAT_BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
"""Bands of the Thematic Mapper; B6 is thermal."""

_LANDSAT = re.compile(
    r"LT0(?P<number>[45])_L(?P<level>[12])[A-Z]{2}_(?P<place>\d{6})_(?P<day>\d{8})_\d{8}_\d{2}_(?:T1|T2|RT)"
    r"(?:_(?P<band>\w+))?$"
)
_LANDSAT_OLD = re.compile(
    r"LT(?P<number>[45])(?P<place>\d{6})(?P<day>\d{7})[A-Z]{3}\d{2}(?:_(?P<band>\w+))?$"
)
_ERS = re.compile(
    r"SAR_[A-Z]{2}[A-Z0-9]_[12]P[A-Z0-9]{4}(?P<date>\d{8})(?:_(?P<clock>\d{6})_\d{8}[A-Z]\d{3}_(?P<orbit>\d{5})_\d{5}"
    r"_\d{4})?.*?[._]E(?P<number>[12])(?![A-Z0-9])"
)
_CALIBRATED = re.compile(r"(?<![a-z])(cal|rtc|tf|tc|sigma0|gamma0)(?![a-z])", re.IGNORECASE)
_SCENE_DATE = re.compile(r"DATE_ACQUIRED\s*=\s*\"?(\d{4}-\d{2}-\d{2})")
_SCENE_CLOCK = re.compile(r"SCENE_CENTER_(?:SCAN_)?TIME\s*=\s*\"?(\d{2}:\d{2}:\d{2})")


def _unset(*bits: int) -> tuple[int, ...]:
    """All 16 bit numbers in which none of some bits is set."""
    numbers = np.arange(2**16)
    return tuple(numbers[numbers & sum(1 << bit for bit in bits) == 0].tolist())


def _clear_of_collection1() -> tuple[int, ...]:
    """Neither fill (bit 0) nor cloud (4), and little confidence in shadow (7, 8) and snow (9, 10)."""
    numbers = np.arange(2**16)
    unlikely = (numbers >> 7 & 3 != 3) & (numbers >> 9 & 3 != 3)
    return tuple(numbers[(numbers & 0b10001 == 0) & unlikely].tolist())


QUALITY: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"QA_PIXEL": _unset(0, 1, 2, 3, 4, 5), "BQA": _clear_of_collection1()}
)
"""Masks of Landsat and their clear numbers: Collection 2 (neither fill, dilated cloud, cirrus, cloud, shadow
nor snow) and Collection 1."""


def landsat_band(text: str) -> str:
    """Name of a Landsat band (B1 to B7) or mask in a file's name or description; "" for anything else.

    Surface temperature, which is no reflectance, is none of them.

    Examples
    --------
    >>> landsat_band("B3"), landsat_band("SR_B7"), landsat_band("QA_PIXEL"), landsat_band("ST_B6")
    ('B3', 'B7', 'QA_PIXEL', '')
    """
    name = text.upper().removeprefix("SR_")
    name = f"B{name[2]}" if re.fullmatch(r"B0[1-7]", name) else name
    return name if name in LANDSAT_BANDS or name in QUALITY else ""


def platform_name(text: str) -> str:
    """Short name of Landsat 4 and 5, ERS-1 and ERS-2; any other in its own spelling, an S1A in capitals.

    Examples
    --------
    >>> platform_name("LANDSAT_5"), platform_name("LT05"), platform_name("ERS-1"), platform_name("s1a")
    ('L5', 'L5', 'ERS1', 'S1A')
    """
    name = re.sub(r"[-_ ]", "", text.upper())
    landsat = re.fullmatch(r"L(?:ANDSAT|T0?|S)?([45])", name)
    if landsat:
        return f"L{landsat[1]}"
    return name if re.fullmatch(r"ERS[12]|S[12][A-D]", name) else text


def older_family(stem: str) -> NameInfo | None:
    """Understand a name of Landsat 4 and 5 or ERS-1 and ERS-2, without its ending; None for any other.

    Examples
    --------
    >>> seen = older_family("LT05_L2SP_198025_19930101_20200101_02_T1_SR_B4")
    >>> seen.platform, seen.band, seen.family, seen.place
    ('L5', 'B4', 'landsat-2', '198025')
    >>> older_family("SAR_IMP_1PNESA19950705_101537_00000016G154_00194_20757_0000.E1_Cal_TC").relative_orbit
    194
    """
    return _landsat(stem) or _ers(stem)


def _landsat(stem: str) -> NameInfo | None:
    found = _LANDSAT.search(stem) or _LANDSAT_OLD.search(stem)
    if not found:
        return None
    day, rest = found["day"], found["band"] or ""
    if len(day) == 7:
        try:
            day = datetime.strptime(day, "%Y%j").strftime("%Y%m%d")
        except ValueError:
            return None
    band = landsat_band(rest) or rest
    known = band in LANDSAT_BANDS or band in QUALITY
    return NameInfo(
        group="optical" if known or not rest else "",
        family=f"landsat-{found.groupdict().get('level') or 1}",
        product=stem.removesuffix(f"_{rest}") if rest else stem,
        place=found["place"],
        time=next(iter(times_in(day)), None),
        platform=f"L{found['number']}",
        band=band,
    )


def _ers(stem: str) -> NameInfo | None:
    found = _ERS.search(stem)
    if not found:
        return None
    clock = f"T{found['clock']}" if found["clock"] else ""
    decibel = DECIBEL.search(stem) is not None
    calibrated = decibel or _CALIBRATED.search(stem) is not None
    band = next((name for name in POLARISATIONS if re.search(rf"(?<![A-Z]){name}(?![A-Z])", stem)), "VV")
    return NameInfo(
        group="sar",
        family="ers",
        product=found[0],
        time=next(iter(times_in(found["date"] + clock)), None),
        platform=f"ERS{found['number']}",
        band=band,
        relative_orbit=int(found["orbit"] or 0),
        unit="dB" if decibel else ("linear" if calibrated else ""),
        calibrated=calibrated,
    )


@lru_cache(maxsize=256)
def scene_tags(path: Path) -> dict[str, str]:
    """Moment of a Landsat scene from the `_MTL.txt` beside its images; empty where there is none.

    Parameters
    ----------
    path : pathlib.Path
        A file of any kind.
    """
    found = _LANDSAT.search(path.stem) or _LANDSAT_OLD.search(path.stem)
    if not found:
        return {}
    rest = f"_{found['band']}" if found["band"] else ""
    try:
        text = path.with_name(f"{path.stem.removesuffix(rest)}_MTL.txt").read_text("ascii", "replace")
    except OSError:
        return {}
    date, clock = _SCENE_DATE.search(text), _SCENE_CLOCK.search(text)
    return {"acquisition_datetime": f"{date[1]}T{clock[1]}"} if date and clock else {}
