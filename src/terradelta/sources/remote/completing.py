"""Offers of radar images whose catalogue tells neither heading nor incidence angle."""

from __future__ import annotations

import re
from dataclasses import replace

from odc.geo.geobox import GeoBox

from terradelta.sources.conditions import completed, places_on
from terradelta.sources.remote.offers import Offer

__all__ = ["complete_offer"]

_SWATH = re.compile(r"(?<![A-Z0-9])IW[123](?![A-Z0-9])")


def complete_offer(offer: Offer, grid: GeoBox) -> Offer:
    """Estimate heading and incidence angle of a Sentinel-1 offer where they are missing, and mark them.

    Parameters
    ----------
    offer : Offer
        Any; optical ones, and what is known already, stay as they are.
    grid : GeoBox
        The cube's grid, over which the incidence angle is averaged.
    """
    if offer.group != "sar":
        return offer
    swaths = sorted(set(_SWATH.findall(offer.source_id)))
    flight, estimated = completed(offer.flight, places_on(grid), ",".join(swaths))
    return replace(offer, flight=flight, estimated=(*offer.estimated, *estimated))
