"""Names of products: OPERA RTC-S1, Sentinel-1 (SNAP keeps them), Sentinel-2."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from terradelta.sources.times import Time, times_in

__all__ = ["DECIBEL", "Group", "NameInfo", "band_in", "first_relative_orbit", "known_family"]

Group = Literal["", "sar", "optical", "static", "weather"]

POLARISATIONS = ("VV", "VH", "HH", "HV")
OPTICAL_BANDS = (*(f"B{n:02d}" for n in range(1, 13)), "B8A")
OPTICAL_MASKS = ("SCL",)
_BURST = r"(?P<place>T(?P<orbit>\d{3})-\d{6}-IW[1-3])"
_TIME = r"\d{8}T\d{6}"
_OPERA = re.compile(
    rf"OPERA_L2_RTC-S1_{_BURST}_(?P<time>{_TIME})Z_{_TIME}Z_(?P<platform>S1[A-D])_\d+_v[\d.]*\d"
)
_BURST_STACK = re.compile(rf"(?<![A-Z0-9]){_BURST}")
_S1_PRODUCT = re.compile(
    rf"(?P<platform>S1[A-D])_(?:IW|EW|WV|S[1-6])_(?P<type>GRD|SLC)[FHM_]?_\d[SA][SD][VH]_(?P<time>{_TIME})_{_TIME}"
    r"_(?P<absolute>\d{6})_[0-9A-F]{6}_[0-9A-F]{4}"
)
_PYROSAR = re.compile(rf"(?P<platform>S1[A-D])__[A-Z0-9]{{2}}___(?P<pass>[AD])_(?P<time>{_TIME})(?![0-9])")
_S2_PRODUCT = re.compile(
    rf"(?P<platform>S2[A-D])_MSI(?P<level>L1C|L2A)_(?P<time>{_TIME})_N(?P<baseline>\d{{4}})_R(?P<orbit>\d{{3}})"
    rf"_(?P<place>T\d{{2}}[A-Z]{{3}})_{_TIME}"
)
_S2_TILE = re.compile(rf"(?<![A-Z0-9])(?P<place>T\d{{2}}[A-Z]{{3}})_(?P<time>{_TIME})(?![0-9])")
_S2_OLD = re.compile(
    rf"(?P<platform>S2[A-D])_OPER_MSI_L1C_TL_\w{{3}}__{_TIME}_A\d{{6}}_(?P<place>T\d{{2}}[A-Z]{{3}})"
)
DECIBEL = re.compile(r"(?<![A-Za-z])db(?![A-Za-z])", re.IGNORECASE)
_FIRST_ORBIT = {"S1A": 73, "S1B": 27, "S1C": 172}


@dataclass(frozen=True)
class NameInfo:
    """What a name says about an image; empty, 0 or None where it says nothing.

    Attributes
    ----------
    group : str
        "sar", "optical", "static" or "".
    time : numpy.datetime64 or None
        Start of the acquisition, UTC.
    several_times : bool
        The name holds more than one date and nothing says which one counts.
    band, place, product, platform, orbit_direction, relative_orbit
        As named; `place` is a burst or a tile, `product` the image's own name without the band.
    unit : str
        "linear", "dB" or "".
    family : str
        "opera", "burst", "sentinel-1", "pyrosar", "sentinel-2" or "".
    baseline : int
        Processing baseline of Sentinel-2, 400 for N0400; 0 unknown.
    calibrated : bool
        False for Sentinel-1 products whose name shows no calibration.
    """

    group: Group = ""
    time: Time | None = None
    several_times: bool = False
    band: str = ""
    place: str = ""
    product: str = ""
    platform: str = ""
    orbit_direction: str = ""
    relative_orbit: int = 0
    unit: str = ""
    family: str = ""
    baseline: int = 0
    calibrated: bool = True


def first_relative_orbit(platform: str, absolute_orbit: int) -> int:
    """Relative orbit of Sentinel-1 (1 to 175) from its absolute orbit; 0 where the platform is not known.

    Each satellite repeats its ground track every 175 orbits; the constants are the absolute orbits on
    which relative orbit 1 was flown.

    Examples
    --------
    >>> first_relative_orbit("S1A", 39156), first_relative_orbit("S1B", 30148), first_relative_orbit("", 5)
    (59, 22, 0)
    """
    first = _FIRST_ORBIT.get(platform)
    return 0 if first is None else (absolute_orbit - first) % 175 + 1


def band_in(text: str) -> str:
    """Name of the band (VV, VH, HH, HV, B01 to B12, B8A, SCL) that stands alone in a text, or "".

    Examples
    --------
    >>> band_in("Sigma0_VV_db"), band_in("T31UDS_20200101T105441_B2_10m"), band_in("map")
    ('VV', 'B02', '')
    """
    for token in reversed(re.split(r"[^A-Za-z0-9]+", text)):
        name = token.upper()
        if name in POLARISATIONS or name in OPTICAL_BANDS or name in OPTICAL_MASKS:
            return name
        if re.fullmatch(r"B[1-9]", name):
            return f"B0{name[1]}"
    return ""


def known_family(stem: str) -> NameInfo | None:
    """Understand a name of one of the known families, without its ending; None for any other.

    Examples
    --------
    >>> known_family("T137-292324-IW2_VV").relative_orbit, known_family("map")
    (137, None)
    """
    for family in (_opera, _sentinel1, _pyrosar, _sentinel2, _sentinel2_tile, _sentinel2_old, _burst):
        info = family(stem)
        if info is not None:
            return info
    return None


def _opera(stem: str) -> NameInfo | None:
    found = _OPERA.search(stem)
    if not found:
        return None
    return NameInfo(
        group="sar",
        family="opera",
        unit="linear",
        product=found[0],
        place=found["place"],
        time=times_in(found["time"])[0],
        platform=found["platform"],
        relative_orbit=int(found["orbit"]),
    )


def _burst(stem: str) -> NameInfo | None:
    """Understand a stack of one burst, such as ``T137-292324-IW2_VV.tif``: its dates are its bands."""
    found = _BURST_STACK.search(stem)
    if not found or not band_in(stem):
        return None
    return NameInfo(
        group="sar",
        family="burst",
        unit="linear",
        place=found["place"],
        relative_orbit=int(found["orbit"]),
        product=found["place"],
    )


def _sentinel1(stem: str) -> NameInfo | None:
    found = _S1_PRODUCT.search(stem)
    if not found:
        return None
    platform = found["platform"]
    calibrated = (
        re.search(r"(?<![a-z])(cal|rtc|tf|tc|sigma0|gamma0)(?![a-z])", stem, re.IGNORECASE) is not None
    )
    return NameInfo(
        group="sar",
        family="sentinel-1",
        product=found[0],
        time=times_in(found["time"])[0],
        platform=platform,
        unit="dB" if DECIBEL.search(stem) else ("linear" if calibrated else ""),
        calibrated=calibrated,
        relative_orbit=first_relative_orbit(platform, int(found["absolute"])),
    )


def _pyrosar(stem: str) -> NameInfo | None:
    """Understand names such as ``S1A__IW___A_20210809T173953_VV_gamma0-rtc.tif``."""
    found = _PYROSAR.search(stem)
    if not found:
        return None
    return NameInfo(
        group="sar",
        family="pyrosar",
        product=found[0],
        time=times_in(found["time"])[0],
        platform=found["platform"],
        orbit_direction="ascending" if found["pass"] == "A" else "descending",
        unit="dB" if DECIBEL.search(stem) else "linear",
    )


def _sentinel2(stem: str) -> NameInfo | None:
    found = _S2_PRODUCT.search(stem)
    if not found:
        return None
    return NameInfo(
        group="optical",
        family="sentinel-2",
        product=found[0],
        place=found["place"],
        time=times_in(found["time"])[0],
        platform=found["platform"],
        relative_orbit=int(found["orbit"]),
        baseline=int(found["baseline"]),
    )


def _sentinel2_tile(stem: str) -> NameInfo | None:
    found = _S2_TILE.search(stem)
    if not found:
        return None
    return NameInfo(
        group="optical",
        family="sentinel-2",
        product=found[0],
        place=found["place"],
        time=times_in(found["time"])[0],
    )


def _sentinel2_old(stem: str) -> NameInfo | None:
    """Names before 2016-12: their date is that of the processing, so no time is taken from them."""
    found = _S2_OLD.search(stem)
    if not found:
        return None
    return NameInfo(
        group="optical",
        family="sentinel-2",
        product=found[0],
        place=found["place"],
        platform=found["platform"],
    )
