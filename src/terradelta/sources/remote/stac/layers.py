"""Layers without time: elevation, and land cover of the year that fits."""

from __future__ import annotations

from collections.abc import Sequence

from terradelta.sources.layers import Decoding
from terradelta.sources.remote.offers import LayerOffer, Query
from terradelta.sources.remote.stac.harmonize import raster_facts
from terradelta.sources.remote.stac.items import Item
from terradelta.sources.remote.stac.profile import ProductProfile
from terradelta.sources.remote.stac.reading import Asset, LayerReader, Opening
from terradelta.sources.remote.stac.scenes import assets_of

__all__ = ["layer_of"]


def layer_of(
    items: Sequence[Item], product: str, profile: ProductProfile, source: str, opening: Opening, query: Query
) -> tuple[LayerOffer | None, str]:
    """Offer the layer that items make up, and a line worth reading about it.

    Land cover comes from the newest year that begins before the period ends, else from the oldest one.
    """
    items = [item for item in items if assets_of(item, profile.bands)]
    if not items:
        return None, f"{source}: {product} has nothing there"
    note, year = "", ""
    if profile.kind == "land_cover":
        starts = sorted(item.time for item in items if item.time is not None)
        past = [time for time in starts if time < query.period.end]
        chosen = past[-1:] or starts[:1]
        year = str(chosen[0])[:4] if chosen else ""
        items = [item for item in items if not year or str(item.time)[:4] == year]
        note = "" if past else f"{source}: {product} begins in {year}, after the period"
    items = sorted(items, key=lambda item: item.id)
    categorical = profile.kind == "land_cover"
    reader = LayerReader(tuple(_asset(item, profile) for item in items), categorical, opening)
    nbytes = query.grid.shape[0] * query.grid.shape[1] * (1 if categorical else 4)
    return LayerOffer(
        key="/".join(part for part in (source, product, year) if part), source=source, product=product,
        name=profile.kind, categorical=categorical, read=reader, nbytes=nbytes,
        facts={"items": ", ".join(item.id for item in items)} | ({"year": year} if year else {}),
    ), note  # fmt: skip


def _asset(item: Item, profile: ProductProfile) -> Asset:
    ((band, name),) = assets_of(item, profile.bands).items()
    told = raster_facts(item.assets[name]).get("nodata")
    nodata = (*profile.nodata, *(() if told is None else (float(told),)))
    categorical = profile.kind == "land_cover"
    decoding = Decoding(
        scale=profile.scale, nodata=nodata, zero_is_nodata=profile.zero_is_nodata and categorical
    )
    return Asset(item.address(name), band, decoding, item.collection)
