"""From scenes to acquisitions: slices and tiles of a pass joined, what was processed twice taken once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from odc.geo.geobox import GeoBox

from terradelta.sources.remote.offers import Offer
from terradelta.sources.remote.stac.reading import ImageReader, Opening
from terradelta.sources.remote.stac.scenes import Scene

__all__ = ["join"]

_GAP = {"sar": np.timedelta64(60, "s"), "optical": np.timedelta64(300, "s")}
"""Slices and tiles of one pass follow each other by less than this."""

_SAME = 0.99
"""Share of a scene that a newer one must show to stand for it."""


def join(scenes: Sequence[Scene], source: str, opening: Opening, grid: GeoBox) -> list[Offer]:
    """Join scenes into acquisitions, sorted by time.

    Parameters
    ----------
    scenes : sequence of Scene
        In any order.
    source : str
        Name of the catalogue.
    opening : Opening
        How its files are opened.
    grid : GeoBox
        Grid of the cube, for the estimate of bytes.
    """
    offers = [_offer(scenes, source, opening, grid) for scenes in _passes(scenes)]
    return sorted(offers, key=lambda offer: (offer.time, offer.key))


def _passes(scenes: Sequence[Scene]) -> Iterator[list[Scene]]:
    """Scenes of each pass: the same datatake or orbit, or neighbours in time of the same flight."""
    by_flight: dict[tuple[str, tuple[object, ...]], list[Scene]] = defaultdict(list)
    for scene in scenes:
        by_flight[_take(scene), (scene.product, scene.bands, scene.flight.identity)].append(scene)
    for (take, _), members in by_flight.items():
        members.sort(key=lambda scene: (scene.time, scene.item.id))
        cluster = members[:1]
        for scene in members[1:]:
            if not take and scene.time - cluster[-1].time > _GAP[scene.group]:
                yield cluster
                cluster = []
            cluster.append(scene)
        yield cluster


def _offer(cluster: list[Scene], source: str, opening: Opening, grid: GeoBox) -> Offer:
    kept, dropped = _newest(cluster)
    first, names = kept[0], [scene.item.names[0] for scene in kept]
    flight = first.flight
    facts = {"items": ", ".join(scene.item.id for scene in kept)}
    if dropped:
        facts["older processings left out"] = ", ".join(scene.item.id for scene in dropped)
    offsets = [scene.offset for scene in kept if scene.offset is not None]
    if offsets:
        facts["Sentinel-2 offset"] = "; ".join(
            dict.fromkeys(f"{offset.value:+g} ({offset.why})" for offset in offsets)
        )
    where = f"{flight.platform or 'unknown'}/{flight.relative_orbit}"
    return Offer(
        key=f"{source}/{first.product}/{where}/{_moment(cluster)}", source=source, product=first.product,
        group=first.group, time=min(scene.time for scene in cluster), bands=first.bands,
        read=ImageReader(tuple(scene.piece for scene in kept), opening), flight=flight,
        source_id=names[0] + (f" +{len(names) - 1}" if len(names) > 1 else ""),
        offset_applied=any(offset.taken_off for offset in offsets), radiometry=first.radiometry,
        estimated=first.estimated, nbytes=_nbytes(first, grid), facts=facts,
    )  # fmt: skip


def _newest(cluster: Sequence[Scene]) -> tuple[list[Scene], list[Scene]]:
    """Scenes that are needed, in the order in which they win, and older ones that newer ones stand for.

    Newer processings come first; where they are equal, the earlier and westernmost.
    """
    ordered = sorted(cluster, key=lambda scene: (scene.time, scene.item.id))
    ordered.sort(key=lambda scene: scene.item.version[:3], reverse=True)
    kept: list[Scene] = []
    dropped: list[Scene] = []
    for scene in ordered:
        (dropped if any(_stands_for(newer, scene) for newer in kept) else kept).append(scene)
    kept.sort(key=lambda scene: (scene.time, scene.item.tile, scene.item.id))
    kept.sort(key=lambda scene: scene.item.version[0], reverse=True)
    return kept, dropped


def _stands_for(newer: Scene, older: Scene) -> bool:
    """Whether both show the same tile, or the same slice, and the newer one shows all of the older."""
    if newer.item.tile != older.item.tile:
        return False
    if not newer.item.tile and abs(newer.time - older.time) > np.timedelta64(2, "s"):
        return False
    shown = older.item.footprint.intersection(newer.item.footprint).area
    return bool(shown >= _SAME * older.item.footprint.area)


def _moment(cluster: Sequence[Scene]) -> str:
    """Tell a pass over a place apart from every other, whichever of its scenes are listed yet."""
    return _take(cluster[0]) or str(cluster[0].time)[:19]


def _take(scene: Scene) -> str:
    """Name of the pass that all its scenes share: the datatake, or half of an orbit; "" unknown."""
    orbit = scene.item.absolute_orbit
    if scene.group == "optical" or not orbit:
        return scene.item.datatake
    return f"{orbit:06d}{scene.flight.orbit_direction[:1]}"


def _nbytes(scene: Scene, grid: GeoBox) -> int:
    """Bytes of the pixels on the grid of the cube, at most at the cube's own resolution.

    Coarser bands hold fewer; compression is not known.
    """
    total, assets = 0.0, _pixels(scene)
    edge = abs(grid.affine.a)
    projected = grid.crs is not None and grid.crs.projected
    for pixel in assets.values():
        ratio = (edge / pixel) ** 2 if projected and np.isfinite(pixel) and pixel > 0.1 else 1.0
        total += ratio * grid.shape[0] * grid.shape[1] * (4 if scene.group == "sar" else 2)
    return round(total)


def _pixels(scene: Scene) -> Mapping[str, float]:
    by_address = {
        scene.item.address(name): name for name in scene.item.assets if "href" in scene.item.assets[name]
    }
    return {asset.band: scene.item.pixel(by_address[asset.address]) for asset in scene.piece.bands}
