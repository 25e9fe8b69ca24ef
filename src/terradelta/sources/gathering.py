"""From single images to acquisitions: bands joined, frames of one pass joined, duplicates told apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources.grids import require_crs
from terradelta.sources.layers import Layer
from terradelta.sources.planned import PlannedAcquisition
from terradelta.sources.problems import Problems
from terradelta.sources.reading import decode, read_stored

__all__ = ["PASS_GAP", "gather", "meet", "touches"]

PASS_GAP = np.timedelta64(60, "s")
"""Frames of one pass follow each other by less than this (bursts 3 s, slices 25 s)."""

_ROWS = 1024


def gather(layers: Sequence[Layer], group: str, problems: Problems) -> list[PlannedAcquisition]:
    """Join the images of one group into acquisitions, sorted by time.

    Images belong together when they show the same pass: equal platform, track and direction, and the same
    time; neighbouring frames (other grids) may differ by up to a minute and become one mosaic.

    Parameters
    ----------
    layers : sequence of Layer
        All images, of any group.
    group : str
        "sar" or "optical".
    problems : Problems
        Takes what is wrong with single dates.

    Returns
    -------
    list of PlannedAcquisition
        Sorted by time; dates with a problem are left out.
    """
    own = [layer for layer in layers if layer.group == group]
    found = []
    for cluster in _passes(own):
        with problems.collect():
            found.append(_acquisition(_without_duplicates(cluster, problems), group))
    bands = _all_bands(found)
    complete = []
    for acquisition in found:
        with problems.collect():
            _check_bands(acquisition, bands)
            complete.append(acquisition)
    return complete


def _passes(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """Images by pass, in the order of time."""
    by_identity: dict[tuple[str, int, str], list[Layer]] = defaultdict(list)
    for layer in layers:
        by_identity[layer.flight.identity].append(layer)
    clusters: list[list[Layer]] = []
    for members in by_identity.values():
        members.sort(key=lambda layer: (layer.time, layer.raw.path, layer.band))
        start = len(clusters)
        for layer in members:
            if len(clusters) > start and _same_pass(clusters[-1], layer):
                clusters[-1].append(layer)
            else:
                clusters.append([layer])
    yield from sorted(clusters, key=lambda cluster: (cluster[0].time, cluster[0].flight.identity))


def _same_pass(cluster: list[Layer], layer: Layer) -> bool:
    """Tell whether it is the same moment, or the next frame of the same flight."""
    gap = (
        layer.time - cluster[-1].time
        if layer.time is not None and cluster[-1].time is not None
        else PASS_GAP * 2
    )
    if gap == np.timedelta64(0):
        return True
    return bool(gap <= PASS_GAP) and all(
        layer.grid != other.grid for other in cluster if other.time != layer.time
    )


def _without_duplicates(cluster: list[Layer], problems: Problems) -> list[Layer]:
    """Each band of each frame once: equal copies are dropped, different ones refused."""
    kept: list[Layer] = []
    for layer in cluster:
        twin = next((other for other in kept if _twins(other, layer)), None)
        if twin is None:
            kept.append(layer)
        elif _equal_values(twin, layer):
            problems.warn(f"{layer.name}: the same as {twin.name} ({layer.band}, {_day(layer)}): taken once")
        else:
            raise SourceError(
                f"{twin.name} and {layer.name} both hold {layer.band} of {_day(layer)}, "
                "with different values; remove one, or say 'ignore: true' for it in terradelta.yaml"
            )
    return [layer for layer in kept if not any(_finer(other, layer) for other in kept)]


def _day(layer: Layer) -> str:
    return str(layer.time)[:19]


def _twins(one: Layer, other: Layer) -> bool:
    return one.band == other.band and one.time == other.time and one.grid == other.grid


def _finer(one: Layer, other: Layer) -> bool:
    """Whether the first shows the same band and extent as the second with smaller pixels (Sentinel-2)."""
    if one.band != other.band or one.time != other.time or one.grid.crs != other.grid.crs:
        return False
    edge = abs(other.grid.affine.a)
    near = np.abs(np.subtract(one.grid.boundingbox.bbox, other.grid.boundingbox.bbox)) <= edge
    return bool(abs(one.grid.affine.a) < 0.99 * edge and near.all())


def _equal_values(one: Layer, other: Layer) -> bool:
    """Compare pixels, strip by strip, so that memory stays bounded."""
    rows, columns = one.grid.shape
    for start in range(0, rows, _ROWS):
        window = slice(start, min(start + _ROWS, rows)), slice(0, columns)
        first, second = (decode(read_stored(x, *window), x.decoding, x.name) for x in (one, other))
        if not np.array_equal(first, second, equal_nan=True):
            return False
    return True


def _acquisition(cluster: list[Layer], group: str) -> PlannedAcquisition:
    """Bands with their frames; masks apart."""
    images = [layer for layer in cluster if not layer.clear_values]
    if not images:
        raise SourceError(f"{cluster[0].name}: a mask of {_day(cluster[0])} without an image; add its bands")
    bands: dict[str, list[Layer]] = defaultdict(list)
    for layer in images:
        bands[layer.band].append(layer)
    names = tuple(sorted(bands, key=_band_order))
    products = list(dict.fromkeys(layer.product for layer in images))
    more = f" +{len(products) - 1}" if len(products) > 1 else ""
    times = [layer.time for layer in images if layer.time is not None]
    return PlannedAcquisition(
        group=group, time=min(times), bands=names, frames=tuple(tuple(bands[name]) for name in names),
        mask=tuple(layer for layer in cluster if layer.clear_values), flight=images[0].flight,
        source_id=f"{products[0]}{more}", offset_applied=any(layer.offset_applied for layer in images),
        radiometry=_radiometry(images), estimated=images[0].estimated,
    )  # fmt: skip


def _radiometry(images: Sequence[Layer]) -> str:
    """Tell what all images of a pass measure, if any of them tells it."""
    known = {layer.radiometry: layer.name for layer in images if layer.radiometry}
    if len(known) > 1:
        told = ", ".join(f"{name} is {radiometry}" for radiometry, name in sorted(known.items()))
        raise SourceError(f"{told}, yet of one pass: choose one with 'ignore: true' in terradelta.yaml")
    return next(iter(known), "")


def _band_order(name: str) -> tuple[int, str]:
    """VV before VH, HH before HV, B8A after B08."""
    fixed = {"VV": 0, "VH": 1, "HH": 2, "HV": 3}
    return fixed.get(name, 9), name.replace("B8A", "B08A")


def _all_bands(acquisitions: Sequence[PlannedAcquisition]) -> tuple[str, ...]:
    names = {name for acquisition in acquisitions for name in acquisition.bands}
    return tuple(sorted(names, key=_band_order))


def _check_bands(acquisition: PlannedAcquisition, bands: tuple[str, ...]) -> None:
    """Every date, and every frame of a date, must have every band."""
    missing = [name for name in bands if name not in acquisition.bands]
    counts = {len(frames) for frames in acquisition.frames}
    example, day = acquisition.frames[0][0].name, str(acquisition.time)[:19]
    if missing:
        raise SourceError(
            f"{example}: {day} has {', '.join(acquisition.bands)} but no {', '.join(missing)}; "
            "add the missing file, or choose the bands with 'bands' in terradelta.yaml"
        )
    if acquisition.group == "sar" and len(counts) > 1:
        short = min(zip(acquisition.bands, acquisition.frames, strict=True), key=lambda item: len(item[1]))
        raise SourceError(
            f"{example}: {day} has {max(counts)} frames but only {len(short[1])} with "
            f"{short[0]}; add the missing file"
        )


def touches(grid: GeoBox, acquisition: PlannedAcquisition) -> bool:
    """Whether any image of an acquisition meets a grid, by their extents."""
    return any(meet(grid, layer.grid) for layer in acquisition.frames[0])


def meet(one: GeoBox, other: GeoBox) -> bool:
    """Whether two grids meet, by their extents."""
    extent = other.extent if other.crs == one.crs else other.footprint(require_crs(one))
    return bool(extent.intersects(one.extent))
