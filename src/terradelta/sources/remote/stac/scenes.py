"""Items understood: which files make the bands of the cube, how to read them, what pass they show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from terradelta.sources.families import OPTICAL_BANDS, POLARISATIONS, band_in
from terradelta.sources.flights import direction_by_sun
from terradelta.sources.layers import Decoding, Flight
from terradelta.sources.remote.stac.harmonize import UNKNOWN_PROVIDER, Offset, raster_facts, sentinel2_offset
from terradelta.sources.remote.stac.items import Item
from terradelta.sources.remote.stac.profile import ProductProfile
from terradelta.sources.remote.stac.reading import Asset, Piece
from terradelta.sources.times import Time

__all__ = ["Scene", "assets_of", "recognised", "scene_of"]

_COMMON_NAMES = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge071": "B05",
    "rededge2": "B06", "rededge075": "B06", "rededge3": "B07", "rededge078": "B07", "nir": "B08",
    "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir16": "B11", "swir22": "B12",
}  # fmt: skip
_REFUSED = (
    "radar that is not calibrated on a map (GRD, SLC); take an RTC product, or process the SAFE with SNAP"
)


@dataclass(frozen=True)
class Scene:
    """One item as a part of an acquisition.

    Attributes
    ----------
    item : Item
        Where it comes from.
    group : {"sar", "optical"}
        Group of the cube.
    product : str
        Name of the product.
    time : numpy.datetime64
        Start, UTC.
    flight : Flight
        The pass.
    estimated : tuple of str
        Names of values of `flight` that are estimates.
    bands : tuple of str
        Bands of the cube.
    piece : Piece
        Their files.
    radiometry : str
        What radar measures.
    offset : Offset or None
        Of Sentinel-2.
    """

    item: Item
    group: Literal["sar", "optical"]
    product: str
    time: Time
    flight: Flight
    estimated: tuple[str, ...]
    bands: tuple[str, ...]
    piece: Piece
    radiometry: str = ""
    offset: Offset | None = None


def scene_of(item: Item, product: str, profile: ProductProfile, wanted: tuple[str, ...]) -> Scene | str:
    """Understand an item; a text says why it cannot be used.

    Parameters
    ----------
    item : Item
        Radar or optical.
    product : str
        Its name.
    profile : ProductProfile
        What is known about the product.
    wanted : tuple of str
        Bands; empty: all of the product.
    """
    there = assets_of(item, profile.bands)
    optical = profile.kind == "optical"
    bands = wanted or tuple(profile.bands)
    bands = tuple(_in_order(bands)) if optical else bands
    missing = [band for band in bands if band not in there]
    if missing or not bands:
        return f"no {', '.join(missing) or 'band that is known'}"
    if item.time is None:
        return "no time"
    flight, estimated = _flight(item, profile)
    offset = _offset(item, there[bands[0]], profile) if optical else None
    assets = tuple(_asset(item, band, there[band], profile) for band in bands)
    name = profile.mask if optical and profile.mask in item.assets else ""
    mask = Asset(item.address(name), "SCL", collection=item.collection) if name else None
    return Scene(
        item=item, group="optical" if optical else "sar", product=product, time=item.time, flight=flight,
        estimated=estimated, bands=bands, radiometry=profile.radiometry, offset=offset,
        piece=Piece(assets, mask, profile.clear),
    )  # fmt: skip


def assets_of(item: Item, bands: Mapping[str, str | tuple[str, ...]]) -> dict[str, str]:
    """Name of each band's asset that an item has."""
    found = {}
    for band, names in bands.items():
        tried = (names,) if isinstance(names, str) else names
        name = next((name for name in tried if item.assets.get(name, {}).get("href")), "")
        if name:
            found[band] = name
    return found


def _asset(item: Item, band: str, name: str, profile: ProductProfile) -> Asset:
    told = raster_facts(item.assets[name]).get("nodata")
    nodata = () if told is None else (float(told),)
    offset = _offset(item, name, profile).value if profile.kind == "optical" else 0.0
    decoding = Decoding(
        unit=profile.unit, scale=profile.scale, offset=offset, nodata=(*profile.nodata, *nodata),
        zero_is_nodata=profile.zero_is_nodata, negative="nodata",
    )  # fmt: skip
    return Asset(item.address(name), band, decoding, item.collection)


def _offset(item: Item, name: str, profile: ProductProfile) -> Offset:
    time = item.time if item.time is not None else np.datetime64("1970-01-01")
    return sentinel2_offset(item.properties, item.assets[name], item.names, time, profile.offset)


