"""How stored numbers are to be read: units, scales and offsets of radar and optical files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from terradelta.errors import SourceError
from terradelta.sources.layers import Decoding, RawLayer
from terradelta.sources.names import NameInfo
from terradelta.sources.older import QUALITY
from terradelta.sources.sidecar import FileSettings
from terradelta.sources.times import Time

__all__ = ["S2_OFFSET", "clear_values", "optical_decoding", "plain_decoding", "sar_decoding"]

OFFSET_SINCE = np.datetime64("2022-01-25")
BASELINE_WITH_OFFSET = 400
S2_SCALE, S2_OFFSET = 1e-4, -0.1
LANDSAT_SCALE, LANDSAT_OFFSET = 2.75e-5, -0.2


def plain_decoding(raw: RawLayer, settings: FileSettings, unit: str) -> Decoding:
    """Join what settings and header say about the numbers, whatever the sensor."""
    nodata = settings.nodata if settings.nodata is not None else list(raw.nodata)
    return Decoding(
        unit=unit,
        scale=raw.scale if settings.scale is None else settings.scale,
        offset=raw.offset if settings.offset is None else settings.offset,
        nodata=tuple(nodata) if isinstance(nodata, list) else (nodata,),
        negative=settings.negative,
    )


def sar_decoding(raw: RawLayer, info: NameInfo, settings: FileSettings) -> Decoding:
    """Radar: linear power unless told otherwise; plain integers have no unit of their own."""
    unit = settings.unit or _unit_in(raw) or info.unit or "linear"
    told = settings.unit is not None or settings.scale is not None or raw.scaled
    if not told and (raw.dtype.kind in "ui" or not info.calibrated):
        what = f"{raw.dtype} numbers" if raw.dtype.kind in "ui" else "a product that is not calibrated"
        raise SourceError(
            f"{raw.path.name}: {what} without a unit; calibrate it, or say 'unit' (linear, dB, amplitude) "
            "and 'scale' in terradelta.yaml"
        )
    if unit == "reflectance":
        raise SourceError(
            f"{raw.path.name}: 'unit: reflectance' is not for radar; say linear, dB or amplitude"
        )
    if unit == "DN" and settings.scale is None and not raw.scaled:
        raise SourceError(f"{raw.path.name}: 'unit: DN' needs 'scale' (and 'offset') in terradelta.yaml")
    decoding = plain_decoding(raw, settings, "linear" if unit == "DN" else unit)
    return replace(decoding, zero_is_nodata=not (unit == "dB" and raw.dtype.kind in "ui"))


def _unit_in(raw: RawLayer) -> str:
    """Tell the unit of radar by the tags or the band's description."""
    text = raw.tags.get("units", raw.tags.get("unit", "")).strip().lower()
    if text.startswith(("db", "decibel")) or raw.label.lower().endswith("_db"):
        return "dB"
    return next((unit for unit in ("linear", "amplitude") if text.startswith(unit)), "")


def optical_decoding(raw: RawLayer, info: NameInfo, settings: FileSettings, time: Time) -> Decoding:
    """Optical: reflectance, or digital numbers by the rules of Sentinel-2."""
    if settings.offset is not None and abs(settings.offset) > 1:
        raise SourceError(
            f"{raw.path.name}: 'offset: {settings.offset:g}' is added after scaling; "
            "-1000 DN are 'offset: -0.1'"
        )
    if settings.unit not in (None, "DN", "reflectance"):
        raise SourceError(
            f"{raw.path.name}: 'unit: {settings.unit}' is not for optical images; say DN or reflectance"
        )
    decoding = plain_decoding(raw, settings, "reflectance")
    if raw.dtype.kind not in "ui":
        return decoding
    if info.family.startswith("landsat"):
        return _landsat_decoding(raw, info, settings, decoding)
    if not raw.scaled and settings.scale is None:
        decoding = replace(decoding, scale=S2_SCALE)
    if settings.offset is None and not raw.scaled and _has_offset(info, time):
        decoding = replace(decoding, offset=S2_OFFSET)
    return replace(decoding, zero_is_nodata=True)


def _landsat_decoding(raw: RawLayer, info: NameInfo, settings: FileSettings, decoding: Decoding) -> Decoding:
    """Level 2 by its rule; 8 bit numbers of level 1 as a share of their range, as the networks read them."""
    decoding = replace(decoding, zero_is_nodata=True)
    if raw.scaled or settings.scale is not None:
        return decoding
    if info.family == "landsat-2":
        return replace(decoding, scale=LANDSAT_SCALE, offset=LANDSAT_OFFSET)
    if raw.dtype == np.uint8:
        return replace(decoding, scale=1 / 255)
    raise SourceError(
        f"{raw.path.name}: {raw.dtype} numbers of Landsat without a scale; say 'scale' and 'offset' in "
        "terradelta.yaml (level 2 of Collection 2: 0.0000275 and -0.2)"
    )


def clear_values(info: NameInfo, settings: FileSettings) -> tuple[int, ...]:
    """Classes of a mask that count as clear; empty for an image.

    Examples
    --------
    >>> clear_values(NameInfo(band="SCL"), FileSettings())
    (4, 5, 6, 7)
    """
    if info.band == settings.mask_band:
        return tuple(settings.clear_values)
    return QUALITY.get(info.band, ())


def _has_offset(info: NameInfo, time: Time) -> bool:
    """Whether 1000 were added to the numbers: since baseline 04.00, in ESA's own files since 2022-01-25."""
    if info.baseline:
        return info.baseline >= BASELINE_WITH_OFFSET
    return info.family == "sentinel-2" and bool(time >= OFFSET_SINCE)
