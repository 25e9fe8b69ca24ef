"""From headers, names and settings to images that are understood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources.decodings import (
    S2_OFFSET,
    clear_values,
    optical_decoding,
    plain_decoding,
    sar_decoding,
)
from terradelta.sources.flights import flight_of
from terradelta.sources.layers import Decoding, Layer, RawLayer
from terradelta.sources.names import (
    Group,
    NameInfo,
    band_in,
    group_of_band,
    read_name,
    static_name,
)
from terradelta.sources.older import landsat_band
from terradelta.sources.radiometry import radiometry_of
from terradelta.sources.sidecar import FileSettings
from terradelta.sources.times import Time, parse_time, time_by_pattern, times_in

__all__ = ["describe"]

_TIME_TAGS = (
    "acquisition_datetime",
    "datetime",
    "zero_doppler_start_time",
    "sensing_time",
    "time_coverage_start",
)
_CLASS_LAYERS = ("land_cover", "forest")


def describe(raws: Sequence[RawLayer], settings: FileSettings, parents: Sequence[str] = ()) -> list[Layer]:
    """Understand the images of one file; what is no radar, optical or static layer is left out.

    Parameters
    ----------
    raws : sequence of RawLayer
        Images of one file, as its header describes them.
    settings : FileSettings
        What `terradelta.yaml` says about the file; it wins over names and tags.
    parents : sequence of str
        Names of the folders around the file, the nearest first.

    Returns
    -------
    list of Layer
        Empty where nothing in the file is understood.

    Raises
    ------
    SourceError
        A time, a CRS, a band or a unit cannot be told; the message names the file and the cure.
    """
    layers = []
    for raw in raws:
        info = read_name(raw.path.name, parents)
        band = _band(raw, info, settings, _dated(raws, settings))
        group = _group(raw, band, info, settings)
        if not group or band is None:
            continue
        grid = _grid(raw, settings)
        if group == "static":
            layers.append(_static(raw, grid, settings))
        else:
            layers.append(_image(replace(info, group=group, band=band), raw, grid, settings))
    return layers


def _dated(raws: Sequence[RawLayer], settings: FileSettings) -> bool:
    """Whether the bands of a raster are dates of one and the same band."""
    return isinstance(settings.time, list) or (len(raws) > 1 and all(parse_time(raw.label) for raw in raws))


def _band(raw: RawLayer, info: NameInfo, settings: FileSettings, dated: bool) -> str | None:
    """Name of the band; "" where nothing tells it, None where the settings leave it out."""
    names = settings.bands
    if isinstance(names, dict):
        return _mapped(raw, names)
    polarisation = raw.tags.get("polarization", raw.tags.get("polarisation", "")).upper()
    label = landsat_band(raw.label) if info.family.startswith("landsat") else band_in(raw.label)
    own = label or info.band or (polarisation if group_of_band(polarisation) else "")
    if names is None or settings.sensor == "static":
        return own
    if own or raw.reader == "netcdf":
        own = own or raw.label
        return own if own in names else None
    if dated and len(names) == 1:
        return names[0]
    if len(names) != raw.count:
        raise SourceError(
            f"{raw.path.name}: {raw.count} bands, but 'bands' in terradelta.yaml names {len(names)} "
            f"({', '.join(names)}); name each once, in the file's order"
        )
    return names[int(str(raw.key)) - 1]


def _mapped(raw: RawLayer, names: Mapping[str, str]) -> str | None:
    """Band by the description or variable, else by a part of the file's name."""
    if raw.label in names:
        return names[raw.label]
    if raw.reader == "netcdf":
        return None
    return next((band for part, band in names.items() if part in raw.path.stem), None)


def _group(raw: RawLayer, band: str | None, info: NameInfo, settings: FileSettings) -> Group:
    """Tell the kind of image, "" for unknown."""
    if settings.sensor in ("sar", "optical") and not band:
        _require_band(raw, raw.reader == "netcdf")
        return ""
    if band and band == settings.mask_band:
        return "optical"
    if settings.sensor is not None:
        return settings.sensor if settings.sensor != "weather" else ""
    if settings.layer is not None:
        return "static"
    if not band:
        if raw.time is None and (static_name(raw.label) or info.group == "static" or _flat_netcdf(raw)):
            return "static"
        _require_band(raw, info.group not in ("sar", "optical") or raw.count == 1)
        return ""
    return group_of_band(band) or ("" if settings.bands is None else info.group)


def _require_band(raw: RawLayer, optional: bool) -> None:
    """Refuse an image whose band nothing tells."""
    if not optional:
        raise SourceError(
            f"{raw.path.name}: band {raw.key} has no name; list the bands in order in terradelta.yaml, "
            "for example 'bands: [VV, VH]'"
        )