def _flight(item: Item, profile: ProductProfile) -> tuple[Flight, tuple[str, ...]]:
    """Give the pass, its direction by the sun where a radar item does not tell it."""
    flight = item.flight
    if flight.orbit_direction or profile.kind != "sar" or item.time is None:
        return flight, ()
    middle = item.footprint.centroid
    direction = direction_by_sun(item.time, (middle.x + 180) % 360 - 180, middle.y)
    return replace(flight, orbit_direction=direction), ("orbit_direction",) if direction else ()


def recognised(item: Item) -> ProductProfile | str:
    """Tell from an item alone what it holds; a text says why it cannot be used.

    Radar by polarisations, optical images by the names of Sentinel-2 bands, in asset names, ``eo:bands`` or
    ``bands``.
    """
    by_band = _bands_in(item)
    radar = {band: names for band, names in by_band.items() if band in POLARISATIONS}
    optical = {band: names for band, names in by_band.items() if band in OPTICAL_BANDS}
    if radar:
        return _radar(item, radar)
    if not optical:
        return "no band that is known"
    masks = [name for name in item.assets if band_in(name) == "SCL" and not name.endswith("jp2")]
    example = raster_facts(item.assets[next(iter(optical.values()))[0]])
    plain = str(example.get("data_type", "")).startswith("float")
    mask = _finest(item, masks)[0] if masks else ""
    return ProductProfile(
        collection=item.collection, kind="optical", bands=optical, mask=mask,
        unit="reflectance", scale=float(example.get("scale", 1.0 if plain else 1e-4)),
        offset=() if plain else UNKNOWN_PROVIDER,
    )  # fmt: skip


def _radar(item: Item, bands: dict[str, tuple[str, ...]]) -> ProductProfile | str:
    told = str(item.properties.get("sar:product_type", item.properties.get("product:type", ""))).upper()
    facts = raster_facts(item.assets[next(iter(bands.values()))[0]])
    roles = [str(item.assets[name].get("roles", "")) for names in bands.values() for name in names]
    words = " ".join([*(name for names in bands.values() for name in names), *roles, told, item.collection])
    kind = next((name for name in ("gamma0", "sigma0", "beta0") if name in words.lower()), "")
    flattened = re.search(r"rtc|nrb", words.lower()) is not None
    raw = re.search(r"GRD|SLC|OCN", told) and not (kind or flattened)
    if raw or (str(facts.get("data_type")).startswith(("uint", "int")) and "scale" not in facts):
        return _REFUSED
    unit = str(facts.get("unit", "")).lower()
    return ProductProfile(
        collection=item.collection, kind="sar", bands=bands, unit="dB" if unit.startswith("db") else "linear",
        scale=float(facts.get("scale", 1.0)), radiometry=f"{kind}-rtc" if kind and flattened else kind,
    )  # fmt: skip


def _bands_in(item: Item) -> dict[str, tuple[str, ...]]:
    """Assets of each band that can be told, the finest first; images of several bands are left out."""
    found: dict[str, list[str]] = {}
    for name, asset in item.assets.items():
        kind = str(asset.get("type", ""))
        roles = asset.get("roles") or ()
        if re.search(r"xml|json|html|text|png|jpe?g(?!2000)", kind) or {"thumbnail", "overview"} & {*roles}:
            continue
        band = _band_of(name, asset)
        if band:
            found.setdefault(band, []).append(name)
    order = {name: index for index, name in enumerate((*POLARISATIONS, *_in_order(OPTICAL_BANDS)))}
    return {band: tuple(_finest(item, found[band])) for band in sorted(found, key=lambda b: order.get(b, 99))}


def _in_order(bands: Iterable[str]) -> list[str]:
    return sorted(bands, key=lambda band: band.replace("B8A", "B08A"))


def _band_of(name: str, asset: Mapping[str, Any]) -> str:
    described = asset.get("eo:bands") or asset.get("bands") or []
    if len(described) > 1:
        return ""
    told = described[0] if described else {}
    direct = band_in(name) or band_in(str(told.get("name", "")))
    if direct:
        return direct if direct != "SCL" else ""
    common = str(told.get("common_name", told.get("eo:common_name", "")))
    return _COMMON_NAMES.get(name.removesuffix("-jp2"), _COMMON_NAMES.get(common, ""))


def _finest(item: Item, names: list[str]) -> list[str]:
    """Smallest pixels first, files that can be read in parts before others."""

    def rank(name: str) -> tuple[bool, float, str]:
        pixel = item.pixel(name)
        named = re.search(r"_(\d+)m$", name)
        size = float(named[1]) if named else (pixel if np.isfinite(pixel) else 0.0)
        return name.endswith("jp2"), size, name

    return sorted(names, key=rank)
