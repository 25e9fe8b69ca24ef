"""The offset of Sentinel-2 since processing baseline 04.00, taken off once, whoever provides the files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from terradelta.sources.names import read_name
from terradelta.sources.times import Time

__all__ = ["UNKNOWN_PROVIDER", "Offset", "baseline_of", "raster_facts", "sentinel2_offset"]

UNKNOWN_PROVIDER = (
    "earthsearch:boa_offset_applied",
    "sentinel:boa_offset_applied",
    "raster",
    "baseline",
    "date",
)
"""Rules for a provider that nothing is known about, in their order."""

_BASELINE_WITH_OFFSET = 400
_OFFSET_SINCE = np.datetime64("2022-01-25")
_OFFSET = -0.1
_BASELINES = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")


@dataclass(frozen=True)
class Offset:
    """What is to be added to reflectance.

    Attributes
    ----------
    value : float
        -0.1, or 0.
    taken_off : bool
        The offset was in the numbers once and is not in the reflectance any more.
    why : str
        How it is known.
    """

    value: float
    taken_off: bool
    why: str


def sentinel2_offset(
    properties: Mapping[str, Any],
    asset: Mapping[str, Any],
    names: Iterable[str],
    time: Time,
    rules: Sequence[str] = UNKNOWN_PROVIDER,
) -> Offset:
    """Tell the offset of one asset; the first rule that knows it decides.

    Parameters
    ----------
    properties, asset : mapping
        Of the STAC item.
    names : iterable of str
        Names of the product.
    time : numpy.datetime64
        Acquisition.
    rules : sequence of str
        ``raster`` (what the asset says), ``baseline`` (of the processing, by property or name), ``date``,
        or the name of a property which says that the provider has taken the offset off.

    Examples
    --------
    >>> day = np.datetime64("2023-07-01")
    >>> sentinel2_offset({"s2:processing_baseline": "05.09"}, {}, (), day, ("baseline",)).value
    -0.1
    >>> done = {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}
    >>> sentinel2_offset(done, {"raster:bands": [{"offset": -0.1}]}, (), day)
    Offset(value=0.0, taken_off=True, why='earthsearch:boa_offset_applied is true')
    """
    baseline = baseline_of(properties, names)
    for rule in rules:
        if rule == "raster":
            found = _by_raster(asset, baseline)
        elif rule == "baseline":
            found = _by_baseline(baseline)
        elif rule == "date":
            found = _by_date(time)
        else:
            found = Offset(0.0, True, f"{rule} is true") if properties.get(rule) is True else None
        if found is not None:
            return found
    return Offset(0.0, False, "nothing tells of one")


def _by_raster(asset: Mapping[str, Any], baseline: int) -> Offset | None:
    """By the asset itself; an offset told for an old baseline is a slip of the catalogue."""
    offset = raster_facts(asset).get("offset")
    if offset is None or (0 < baseline < _BASELINE_WITH_OFFSET):
        return None
    return Offset(float(offset), offset != 0, f"the asset tells {offset:g}")


def _by_baseline(baseline: int) -> Offset | None:
    if not baseline:
        return None
    has = baseline >= _BASELINE_WITH_OFFSET
    return Offset(
        _OFFSET if has else 0.0, has, f"processing baseline {baseline // 100:02d}.{baseline % 100:02d}"
    )


def _by_date(time: Time) -> Offset:
    has = bool(time >= _OFFSET_SINCE)
    side = "since" if has else "before"
    return Offset(_OFFSET if has else 0.0, has, f"guessed: acquired {side} {_OFFSET_SINCE}")


def baseline_of(properties: Mapping[str, Any], names: Iterable[str] = ()) -> int:
    """Give the processing baseline of Sentinel-2, 400 for 04.00; 0 unknown.

    Examples
    --------
    >>> baseline_of({"processing:version": "05.10"}), baseline_of({}, ["S2A_MSIL2A_20200101T1"])
    (510, 0)
    """
    for key in _BASELINES:
        found = re.fullmatch(r"N?(\d{2})\.?(\d{2})", str(properties.get(key, "")))
        if found:
            return int(found[1] + found[2])
    return next((info.baseline for info in map(read_name, names) if info.baseline), 0)


def raster_facts(asset: Mapping[str, Any]) -> dict[str, Any]:
    """Read what an asset says about its numbers: nodata, scale, offset, data_type, unit; any STAC version.

    Examples
    --------
    >>> raster_facts({"raster:bands": [{"scale": 0.01}]}), raster_facts({"raster:offset": -0.1, "nodata": 0})
    ({'scale': 0.01}, {'offset': -0.1, 'nodata': 0})
    """
    bands = asset.get("raster:bands") or asset.get("bands") or [{}]
    merged = {**asset, **bands[0]}
    names = ("scale", "offset", "nodata", "data_type", "unit")
    told = {name: merged.get(name, merged.get(f"raster:{name}")) for name in names}
    return {name: value for name, value in told.items() if value is not None}