def _flat_netcdf(raw: RawLayer) -> bool:
    """Take a NetCDF layer without time for a static one, whatever its name."""
    return raw.reader == "netcdf" and isinstance(raw.key, tuple) and raw.key[1] is None


def _grid(raw: RawLayer, settings: FileSettings) -> GeoBox:
    """Grid with a CRS, the file's or the settings'."""
    if raw.grid.crs is not None:
        return raw.grid
    if settings.crs is None:
        raise SourceError(
            f"{raw.path.name}: has no CRS; say it in terradelta.yaml, for example 'crs: EPSG:32631'"
        )
    try:
        return GeoBox(raw.grid.shape, raw.grid.affine, settings.crs)
    except Exception as error:
        raise SourceError(f"{raw.path.name}: 'crs: {settings.crs}' is no CRS ({error})") from error


def _static(raw: RawLayer, grid: GeoBox, settings: FileSettings) -> Layer:
    """Describe a layer without time: bilinear for measurements, nearest for classes."""
    own = raw.label if raw.reader == "netcdf" else ""
    band = settings.layer or static_name(own) or own.lower() or static_name(raw.path.stem) or raw.path.stem
    classes = band in _CLASS_LAYERS or (band != "dem" and raw.dtype.kind in "ui")
    return Layer(
        raw=raw,
        grid=grid,
        group="static",
        band=band,
        decoding=plain_decoding(raw, settings, ""),
        categorical=classes if settings.categorical is None else settings.categorical,
    )


def _image(info: NameInfo, raw: RawLayer, grid: GeoBox, settings: FileSettings) -> Layer:
    """Describe a radar or optical image with its time and pass."""
    time = _time(raw, info, settings)
    product = info.product or raw.path.stem
    flight, guesses = flight_of(raw, info, settings, time, grid)
    layer = Layer(
        raw=raw,
        grid=grid,
        group=info.group,
        band=info.band,
        time=time,
        place=info.place,
        decoding=Decoding(),
        product=product if time == info.time else f"{product}_{_compact(time)}",
        flight=flight,
        estimated=guesses,
    )
    clear = clear_values(info, settings)
    if clear:
        return replace(layer, categorical=True, clear_values=clear)
    if info.group == "sar":
        decoding = sar_decoding(raw, info, settings)
        return replace(layer, decoding=decoding, radiometry=radiometry_of(raw, info, settings))
    decoding = optical_decoding(raw, info, settings, time)
    return replace(
        layer, decoding=decoding, offset_applied=raw.dtype.kind in "ui" and decoding.offset == S2_OFFSET
    )


def _compact(time: Time) -> str:
    return str(time)[:19].replace("-", "").replace(":", "")


def _time(raw: RawLayer, info: NameInfo, settings: FileSettings) -> Time:
    """Time of acquisition: settings, then the file itself, then its name."""
    if settings.time is not None:
        return _told_time(raw, settings.time)
    tagged = (parse_time(raw.tags[key]) for key in _TIME_TAGS if key in raw.tags)
    labelled = (*times_in(raw.label)[:1], time_by_pattern(raw.label, "%d%b%Y"))
    candidates = (raw.time, *(_finer(time, info.time) for time in labelled), *tagged, info.time)
    time = next((candidate for candidate in candidates if candidate is not None), None)
    if time is None:
        why = "more than one date in its name" if info.several_times else "no date in its name or tags"
        raise SourceError(
            f"{raw.path.name}: time unreadable ({why}); say it in terradelta.yaml, "
            "for example 'time: 2020-01-13T10:50:00Z' or a pattern 'time: _%Y%m%d_'"
        )
    return time


def _finer(day: Time | None, full: Time | None) -> Time | None:
    """Take the name's time of day for a label that gives the same day only."""
    same = day is not None and full is not None and full.astype("datetime64[D]") == day
    return full if same else day


def _told_time(raw: RawLayer, told: str | list[str]) -> Time:
    """Time as the settings give it: one, one per band, or a pattern for the name."""
    if isinstance(told, list):
        if len(told) != raw.count:
            raise SourceError(
                f"{raw.path.name}: {raw.count} bands, but 'time' in terradelta.yaml lists {len(told)}"
            )
        index = raw.key[1] or 0 if isinstance(raw.key, tuple) else raw.key - 1
        told = told[index]
    if "%" in told:
        time = time_by_pattern(raw.label, told) or time_by_pattern(raw.path.name, told)
    else:
        time = parse_time(told)
    if time is None:
        raise SourceError(
            f"{raw.path.name}: 'time: {told}' of terradelta.yaml gives no time here; correct it"
        )
    return time
