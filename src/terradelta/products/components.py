"""Connected areas of change and their figures, strip by strip, whatever the size of the raster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from terradelta.products.area import PixelAreas
from terradelta.products.layers import LAYERS, valid

__all__ = ["PIXELS", "Components", "find_components"]

PIXELS = Affine.scale(2, -2)
"""Transform of the mask: columns and rows, doubled because GDAL warns of the identity."""

_EIGHT = np.ones((3, 3), dtype=int)
_STRIP_PIXELS = 4_000_000
_NO_DATE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Components:
    """Figures of areas of change, one entry each, ordered by their first pixel.

    Attributes
    ----------
    first : ndarray of int64
        ``row * width + column`` of the first pixel in reading order.
    pixels : ndarray of int64
        Number of pixels.
    area : ndarray of float64
        Square metres.
    first_date, last_date : ndarray of int64
        Days since 1970-01-01; -1 where no pixel has a date. From the layers ``first`` and ``last``
        where they exist, else from ``date``.
    score_sum, score_count, score_max : ndarray of float64
        Over pixels with a score; the maximum is -inf without any.
    """

    first: NDArray[np.int64]
    pixels: NDArray[np.int64]
    area: NDArray[np.float64]
    first_date: NDArray[np.int64]
    last_date: NDArray[np.int64]
    score_sum: NDArray[np.float64]
    score_count: NDArray[np.float64]
    score_max: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.first.size)


def find_components(folder: Path, geobox: GeoBox, mask: Path) -> Components:
    """Find 8-connected areas of change in the rasters of a folder.

    The rasters are read in strips of full width; labels of neighbouring strips are joined at the end
    by the graph of their touching pixels. Memory: one strip of about 4 million pixels (512 rows at
    least) and a few numbers per area.

    Parameters
    ----------
    folder : Path
        Holds ``change.tif`` and, where there are any, ``date.tif``, ``first.tif``, ``last.tif`` and
        ``score.tif``.
    geobox : GeoBox
        Grid of the rasters.
    mask : Path
        A raster of changed pixels (0/1) is written here for the outlines.

    Returns
    -------
    Components
        One entry per area.
    """
    paths = {name: folder / f"{name}.tif" for name in ("change", "date", "first", "last", "score")}
    files = {name: rasterio.open(path) for name, path in paths.items() if path.exists()}
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "tiled": True, "compress": "LZW",
               "height": geobox.shape.y, "width": geobox.shape.x, "bigtiff": "IF_SAFER",
               "blockxsize": 512, "blockysize": 512, "transform": PIXELS}  # fmt: skip
    collected, links, offset, above = [], [], 0, None
    areas = PixelAreas(geobox)
    try:
        with rasterio.open(mask, "w", **profile) as outline:
            for window in _strips(geobox):
                blocks = {name: file.read(1, window=window) for name, file in files.items()}
                changed = blocks["change"] == 1
                outline.write(changed.astype("uint8"), 1, window=window)
                labels, number = ndimage.label(changed, _EIGHT)
                found = _measure(labels, number, blocks, window, areas)
                labels = np.where(labels > 0, labels + offset - 1, -1)
                if above is not None:
                    links.append(_touching(above, labels[0]))
                collected.append(found)
                offset, above = offset + number, labels[-1]
    finally:
        for file in files.values():
            file.close()
    return _join(collected, links)


def _strips(geobox: GeoBox) -> Iterator[Window]:
    height, width = geobox.shape.y, geobox.shape.x
    step = max(1, _STRIP_PIXELS // width // 512) * 512
    for start in range(0, height, step):
        yield Window(0, start, width, min(step, height - start))


def _measure(
    labels: NDArray[Any], number: int, blocks: dict[str, NDArray[Any]], window: Window, areas: PixelAreas
) -> Components:
    width = labels.shape[1]
    rows, columns = np.nonzero(labels)
    index = labels[rows, columns] - 1
    row_areas = areas.rows(window.row_off, window.row_off + window.height)
    first = np.full(number, _NO_DATE)
    np.minimum.at(first, index, (rows + window.row_off) * width + columns)
    first_date, last_date = np.full(number, _NO_DATE), np.full(number, -1)
    earliest, latest = (name if name in blocks else "date" for name in ("first", "last"))
    for name, found, extreme in ((earliest, first_date, np.minimum), (latest, last_date, np.maximum)):
        if name in blocks:
            days = blocks[name][rows, columns].astype("int64")
            dated = valid(LAYERS[name], days)
            extreme.at(found, index[dated], days[dated])
    score = blocks["score"][rows, columns] if "score" in blocks else np.full(index.shape, np.nan)
    scored = valid(LAYERS["score"], score)
    score_max = np.full(number, -np.inf)
    np.maximum.at(score_max, index[scored], score[scored])
    return Components(
        first=first,
        pixels=np.bincount(index, minlength=number),
        area=np.bincount(index, weights=row_areas[rows], minlength=number).astype(float),
        first_date=first_date,
        last_date=last_date,
        score_sum=np.bincount(index[scored], weights=score[scored], minlength=number).astype(float),
        score_count=np.bincount(index[scored], minlength=number).astype(float),
        score_max=score_max,
    )


def _touching(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.int64]:
    """Pairs of labels that touch across the border of two strips, straight or diagonally."""
    width = above.size
    pairs = []
    for shift in (-1, 0, 1):
        upper = above[max(0, -shift) : width - max(0, shift)]
        lower = below[max(0, shift) : width - max(0, -shift)]
        both = (upper >= 0) & (lower >= 0)
        pairs.append(np.stack([upper[both], lower[both]]))
    return np.concatenate(pairs, axis=1).astype("int64")


def _join(strips: list[Components], links: list[NDArray[np.int64]]) -> Components:
    names = [item.name for item in fields(Components)]
    parts = {name: np.concatenate([getattr(strip, name) for strip in strips]) for name in names}
    total = parts["first"].size
    pairs = np.concatenate(links, axis=1) if links else np.empty((2, 0), dtype="int64")
    graph = coo_array((np.ones(pairs.shape[1], dtype=bool), (pairs[0], pairs[1])), shape=(total, total))
    number, group = connected_components(graph, directed=False) if total else (0, np.empty(0, dtype=int))
    joined: dict[str, NDArray[Any]] = {}
    for name, values in parts.items():
        if name in ("first", "first_date"):
            joined[name] = np.full(number, _NO_DATE)
            np.minimum.at(joined[name], group, values)
        elif name in ("last_date", "score_max"):
            joined[name] = np.full(number, -1 if name == "last_date" else -np.inf)
            np.maximum.at(joined[name], group, values)
        else:
            joined[name] = np.bincount(group, weights=values, minlength=number)
    joined["first_date"] = np.where(joined["first_date"] == _NO_DATE, -1, joined["first_date"])
    joined["pixels"] = joined["pixels"].astype("int64")
    order = np.argsort(joined["first"])
    return Components(**{name: values[order] for name, values in joined.items()})
