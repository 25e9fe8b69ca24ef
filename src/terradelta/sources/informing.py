"""What radar images do not tell themselves: from SAFE products beside them, else estimated from the orbit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources.conditions import completed, places_on
from terradelta.sources.describe import describe
from terradelta.sources.layers import Layer
from terradelta.sources.planned import PlannedAcquisition
from terradelta.sources.problems import Problems
from terradelta.sources.safe.geometry import mean_incidence
from terradelta.sources.safe.layers import border_note, read_headers
from terradelta.sources.safe.matching import Safes, find_safes
from terradelta.sources.safe.product import SafeProduct
from terradelta.sources.sidecar import Sidecar

__all__ = ["gather_safes", "inform", "with_conditions"]


def gather_safes(files: Sequence[Path], folder: Path, settings: Sidecar, problems: Problems) -> Safes:
    """Read the SAFE products among files, and those in the folder that `terradelta.yaml` names.

    Parameters
    ----------
    files : sequence of Path
        SAFE products in the folder of the data.
    folder : Path
        That folder; `safe` in the settings is relative to it.
    settings : Sidecar
        The settings.
    problems : Problems
        Takes what is wrong with single products.
    """
    paths = list(files)
    if settings.safe is not None:
        place = folder / Path(settings.safe).expanduser()
        more = find_safes(place) if place.exists() else []
        if not more:
            raise SourceError(f"{place}: has no Sentinel-1 SAFE product; correct 'safe' in terradelta.yaml")
        paths += more
    found: dict[str, Safes] = {}
    for path in paths:
        with problems.collect():
            one = Safes.read([path])
            found.setdefault(one.products[0].name, one)
    return Safes(tuple(product for one in found.values() for product in one.products))


def inform(layers: Sequence[Layer], safes: Safes, settings: Sidecar, problems: Problems) -> list[Layer]:
    """Give images what their SAFE products tell, and add the pixels of products nothing was made from.

    Parameters
    ----------
    layers : sequence of Layer
        Images of a folder.
    safes : Safes
        Products beside them.
    settings : Sidecar
        The settings.
    problems : Problems
        Takes what is wrong with single files.

    Returns
    -------
    list of Layer
        The images, better known, and those of the products.
    """
    informed, used = [], set()
    for layer in layers:
        with problems.collect():
            product = safes.product_of(layer)
            used.add(product)
            informed.append(safes.informed(layer))
    for product in safes.products:
        with problems.collect():
            own = settings.for_file(product.archive.path.name)
            if product in used or own.ignore:
                continue
            images = describe(read_headers(product, own), own)
            informed += [safes.informed(image) for image in images]
            if images and border_note(product):
                problems.warn(border_note(product))
            elif not images:
                problems.warn(f"{product.name}: belongs to no image here and has no pixels: left out")
    return informed


def with_conditions(one: PlannedAcquisition, grid: GeoBox, safes: Safes) -> PlannedAcquisition:
    """Complete the incidence angle and the heading of a radar acquisition.

    Parameters
    ----------
    one : PlannedAcquisition
        Any; optical ones stay as they are.
    grid : GeoBox
        The cube's grid, over which the incidence angle is averaged.
    safes : Safes
        Products that may tell it; else it is estimated.
    """
    if one.group != "sar":
        return one
    flight, frames = one.flight, one.frames[0]
    if math.isnan(flight.incidence_angle):
        found = [safes.product_of(layer) for layer in frames]
        products: tuple[SafeProduct, ...] = tuple({p.name: p for p in found if p is not None}.values())
        flight = replace(flight, incidence_angle=mean_incidence(products, grid))
    swaths = sorted({layer.place[-3:] for layer in frames if layer.place})
    flight, estimated = completed(flight, places_on(grid), ",".join(swaths))
    return replace(one, flight=flight, estimated=(*one.estimated, *estimated))
